//! How long to wait before asking again: capped, exponential, with jitter.

use std::time::Duration;

use crate::random::Random;

/// A growing pause. Jitter spreads the retries of many sagas, so that a store that comes back is
/// not met by all of them at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    ceiling: Duration,
    random: Random,
}

impl Backoff {
    /// Starts at `min`, doubles up to `max`.
    #[must_use]
    pub fn new(min: Duration, max: Duration, random: Random) -> Self {
        Self { min, max, ceiling: min, random }
    }

    /// Waits between half and the whole of the present ceiling, in whole milliseconds, then doubles it.
    ///
    /// Whole ones, because that is what timers count: a fraction would be rounded by where the clock
    /// happened to start, and a simulated run would not repeat.
    pub async fn wait(&mut self) {
        let half = u64::try_from(self.ceiling.as_millis() / 2).unwrap_or(u64::MAX / 2);
        let pause = Duration::from_millis(half + self.random.below(half + 1));
        self.ceiling = (self.ceiling * 2).min(self.max);
        tokio::time::sleep(pause).await;
    }

    /// The next pause is the shortest again.
    pub fn reset(&mut self) {
        self.ceiling = self.min;
    }
}
