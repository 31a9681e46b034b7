//! The ledger in a SQL database: all of it but the driver.
//!
//! ```text
//! SqlLedger ─▶ transaction ─▶ sagas · heads · relations ─┐          rows, codec ─▶ what it means
//!           ─▶ read, questions ──────────────────────────┴▶ statements ─▶ dialect ─▶ driver
//! ```
//!
//! A database brings a [`Database`](driver::Database): sessions that run statements, and a
//! [`Dialect`](dialect::Dialect) that spells them. What is written, in which order, and what a row
//! means stands here once.

pub(super) mod cells;
pub(super) mod codec;
pub(super) mod dialect;
pub(super) mod driver;
mod heads;
mod orders;
#[cfg(test)]
mod partitions;
mod questions;
mod read;
mod relations;
mod rows;
mod sagas;
pub(super) mod statements;
mod succession;
mod transaction;
pub(super) mod values;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
};

use parking_lot::Mutex;

use self::driver::Database;
use super::Lease;
use crate::model::{Key, PartitionId, Space};

/// A ledger in a SQL database. Clones share it.
pub struct SqlLedger<D> {
    pub(super) shared: Arc<Shared<D>>,
}

impl<D> Clone for SqlLedger<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// What the clones share.
pub(super) struct Shared<D> {
    pub(super) database: D,
    identity: String,
    /// Numbers of spaces that have committed. Never wrong, since a number never changes.
    spaces: Mutex<HashMap<Space, i64>>,
    /// Where the images of sagas are that have committed and not ended: what a finish would otherwise
    /// read back, row by row. A saga that is missing here is looked up. By lease: under another one a
    /// rival may have numbered them anew.
    written: Mutex<HashMap<(PartitionId, u64, u64), Images>>,
    /// Images up to this number have been looked at in the present round of sweeping.
    swept: AtomicU64,
}

/// The number of a saga's first image, and its writes in order: whether each has an image, and its key.
type Images = (i64, Vec<(bool, Key)>);

/// As [`Images`], of the saga at an offset.
type ImagesAt = (u64, i64, Vec<(bool, Key)>);

/// Most sagas whose images' numbers are remembered: some 5 MB.
const WRITTEN_MAX: usize = 50_000;

/// Most spaces whose numbers are remembered: some 10 MB.
const SPACES_MAX: usize = 100_000;

#[expect(private_bounds, reason = "a ledger is public, how it reaches its database is not")]
impl<D: Database> SqlLedger<D> {
    /// The ledger of this database, whose name is `identity`.
    pub(super) fn over(database: D, identity: String) -> Self {
        Self {
            shared: Arc::new(Shared {
                database,
                identity,
                spaces: Mutex::default(),
                written: Mutex::default(),
                swept: AtomicU64::new(0),
            }),
        }
    }

    fn remember(&self, spaces: HashMap<Space, i64>) {
        let mut known = self.shared.spaces.lock();
        if known.len() + spaces.len() > SPACES_MAX {
            known.clear();
        }
        known.extend(spaces);
    }

    fn remember_written(&self, lease: &Lease, written: Vec<ImagesAt>) {
        let mut known = self.shared.written.lock();
        if known.len() + written.len() > WRITTEN_MAX {
            known.clear();
        }
        let at = |offset| (lease.partition, lease.epoch, offset);
        known.extend(written.into_iter().map(|(offset, first, writes)| (at(offset), (first, writes))));
    }
}
