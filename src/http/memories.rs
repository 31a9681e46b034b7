//! Reads of memories and of what hangs on them.

use axum::{
    Json,
    extract::{Query, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    graph::{Direction, Walk},
    ledger::questions::Selection,
    log::envelope::schema::text,
    model::{Name, Timestamp},
};

use super::{
    Problem,
    access::Access,
    history,
    openapi::words::TypeList,
    parameters::{self, OnePart, TwoParts},
    views::{MemoryView, NeighborView, Read, RelationView, present},
};

/// What every read may be asked: accepted everywhere, so that a client can always send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Consistency {
    /// Whatever there is, marked as what it is.
    #[default]
    Any,
    /// Never from a fallback. Every answer here comes from heads, so both words mean the same.
    Strong,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ShowQuery {
    /// Whether its vectors come with it.
    vectors: bool,
    /// As it stood at this time.
    #[schemars(with = "Option<text::Time>")]
    as_of: Option<Timestamp>,
    consistency: Consistency,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OneMemory")]
pub(super) struct Shown {
    pub(super) memory: MemoryView,
}

/// `GET /v1/memories/{space}/{id}`.
pub(super) async fn show(
    access: Access,
    path: TwoParts,
    query: Result<Query<ShowQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, id) = parameters::memory(path)?;
    let space = access.read(space)?;
    let query = parameters::query(query)?;
    let (demand, _permit) = space.demand(&headers).await?;
    if let Some(at) = query.as_of {
        let answer = space.reader().as_of(&space, &id, at, demand).await?;
        return history::shown(answer, query.vectors);
    }
    let answer = space.reader().get(&space, &id, demand).await?;
    let provenance = answer.provenance;
    let view = answer.value.as_ref().and_then(|head| MemoryView::of(head, query.vectors));
    let (Some(memory), Some(version)) = (view, provenance.version) else {
        return Err(Problem::absent("this memory", provenance.pending > 0));
    };
    let tag = parameters::etag(version);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|wanted| *wanted == tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let body = Json(Read { value: Shown { memory }, provenance });
    Ok(([(header::ETAG, tag)], body).into_response())
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListQuery {
    /// Memories of this kind alone.
    #[schemars(with = "Option<text::Name>")]
    kind: Option<Name>,
    /// Memories of one session alone.
    session: Option<String>,
    /// Whether to count them as well.
    count: bool,
    /// How many at most; 50.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<usize>,
    /// Where to go on: the `next_cursor` of the list before.
    cursor: Option<String>,
    consistency: Consistency,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Memories")]
pub(super) struct Listed {
    memories: Vec<MemoryView>,
    /// Null: there are no more.
    next_cursor: Option<String>,
    /// How many there are, cursor or not; where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

/// `GET /v1/memories/{space}`.
pub(super) async fn list(
    access: Access,
    path: OnePart,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let space = access.read(parameters::space(path)?)?;
    let query = parameters::query(query)?;
    let after = parameters::cursor(query.cursor.as_deref())?;
    let limit = access.limit(query.limit)?;
    let (demand, _permit) = space.demand(&headers).await?;
    let of = Selection { kind: query.kind, session: query.session };
    let answer = space.reader().list(&space, &of, after.as_ref(), limit, demand).await?;
    let count = if query.count { Some(space.reader().count(&space, &of).await?) } else { None };
    let value = Listed {
        memories: answer.value.memories.iter().filter_map(|head| MemoryView::of(head, false)).collect(),
        next_cursor: answer.value.next.as_ref().map(parameters::cursor_of),
        count,
    };
    Ok(Json(Read { value, provenance: answer.provenance }).into_response())
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WalkQuery {
    direction: Direction,
    #[schemars(with = "Option<TypeList>")]
    types: Option<String>,
    /// As it was valid at this time.
    #[schemars(with = "Option<text::Time>")]
    as_of: Option<Timestamp>,
    /// How many hops; 1. Of `neighbors` alone.
    #[schemars(range(min = 1, max = 8))]
    depth: Option<u32>,
    /// How many at most; 50.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<usize>,
    consistency: Consistency,
}

impl WalkQuery {
    fn walk(&self) -> Result<Walk, Problem> {
        let types = parameters::names(self.types.as_deref())?;
        Ok(Walk { direction: self.direction, types, as_of: self.as_of, ..Walk::default() })
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Relations")]
pub(super) struct Related {
    relations: Vec<RelationView>,
}

/// `GET /v1/memories/{space}/{id}/relations`.
pub(super) async fn relations(
    access: Access,
    path: TwoParts,
    query: Result<Query<WalkQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, id) = parameters::memory(path)?;
    let space = access.read(space)?;
    let query = parameters::query(query)?;
    if query.depth.is_some() {
        return Err(Problem::bad_request("`depth` belongs to `/neighbors`; relations are one hop"));
    }
    let limit = access.limit(query.limit)?;
    let (demand, _permit) = space.demand(&headers).await?;
    let answer = space.reader().relations(&space, &id, &query.walk()?, demand).await?;
    let (edges, provenance) = present(answer, "this memory")?;
    let value = Related { relations: edges.into_iter().take(limit).map(RelationView::from).collect() };
    Ok(Json(Read { value, provenance }).into_response())
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Neighbors")]
pub(super) struct Near {
    neighbors: Vec<NeighborView>,
}

/// `GET /v1/memories/{space}/{id}/neighbors`.
pub(super) async fn neighbors(
    access: Access,
    path: TwoParts,
    query: Result<Query<WalkQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, id) = parameters::memory(path)?;
    let space = access.read(space)?;
    let query = parameters::query(query)?;
    let bounds = (access.depth(query.depth, 1)?, access.limit(query.limit)?);
    let (demand, _permit) = space.demand(&headers).await?;
    let answer = space.reader().neighbors(&space, &id, &query.walk()?, bounds, demand).await?;
    let (reached, provenance) = present(answer, "this memory")?;
    let value = Near { neighbors: reached.into_iter().map(NeighborView::from).collect() };
    Ok(Json(Read { value, provenance }).into_response())
}
