//! Reclaims the images that nothing points at any more: of heads that were replaced or deleted, and of
//! sagas that were undone.
//!
//! ```text
//! something ended ─▶ a round: a small batch whenever the owners rest ─▶ every image looked at ─▶ wait
//! ```
//!
//! Never inside a finish: deleting there halves the rate of updates. A batch is a transaction of its
//! own, short enough that a turn which waits for it does not show. What is garbage is judged by what
//! has committed, so a batch may come late, twice, or from a process that owns nothing any more.

use std::{sync::Arc, time::Duration};

use super::board::Board;
use crate::{
    ledger::{Error, Ledger},
    tasks::Tasks,
};

/// Most images dropped by one batch, some of whose lookups miss every cache: a few milliseconds.
const BATCH_COUNT_MAX: usize = 500;
/// Owners that took no turn for so long are at rest.
const REST: Duration = Duration::from_millis(50);
/// Owners that never rest are interrupted after so many looks, i.e. about once a second: else their
/// garbage would have no bound.
const LOOKS_MAX: u32 = 20;

/// Sweeps until `tasks` stops. A round begins `interval` after the last, once anything has ended since.
pub(super) async fn run(ledger: Arc<dyn Ledger>, board: Board, interval: Duration, tasks: Tasks) {
    let rounds = async {
        loop {
            let begun = finishes(&board);
            match round(&*ledger, &board).await {
                Ok(0) => {}
                Ok(dropped) => tracing::debug!(dropped, "images were reclaimed"),
                Err(error) => tracing::debug!(%error, "images are reclaimed later"),
            }
            tokio::time::sleep(interval).await;
            while finishes(&board) == begun {
                tokio::time::sleep(interval).await;
            }
        }
    };
    tokio::select! {
        biased;
        () = tasks.stopping() => {}
        () = rounds => {}
    }
}

/// Looks at every image once; how many were dropped.
async fn round(ledger: &dyn Ledger, board: &Board) -> Result<u64, Error> {
    let mut dropped = 0;
    loop {
        rest(board).await;
        let swept = ledger.sweep_images(BATCH_COUNT_MAX).await?;
        dropped += swept.dropped;
        if swept.round_over {
            return Ok(dropped);
        }
    }
}

/// Waits until the owners rest, but not for ever.
async fn rest(board: &Board) {
    let mut before = turns(board);
    for _ in 0..LOOKS_MAX {
        tokio::time::sleep(REST).await;
        let now = turns(board);
        if now == before {
            return;
        }
        before = now;
    }
}

fn turns(board: &Board) -> u64 {
    board.partitions().iter().map(|status| status.turns).sum()
}

fn finishes(board: &Board) -> u64 {
    board.partitions().iter().map(|status| status.finishes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::contract::{heads_of, id, node, space},
        ledger::{HeadWrite, ImagePointer, Swept, Transition, memory::MemoryLedger},
        model::{PartitionId, Phase, State, Timestamp},
    };

    const INTERVAL: Duration = Duration::from_secs(60);

    /// A ledger that holds one image, which nothing points at: its saga has ended, its memory is deleted.
    async fn with_garbage() -> Arc<dyn Ledger> {
        let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::new("l"));
        heads_of(Arc::clone(&ledger), vec![node("a", 7)]).await;
        let partition = PartitionId { epoch: 1, partition: 0 };
        let lease = ledger.acquire(partition, 1).await.expect("a lease");
        let mut transaction = ledger.transaction(&lease).await.expect("a transaction");
        let end = Transition {
            offset: 7,
            from: State::Running,
            to: State::Committed,
            plan: None,
            ending: None,
            finish: 1,
            finished_at: None,
        };
        transaction.transition(&[end]).await.expect("ended");
        let deleted = HeadWrite {
            space: space("s"),
            id: id("a"),
            version: partition.at(8).version(Phase::Forward),
            image: ImagePointer::Forward { after: None },
            finish: 1,
            at: Timestamp::from_micros(2),
        };
        transaction.write_heads(&[deleted]).await.expect("deleted");
        transaction.commit().await.expect("committed");
        ledger
    }

    async fn left(ledger: &dyn Ledger) -> u64 {
        let Swept { dropped, .. } = ledger.sweep_images(10).await.expect("swept");
        dropped
    }

    #[tokio::test(start_paused = true)]
    async fn what_nothing_points_at_is_reclaimed_once_the_owners_rest() {
        let (ledger, tasks) = (with_garbage().await, Tasks::new());
        tasks.spawn(run(Arc::clone(&ledger), Board::default(), INTERVAL, tasks.clone()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(left(&*ledger).await, 0);
        tasks.shut_down().await;
        assert_eq!(left(&*with_garbage().await).await, 1, "there was something to reclaim");
    }

    #[tokio::test(start_paused = true)]
    async fn owners_that_never_rest_are_interrupted_once_in_a_while() {
        let (ledger, tasks, board) = (with_garbage().await, Tasks::new(), Board::default());
        tasks.spawn(run(Arc::clone(&ledger), board.clone(), INTERVAL, tasks.clone()));
        for _ in 0..200 {
            board.update(0, |status| status.turns += 1);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(left(&*ledger).await, 0);
        tasks.shut_down().await;
    }
}
