//! `GET /v1/spaces/{space}/stats`.

use std::collections::BTreeMap;

use axum::{
    Json,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::questions::Counts,
    model::{Code, Name},
};

use super::{
    Problem,
    access::Access,
    parameters::{self, OnePart},
    problem::Reason,
    views::Read,
};

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Stats {
    memories: Memories,
    relations: Relations,
    commands: Commands,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MemoryCounts")]
struct Memories {
    live: u64,
    #[schemars(with = "BTreeMap<String, u64>")]
    kinds: BTreeMap<Name, u64>,
    tombstones: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RelationCounts")]
struct Relations {
    live: u64,
    #[schemars(with = "BTreeMap<String, u64>")]
    types: BTreeMap<Name, u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CommandCounts")]
struct Commands {
    unfinished: u64,
}

impl From<Counts> for Stats {
    fn from(counts: Counts) -> Self {
        let Counts { kinds, tombstones, relation_types, unfinished } = counts;
        Self {
            memories: Memories { live: kinds.values().sum(), kinds, tombstones },
            relations: Relations { live: relation_types.values().sum(), types: relation_types },
            commands: Commands { unfinished },
        }
    }
}

/// How much there is of a space.
pub(super) async fn show(access: Access, path: OnePart, headers: HeaderMap) -> Result<Response, Problem> {
    let space = access.read(parameters::space(path)?)?;
    let (demand, _permit) = space.demand(&headers).await?;
    let answer = space.reader().stats(&space, demand).await?;
    match answer.value {
        Some(counts) => {
            let value = Stats::from(counts);
            Ok(Json(Read { value, provenance: answer.provenance }).into_response())
        }
        None => Err(Problem::new(Reason::Command(Code::NotFound), "no command ever named this space")),
    }
}
