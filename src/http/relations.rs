//! `GET /v1/relations/{space}/{source}/{type}/{target}`.

use axum::{
    Json,
    extract::{Query, rejection::QueryRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    Problem, State,
    parameters::{self, FourParts},
    views::{Read, RelationView},
    writes::Parallel,
};

#[derive(Debug, Serialize)]
struct Shown {
    relation: RelationView,
}

/// One relation.
pub(super) async fn show(
    shared: State,
    path: FourParts,
    query: Result<Query<Parallel>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let relation = parameters::relation(path, query)?;
    let demand = parameters::demand(&headers, &shared.options)?;
    let _permit = shared.permit(demand)?;
    let answer = shared.ports.reader.relation(&relation, demand).await?;
    let provenance = answer.provenance;
    let edge = answer.value.ok_or_else(|| Problem::absent("this relation", provenance.pending > 0))?;
    let tag = parameters::etag(edge.version);
    let body = Json(Read { value: Shown { relation: edge.into() }, provenance });
    Ok(([(axum::http::header::ETAG, tag)], body).into_response())
}
