//! The server's part of a commit: what it does when the COMMIT arrives, whoever is left to hear.
//!
//! What a committed transaction said can arrive once more, in a transaction of its own and under the
//! same lease: the guards on states and on the watermark are what makes that harmless.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::ledger::{Anchor, Error, Lease, Ledger, Transaction, Transition};

use super::{
    faults::Fault,
    monitor::{Effect, Monitor},
    network::Link,
};

/// Longest that a statement wanders about before it arrives once more, in milliseconds.
const AGAIN_MS_MAX: u64 = 4_000;

/// Statements of a transaction that may arrive once more.
#[derive(Debug, Clone, Default)]
pub(super) struct Statements {
    /// Guarded moves.
    pub(super) moves: Vec<Transition>,
    /// The watermark, and the record below it.
    pub(super) advance: Option<(u64, Option<Anchor>)>,
}

/// The server's part of a commit.
pub(super) struct Server {
    pub(super) inner: Mutex<Option<Box<dyn Transaction>>>,
    pub(super) effects: Vec<Effect>,
    pub(super) monitor: Arc<Monitor>,
    pub(super) lease: Lease,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) link: Link,
    pub(super) again: Statements,
}

impl Server {
    pub(super) async fn commit(self: Arc<Self>) -> Result<(), Error> {
        // A second COMMIT of one transaction finds nothing to do.
        let Some(inner) = self.inner.lock().take() else { return Ok(()) };
        let answer = inner.commit().await;
        if answer.is_ok() {
            self.tell("committed", self.effects.clone()).await?;
            self.wander();
        }
        answer
    }

    /// Tells the monitor what was done, and where the watermark stands now.
    async fn tell(&self, how: &str, mut effects: Vec<Effect>) -> Result<(), Error> {
        let partition = self.lease.partition;
        let row = self.ledger.partition(partition).await?;
        effects.push(Effect::Watermark(row.watermark));
        self.link.event(format_args!("ledger: {how} on {partition}: {}", summary(&effects)));
        let by_former_owner = row.lease_epoch != self.lease.epoch;
        self.monitor.committed(partition, effects, by_former_owner);
        Ok(())
    }

    /// Lets the statements arrive once more, sometimes.
    fn wander(self: &Arc<Self>) {
        let faults = &self.link.network.faults;
        let is_empty = self.again.moves.is_empty() && self.again.advance.is_none();
        if is_empty || !faults.fires(Fault::LedgerAgain) {
            return;
        }
        let delay = Duration::from_millis(faults.between(Fault::LedgerAgain, 0, AGAIN_MS_MAX));
        let server = Arc::clone(self);
        self.link.network.spawn(async move {
            tokio::time::sleep(delay).await;
            // Nobody waits for it, and a lease that has gone to another refuses it.
            server.arrive_again().await.unwrap_or_default();
        });
    }

    async fn arrive_again(&self) -> Result<(), Error> {
        let mut transaction = self.ledger.transaction(&self.lease).await?;
        let Statements { moves, advance } = &self.again;
        let moved = transaction.transition(moves).await?;
        if let Some((watermark, anchor)) = advance {
            transaction.advance(*watermark, *anchor).await?;
        }
        transaction.commit().await?;
        let moves = moves.iter().filter(|step| moved.contains(&step.offset));
        self.tell("again", moves.map(|step| Effect::Moved(step.offset, step.from, step.to)).collect()).await
    }
}

/// What a transaction did, in short: `+` a row, `>` a move, `w` the watermark.
fn summary(effects: &[Effect]) -> String {
    let one = |effect: &Effect| match effect {
        Effect::Inserted(offset, row) => format!("+{offset} {}", row.state.as_str()),
        Effect::Moved(offset, _, to) => format!(">{offset} {}", to.as_str()),
        Effect::Watermark(watermark) => format!("w{watermark}"),
        Effect::Halted => "halted".to_owned(),
    };
    effects.iter().map(one).collect::<Vec<_>>().join(", ")
}
