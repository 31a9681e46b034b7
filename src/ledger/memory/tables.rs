//! The tables of a ledger in memory. What a transaction has written, and nobody else sees, is one
//! more set of the same tables, laid over the committed ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    fault::{Bug, planted},
    ledger::{EpochRow, Error, Head, Order, PartitionRow, RelationHead, RelationsOf, SagaRow, Swept},
    model::{
        Declaration, Digest, Key, Memory, MemoryId, PartitionId, Position, Space, Timestamp, Version,
        memory::tombstone_hash,
    },
};

#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    pub(super) epochs: BTreeMap<u32, EpochRow>,
    pub(super) partitions: BTreeMap<PartitionId, PartitionRow>,
    pub(super) sagas: BTreeMap<Position, Saga>,
    /// Derived from `sagas` when they are committed.
    pub(super) unfinished: BTreeSet<Position>,
    pub(super) claims: BTreeMap<(u32, Key), Position>,
    /// The offsets that each finish ended, sorted.
    pub(super) finishes: BTreeMap<(PartitionId, u64), Vec<u64>>,
    pub(super) images: BTreeMap<ImageName, Image>,
    pub(super) heads: BTreeMap<Key, HeadRow>,
    pub(super) relations: BTreeMap<Key, RelationHead>,
    /// The heads that were, of spaces that keep their history.
    pub(super) kept: BTreeMap<(Key, Version), KeptHead>,
    pub(super) declarations: BTreeMap<Space, Declaration>,
    pub(super) orders: BTreeMap<Position, Order>,
    /// Only of a transaction: orders that it takes away.
    pub(super) obeyed: Vec<(Position, Order)>,
    /// Since when a space's history is whole; `None`: no more, or not yet.
    pub(super) history_since: BTreeMap<Space, Option<Timestamp>>,
    /// How many transactions have committed.
    commits: u64,
}

/// A saga, and the keys of the memories that it writes: what remains known of its plan when it ends.
#[derive(Debug, Clone)]
pub(super) struct Saga {
    pub(super) row: SagaRow,
    pub(super) writes: Vec<Key>,
}

/// The image that one saga wrote for one memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ImageName {
    pub(super) key: Key,
    pub(super) position: Position,
}

#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) memory: Arc<Memory>,
    pub(super) hash: Digest,
}

#[derive(Debug, Clone)]
pub(super) struct HeadRow {
    pub(super) space: Space,
    pub(super) id: MemoryId,
    pub(super) version: Version,
    /// `None`: a tombstone.
    pub(super) image: Option<ImageName>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) accessed_at: Option<Timestamp>,
}

/// A head that was.
#[derive(Debug, Clone)]
pub(super) struct KeptHead {
    pub(super) row: HeadRow,
    /// When another took its place.
    pub(super) until: Timestamp,
}

/// Every hundredth commit or so: rare enough that a run goes on, often enough that it matters.
const LEAK_EVERY: u64 = 97;

impl Tables {
    /// Makes what a transaction wrote visible, whole.
    pub(super) fn commit(&mut self, written: Self) {
        self.commits += 1;
        if planted(Bug::LeakyPool) && self.commits.is_multiple_of(LEAK_EVERY) {
            return;
        }
        for (position, saga) in &written.sagas {
            if saga.row.state.is_terminal() {
                self.unfinished.remove(position);
            } else {
                self.unfinished.insert(*position);
            }
        }
        self.partitions.extend(written.partitions);
        self.sagas.extend(written.sagas);
        self.claims.extend(written.claims);
        self.finishes.extend(written.finishes);
        self.images.extend(written.images);
        self.heads.extend(written.heads);
        self.relations.extend(written.relations);
        self.kept.extend(written.kept);
        self.declarations.extend(written.declarations);
        for (position, order) in written.obeyed {
            if self.orders.get(&position) == Some(&order) {
                self.orders.remove(&position);
            }
        }
        self.history_since.extend(written.history_since);
        if planted(Bug::TombstoneCollectedEarly) {
            self.heads.retain(|_, head| head.image.is_some());
        }
    }

    /// Finishes of a partition after number `after`.
    pub(super) fn finishes_after(
        &self,
        partition: PartitionId,
        after: u64,
    ) -> impl Iterator<Item = (u64, &[u64])> {
        let later = self.finishes.range((partition, after.saturating_add(1))..=(partition, u64::MAX));
        later.map(|((_, number), offsets)| (*number, offsets.as_slice()))
    }

    /// A head with its image.
    pub(super) fn head(&self, row: &HeadRow) -> Result<Head, Error> {
        row.with(|name| self.images.get(name))
    }

    pub(super) fn sweep_images(&mut self, limit: usize) -> Swept {
        let kept = self.kept.values().map(|kept| &kept.row);
        let pointed: BTreeSet<ImageName> =
            self.heads.values().chain(kept).filter_map(|head| head.image).collect();
        let is_unfinished =
            |position: &Position| self.unfinished.contains(position) && !planted(Bug::SweepIgnoresUnfinished);
        let garbage =
            self.images.keys().filter(|name| !pointed.contains(*name) && !is_unfinished(&name.position));
        let garbage: Vec<ImageName> = garbage.take(limit).copied().collect();
        garbage.iter().for_each(|name| drop(self.images.remove(name)));
        Swept { dropped: garbage.len() as u64, round_over: garbage.len() < limit }
    }
}

impl HeadRow {
    /// The whole head, its image looked up by `image`.
    pub(super) fn with<'a>(&self, image: impl Fn(&ImageName) -> Option<&'a Image>) -> Result<Head, Error> {
        let found = match &self.image {
            None => None,
            Some(name) => Some(image(name).ok_or_else(|| {
                Error::Corrupt(format!("the head of `{}` points at an image that is gone", self.id))
            })?),
        };
        Ok(Head {
            space: self.space.clone(),
            id: self.id.clone(),
            version: self.version,
            memory: found.map(|image| Arc::clone(&image.memory)),
            hash: found.map_or_else(tombstone_hash, |image| image.hash),
            created_at: self.created_at,
            updated_at: self.updated_at,
            accessed_at: self.accessed_at,
        })
    }
}

/// Those of `relations` that are live and what is asked for, by rising key.
///
/// `of_session` says whether a memory is live and of the session that is asked for.
pub(super) fn live<'a>(
    relations: impl Iterator<Item = &'a RelationHead>,
    question: &RelationsOf,
    of_session: impl Fn(&MemoryId) -> bool,
) -> Vec<RelationHead> {
    let asked = relations.filter(|head| head.state.is_some()).filter(|head| match question {
        RelationsOf::Memory(space, id) => head.relation.space == *space && head.relation.touches(id),
        RelationsOf::Session(space, _) => head.relation.space == *space && of_session(&head.relation.source),
    });
    let mut found: Vec<RelationHead> = asked.cloned().collect();
    found.sort_by_cached_key(|head| head.relation.key());
    found
}
