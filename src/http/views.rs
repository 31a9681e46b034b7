//! What records look like on the wire.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    graph::Edge,
    ledger::Head,
    log::envelope::schema::text,
    model::{
        Memory, MemoryId, Name, RelationKey, Sparse, Timestamp, Version, memory::Properties,
        outcome::RelationName,
    },
    reader::{Answer, Hit, Neighbor, Provenance},
};

use super::{
    Problem,
    openapi::words::{RelationParts, StoredSparse},
};

/// A memory at its head.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StoredMemory")]
pub(super) struct MemoryView {
    #[schemars(with = "text::MemoryId")]
    id: MemoryId,
    #[schemars(with = "text::Name")]
    kind: Name,
    content: String,
    properties: Properties,
    session: Option<String>,
    importance: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    vector: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<StoredSparse>")]
    sparse: Option<Sparse>,
    #[schemars(with = "text::Time")]
    occurred_at: Timestamp,
    #[schemars(with = "text::Time")]
    valid_from: Timestamp,
    #[schemars(with = "Option<text::Time>")]
    valid_until: Option<Timestamp>,
    #[schemars(with = "text::Time")]
    created_at: Timestamp,
    #[schemars(with = "text::Time")]
    updated_at: Timestamp,
    #[schemars(with = "Option<text::Time>")]
    accessed_at: Option<Timestamp>,
    #[schemars(with = "text::Version")]
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
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StoredRelation")]
pub(super) struct RelationView {
    #[serde(flatten)]
    #[schemars(with = "RelationParts")]
    name: RelationName,
    weight: f64,
    properties: Properties,
    #[schemars(with = "text::Time")]
    valid_from: Timestamp,
    #[schemars(with = "Option<text::Time>")]
    valid_until: Option<Timestamp>,
    #[schemars(with = "text::Time")]
    used_at: Timestamp,
    #[schemars(with = "text::Version")]
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
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Neighbor")]
pub(super) struct NeighborView {
    depth: u32,
    #[schemars(with = "RelationParts")]
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
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Hit")]
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

/// What was found, apart from what the answer says of itself.
///
/// # Errors
/// The problem that `what` is not there, or not yet.
pub(super) fn present<T>(answer: Answer<Option<T>>, what: &str) -> Result<(T, Provenance), Problem> {
    let Answer { value, provenance } = answer;
    match value {
        Some(value) => Ok((value, provenance)),
        None => Err(Problem::absent(what, provenance.pending > 0)),
    }
}

/// An answer with what it says of itself.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ReadOf{T}")]
pub(super) struct Read<T> {
    #[serde(flatten)]
    pub(super) value: T,
    #[serde(flatten)]
    pub(super) provenance: Provenance,
}
