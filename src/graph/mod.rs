//! The graph store: memories as nodes, relations as edges.
//!
//! With the default graph the ledger's heads *are* the graph: reads walk them ([`heads`]) and the
//! graph write is the finish itself. A projecting backend implements [`Project`] and is one more
//! step of every saga; it could be rebuilt from heads at any time.
//!
//! A node and an edge are registers that only move forward: a write takes effect only over a lower
//! version, and deletion writes a tombstone.

pub mod contract;
pub mod heads;
pub mod memory;
mod walk;

use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{
    Answer, Digest, Memory, MemoryId, Name, Relation, RelationKey, Space, Timestamp, Version,
};

/// One register to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The fence: takes effect only over a lower version.
    pub version: Version,
    /// Which register, and its content.
    pub target: Target,
}

/// Which register, and its content.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A node.
    Memory {
        /// The space.
        space: Space,
        /// Which memory.
        id: MemoryId,
        /// The image's hash.
        hash: Digest,
        /// Its content; `None`: a tombstone.
        after: Option<Arc<Memory>>,
    },
    /// An edge.
    Relation {
        /// Which relation.
        relation: RelationKey,
        /// Its content; `None`: a tombstone.
        after: Option<Relation>,
    },
}

/// What a register is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Register {
    /// A node.
    Memory(Space, MemoryId),
    /// An edge.
    Relation(RelationKey),
}

impl Write {
    /// The register's name.
    #[must_use]
    pub fn register(&self) -> Register {
        match &self.target {
            Target::Memory { space, id, .. } => Register::Memory(space.clone(), id.clone()),
            Target::Relation { relation, .. } => Register::Relation(relation.clone()),
        }
    }
}

/// Why a store could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It may work later.
    #[error("the graph store is not available: {0}")]
    Unavailable(String),
}

/// The write side of a projecting backend.
///
/// Implementations MUST apply a write only over a lower version, atomically per register; answer one
/// [`Answer`] a write, in order; answer `Indeterminate` whenever a write may have been applied; make
/// acknowledged writes durable before answering. All methods are safe to repeat.
#[async_trait]
pub trait Project: Send + Sync {
    /// Writes registers. At most one write a register in one call.
    async fn write(&self, writes: &[Write]) -> Vec<Answer>;

    /// Versions of registers, tombstones included, with the content's hash; `None`: no such register.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn markers(&self, registers: &[Register]) -> Result<Vec<Option<(Version, Digest)>>, Error>;

    /// Every register with its content, tombstones included, each once, in an order of the store's
    /// own: `cursor` is what the last call returned; `None` ends.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn scan(&self, cursor: Option<String>, limit: usize)
    -> Result<(Vec<Write>, Option<String>), Error>;
}

/// Which way to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From source to target.
    Out,
    /// From target to source.
    In,
    /// Either.
    #[default]
    Both,
}

impl Direction {
    /// The other way round.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Out => Self::In,
            Self::In => Self::Out,
            Self::Both => Self::Both,
        }
    }
}

/// A walk: which relations count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Walk {
    /// Which way.
    pub direction: Direction,
    /// Any of these types; empty: all.
    pub types: Vec<Name>,
    /// Those of them that are walked the other way round.
    pub against: Vec<Name>,
    /// Only relations valid at this time; `None`: whatever their validity.
    pub as_of: Option<Timestamp>,
}

/// A relation as a reader sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// Which relation.
    pub relation: RelationKey,
    /// Its version.
    pub version: Version,
    /// Its content.
    pub state: Relation,
}

/// A memory reached by a walk.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbor {
    /// Which memory.
    pub id: MemoryId,
    /// Hops from the start, from 1.
    pub depth: u32,
    /// The relation that it was first reached by.
    pub via: RelationKey,
}

/// The read side: the same question gives the same answer on every backend.
#[async_trait]
pub trait Read: Send + Sync {
    /// The live relations of a memory, ordered by (type, source, target, discriminator).
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn relations(&self, space: &Space, id: &MemoryId, walk: &Walk) -> Result<Vec<Edge>, Error>;

    /// Live memories within `depth` hops, nearest first, each once, at most `limit`; the start is not one.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn neighbors(
        &self,
        space: &Space,
        id: &MemoryId,
        walk: &Walk,
        depth: u32,
        limit: usize,
    ) -> Result<Vec<Neighbor>, Error>;
}
