//! Whether a lease still holds, as far as a sender needs to know before it calls a store.
//!
//! A lease is taken by compare-and-swap and has no end of its own: whoever the log's group names may take
//! it at once. So nobody can know for sure that a lease holds, but everybody can know when it was last
//! seen to hold. A sender that has not seen it for [`Watch`]'s term, because the process was stopped, the
//! machine slept or the ledger was away, asks the ledger before it calls a store again, and leaves the
//! store alone when the partition has another owner.
//!
//! What a sender does between its question and its call cannot be excluded this way. It is harmless
//! because every write carries its version, which stores apply only when it is newer. The lease keeps
//! the work from being done twice; the versions keep it right.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Error, Lease, Ledger};
use crate::{
    clock::Clock,
    fault::{Bug, planted},
};

/// What an owner and everything that sends for it know of their lease. Shared by all of them.
pub struct Watch {
    ledger: Arc<dyn Ledger>,
    clock: Arc<dyn Clock>,
    lease: Lease,
    term: Duration,
    /// Microseconds since boot at which the lease was last known to hold.
    seen_micros: AtomicU64,
}

impl Watch {
    /// Watches a lease that was given when the ledger was asked at `asked`, since boot: the answer may
    /// have been long on its way. `term`: how long that is good for.
    #[must_use]
    pub fn new(
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        lease: Lease,
        (asked, term): (Duration, Duration),
    ) -> Self {
        Self { ledger, clock, lease, term, seen_micros: AtomicU64::new(micros(asked)) }
    }

    /// Now, for [`Watch::seen`]. Read it before the question whose answer it dates.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.clock.since_boot()
    }

    /// The ledger has confirmed the lease, when asked at `at`.
    pub fn seen(&self, at: Duration) {
        self.seen_micros.fetch_max(micros(at), Ordering::Relaxed);
    }

    /// Returns at once when the lease was seen within its term, and else asks the ledger.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another owner has the partition; otherwise the ledger did not answer, or only
    /// after the term, and nothing is known.
    pub async fn check(&self) -> Result<(), Error> {
        let at = self.now();
        let seen = Duration::from_micros(self.seen_micros.load(Ordering::Relaxed));
        if at.saturating_sub(seen) < self.term {
            return Ok(());
        }
        let row = self.ledger.partition(self.lease.partition).await?;
        if (row.nonce, row.lease_epoch) != (self.lease.nonce, self.lease.epoch) {
            return Err(Error::Fenced { partition: self.lease.partition });
        }
        self.seen(at);
        // This process may have been stopped while the answer was on its way: it is as old as its question.
        if self.now().saturating_sub(at) >= self.term && !planted(Bug::LateAnswerBelieved) {
            return Err(Error::Unavailable("the answer about the lease was too long on its way".to_owned()));
        }
        Ok(())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::ManualClock,
        ledger::{EpochRow, memory::MemoryLedger},
        model::{PartitionId, Timestamp},
    };

    const TERM: Duration = Duration::from_secs(10);
    const PARTITION: PartitionId = PartitionId { epoch: 1, partition: 0 };
    const OURS: u128 = 7 << 64;
    const THEIRS: u128 = 8 << 64;

    async fn world() -> (MemoryLedger, ManualClock, Watch) {
        let ledger = MemoryLedger::new("tests");
        let epoch = EpochRow {
            epoch: 1,
            identity: "log".to_owned(),
            partitions: 1,
            partitioner: "murmur2_random".to_owned(),
        };
        ledger.open_epoch(&epoch).await.expect("opened");
        let lease = ledger.acquire(PARTITION, OURS).await.expect("ours");
        let clock = ManualClock::at(Timestamp::from_micros(0));
        let asked = clock.since_boot();
        let watch = Watch::new(Arc::new(ledger.clone()), Arc::new(clock.clone()), lease, (asked, TERM));
        (ledger, clock, watch)
    }

    #[tokio::test]
    async fn a_sender_that_was_stopped_for_longer_than_the_term_finds_itself_fenced() {
        let (ledger, clock, watch) = world().await;
        ledger.acquire(PARTITION, THEIRS).await.expect("theirs");
        clock.pass(TERM / 2);
        assert_eq!(watch.check().await, Ok(()), "seen a moment ago, and not asked for again");
        clock.pass(TERM / 2);
        assert_eq!(watch.check().await, Err(Error::Fenced { partition: PARTITION }));
    }

    #[tokio::test]
    async fn a_lease_that_nobody_took_holds_however_long_its_owner_was_stopped() {
        let (_ledger, clock, watch) = world().await;
        clock.pass(TERM * 100);
        assert_eq!(watch.check().await, Ok(()));
    }

    #[tokio::test]
    async fn a_lease_is_as_old_as_the_question_that_was_answered_with_it() {
        let (ledger, clock, _watch) = world().await;
        let asked = clock.since_boot();
        let lease = ledger.acquire(PARTITION, OURS).await.expect("ours");
        ledger.acquire(PARTITION, THEIRS).await.expect("theirs");
        clock.pass(TERM);
        let (shared, ticks) = (Arc::new(ledger.clone()), Arc::new(clock.clone()));
        let watch = Watch::new(shared, ticks, lease, (asked, TERM));
        assert_eq!(watch.check().await, Err(Error::Fenced { partition: PARTITION }));
    }

    #[tokio::test]
    async fn wall_time_that_jumps_changes_nothing() {
        let (ledger, clock, watch) = world().await;
        ledger.acquire(PARTITION, THEIRS).await.expect("theirs");
        clock.set(Timestamp::from_micros(-1_000_000_000));
        clock.pass(TERM);
        assert_eq!(watch.check().await, Err(Error::Fenced { partition: PARTITION }));
    }
}
