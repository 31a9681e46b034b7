//! A ledger in memory: for the simulator and for tests.
//!
//! ```text
//! transaction ──writes──▶ overlay ──commit──▶ tables ◀──reads── everyone else
//!      └───────reads──── overlay, then tables
//! ```
//!
//! Deterministic: ordered maps, no clock, no chance, no I/O. A clone is another handle on the same
//! state, so that it outlives the simulated process that uses it. It never fails by itself; faults
//! are put around it from outside. It is also where the planted bugs of a ledger live.

mod orders;
mod questions;
mod succession;
mod tables;
mod transaction;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;

use self::{
    tables::{Tables, live},
    transaction::MemoryTransaction,
};
use super::{
    EpochRow, Error, Head, HeadCursor, Lease, Ledger, PartitionRow, RelationHead, RelationsOf, SagaRow,
    Swept, Transaction,
};
use crate::{
    fault::{Bug, planted},
    model::{ConflictKey, Declaration, Key, MemoryId, PartitionId, Position, Space, conflict::memory_key},
};

/// A ledger in memory. Clones share their state.
#[derive(Debug, Clone)]
pub struct MemoryLedger {
    shared: Arc<Shared>,
}

/// All that was in a ledger at one moment.
#[derive(Debug, Clone)]
pub struct Backup(Tables);

#[derive(Debug)]
struct Shared {
    identity: String,
    tables: Mutex<Tables>,
    /// What a transaction and a change of owner hold; never awaited while `tables` is locked.
    locks: Mutex<BTreeMap<PartitionId, Arc<tokio::sync::Mutex<()>>>>,
}

impl MemoryLedger {
    /// An empty ledger with this name.
    #[must_use]
    pub fn new(identity: impl Into<String>) -> Self {
        let shared = Shared { identity: identity.into(), tables: Mutex::default(), locks: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// A copy of everything in it, as it is now.
    #[must_use]
    pub fn back_up(&self) -> Backup {
        Backup(self.shared.tables.lock().clone())
    }

    /// Everything in it is as it was in `backup` from now on.
    pub fn restore(&self, backup: &Backup) {
        *self.shared.tables.lock() = backup.0.clone();
    }

    fn read<T>(&self, read: impl FnOnce(&Tables) -> T) -> T {
        read(&self.shared.tables.lock())
    }

    async fn lock(&self, partition: PartitionId) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = Arc::clone(self.shared.locks.lock().entry(partition).or_default());
        lock.lock_owned().await
    }
}

fn unknown(partition: PartitionId) -> Error {
    Error::Corrupt(format!("partition {partition} belongs to no epoch that was opened"))
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn epoch(&self) -> Result<Option<EpochRow>, Error> {
        Ok(self.read(|tables| tables.epochs.values().next_back().cloned()))
    }

    async fn open_epoch(&self, epoch: &EpochRow) -> Result<(), Error> {
        let mut tables = self.shared.tables.lock();
        match tables.epochs.get(&epoch.epoch) {
            Some(known) if known == epoch => return Ok(()),
            Some(_) => {
                return Err(Error::Corrupt(format!("epoch {} was opened over another log", epoch.epoch)));
            }
            None => {}
        }
        for partition in 0..epoch.partitions {
            tables.partitions.entry(PartitionId { epoch: epoch.epoch, partition }).or_default();
        }
        tables.epochs.insert(epoch.epoch, epoch.clone());
        Ok(())
    }

    async fn acquire(&self, partition: PartitionId, nonce: u128) -> Result<Lease, Error> {
        let _guard = self.lock(partition).await;
        let mut tables = self.shared.tables.lock();
        let is_newest = tables.epochs.keys().next_back().is_none_or(|newest| *newest <= partition.epoch);
        let row = tables.partitions.get_mut(&partition).ok_or_else(|| unknown(partition))?;
        if row.nonce != nonce && !is_newest {
            return Err(Error::Fenced { partition });
        }
        if row.nonce != nonce || planted(Bug::BlindLease) {
            row.unproven += u32::from(row.nonce >> 64 != nonce >> 64);
            row.nonce = nonce;
            row.lease_epoch += 1;
        }
        Ok(Lease { partition, nonce, epoch: row.lease_epoch })
    }

    async fn transaction(&self, lease: &Lease) -> Result<Box<dyn Transaction>, Error> {
        let guard = match planted(Bug::LeaseCheckedOutside) {
            true => None,
            false => Some(self.lock(lease.partition).await),
        };
        let row = self.partition(lease.partition).await?;
        let held = (row.nonce, row.lease_epoch) == (lease.nonce, lease.epoch);
        if !held && !planted(Bug::NoLeaseCheck) {
            return Err(Error::Fenced { partition: lease.partition });
        }
        Ok(Box::new(MemoryTransaction::new(self.clone(), lease.partition, row, guard)))
    }

    async fn partition(&self, partition: PartitionId) -> Result<PartitionRow, Error> {
        self.read(|tables| tables.partitions.get(&partition).cloned()).ok_or_else(|| unknown(partition))
    }

    async fn unfinished(
        &self,
        partition: PartitionId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<SagaRow>, Error> {
        let whole = partition.at(from)..=partition.at(u64::MAX);
        Ok(self.read(|tables| {
            let positions = tables.unfinished.range(whole).take(limit);
            positions.filter_map(|position| tables.sagas.get(position)).map(|saga| saga.row.clone()).collect()
        }))
    }

    async fn ended_after(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<SagaRow>)>, Error> {
        Ok(self.read(|tables| {
            let mut count = 0;
            let mut finishes = Vec::new();
            for (number, offsets) in tables.finishes_after(partition, after) {
                if count >= limit {
                    break;
                }
                let sagas = offsets.iter().filter_map(|offset| tables.sagas.get(&partition.at(*offset)));
                let rows: Vec<SagaRow> = sagas.map(|saga| saga.row.clone()).collect();
                count += rows.len();
                finishes.push((number, rows));
            }
            finishes
        }))
    }

    async fn saga(&self, position: Position) -> Result<Option<SagaRow>, Error> {
        Ok(self.read(|tables| tables.sagas.get(&position).map(|saga| saga.row.clone())))
    }

    async fn claimed(&self, epoch: u32, claim: Key) -> Result<Option<Position>, Error> {
        Ok(self.read(|tables| tables.claims.get(&(epoch, claim)).copied()))
    }

    async fn heads(&self, ids: &[(Space, MemoryId)]) -> Result<Vec<Head>, Error> {
        self.read(|tables| {
            let heads = ids.iter().filter_map(|(space, id)| tables.heads.get(&memory_key(space, id)));
            heads.map(|head| tables.head(head)).collect()
        })
    }

    async fn list(&self, space: &Space, after: Option<&MemoryId>, limit: usize) -> Result<Vec<Head>, Error> {
        self.read(|tables| {
            let within = tables.heads.values().filter(|head| head.space == *space && head.image.is_some());
            let mut rows: Vec<_> = within.filter(|head| after.is_none_or(|after| head.id > *after)).collect();
            rows.sort_by(|a, b| a.id.cmp(&b.id));
            rows.into_iter().take(limit).map(|head| tables.head(head)).collect()
        })
    }

    async fn relations_of(&self, space: &Space, id: &MemoryId) -> Result<Vec<RelationHead>, Error> {
        let question = RelationsOf::Memory(space.clone(), id.clone());
        Ok(self.read(|tables| live(tables.relations.values(), &question, |_| false)))
    }

    async fn declaration(&self, space: &Space) -> Result<Option<Declaration>, Error> {
        Ok(self.read(|tables| tables.declarations.get(space).cloned()))
    }

    async fn spaces(&self) -> Result<Vec<Space>, Error> {
        Ok(self.read(|tables| tables.declarations.keys().cloned().collect()))
    }

    async fn unfinished_of(
        &self,
        space: &Space,
        limit: usize,
    ) -> Result<Vec<(Position, Vec<ConflictKey>)>, Error> {
        Ok(self.read(|tables| {
            let rows = tables.unfinished.iter().filter_map(|position| tables.sagas.get_key_value(position));
            let within = rows.filter(|(_, saga)| saga.row.header.as_ref().is_some_and(|h| h.space == *space));
            within.take(limit).map(|(position, saga)| (*position, saga.row.keys.clone())).collect()
        }))
    }

    async fn scan_heads(
        &self,
        from: Option<HeadCursor>,
        limit: usize,
    ) -> Result<(Vec<Head>, Option<HeadCursor>), Error> {
        self.read(|tables| {
            let first = Key(from.map_or(0, |HeadCursor(key)| key).to_be_bytes());
            let mut rest = tables.heads.range(first..);
            let heads =
                rest.by_ref().take(limit).map(|(_, head)| tables.head(head)).collect::<Result<_, _>>()?;
            let next = rest.next().map(|(key, _)| HeadCursor(u128::from_be_bytes(key.0)));
            Ok((heads, next))
        })
    }

    async fn scan_relations(&self, after: Option<Key>, limit: usize) -> Result<Vec<RelationHead>, Error> {
        Ok(self.read(|tables| {
            tables.relations.range(beyond(after)).take(limit).map(|(_, relation)| relation.clone()).collect()
        }))
    }

    async fn heads_since(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Option<(u64, Vec<Head>)>, Error> {
        self.read(|tables| {
            let mut chunk: Option<(u64, Vec<Head>)> = None;
            for (number, offsets) in tables.finishes_after(partition, after) {
                let (last, heads) = chunk.get_or_insert_default();
                if heads.len() >= limit {
                    break;
                }
                *last = number;
                let sagas = offsets.iter().filter_map(|offset| tables.sagas.get(&partition.at(*offset)));
                for head in sagas.flat_map(|saga| &saga.writes).filter_map(|key| tables.heads.get(key)) {
                    heads.push(tables.head(head)?);
                }
            }
            Ok(chunk)
        })
    }

    async fn sweep_images(&self, limit: usize) -> Result<Swept, Error> {
        Ok(self.shared.tables.lock().sweep_images(limit))
    }

    async fn identity(&self) -> Result<String, Error> {
        Ok(self.shared.identity.clone())
    }
}

/// Every key after this one; all of them when there is none.
fn beyond(after: Option<Key>) -> (std::ops::Bound<Key>, std::ops::Bound<Key>) {
    use std::ops::Bound::{Excluded, Unbounded};
    (after.map_or(Unbounded, Excluded), Unbounded)
}

#[cfg(test)]
mod tests {
    use super::MemoryLedger;
    use crate::ledger::contract;

    contract::suite!(async { (MemoryLedger::new("memory"), ()) });
}
