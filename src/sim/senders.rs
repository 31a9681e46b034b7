//! Who may call a store: what each node was told of its leases, written down a second time.
//!
//! A lease has no end of its own, so a node that stood still cannot know whether it still has one: it has
//! to ask before it calls a store again. Nor may it call one for a partition that it has given back, or
//! take a lease anew while the group has lost it. The stores' fences make such calls harmless; this is
//! about the calls being made at all. It stands on the worker's side of the guards, so that a call is
//! judged at the moment at which the sender decided on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    graph,
    invariant::Invariant,
    ledger::{Lease, PartitionRow},
    model::{Answer, Digest, MemoryId, PartitionId, Space, Version, space::Layout},
    vector,
};

use super::{
    faults::Fault,
    monitor::{Monitor, Store},
    network::Link,
    stores::{Item, Placing},
};

/// What one node was told of one partition.
#[derive(Debug)]
struct Right {
    lease: Lease,
    /// When it asked the question whose answer last confirmed the lease.
    confirmed: Instant,
    /// It has told the group that nothing of it works there any more.
    given_back: bool,
}

/// What one node was told.
#[derive(Debug)]
pub(super) struct Rights {
    link: Link,
    term: Duration,
    monitor: Arc<Monitor>,
    held: Mutex<BTreeMap<PartitionId, Right>>,
    /// Partitions, by number, that the group may have given to another.
    unconfirmed: Mutex<BTreeSet<u32>>,
}

impl Rights {
    /// A node that was told nothing yet. `term`: how long an answer about a lease may be relied on.
    pub(super) fn new(link: Link, term: Duration, monitor: Arc<Monitor>) -> Self {
        Self { link, term, monitor, held: Mutex::default(), unconfirmed: Mutex::default() }
    }

    fn violate(&self, sentence: String) {
        self.monitor.violate(Invariant::I13, format!("{} {sentence}", self.link.node));
    }

    /// The group has lost the node, or knows it again, as far as this partition goes.
    pub(super) fn standing(&self, partition: u32, is_confirmed: bool) {
        let mut unconfirmed = self.unconfirmed.lock();
        if is_confirmed {
            unconfirmed.remove(&partition);
        } else {
            unconfirmed.insert(partition);
        }
    }

    /// It asks for a lease; `row`: the partition as it is now.
    pub(super) fn asks(&self, partition: PartitionId, nonce: u128, row: Option<&PartitionRow>) {
        let of_another = row.is_some_and(|row| row.nonce >> 64 != nonce >> 64 && row.nonce != 0);
        if of_another && self.unconfirmed.lock().contains(&partition.partition) {
            self.violate(format!("takes {partition} from another, while the group has lost it"));
        }
    }

    /// It was given a lease, having asked at `asked`.
    pub(super) fn given(&self, lease: Lease, asked: Instant) {
        let right = Right { lease, confirmed: asked, given_back: false };
        self.held.lock().insert(lease.partition, right);
    }

    /// A transaction was opened under this lease, having been asked for at `asked`.
    pub(super) fn confirmed(&self, lease: &Lease, asked: Instant) {
        if let Some(right) = self.held.lock().get_mut(&lease.partition).filter(|right| right.lease == *lease)
        {
            right.confirmed = right.confirmed.max(asked);
        }
    }

    /// It has read a partition's row, having asked at `asked`.
    pub(super) fn read(&self, partition: PartitionId, row: &PartitionRow, asked: Instant) {
        self.confirmed(&Lease { partition, nonce: row.nonce, epoch: row.lease_epoch }, asked);
    }

    /// It has told the group that it works there no more.
    pub(super) fn gave_back(&self, partition: PartitionId) {
        if let Some(right) = self.held.lock().get_mut(&partition) {
            right.given_back = true;
        }
    }

    /// It calls a store for this partition.
    fn calls(&self, store: Store, partition: PartitionId) {
        // What dies in the middle of a step takes that step to its end here, and reaches nobody any more.
        if self.link.node.is_dead() {
            return;
        }
        if self.monitor.is_stopped(partition) {
            return self.violate(format!("calls the {store:?} store for {partition}, which must stop"));
        }
        let wrong = match self.held.lock().get(&partition) {
            None => "whose lease it never had".to_owned(),
            Some(right) if right.given_back => "which it has given back".to_owned(),
            Some(right) if right.confirmed.elapsed() >= self.term => {
                format!("whose lease it has not asked about for {} ms", right.confirmed.elapsed().as_millis())
            }
            Some(_) => return,
        };
        self.violate(format!("calls the {store:?} store for {partition}, {wrong}"));
    }
}

/// A store as one node's worker sees it.
pub(super) struct Sender<T: ?Sized> {
    /// What the node sends through.
    pub(super) inner: Arc<T>,
    /// What it was told.
    pub(super) rights: Arc<Rights>,
    /// Which partition a write belongs to.
    pub(super) placing: Placing,
}

impl<T: ?Sized> Sender<T> {
    fn calls<I: Item>(&self, store: Store, items: &[I]) {
        let mut partitions: Vec<PartitionId> =
            items.iter().map(|item| self.placing.partition(item.space(), item.version())).collect();
        partitions.dedup();
        partitions.iter().for_each(|partition| self.rights.calls(store, *partition));
    }

    /// Counts what the guard did, which nobody else can see.
    fn answered(&self, answers: &[Answer]) {
        let fault = match answers.first() {
            Some(Answer::Transient(reason)) if reason.code == "too_many_calls" => Fault::PlacesFull,
            Some(Answer::Indeterminate(reason)) if reason.code == "deadline" => Fault::DeadlinePassed,
            _ => return,
        };
        self.rights.link.event(format_args!("{}", fault.name()));
        self.rights.link.network.faults.count(fault);
    }
}

#[async_trait]
impl vector::Project for Sender<dyn vector::Project> {
    async fn write(&self, writes: &[vector::Write]) -> Vec<Answer> {
        // An embedded store is brought up to date by its process, whoever owns what.
        if self.inner.durable_when_acknowledged() {
            self.calls(Store::Vector, writes);
        }
        let answers = self.inner.write(writes).await;
        self.answered(&answers);
        answers
    }

    async fn markers(
        &self,
        points: &[(Space, MemoryId, Layout)],
    ) -> Result<Vec<Option<(Version, Digest)>>, vector::Error> {
        self.inner.markers(points).await
    }

    async fn remove(&self, points: &[(Space, MemoryId, Version)]) -> Result<Vec<bool>, vector::Error> {
        self.inner.remove(points).await
    }

    fn durable_when_acknowledged(&self) -> bool {
        self.inner.durable_when_acknowledged()
    }

    async fn checkpoint(&self, checkpoint: &vector::Checkpoint) -> Result<(), vector::Error> {
        self.inner.checkpoint(checkpoint).await
    }

    async fn last_checkpoint(&self) -> Result<Option<vector::Checkpoint>, vector::Error> {
        self.inner.last_checkpoint().await
    }

    async fn clear(&self) -> Result<(), vector::Error> {
        self.inner.clear().await
    }
}

#[async_trait]
impl graph::Project for Sender<dyn graph::Project> {
    async fn write(&self, writes: &[graph::Write]) -> Vec<Answer> {
        self.calls(Store::Graph, writes);
        let answers = self.inner.write(writes).await;
        self.answered(&answers);
        answers
    }

    async fn markers(
        &self,
        registers: &[graph::Register],
    ) -> Result<Vec<Option<(Version, Digest)>>, graph::Error> {
        self.inner.markers(registers).await
    }

    async fn scan(
        &self,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<graph::Write>, Option<String>), graph::Error> {
        self.inner.scan(cursor, limit).await
    }
}
