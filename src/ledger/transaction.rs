//! The bulk statements that a backend provides; what a transaction does with them stands in
//! [`begin`](super::begin), [`start`](super::start), [`compensate`](super::compensate) and
//! [`finish`](super::finish).

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;

use super::{
    Anchor, Claimed, Error, Head, HeadWrite, Order, PartitionRow, RelationHead, RelationHeadWrite,
    RelationsOf, SagaRow, Transition,
};
use crate::model::{Declaration, Key, MemoryId, RelationKey, Space, Timestamp};

/// One write transaction on one partition, its row locked and its lease checked.
///
/// Every method is one bulk statement (or a few), never a statement per command. Dropping it rolls
/// back. Reads see the transaction's own writes. A write may be carried out, and refused, as late as the commit;
/// the commit is [`Error::Indeterminate`] only if it was asked for. After any error the transaction is over: drop
/// it.
///
/// A transaction MUST be driven by a task that is never cancelled.
#[async_trait]
pub trait Transaction: Send {
    /// The partition's row as it was locked.
    fn partition(&self) -> &PartitionRow;

    /// Rows that hold these claims, i.e. keys of `[space, source, id]`.
    async fn claims(&mut self, claims: &[Key]) -> Result<HashMap<Key, Claimed>, Error>;

    /// Declarations of these spaces, as far as there are any.
    async fn declarations(&mut self, spaces: &[Space]) -> Result<BTreeMap<Space, Declaration>, Error>;

    /// Writes declarations whole.
    async fn declare(&mut self, declarations: &[(Space, Declaration)]) -> Result<(), Error>;

    /// Heads with their images, tombstones included, as far as there are any.
    async fn heads(&mut self, space: &[(Space, MemoryId)]) -> Result<Vec<Head>, Error>;

    /// Relation heads, tombstones included, as far as there are any.
    async fn relations(&mut self, keys: &[RelationKey]) -> Result<Vec<RelationHead>, Error>;

    /// Live relations that a deletion takes with it, or that a decay is about; one list a question.
    async fn relations_of(&mut self, questions: &[RelationsOf]) -> Result<Vec<Vec<RelationHead>>, Error>;

    /// How many live memories a space has.
    async fn count_live(&mut self, space: &Space) -> Result<u64, Error>;

    /// Inserts whole rows, with the images of those that are Running.
    async fn insert_sagas(&mut self, rows: &[SagaRow]) -> Result<(), Error>;

    /// Moves sagas, each guarded by its `from`; answers the offsets that moved, sorted.
    async fn transition(&mut self, moves: &[Transition]) -> Result<Vec<u64>, Error>;

    /// Whole rows of these offsets, with their images while they have not ended.
    async fn sagas(&mut self, offsets: &[u64]) -> Result<Vec<SagaRow>, Error>;

    /// The owner has proved healthy: it lived long enough, or stopped in good order.
    async fn proven(&mut self) -> Result<(), Error>;

    /// Counts one more attempt of each of these sagas.
    async fn count_attempts(&mut self, offsets: &[u64]) -> Result<(), Error>;

    /// Writes heads, each only over a lower version.
    async fn write_heads(&mut self, heads: &[HeadWrite]) -> Result<(), Error>;

    /// Writes relation heads, each only over a lower version.
    async fn write_relations(&mut self, relations: &[RelationHeadWrite]) -> Result<(), Error>;

    /// Sets the last access of live memories, forward only.
    async fn touch(&mut self, memories: &[(Space, MemoryId)], at: Timestamp) -> Result<(), Error>;

    /// Moves the watermark (never back) and remembers the record below it.
    async fn advance(&mut self, watermark: u64, anchor: Option<Anchor>) -> Result<(), Error>;

    /// Remembers that finish `number` ended these offsets, at this time. `number` is one more than
    /// the partition's `finishes`.
    async fn finished(&mut self, number: u64, offsets: &[u64], at: Timestamp) -> Result<(), Error>;

    /// Remembers that outcomes up to this finish are published (never back).
    async fn published(&mut self, finish: u64) -> Result<(), Error>;

    /// Takes away orders that were carried out, or that nothing is left of to carry out. One that another
    /// has taken the place of meanwhile stays.
    async fn obeyed(&mut self, orders: &[(u64, Order)]) -> Result<(), Error>;

    /// Remembers why the partition stands still; `None`: it does not.
    async fn halted(&mut self, reason: Option<&str>) -> Result<(), Error>;

    /// Commits. `Indeterminate` when the answer was lost.
    async fn commit(self: Box<Self>) -> Result<(), Error>;
}
