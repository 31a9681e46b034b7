//! From one epoch of the log to the next.
//!
//! Offsets lose their meaning when a topic was cut, made anew or grown. A new epoch gives them a new one: its
//! versions are higher than all of the last one's, so that whatever of that is still on its way to a store
//! changes nothing any more. The last epoch must have come to rest before; its rows stay as they are.

use async_trait::async_trait;

use super::{Anchor, EpochRow, Error, Lease};

/// Where the first reader of a partition begins in a new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The partition's number.
    pub partition: u32,
    /// The first offset that belongs to the epoch, and the partition's first watermark.
    pub offset: u64,
    /// The record before it, where it is one that the last epoch has read.
    pub anchor: Option<Anchor>,
}

/// How an epoch is followed by the next.
#[async_trait]
pub trait Succession: Send + Sync {
    /// Opens the epoch after the newest one, its partitions at these starts. In the same transaction: each of
    /// `leases`, which must be on every partition of the newest one, still holds, and none of these
    /// partitions has an unfinished saga. From then on nobody gets a lease on an earlier epoch.
    ///
    /// Opening what was opened so already changes nothing.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a lease does not hold, or a partition has no rest; nothing happened.
    async fn succeed(&self, epoch: &EpochRow, starts: &[Start], leases: &[Lease]) -> Result<(), Error>;
}
