//! Which path leads where. One line a route, in the order of the table that clients read.

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post, put},
};

use super::{
    Shared, asyncapi, breakers, commands, docs, events, find, history, memories, metrics, openapi, orders,
    problem::{Problem, Reason},
    relations, schemas, search, spaces, stats, status, walks, writes,
};

/// The whole surface.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/commands", post(commands::submit).get(find::find))
        .route("/v1/commands/{position}", get(commands::show))
        .route("/v1/commands/{position}/{order}", post(orders::order))
        .route("/v1/memories/{space}", get(memories::list))
        .route(
            "/v1/memories/{space}/{id}",
            get(memories::show)
                .put(writes::put_memory)
                .patch(writes::patch_memory)
                .delete(writes::delete_memory),
        )
        .route("/v1/memories/{space}/{id}/relations", get(memories::relations))
        .route("/v1/memories/{space}/{id}/neighbors", get(memories::neighbors))
        .route("/v1/memories/{space}/{id}/lineage", get(walks::lineage))
        .route("/v1/memories/{space}/{id}/contradictions", get(walks::contradictions))
        .route("/v1/memories/{space}/{id}/history", get(history::list))
        .route("/v1/paths/{space}", get(walks::paths))
        .route(
            "/v1/relations/{space}/{source}/{type}/{target}",
            get(relations::show).put(writes::put_relation).delete(writes::delete_relation),
        )
        .route("/v1/search", post(search::search))
        .route("/v1/search/batch", post(search::batch))
        .route("/v1/spaces/{space}", put(writes::create_space).get(spaces::show))
        .route("/v1/events", get(events::follow))
        .route("/v1/spaces/{space}/stats", get(stats::show))
        .route("/v1/guarantees", get(status::guarantees))
        .route("/v1/status", get(status::status))
        .route("/v1/breakers", get(breakers::list))
        .route("/v1/breakers/{store}/{order}", post(breakers::order))
        .route("/metrics", get(metrics::show))
        .route("/schemas/{name}", get(schemas::show))
        .route("/openapi.json", get(openapi::show))
        .route("/asyncapi.yaml", get(asyncapi::show))
        .route("/docs", get(docs::page))
        .route("/docs/{file}", get(docs::asset))
        .route("/livez", get(status::alive))
        .route("/readyz", get(status::ready))
        .route("/healthz", get(status::ready))
        .fallback(no_route)
        .method_not_allowed_fallback(other_method)
        .with_state(shared)
}

/// For a process that only works.
pub(super) fn health(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/metrics", get(metrics::show))
        .route("/livez", get(status::alive))
        .route("/readyz", get(status::ready))
        .route("/healthz", get(status::ready))
        .fallback(no_route)
        .method_not_allowed_fallback(other_method)
        .with_state(shared)
}

async fn no_route() -> Problem {
    Problem::new(Reason::NoRoute, "there is no such path")
}

async fn other_method() -> Problem {
    Problem::new(Reason::MethodNotAllowed, "this path takes another method; see the `allow` header")
}
