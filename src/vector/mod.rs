//! The vector store: one point for each memory that has a vector.
//!
//! ```text
//! saga ─▶ Project::write ─▶ backend: fenced by version ─▶ Answer a write
//! reader ─▶ Read::search ─▶ hits (checked against heads by the reader, never trusted alone)
//! audit ─▶ Read::ids, points ─▶ every point with its content, tombstones included
//! ```
//!
//! A point is a register that only moves forward: a write takes effect only over a lower version.
//! Deletion writes a tombstone, which no search shows. This room derives sparse vectors from text
//! ([`text`]), and knows nothing of sagas.

#[cfg(any(feature = "edge", feature = "qdrant"))]
mod conditions;
pub mod contract;
#[cfg(feature = "edge")]
pub mod edge;
pub mod exact;
#[cfg(any(feature = "edge", feature = "qdrant"))]
mod fields;
pub mod memory;
pub mod qdrant;
pub mod text;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use uuid::Uuid;

use crate::model::{
    Answer, Digest, Key, Memory, MemoryId, PartitionId, Space, Sparse, Version, answer::Reason,
    conflict::memory_key, hash::derived_uuid, space::Metric,
};

pub use crate::model::space::Layout;

/// One point to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// The space.
    pub space: Space,
    /// Which memory.
    pub id: MemoryId,
    /// The fence: takes effect only over a lower version.
    pub version: Version,
    /// The image's hash, kept beside the point as a marker.
    pub hash: Digest,
    /// How the space's vectors are kept.
    pub layout: Layout,
    /// The content. `None`, or a memory without any vector: a tombstone.
    pub after: Option<Arc<Memory>>,
}

impl Write {
    /// The point's key.
    #[must_use]
    pub fn key(&self) -> Key {
        memory_key(&self.space, &self.id)
    }

    /// Why no vector store can ever take this write; `None`: nothing speaks against it. Every backend
    /// asks this first, so that all refuse the same.
    #[must_use]
    pub fn refusal(&self) -> Option<Reason> {
        let memory = self.live()?;
        let dense = memory.dense.as_deref().and_then(|dense| refused_dense(dense, self.layout));
        dense.or_else(|| memory.sparse.as_ref().and_then(refused_sparse))
    }

    /// The memory, when the point is to be live.
    #[must_use]
    pub fn live(&self) -> Option<&Arc<Memory>> {
        self.after.as_ref().filter(|memory| memory.needs_vector_store())
    }
}

fn refused_dense(dense: &[f32], layout: Layout) -> Option<Reason> {
    match layout.dimension {
        Some(dimension) if dimension as usize != dense.len() => {
            let detail = format!("the vector has {} values, but its space's have {dimension}", dense.len());
            Some(Reason::new("dimension_mismatch", detail))
        }
        _ if dense.is_empty() => Some(Reason::new("dimension_mismatch", "the vector has no values")),
        _ if !dense.iter().all(|value| value.is_finite()) => {
            Some(Reason::new("not_finite", "the vector holds a value that is not a finite number"))
        }
        _ if layout.metric == Metric::Cosine && dense.iter().all(|value| *value == 0.0) => {
            Some(Reason::new("zero_vector", "the vector is zero, which has no angle to any other"))
        }
        _ => None,
    }
}

fn refused_sparse(sparse: &Sparse) -> Option<Reason> {
    if sparse.indices.len() != sparse.values.len() || !sparse.indices.is_sorted_by(|a, b| a < b) {
        return Some(Reason::new("bad_sparse", "a sparse vector needs rising indices, one value each"));
    }
    let finite = sparse.values.iter().all(|value| value.is_finite());
    (!finite)
        .then(|| Reason::new("not_finite", "the sparse vector holds a value that is not a finite number"))
}

/// What a store holds for one point, read from the store itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The space, from the payload.
    pub space: Space,
    /// The memory's id, from the payload.
    pub id: MemoryId,
    /// The version marker.
    pub version: Version,
    /// The hash marker: what the writer said, not what is there.
    pub hash: Digest,
    /// The content; `None`: a tombstone.
    pub point: Option<Point>,
}

/// The id by which every store knows a memory's point: UUIDv5 of `[space, id]`. Stable: it is on disk.
#[must_use]
pub fn point_id(space: &Space, id: &MemoryId) -> Uuid {
    derived_uuid(&[space.as_str(), id.as_str()])
}

/// The content of a live point, as the store gives it back.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The dense vector. Under cosine a store may keep it at unit length.
    pub dense: Option<Arc<[f32]>>,
    /// The sparse vector; `derived` is not kept by stores and is false here.
    pub sparse: Option<Sparse>,
    /// What can be filtered by.
    pub payload: Payload,
}

/// What of a memory can be filtered by in a vector store.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Payload {
    /// Its kind.
    pub kind: String,
    /// Its session.
    pub session: Option<String>,
    /// Its properties, but objects, which are kept whole in the ledger alone.
    pub properties: crate::model::memory::Properties,
}

impl Payload {
    /// The payload of a memory.
    #[must_use]
    pub fn of(memory: &Memory) -> Self {
        let filterable = |value: &serde_json::Value| !value.is_object();
        Self {
            kind: memory.kind.as_str().to_owned(),
            session: memory.session.clone(),
            properties: memory
                .properties
                .iter()
                .filter(|(_, value)| filterable(value))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }
    }
}

/// A question: the nearest live points of one space.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// The space: no other's points are ever seen.
    pub space: Space,
    /// How its vectors are kept.
    pub layout: Layout,
    /// What to be near to.
    pub query: Query,
    /// At most so many hits.
    pub limit: usize,
    /// Conditions that all must hold.
    pub filter: Filter,
    /// Hits below it are left out.
    pub min_score: Option<f32>,
}

/// What to be near to.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// A dense vector of the space's dimension.
    Dense(Arc<[f32]>),
    /// A sparse vector: inner product.
    Sparse(Sparse),
}

/// Conditions on the payload that all must hold; an empty list says nothing, so that the empty filter
/// lets everything pass.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// Any of these kinds.
    pub kinds: Vec<String>,
    /// Any of these sessions.
    pub sessions: Vec<String>,
    /// Each of these properties.
    pub properties: BTreeMap<String, Condition>,
    /// Any of these filters.
    pub any: Vec<Filter>,
    /// Not this filter: what lacks a property fulfils no condition on it, and so passes here.
    pub not: Option<Box<Filter>>,
}

/// A condition on one property.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// Equal to any of these; of a list property, any of its values is.
    AnyOf(Vec<serde_json::Value>),
    /// Within these bounds, as a number.
    Range {
        /// At least.
        gte: Option<f64>,
        /// More than.
        gt: Option<f64>,
        /// At most.
        lte: Option<f64>,
        /// Less than.
        lt: Option<f64>,
    },
}

/// A hit, best first: cosine and dot fall, euclid rises.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Which memory.
    pub id: MemoryId,
    /// The version that the store has.
    pub version: Version,
    /// Similarity (cosine, dot, sparse) or distance (euclid).
    pub score: f32,
}

/// Why a store could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It may work later.
    #[error("the vector store is not available: {0}")]
    Unavailable(String),
    /// The question is one that the store cannot answer, ever.
    #[error("the vector store cannot answer: {0}")]
    Unsupported(String),
}

/// How far the store's durability has come: per partition, the last finish that it surely holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Checkpoint {
    /// The ledger whose finishes these are.
    pub ledger: String,
    /// Epoch, partition, finish.
    pub finishes: Vec<(u32, u32, u64)>,
}

impl Checkpoint {
    /// The last finish of `partition` that the store surely holds.
    #[must_use]
    pub fn finish(&self, partition: PartitionId) -> u64 {
        self.finishes
            .iter()
            .find(|(epoch, number, _)| (*epoch, *number) == (partition.epoch, partition.partition))
            .map_or(0, |(_, _, finish)| *finish)
    }
}

/// The write side.
///
/// Implementations MUST
/// - apply a write only over a lower version, atomically per point, and answer `Same` for an equal
///   one, `Superseded` for a lower one;
/// - answer one [`Answer`] a write, in order; a refusal of a bulk call is halved until it names an item;
/// - answer `Indeterminate` whenever a write may have been applied;
/// - make an applied write visible to `read` before answering.
///
/// All methods are safe to repeat. A cancelled `write` is `Indeterminate`.
#[async_trait]
pub trait Project: Send + Sync {
    /// Writes points. At most one write a point in one call.
    async fn write(&self, writes: &[Write]) -> Vec<Answer>;

    /// Version and hash markers of points, tombstones included; `None`: no such point.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn markers(
        &self,
        points: &[(Space, MemoryId, Layout)],
    ) -> Result<Vec<Option<(Version, Digest)>>, Error>;

    /// Removes points whole, tombstones too, each only while it holds this version; whether each is gone.
    /// For repair alone: what is removed has no fence any more.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer; any of them may be gone.
    async fn remove(&self, points: &[(Space, MemoryId, Version)]) -> Result<Vec<bool>, Error>;

    /// Whether an acknowledged write is durable by itself. If not, the owner makes checkpoints.
    fn durable_when_acknowledged(&self) -> bool;

    /// Makes everything acknowledged so far durable, then remembers `checkpoint`.
    ///
    /// # Errors
    /// [`Error`] when it could not; the earlier checkpoint stands.
    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error>;

    /// The checkpoint that was remembered last; `None`: there is none, rebuild.
    ///
    /// # Errors
    /// [`Error`] when it cannot be read.
    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error>;

    /// Drops every point, tombstones included, before a rebuild.
    ///
    /// # Errors
    /// [`Error`] when it could not.
    async fn clear(&self) -> Result<(), Error>;

    /// Whether the store takes writes now: one that changes nothing, where the store has such, else a read.
    /// What a breaker asks before it lets the next write through.
    ///
    /// # Errors
    /// [`Error`] when it does not.
    async fn probe(&self) -> Result<(), Error> {
        self.last_checkpoint().await.map(drop)
    }
}

/// The read side. No method ever shows one space's points to another.
#[async_trait]
pub trait Read: Send + Sync {
    /// The nearest live points.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer, or cannot.
    async fn search(&self, search: &Search) -> Result<Vec<Hit>, Error>;

    /// The ids of points ([`point_id`]), tombstones included, in an order of the store's own; `cursor` as
    /// for [`Read::scan`].
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn ids(&self, cursor: Option<String>, limit: usize) -> Result<(Vec<Uuid>, Option<String>), Error>;

    /// The points of these ids with their content, tombstones included, as far as there are any, in no
    /// order: several of one id where the store holds it in several places.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn points(&self, ids: &[Uuid]) -> Result<Vec<Stored>, Error>;

    /// Points with their content, tombstones included, each once, in an order of the store's own:
    /// `cursor` is what the last call returned; `None` ends.
    ///
    /// # Errors
    /// [`Error`] when the store does not answer.
    async fn scan(
        &self,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Stored>, Option<String>), Error>;
}
