//! Reads: what is known, and how well it is known.
//!
//! ```text
//! question ─▶ token met? ─▶ vector store / graph ─▶ checked against heads ─▶ answer + provenance
//! ```
//!
//! The heads are the truth; a store's hit is a hint until its head has been read. So a search never
//! shows what is deleted, half-done or undone, whatever the store says at that moment. Every answer
//! carries a [`Provenance`]. This room writes nothing, and knows no wire format.

mod commands;
mod consistency;
mod cursor;
mod feed;
mod find;
mod fusion;
mod get;
mod graph_reads;
mod history;
mod lineage;
mod paths;
mod search;
mod stats;
#[cfg(test)]
mod tests;
mod waiting;

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    graph,
    ledger::{self, Ledger},
    log::{CommandLog, ReadError, envelope::schema::text},
    model::{FieldError, Version},
    vector,
    worker::board::Level,
};

pub use commands::CommandState;
pub use consistency::{Demand, Scope};
pub use cursor::{Cursor, InvalidCursor};
pub use feed::{Feed, Follow, FollowError};
pub use find::{Commands, CommandsWanted};
pub use get::Page;
pub use graph_reads::Neighbor;
pub use history::{Entry, History, Then};
pub use lineage::LineageSide;
pub use paths::{Paths, PathsQuestion};
pub use search::{Hit, Question};
pub use waiting::{Announcing, Waiters};

/// Everything that reads touch.
#[derive(Clone)]
pub struct Ports {
    /// Heads, and what is unfinished.
    pub ledger: Arc<dyn Ledger>,
    /// Whether a position exists at all.
    pub log: Arc<dyn CommandLog>,
    /// The vector store.
    pub vectors: Arc<dyn vector::Read>,
    /// Whether the vector store holds all that had been acknowledged before this process started.
    pub level: Level,
    /// The graph.
    pub graph: Arc<dyn graph::Read>,
    /// Who is told when a command has ended.
    pub waiters: Waiters,
}

/// Bounds of reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Most hits of a search, items of a list, and memories of a walk; 1,000.
    pub limit_max: usize,
    /// Longest walk, in hops; 16.
    pub depth_max: u32,
    /// Most unfinished commands that one question looks through; 10,000. Beyond it, a read with a
    /// token waits for all of its space.
    pub unfinished_count_max: usize,
    /// How often a waiting read asks the ledger again, in milliseconds; 20.
    pub poll_interval_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { limit_max: 1_000, depth_max: 16, unfinished_count_max: 10_000, poll_interval_ms: 20 }
    }
}

impl Options {
    fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms.max(1))
    }
}

/// Answers questions. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    ports: Ports,
    options: Options,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServedFrom {
    /// The store whose question this is. For reads by id, and for walks on the heads, the ledger.
    Primary,
    /// The ledger, in place of a store that did not answer.
    Ledger,
}

/// What an answer says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Provenance {
    /// Where it came from.
    pub served_from: ServedFrom,
    /// The record's version, where the answer is one record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<text::Version>")]
    pub version: Option<Version>,
    /// Whether any part of it came from a store that is not level with the heads.
    pub stale: bool,
    /// How old it may be, in milliseconds: 0 for everything that was checked against heads just now.
    pub age_ms: u64,
    /// Unfinished commands that touch what was read.
    pub pending: u64,
}

/// A value, and how well it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// The value.
    pub value: T,
    /// How well it is known.
    pub provenance: Provenance,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// The ledger did not answer.
    #[error("read the ledger")]
    Ledger(#[from] ledger::Error),
    /// The log did not answer.
    #[error("read the log")]
    Log(#[from] ReadError),
    /// The vector store did not answer.
    #[error("search the vector store")]
    Vector(#[from] vector::Error),
    /// The graph store did not answer.
    #[error("walk the graph")]
    Graph(#[from] graph::Error),
    /// What the token names was still not finished when the time was up.
    #[error("what the token names was not finished in time")]
    ConsistencyTimeout,
    /// The question itself is wrong.
    #[error("the question cannot be answered as it is")]
    Question(Vec<FieldError>),
}

impl Reader {
    /// A reader over these ports.
    #[must_use]
    pub fn new(ports: Ports, options: Options) -> Self {
        Self { ports, options }
    }

    /// The bounds that it keeps to.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }
}

impl Provenance {
    /// Checked against heads just now.
    fn current(version: Option<Version>, pending: u64) -> Self {
        Self { served_from: ServedFrom::Primary, version, stale: false, age_ms: 0, pending }
    }
}
