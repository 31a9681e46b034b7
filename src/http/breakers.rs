//! `GET /v1/breakers`, `POST /v1/breakers/{store}/{order}`: for operators alone.

use axum::{Json, extract::Path};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::guard::{Order, Standing};

use super::{access::Access, problem::Problem};

/// How every breaker stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Breakers {
    breakers: Vec<Standing>,
}

/// What can be ordered.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OrderName {
    /// Turn calls away until another order.
    Open,
    /// Let calls through; what comes may open it again.
    Close,
    /// As it was at start.
    Reset,
}

/// `GET /v1/breakers`.
pub(super) async fn list(access: Access) -> Result<Json<Breakers>, Problem> {
    let breakers = access.operator()?.guards().standings();
    Ok(Json(Breakers { breakers }))
}

/// `POST /v1/breakers/{store}/open`, `/close`, `/reset`.
pub(super) async fn order(
    access: Access,
    path: Result<Path<(String, OrderName)>, axum::extract::rejection::PathRejection>,
) -> Result<Json<Standing>, Problem> {
    let operator = access.operator()?;
    let unknown = || Problem::absent("this breaker, or this order,", false);
    let Path((store, order)) = path.map_err(|_| unknown())?;
    let guard = operator.guards().get(&store).ok_or_else(unknown)?;
    guard.obey(match order {
        OrderName::Open => Order::Open,
        OrderName::Close => Order::Close,
        OrderName::Reset => Order::Reset,
    });
    Ok(Json(guard.standing()))
}
