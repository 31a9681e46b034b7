//! Reads of memories and of what hangs on them.

use axum::{
    Json,
    extract::{
        Path, Query,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::{
    graph::{Direction, Walk},
    ledger::questions::Selection,
    model::{Name, Space, Timestamp},
    reader::Demand,
};

use super::{
    Problem, Shared, State, history, parameters,
    problem::Reason,
    views::{MemoryView, NeighborView, Read, RelationView},
};

pub(super) type TwoParts = Result<Path<(String, String)>, PathRejection>;

/// What every read may be asked: accepted everywhere, so that a client can always send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Consistency {
    /// Whatever there is, marked as what it is.
    #[default]
    Any,
    /// Never from a fallback. Every answer here comes from heads, so both words mean the same.
    Strong,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ShowQuery {
    vectors: bool,
    as_of: Option<Timestamp>,
    consistency: Consistency,
}

#[derive(Debug, Serialize)]
pub(super) struct Shown {
    pub(super) memory: MemoryView,
}

/// `GET /v1/memories/{space}/{id}`.
pub(super) async fn show(
    shared: State,
    path: TwoParts,
    query: Result<Query<ShowQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, id) = parameters::memory(path)?;
    let query = parameters::query(query)?;
    let demand = parameters::demand(&headers, &shared.options)?;
    let _permit = shared.permit(demand)?;
    if let Some(at) = query.as_of {
        let answer = shared.ports.reader.as_of(&space, &id, at, demand).await?;
        return history::shown(answer, query.vectors);
    }
    let answer = shared.ports.reader.get(&space, &id, demand).await?;
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListQuery {
    kind: Option<Name>,
    session: Option<String>,
    count: bool,
    limit: Option<usize>,
    cursor: Option<String>,
    consistency: Consistency,
}

#[derive(Debug, Serialize)]
struct Listed {
    memories: Vec<MemoryView>,
    next_cursor: Option<String>,
    /// How many there are, cursor or not; where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

/// `GET /v1/memories/{space}`.
pub(super) async fn list(
    shared: State,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<ListQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let space: Space = parameters::space(path)?;
    let query = parameters::query(query)?;
    let after = parameters::cursor(query.cursor.as_deref())?;
    let limit = shared.limit(query.limit)?;
    let demand = parameters::demand(&headers, &shared.options)?;
    let _permit = shared.permit(demand)?;
    let of = Selection { kind: query.kind, session: query.session };
    let answer = shared.ports.reader.list(&space, &of, after.as_ref(), limit, demand).await?;
    let count = if query.count { Some(shared.ports.reader.count(&space, &of).await?) } else { None };
    let value = Listed {
        memories: answer.value.memories.iter().filter_map(|head| MemoryView::of(head, false)).collect(),
        next_cursor: answer.value.next.as_ref().map(parameters::cursor_of),
        count,
    };
    Ok(Json(Read { value, provenance: answer.provenance }).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WalkQuery {
    direction: Direction,
    types: Option<String>,
    as_of: Option<Timestamp>,
    depth: Option<u32>,
    limit: Option<usize>,
    consistency: Consistency,
}

impl WalkQuery {
    fn walk(&self) -> Result<Walk, Problem> {
        let types = parameters::names(self.types.as_deref())?;
        Ok(Walk { direction: self.direction, types, as_of: self.as_of, ..Walk::default() })
    }
}

#[derive(Debug, Serialize)]
struct Related {
    relations: Vec<RelationView>,
}

/// `GET /v1/memories/{space}/{id}/relations`.
pub(super) async fn relations(
    shared: State,
    path: TwoParts,
    query: Result<Query<WalkQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, id) = parameters::memory(path)?;
    let query = parameters::query(query)?;
    if query.depth.is_some() {
        return Err(Problem::bad_request("`depth` belongs to `/neighbors`; relations are one hop"));
    }
    let limit = shared.limit(query.limit)?;
    let demand = parameters::demand(&headers, &shared.options)?;
    let _permit = shared.permit(demand)?;
    let answer = shared.ports.reader.relations(&space, &id, &query.walk()?, demand).await?;
    let provenance = answer.provenance;
    let edges = answer.value.ok_or_else(|| Problem::absent("this memory", provenance.pending > 0))?;
    let value = Related { relations: edges.into_iter().take(limit).map(RelationView::from).collect() };
    Ok(Json(Read { value, provenance }).into_response())
}

#[derive(Debug, Serialize)]
struct Near {
    neighbors: Vec<NeighborView>,
}

/// `GET /v1/memories/{space}/{id}/neighbors`.
pub(super) async fn neighbors(
    shared: State,
    path: TwoParts,
    query: Result<Query<WalkQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, id) = parameters::memory(path)?;
    let query = parameters::query(query)?;
    let bounds = (shared.depth(query.depth, 1)?, shared.limit(query.limit)?);
    let demand = parameters::demand(&headers, &shared.options)?;
    let _permit = shared.permit(demand)?;
    let answer = shared.ports.reader.neighbors(&space, &id, &query.walk()?, bounds, demand).await?;
    let provenance = answer.provenance;
    let reached = answer.value.ok_or_else(|| Problem::absent("this memory", provenance.pending > 0))?;
    let value = Near { neighbors: reached.into_iter().map(NeighborView::from).collect() };
    Ok(Json(Read { value, provenance }).into_response())
}

impl Shared {
    /// A `limit` within its bounds.
    pub(super) fn limit(&self, asked: Option<usize>) -> Result<usize, Problem> {
        let most = self.ports.reader.options().limit_max;
        let limit = asked.unwrap_or(parameters::LIMIT_DEFAULT.min(most));
        if (1..=most).contains(&limit) {
            Ok(limit)
        } else {
            Err(Problem::bad_request(format!("`limit` goes from 1 to {most}")))
        }
    }

    /// The right to wait, for a read that may have to.
    pub(super) fn permit(&self, demand: Demand) -> Result<Option<tokio::sync::SemaphorePermit<'_>>, Problem> {
        if demand.token.is_none() {
            return Ok(None);
        }
        let full = |_| Problem::new(Reason::TooManyWaiting, "as many requests wait as may; try again");
        self.waiting.try_acquire().map(Some).map_err(full)
    }
}
