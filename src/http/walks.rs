//! Walks with a meaning of their own: lineage, contradictions, paths.

use axum::{
    Json,
    extract::{Query, rejection::QueryRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    graph::{Direction, Walk},
    log::envelope::schema::text,
    model::{MemoryId, Timestamp, outcome::RelationName},
    reader::{LineageSide, PathsQuestion},
};

use super::{
    Problem,
    access::Access,
    memories::Consistency,
    openapi::words::{RelationParts, TypeList},
    parameters::{self, OnePart, TwoParts},
    views::{NeighborView, Read, present},
};

/// How far a lineage is followed where `depth` does not say.
const LINEAGE_DEPTH_DEFAULT: u32 = 8;
/// Longest paths where `depth` does not say.
const PATH_DEPTH_DEFAULT: u32 = 4;
/// Most paths where `limit` does not say.
const PATHS_DEFAULT: usize = 10;

/// Which way in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
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

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LineageQuery {
    direction: Side,
    /// As it was valid at this time.
    #[schemars(with = "Option<text::Time>")]
    as_of: Option<Timestamp>,
    /// How many hops; 8.
    #[schemars(range(min = 1, max = 8))]
    depth: Option<u32>,
    /// How many at most, each way; 50.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<usize>,
    #[serde(rename = "consistency")]
    _consistency: Consistency,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Lineage {
    #[serde(skip_serializing_if = "Option::is_none")]
    backward: Option<Vec<NeighborView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forward: Option<Vec<NeighborView>>,
}

/// `GET /v1/memories/{space}/{id}/lineage`.
pub(super) async fn lineage(
    access: Access,
    path: TwoParts,
    query: Result<Query<LineageQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, id) = parameters::memory(path)?;
    let space = access.read(space)?;
    let query = parameters::query(query)?;
    let bounds = (access.depth(query.depth, LINEAGE_DEPTH_DEFAULT)?, access.limit(query.limit)?);
    let (demand, _permit) = space.demand(&headers).await?;
    let sides: &[LineageSide] = match query.direction {
        Side::Forward => &[LineageSide::Forward],
        Side::Backward => &[LineageSide::Backward],
        Side::Both => &[LineageSide::Backward, LineageSide::Forward],
    };
    let mut value = Lineage { backward: None, forward: None };
    let mut told = None;
    for side in sides {
        let walk = Walk { as_of: query.as_of, ..side.walk() };
        let answer = space.reader().neighbors(&space, &id, &walk, bounds, demand).await?;
        let (reached, provenance) = present(answer, "this memory")?;
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

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ContradictionsQuery {
    /// As it was valid at this time.
    #[schemars(with = "Option<text::Time>")]
    as_of: Option<Timestamp>,
    /// How many at most; 50.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<usize>,
    #[serde(rename = "consistency")]
    _consistency: Consistency,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Contradictions {
    contradictions: Vec<NeighborView>,
}

/// `GET /v1/memories/{space}/{id}/contradictions`: either way, since a contradiction has no direction.
pub(super) async fn contradictions(
    access: Access,
    path: TwoParts,
    query: Result<Query<ContradictionsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, id) = parameters::memory(path)?;
    let space = access.read(space)?;
    let query = parameters::query(query)?;
    let limit = access.limit(query.limit)?;
    let (demand, _permit) = space.demand(&headers).await?;
    let types = parameters::names(Some("CONTRADICTS"))?;
    let walk = Walk { direction: Direction::Both, types, as_of: query.as_of, ..Walk::default() };
    let answer = space.reader().neighbors(&space, &id, &walk, (1, limit), demand).await?;
    let (reached, provenance) = present(answer, "this memory")?;
    let value = Contradictions { contradictions: reached.into_iter().map(NeighborView::from).collect() };
    Ok(Json(Read { value, provenance }).into_response())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PathsQuery {
    /// Where paths begin.
    #[schemars(with = "text::MemoryId")]
    from: String,
    /// Where they end; another memory.
    #[schemars(with = "text::MemoryId")]
    to: String,
    #[serde(default)]
    direction: Direction,
    #[schemars(with = "Option<TypeList>")]
    types: Option<String>,
    /// As it was valid at this time.
    #[schemars(with = "Option<text::Time>")]
    as_of: Option<Timestamp>,
    /// How many hops at most; 4.
    #[schemars(range(min = 1, max = 8))]
    depth: Option<u32>,
    /// How many at most; 10.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<usize>,
    /// Whether the shortest ones are enough.
    #[serde(default)]
    shortest: bool,
    #[serde(default, rename = "consistency")]
    _consistency: Consistency,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Path")]
struct PathView {
    length: usize,
    #[schemars(with = "Vec<text::MemoryId>")]
    memories: Vec<MemoryId>,
    #[schemars(with = "Vec<RelationParts>")]
    relations: Vec<RelationName>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Paths {
    paths: Vec<PathView>,
    /// Whether the search was ended by its bounds, so that there may be more.
    truncated: bool,
}

/// `GET /v1/paths/{space}?from=&to=`.
pub(super) async fn paths(
    access: Access,
    path: OnePart,
    query: Result<Query<PathsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let space = access.read(parameters::space(path)?)?;
    let query = parameters::query(query)?;
    let from: MemoryId = parameters::part("from", &query.from)?;
    let to: MemoryId = parameters::part("to", &query.to)?;
    if from == to {
        return Err(Problem::bad_request("`from` and `to` are one memory; a path leads to another"));
    }
    let question = PathsQuestion {
        space: space.clone(),
        from,
        to,
        walk: Walk {
            direction: query.direction,
            types: parameters::names(query.types.as_deref())?,
            as_of: query.as_of,
            ..Walk::default()
        },
        depth: access.depth(query.depth, PATH_DEPTH_DEFAULT)?,
        limit: access.limit(Some(query.limit.unwrap_or(PATHS_DEFAULT)))?,
        shortest: query.shortest,
    };
    let (demand, _permit) = space.demand(&headers).await?;
    let answer = space.reader().paths(&question, demand).await?;
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
