//! The stand-in's own port: `GET /faults` shows the plan in force, `PUT /faults` replaces it.

use axum::{Json, Router, extract::State, routing::get};

use super::faults::{Faults, Plan};

/// The routes.
pub(super) fn router(faults: Faults) -> Router {
    Router::new().route("/faults", get(shown).put(replaced)).with_state(faults)
}

async fn shown(State(faults): State<Faults>) -> Json<Plan> {
    Json(faults.plan())
}

async fn replaced(State(faults): State<Faults>, Json(plan): Json<Plan>) -> Json<Plan> {
    faults.change(|held| *held = plan);
    Json(faults.plan())
}
