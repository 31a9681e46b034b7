//! When a store counts as away: failsafe's policies, with a clock and chance of our own.
//!
//! Five failures in a row, or half of the last 50 calls. failsafe brings the first of them and the way to join
//! two; its own backoff draws whole seconds from the thread's generator, which no seed could replay.

use std::{collections::VecDeque, time::Duration};

use failsafe::failure_policy::{ConsecutiveFailures, FailurePolicy, OrElse, consecutive_failures};

use crate::random::Random;

use super::Options;

/// The policies of one breaker.
pub(super) type Policy = OrElse<ConsecutiveFailures<FullJitter>, HalfOfRecent>;

/// The policies that `options` ask for.
pub(super) fn policy(options: &Options, random: &Random) -> Policy {
    let backoff = FullJitter::new(options.open_min(), options.open_max(), random.clone());
    consecutive_failures(options.failures_in_row, backoff.clone())
        .or_else(HalfOfRecent::new(options.recent_calls, backoff))
}

/// Pauses between nothing and a ceiling that doubles.
#[derive(Debug, Clone)]
pub(super) struct FullJitter {
    ceiling: Duration,
    max: Duration,
    random: Random,
}

impl FullJitter {
    fn new(min: Duration, max: Duration, random: Random) -> Self {
        Self { ceiling: min, max, random }
    }
}

impl Iterator for FullJitter {
    type Item = Duration;

    /// In whole milliseconds, because that is what timers count; never none at all, so that an open breaker
    /// is open for a while.
    fn next(&mut self) -> Option<Duration> {
        let ceiling = u64::try_from(self.ceiling.as_millis()).unwrap_or(u64::MAX).max(1);
        self.ceiling = (self.ceiling * 2).min(self.max);
        Some(Duration::from_millis(1 + self.random.below(ceiling)))
    }
}

/// Fails when half of the last calls did, once there were so many.
#[derive(Debug)]
pub(super) struct HalfOfRecent {
    recent: VecDeque<bool>,
    failed: usize,
    count: usize,
    fresh: FullJitter,
    backoff: FullJitter,
}

impl HalfOfRecent {
    fn new(count: usize, backoff: FullJitter) -> Self {
        let recent = VecDeque::with_capacity(count);
        Self { recent, failed: 0, count: count.max(1), fresh: backoff.clone(), backoff }
    }

    fn record(&mut self, failed: bool) {
        if self.recent.len() == self.count && self.recent.pop_front() == Some(true) {
            self.failed -= 1;
        }
        self.recent.push_back(failed);
        self.failed += usize::from(failed);
    }
}

impl FailurePolicy for HalfOfRecent {
    fn record_success(&mut self) {
        self.record(false);
    }

    fn mark_dead_on_failure(&mut self) -> Option<Duration> {
        self.record(true);
        let half = self.recent.len() == self.count && self.failed * 2 >= self.count;
        half.then(|| self.backoff.next()).flatten()
    }

    fn revived(&mut self) {
        self.recent.clear();
        self.failed = 0;
        self.backoff = self.fresh.clone();
    }
}
