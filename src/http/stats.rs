//! `GET /v1/spaces/{space}/stats`.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, rejection::PathRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    ledger::questions::Counts,
    model::{Code, Name},
};

use super::{Problem, State, parameters, problem::Reason, views::Read};

#[derive(Debug, Serialize)]
struct Stats {
    memories: Memories,
    relations: Relations,
    commands: Commands,
}

#[derive(Debug, Serialize)]
struct Memories {
    live: u64,
    kinds: BTreeMap<Name, u64>,
    tombstones: u64,
}

#[derive(Debug, Serialize)]
struct Relations {
    live: u64,
    types: BTreeMap<Name, u64>,
}

#[derive(Debug, Serialize)]
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
pub(super) async fn show(
    shared: State,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let space = parameters::space(path)?;
    let demand = parameters::demand(&headers, &shared.options)?;
    let _permit = shared.permit(demand)?;
    let answer = shared.ports.reader.stats(&space, demand).await?;
    match answer.value {
        Some(counts) => {
            let value = Stats::from(counts);
            Ok(Json(Read { value, provenance: answer.provenance }).into_response())
        }
        None => Err(Problem::new(Reason::Command(Code::NotFound), "no command ever named this space")),
    }
}
