//! What records look like on the wire.

use serde::Serialize;

use crate::{
    graph::Edge,
    ledger::Head,
    model::{
        Memory, MemoryId, Name, RelationKey, Sparse, Timestamp, Version, memory::Properties,
        outcome::RelationName,
    },
    reader::{Hit, Neighbor, Provenance},
};

/// A memory at its head.
#[derive(Debug, Serialize)]
pub(super) struct MemoryView {
    id: MemoryId,
    kind: Name,
    content: String,
    properties: Properties,
    session: Option<String>,
    importance: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sparse: Option<Sparse>,
    occurred_at: Timestamp,
    valid_from: Timestamp,
    valid_until: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    accessed_at: Option<Timestamp>,
    version: Version,
}

impl MemoryView {
    /// The view of a live head; `None` of a tombstone.
    pub(super) fn of(head: &Head, vectors: bool) -> Option<Self> {
        let memory: &Memory = head.memory.as_deref()?;
        Some(Self {
            id: head.id.clone(),
            kind: memory.kind.clone(),
            content: memory.content.clone(),
            properties: memory.properties.clone(),
            session: memory.session.clone(),
            importance: memory.importance,
            vector: memory.dense.as_deref().filter(|_| vectors).map(<[f32]>::to_vec),
            sparse: memory.sparse.clone().filter(|_| vectors),
            occurred_at: memory.occurred_at,
            valid_from: memory.valid_from,
            valid_until: memory.valid_until,
            created_at: head.created_at,
            updated_at: head.updated_at,
            accessed_at: head.accessed_at,
            version: head.version,
        })
    }
}

/// A relation.
#[derive(Debug, Serialize)]
pub(super) struct RelationView {
    #[serde(flatten)]
    name: RelationName,
    weight: f64,
    properties: Properties,
    valid_from: Timestamp,
    valid_until: Option<Timestamp>,
    used_at: Timestamp,
    version: Version,
}

impl From<Edge> for RelationView {
    fn from(Edge { relation, version, state }: Edge) -> Self {
        Self {
            name: RelationName::from(&relation),
            weight: state.weight,
            properties: state.properties,
            valid_from: state.valid_from,
            valid_until: state.valid_until,
            used_at: state.used_at,
            version,
        }
    }
}

/// A memory that a walk reached.
#[derive(Debug, Serialize)]
pub(super) struct NeighborView {
    depth: u32,
    via: RelationName,
    memory: Option<MemoryView>,
}

impl From<Neighbor> for NeighborView {
    fn from(Neighbor { head, depth, via }: Neighbor) -> Self {
        let via: &RelationKey = &via;
        Self { depth, via: via.into(), memory: MemoryView::of(&head, false) }
    }
}

/// A memory that a search found.
#[derive(Debug, Serialize)]
pub(super) struct HitView {
    score: f32,
    stale: bool,
    memory: Option<MemoryView>,
}

impl HitView {
    pub(super) fn of(hit: &Hit, vectors: bool) -> Self {
        Self { score: hit.score, stale: hit.stale, memory: MemoryView::of(&hit.head, vectors) }
    }
}

/// An answer with what it says of itself.
#[derive(Debug, Serialize)]
pub(super) struct Read<T> {
    #[serde(flatten)]
    pub(super) value: T,
    #[serde(flatten)]
    pub(super) provenance: Provenance,
}
