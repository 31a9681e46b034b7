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
