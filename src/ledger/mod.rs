//! The ledger: Engraft's own durable state, and the decision point.
//!
//! ```text
//!            ┌────────────── one transaction ───────────────┐
//! records ─▶ │ lock partition, check lease                  │
//!            │ dedupe · declare · ask held keys · read heads │ ─▶ sagas: Running with images,
//!            │ insert sagas, images · watermark             │            or Pending, or ended
//!            └──────────────────────────────────────────────┘
//!            ┌────────────── one transaction ───────────────┐
//! acks    ─▶ │ lock, check · end sagas · heads, relations   │ ─▶ outcomes, freed keys
//!            └──────────────────────────────────────────────┘
//! ```
//!
//! What a transaction does, and in which order, stands once in [`begin`], [`start`] and [`finish`],
//! over the bulk statements of [`Transaction`]; a backend provides those statements and nothing
//! else. The bytes of a memory are written once, into an immutable image; sagas and heads point at
//! it. What a command *means* is asked of [`Decide`], which the saga room implements.
//!
//! **Invariant**: no statement of the write path joins two partitions, and every write transaction
//! first locks its partition's row and checks the lease on it.

pub mod begin;
pub mod compensate;
#[cfg(test)]
pub(crate) mod contract;
mod decide;
pub mod finish;
pub mod keys;
pub mod lease;
pub mod memory;
pub mod options;
pub mod orders;
pub mod outcome;
mod planted;
pub mod postgres;
pub mod questions;
pub mod resolve;
mod sql;
pub mod sqlite;
pub mod start;
pub mod succession;
mod transaction;
pub mod turn;

use std::sync::Arc;

use async_trait::async_trait;

use crate::model::{
    Declaration, Digest, Header, Key, Memory, MemoryId, PartitionId, Position, Relation, RelationKey, Space,
    State, Timestamp, Version, conflict::ConflictKey, outcome::Ending, space::Judgement,
};

pub use decide::{Decide, Decision, Facts, Needs, Request};
pub use orders::{Order, Orders, Side};
pub use questions::{Questions, RelationsOf, Swept};
pub use succession::{Start, Succession};
pub use transaction::Transaction;

/// What went wrong with a call to the ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another owner holds the partition; nothing happened.
    #[error("the lease on partition {partition} is held by another owner")]
    Fenced {
        /// The partition.
        partition: PartitionId,
    },
    /// Nothing happened; it may work later.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// The transaction may or may not have committed: read before acting.
    #[error("the ledger's answer was lost: {0}")]
    Indeterminate(String),
    /// What is stored contradicts itself: stop and call a person.
    #[error("the ledger is inconsistent: {0}")]
    Corrupt(String),
}

/// The right to write a partition, won by compare-and-swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The partition.
    pub partition: PartitionId,
    /// The owner's own random number: the high half new at every start of a process, the low half at
    /// every tenure.
    pub nonce: u128,
    /// Rises with every change of owner.
    pub epoch: u64,
}

/// A partition's row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionRow {
    /// The owner's nonce; 0: nobody yet.
    pub nonce: u128,
    /// Rises with every change of owner.
    pub lease_epoch: u64,
    /// Every position below it has a saga row, or is a gap. Never moves back.
    pub watermark: u64,
    /// The last inboxed record: what the log must still hold there.
    pub anchor: Option<Anchor>,
    /// The number of the last transaction that ended sagas here.
    pub finishes: u64,
    /// Outcomes of finishes up to this one are published.
    pub published: u64,
    /// How many owners in a row, this one included, have taken the lease without ever having proved
    /// healthy: more than two mean that something here may be killing them.
    pub unproven: u32,
    /// Where this epoch began: what lies below belongs to an earlier epoch, or to nobody.
    pub first: u64,
    /// Why the last owner stopped, as `code: sentence`; `None`: it did not.
    pub halt: Option<String>,
}

/// A record that the log must still hold: shows a truncated or re-created topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Its offset.
    pub offset: u64,
    /// [`crate::log::Record::crc`].
    pub crc: u32,
}

/// What the log was when this epoch began. Offsets mean nothing across epochs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochRow {
    /// The epoch, from 1.
    pub epoch: u32,
    /// [`crate::log::Topology::identity`].
    pub identity: String,
    /// How many partitions the log has.
    pub partitions: u32,
    /// The partitioner's name.
    pub partitioner: String,
}

/// What a claim resolves to: the row that holds (space, source, id).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The row's offset, in the same partition.
    pub offset: u64,
    /// The body that it came with.
    pub body_hash: Digest,
    /// Its state now.
    pub state: State,
    /// How it ended, if it has.
    pub ending: Option<Ending>,
}

/// A saga row. Written whole by an insert; afterwards only its state moves.
#[derive(Debug, Clone, PartialEq)]
pub struct SagaRow {
    /// Its offset in the partition.
    pub offset: u64,
    /// Who asked. For a record whose envelope cannot be read, what could be read of it.
    pub header: Option<Header>,
    /// Whether this row holds (space, source, id): not duplicates, `id_reused`, `misrouted`, unreadable.
    pub claims: bool,
    /// SHA-256 of the canonical body; of the raw value where there is none.
    pub body_hash: Digest,
    /// The offset of the row that this one repeats.
    pub duplicate_of: Option<u64>,
    /// When the log took the record.
    pub accepted_at: Timestamp,
    /// What the space's declaration said at inbox.
    pub judgement: Judgement,
    /// Held until the finish commits. Empty for duplicates and ended rows.
    pub keys: Vec<ConflictKey>,
    /// The command in canonical form, while Pending.
    pub body: Option<Arc<[u8]>>,
    /// Its state.
    pub state: State,
    /// What start decided; `None` while Pending.
    pub plan: Option<Plan>,
    /// How it ended, or, while Running, how it will have ended if every store takes it; while
    /// Compensating, how it will have ended when undone.
    pub ending: Option<Ending>,
    /// The finish that ended it; 0 while it has not ended.
    pub finish: u64,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Must also go to the dead letters.
    pub dead_letter: bool,
    /// How often an owner has begun this one that was careful, since those before it had died.
    pub attempts: u32,
}

impl SagaRow {
    /// About how many bytes of memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let images =
            self.plan.iter().flat_map(|plan| &plan.memories).filter_map(|write| write.after.as_ref());
        let images: usize = images.map(|memory| memory.bytes()).sum();
        size_of::<Self>()
            + self.keys.len() * size_of::<ConflictKey>()
            + self.body.as_ref().map_or(0, |body| body.len())
            + images
    }
}

/// What a saga writes, decided once at its start: from then on every executor writes these bytes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// After-images of memories, at most one a record.
    pub memories: Vec<MemoryWrite>,
    /// After-images of relations, at most one a record.
    pub relations: Vec<RelationWrite>,
    /// Memories whose last access is set at finish.
    pub touched: Vec<MemoryId>,
    /// "Now", for everything in this saga: read once, at start.
    pub now: Timestamp,
}

/// The after-image of a memory.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryWrite {
    /// Which memory.
    pub id: MemoryId,
    /// Its content; `None`: a tombstone.
    pub after: Option<Arc<Memory>>,
    /// Its hash; of a tombstone, [`crate::model::memory::tombstone_hash`].
    pub hash: Digest,
    /// Whether the vector store must be told: it holds a point before or after.
    pub vector: bool,
}

/// The after-image of a relation.
#[derive(Debug, Clone, PartialEq)]
pub struct RelationWrite {
    /// Which relation.
    pub relation: RelationKey,
    /// Its content; `None`: a tombstone.
    pub after: Option<Relation>,
}

/// The current state of a memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The space.
    pub space: Space,
    /// Which memory.
    pub id: MemoryId,
    /// Its version: of the last write, or of the undo of one.
    pub version: Version,
    /// Its content; `None`: a tombstone.
    pub memory: Option<Arc<Memory>>,
    /// Its content's hash.
    pub hash: Digest,
    /// When it was first created in its present life.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// When it was last touched.
    pub accessed_at: Option<Timestamp>,
}

/// Where a scan of heads goes on, by a number of the ledger's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadCursor(u128);

/// The current state of a relation.
#[derive(Debug, Clone, PartialEq)]
pub struct RelationHead {
    /// Which relation.
    pub relation: RelationKey,
    /// Its version.
    pub version: Version,
    /// Its content; `None`: a tombstone.
    pub state: Option<Relation>,
    /// The marker: [`Relation::hash`] of the content that the finish wrote; of a tombstone,
    /// [`crate::model::memory::tombstone_hash`]. Stored beside the content and never derived from it
    /// on the way out, so that audit sees content that changed by itself.
    pub hash: Digest,
}

/// A head as finish writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadWrite {
    /// The space.
    pub space: Space,
    /// Which memory.
    pub id: MemoryId,
    /// Its new version.
    pub version: Version,
    /// What it points at from now on.
    pub image: ImagePointer,
    /// The finish that writes it.
    pub finish: u64,
    /// The saga's "now".
    pub at: Timestamp,
}

/// What a head points at after a finish.
#[derive(Debug, Clone, PartialEq)]
pub enum ImagePointer {
    /// The image that the saga at this offset wrote for it.
    Forward {
        /// The image's content; `None`: a tombstone.
        after: Option<Arc<Memory>>,
    },
    /// Whatever it pointed at before; where there was no head, a tombstone. An undo's.
    Untouched,
}

/// A relation's head as finish writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct RelationHeadWrite {
    /// Which relation.
    pub relation: RelationKey,
    /// Its new version.
    pub version: Version,
    /// Its content from now on.
    pub state: RelationState,
    /// The finish that writes it.
    pub finish: u64,
    /// The saga's "now".
    pub at: Timestamp,
}

/// What a relation's head holds after a finish.
#[derive(Debug, Clone, PartialEq)]
pub enum RelationState {
    /// The saga's after-image; `None`: a tombstone.
    Forward(Option<Relation>),
    /// Whatever it held before; where there was none, a tombstone. An undo's.
    Untouched,
}

/// A guarded move of one saga.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// Which saga.
    pub offset: u64,
    /// The state that it must be in.
    pub from: State,
    /// The state that it goes to.
    pub to: State,
    /// Written when start decided it: the images of a saga that goes to Running.
    pub plan: Option<Plan>,
    /// How it ended, or will have; `None`: as it stands in the row.
    pub ending: Option<Ending>,
    /// The finish that ends it; 0: it does not end.
    pub finish: u64,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// The durable state, as one shared thing.
///
/// Implementations MUST make a committed transaction durable before `commit` answers, and MUST
/// isolate write transactions of one partition as if they ran one by one.
#[async_trait]
pub trait Ledger: Questions + Orders + Succession + Send + Sync {
    /// The newest epoch, if there is any.
    async fn epoch(&self) -> Result<Option<EpochRow>, Error>;

    /// Opens an epoch with its partitions; opening the same again changes nothing.
    async fn open_epoch(&self, epoch: &EpochRow) -> Result<(), Error>;

    /// Takes the lease by compare-and-swap on the epoch that was read; keeps it when it is ours. Waits
    /// for a transaction that is open on the partition, whoever opened it.
    ///
    /// # Errors
    /// [`Error::Fenced`] too when a newer epoch has been opened.
    ///
    /// The nonce's high half names a process, its low half one tenure of it. A change of process counts
    /// one more unproven owner.
    async fn acquire(&self, partition: PartitionId, nonce: u128) -> Result<Lease, Error>;

    /// Opens a write transaction: locks the partition's row and checks the lease.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the lease is not held any more.
    async fn transaction(&self, lease: &Lease) -> Result<Box<dyn Transaction>, Error>;

    /// A partition's row, without a lock.
    async fn partition(&self, partition: PartitionId) -> Result<PartitionRow, Error>;

    /// Unfinished sagas of a partition with offset `>= from`, whole, in offset order, at most `limit`.
    async fn unfinished(
        &self,
        partition: PartitionId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<SagaRow>, Error>;

    /// Ended sagas of the finishes after `after`, as `(finish, rows in offset order)`, in finish order,
    /// at most about `limit` rows, whole finishes only.
    async fn ended_after(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<SagaRow>)>, Error>;

    /// One saga.
    async fn saga(&self, position: Position) -> Result<Option<SagaRow>, Error>;

    /// The row that holds a claim, i.e. the key of `[space, source, id]`, in this epoch.
    async fn claimed(&self, epoch: u32, claim: Key) -> Result<Option<Position>, Error>;

    /// Heads with their images, tombstones included, as far as there are any, in the order asked.
    async fn heads(&self, ids: &[(Space, MemoryId)]) -> Result<Vec<Head>, Error>;

    /// Live heads of a space in id order, after `after`, at most `limit`.
    async fn list(&self, space: &Space, after: Option<&MemoryId>, limit: usize) -> Result<Vec<Head>, Error>;

    /// Live relations of a memory.
    async fn relations_of(&self, space: &Space, id: &MemoryId) -> Result<Vec<RelationHead>, Error>;

    /// The declaration of a space.
    async fn declaration(&self, space: &Space) -> Result<Option<Declaration>, Error>;

    /// Spaces in name order.
    async fn spaces(&self) -> Result<Vec<Space>, Error>;

    /// Positions of unfinished sagas of a space: `(position, keys)`, in log order, at most `limit`.
    async fn unfinished_of(
        &self,
        space: &Space,
        limit: usize,
    ) -> Result<Vec<(Position, Vec<ConflictKey>)>, Error>;

    /// Every head, tombstones included, each once, at most `limit`, in an order that the ledger reads
    /// fastest: for audit and rebuild. Goes on at what the last call returned; `None` ends. A head that
    /// is written first while a scan goes on may or may not be in it.
    async fn scan_heads(
        &self,
        from: Option<HeadCursor>,
        limit: usize,
    ) -> Result<(Vec<Head>, Option<HeadCursor>), Error>;

    /// Every relation head, tombstones included, by rising key after `after`, at most `limit`.
    async fn scan_relations(&self, after: Option<Key>, limit: usize) -> Result<Vec<RelationHead>, Error>;

    /// Heads that finishes after `after` wrote in this partition, tombstones included, possibly more than
    /// once, in chunks by finish: `(last finish of the chunk, heads)`; `None`: no more.
    async fn heads_since(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Option<(u64, Vec<Head>)>, Error>;

    /// Drops images to which no head, kept or present, and no unfinished saga points, at most `limit`.
    async fn sweep_images(&self, limit: usize) -> Result<Swept, Error>;

    /// This ledger's own name, new for each ledger ever made: a checkpoint of another one is foreign.
    async fn identity(&self) -> Result<String, Error>;
}
