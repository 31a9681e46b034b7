//! Conflict keys: which commands of a partition must not overtake each other.
//!
//! Two commands conflict when they share a key and at least one holds it exclusively. Keys are
//! fixed when a command is inboxed, from its bytes alone (a deletion adds those of the relations
//! that it takes with it), and held until its finish has committed.

use std::collections::BTreeMap;

use super::{
    Command, Key, MemoryId, RelationKey, Space,
    command::{OnMissing, RelationPut},
};

/// How a command holds a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Beside other shared holders.
    Shared,
    /// Alone.
    Exclusive,
}

/// One key of one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConflictKey {
    /// What is held: a space, a memory or a relation. Their keys have one, two and five parts, so
    /// they cannot meet by accident.
    pub key: Key,
    /// How.
    pub access: Access,
}

impl ConflictKey {
    /// The key of a whole space.
    #[must_use]
    pub fn space(space: &Space, access: Access) -> Self {
        Self { key: space_key(space), access }
    }

    /// The key of one memory.
    #[must_use]
    pub fn memory(space: &Space, id: &MemoryId, access: Access) -> Self {
        Self { key: memory_key(space, id), access }
    }

    /// The key of one relation.
    #[must_use]
    pub fn relation(relation: &RelationKey, access: Access) -> Self {
        Self { key: relation.key(), access }
    }
}

/// The 16-byte key of a space.
#[must_use]
pub fn space_key(space: &Space) -> Key {
    Key::of(&[space.as_str()])
}

/// The 16-byte key of a memory: what names its head.
#[must_use]
pub fn memory_key(space: &Space, id: &MemoryId) -> Key {
    Key::of(&[space.as_str(), id.as_str()])
}

/// The keys that `command` holds by its bytes alone: sorted, one entry a key.
///
/// A deletion's caller adds the keys of the relations that it takes with it.
#[must_use]
pub fn keys_of(space: &Space, command: &Command) -> Vec<ConflictKey> {
    let mut keys = Vec::with_capacity(4);
    collect(space, command, &mut keys);
    merge(keys)
}

/// Sorts `keys` and keeps one entry a key; exclusive wins over shared.
#[must_use]
pub fn merge(keys: Vec<ConflictKey>) -> Vec<ConflictKey> {
    let mut merged = BTreeMap::new();
    for ConflictKey { key, access } in keys {
        let held = merged.entry(key).or_insert(access);
        *held = access.max(*held);
    }
    merged.into_iter().map(|(key, access)| ConflictKey { key, access }).collect()
}

fn collect(space: &Space, command: &Command, keys: &mut Vec<ConflictKey>) {
    use Access::{Exclusive, Shared};
    let whole = match command {
        Command::RelationDecay(_) | Command::SpaceErase => Exclusive,
        _ => Shared,
    };
    keys.push(ConflictKey::space(space, whole));
    let mut memory = |id: &MemoryId, access| keys.push(ConflictKey::memory(space, id, access));
    match command {
        Command::MemoryPut(put) => memory(&put.id, Exclusive),
        Command::MemoryPatch(patch) => memory(&patch.id, Exclusive),
        Command::MemoryTouch(touch) => memory(&touch.id, Exclusive),
        Command::MemoryDelete(delete) => memory(&delete.id, Exclusive),
        Command::MemoryArchive(id) | Command::MemoryRestore(id) => memory(id, Exclusive),
        Command::MemorySupersede(supersede) => {
            memory(&supersede.id, Exclusive);
            memory(&supersede.by.id, Exclusive);
            keys.push(ConflictKey::relation(&supersede.relation(), Exclusive));
        }
        Command::RelationPut(RelationPut { relation, on_missing, .. }) => {
            collect_relation(relation, *on_missing, keys);
        }
        Command::RelationStrengthen(strengthen) => {
            collect_relation(&strengthen.relation, strengthen.on_missing, keys);
        }
        Command::RelationDelete(relation) => collect_relation(relation, OnMissing::Refuse, keys),
        Command::RelationInvalidate(invalidate) => {
            collect_relation(&invalidate.relation, OnMissing::Refuse, keys);
        }
        Command::Batch(batch) => batch.items.iter().for_each(|item| collect(space, item, keys)),
        Command::RelationDecay(_) | Command::SpaceErase | Command::SpaceCreate(_) => {}
    }
}

/// A relation is held alone; its ends are shared, unless the command may make them.
fn collect_relation(relation: &RelationKey, on_missing: OnMissing, keys: &mut Vec<ConflictKey>) {
    let ends = match on_missing {
        OnMissing::Refuse => Access::Shared,
        OnMissing::Stub => Access::Exclusive,
    };
    keys.push(ConflictKey::relation(relation, Access::Exclusive));
    keys.push(ConflictKey::memory(&relation.space, &relation.source, ends));
    keys.push(ConflictKey::memory(&relation.space, &relation.target, ends));
}
