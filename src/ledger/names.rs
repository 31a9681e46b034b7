//! Heads without their content: for whoever counts them and has judged the content elsewhere.

use super::Head;
use crate::model::{Key, MemoryId, Space, Version, conflict::memory_key};

/// A head without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadName {
    /// The memory's key.
    pub key: Key,
    /// The memory's space.
    pub space: Space,
    /// Which memory.
    pub id: MemoryId,
    /// Its version.
    pub version: Version,
    /// Whether there is a memory; else a tombstone.
    pub live: bool,
    /// Whether the vector store must hold a point for it.
    pub needs_point: bool,
}

impl HeadName {
    pub(super) fn of(head: &Head) -> Self {
        Self {
            key: memory_key(&head.space, &head.id),
            space: head.space.clone(),
            id: head.id.clone(),
            version: head.version,
            live: head.memory.is_some(),
            needs_point: head.memory.as_ref().is_some_and(|memory| memory.needs_vector_store()),
        }
    }
}
