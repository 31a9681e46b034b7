//! The simulated wall clock: tokio's paused time plus whatever it has jumped by.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{clock::Clock, model::Timestamp};

/// 2026-11-21T09:00:00Z: where every run begins.
const BEGIN_MICROS: i64 = 1_795_251_600_000_000;

/// A wall clock that follows virtual time, and can jump.
#[derive(Debug)]
pub(super) struct SimulatedClock {
    began: Instant,
    jumped_micros: AtomicI64,
}

impl SimulatedClock {
    /// Starts now.
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), jumped_micros: AtomicI64::new(0) }
    }

    /// Jumps by so many microseconds, forward or back.
    pub(super) fn jump(&self, micros: i64) {
        self.jumped_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(BEGIN_MICROS + elapsed + self.jumped_micros.load(Ordering::Relaxed))
    }

    fn since_boot(&self) -> Duration {
        self.began.elapsed()
    }
}
