//! Walks with a meaning of their own: lineage, contradictions, paths.

use axum::{
    Json,
    extract::{
        Path, Query,
        rejection::{PathRejection, QueryRejection},
    },
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::{
    graph::{Direction, Walk},
    model::{MemoryId, Timestamp, outcome::RelationName},
    reader::{LineageSide, PathsQuestion},
};

use super::{
    Problem, Shared, State,
    memories::{Consistency, TwoParts},
    parameters,
    views::{NeighborView, Read},
};

/// How far a lineage is followed where `depth` does not say.
const LINEAGE_DEPTH_DEFAULT: u32 = 8;
/// Longest paths where `depth` does not say.
const PATH_DEPTH_DEFAULT: u32 = 4;
/// Most paths where `limit` does not say.
const PATHS_DEFAULT: usize = 10;

/// Which way in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Side {
    /// What came of it.
    Forward,
    /// What it came from.
    Backward,
    /// Either, told apart.
    #[default]
    Both,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LineageQuery {
    direction: Side,
    as_of: Option<Timestamp>,
    depth: Option<u32>,
    limit: Option<usize>,
    #[serde(rename = "consistency")]
    _consistency: Consistency,
}

#[derive(Debug, Serialize)]
struct Lineage {
    #[serde(skip_serializing_if = "Option::is_none")]
    backward: Option<Vec<NeighborView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forward: Option<Vec<NeighborView>>,
}

/// `GET /v1/memories/{space}/{id}/lineage`.
pub(super) async fn lineage(
    shared: State,
    path: TwoParts,
    query: Result<Query<LineageQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, id) = parameters::memory(path)?;
    let query = parameters::query(query)?;
    let bounds = (shared.depth(query.depth, LINEAGE_DEPTH_DEFAULT)?, shared.limit(query.limit)?);
    let demand = parameters::demand(&headers, &shared.options)?;
    let _permit = shared.permit(demand)?;
    let sides: &[LineageSide] = match query.direction {
        Side::Forward => &[LineageSide::Forward],
        Side::Backward => &[LineageSide::Backward],
        Side::Both => &[LineageSide::Backward, LineageSide::Forward],
    };
    let mut value = Lineage { backward: None, forward: None };
    let mut told = None;
    for side in sides {
        let walk = Walk { as_of: query.as_of, ..side.walk() };
        let answer = shared.ports.reader.neighbors(&space, &id, &walk, bounds, demand).await?;
        let provenance = answer.provenance;
        let reached = answer.value.ok_or_else(|| Problem::absent("this memory", provenance.pending > 0))?;
        let views = Some(reached.into_iter().map(NeighborView::from).collect());
        match side {
            LineageSide::Backward => value.backward = views,
            LineageSide::Forward => value.forward = views,
        }
        told = Some(provenance);
    }
    let provenance = told.expect("there is at least one side");
    Ok(Json(Read { value, provenance }).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ContradictionsQuery {
    as_of: Option<Timestamp>,
    limit: Option<usize>,
    #[serde(rename = "consistency")]
    _consistency: Consistency,
}

#[derive(Debug, Serialize)]
struct Contradictions {
    contradictions: Vec<NeighborView>,
}

/// `GET /v1/memories/{space}/{id}/contradictions`: either way, since a contradiction has no direction.
pub(super) async fn contradictions(
    shared: State,
    path: TwoParts,
    query: Result<Query<ContradictionsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, id) = parameters::memory(path)?;
    let query = parameters::query(query)?;
    let limit = shared.limit(query.limit)?;
    let demand = parameters::demand(&headers, &shared.options)?;
    let _permit = shared.permit(demand)?;
    let types = parameters::names(Some("CONTRADICTS"))?;
    let walk = Walk { direction: Direction::Both, types, as_of: query.as_of, ..Walk::default() };
    let answer = shared.ports.reader.neighbors(&space, &id, &walk, (1, limit), demand).await?;
    let provenance = answer.provenance;
    let reached = answer.value.ok_or_else(|| Problem::absent("this memory", provenance.pending > 0))?;
    let value = Contradictions { contradictions: reached.into_iter().map(NeighborView::from).collect() };
    Ok(Json(Read { value, provenance }).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PathsQuery {
    from: String,
    to: String,
    #[serde(default)]
    direction: Direction,
    types: Option<String>,
    as_of: Option<Timestamp>,
    depth: Option<u32>,
    limit: Option<usize>,
    #[serde(default)]
    shortest: bool,
    #[serde(default, rename = "consistency")]
    _consistency: Consistency,
}

#[derive(Debug, Serialize)]
struct PathView {
    length: usize,
    memories: Vec<MemoryId>,
    relations: Vec<RelationName>,
}

#[derive(Debug, Serialize)]
struct Paths {
    paths: Vec<PathView>,
    /// Whether the search was ended by its bounds, so that there may be more.
    truncated: bool,
}

/// `GET /v1/paths/{space}?from=&to=`.
pub(super) async fn paths(
    shared: State,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<PathsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let space = parameters::space(path)?;
    let query = parameters::query(query)?;
    let end = |text: &str| MemoryId::new(text).map_err(|error| Problem::bad_request(error.to_string()));
    let (from, to) = (end(&query.from)?, end(&query.to)?);
    if from == to {
        return Err(Problem::bad_request("`from` and `to` are one memory; a path leads to another"));
    }
    let question = PathsQuestion {
        space,
        from,
        to,
        walk: Walk {
            direction: query.direction,
            types: parameters::names(query.types.as_deref())?,
            as_of: query.as_of,
            ..Walk::default()
        },
        depth: shared.depth(query.depth, PATH_DEPTH_DEFAULT)?,
        limit: shared.limit(Some(query.limit.unwrap_or(PATHS_DEFAULT)))?,
        shortest: query.shortest,
    };
    let demand = parameters::demand(&headers, &shared.options)?;
    let _permit = shared.permit(demand)?;
    let answer = shared.ports.reader.paths(&question, demand).await?;
    let provenance = answer.provenance;
    let absent =
        |which: &str| Problem::absent(&format!("the memory that `{which}` names"), provenance.pending > 0);
    let found = answer.value.map_err(absent)?;
    let view = |relations: Vec<crate::model::RelationKey>| {
        let mut memories = vec![question.from.clone()];
        for relation in &relations {
            let last = memories.last().expect("it begins with `from`");
            memories.push(if relation.source == *last { &relation.target } else { &relation.source }.clone());
        }
        let names = relations.iter().map(RelationName::from).collect();
        PathView { length: relations.len(), memories, relations: names }
    };
    let value = Paths { paths: found.paths.into_iter().map(view).collect(), truncated: found.truncated };
    Ok(Json(Read { value, provenance }).into_response())
}

impl Shared {
    /// A `depth` within its bounds.
    pub(super) fn depth(&self, asked: Option<u32>, default: u32) -> Result<u32, Problem> {
        let most = self.ports.reader.options().depth_max;
        let depth = asked.unwrap_or(default.min(most));
        if (1..=most).contains(&depth) {
            Ok(depth)
        } else {
            Err(Problem::bad_request(format!("`depth` goes from 1 to {most}")))
        }
    }
}
