//! `GET /v1/relations/{space}/{source}/{type}/{target}`.

use axum::{
    Json,
    extract::{Query, rejection::QueryRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Problem,
    access::Access,
    parameters::{self, FourParts},
    views::{Read, RelationView, present},
    writes::Parallel,
};

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OneRelation")]
pub(super) struct Shown {
    relation: RelationView,
}

/// One relation.
pub(super) async fn show(
    access: Access,
    path: FourParts,
    query: Result<Query<Parallel>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let relation = parameters::relation(path, query)?;
    let space = access.read(relation.space.clone())?;
    let (demand, _permit) = space.demand(&headers).await?;
    let answer = space.reader().relation(&relation, demand).await?;
    let (edge, provenance) = present(answer, "this relation")?;
    let tag = parameters::etag(edge.version);
    let body = Json(Read { value: Shown { relation: edge.into() }, provenance });
    Ok(([(axum::http::header::ETAG, tag)], body).into_response())
}
