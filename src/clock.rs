//! Wall time, and time since boot, handed in.
//!
//! Wall time is for people, for age policies and for "now" in commands; it never decides
//! correctness. Time since boot counts on while the process is stopped and while the machine sleeps,
//! and never jumps: leases are measured by it. Delays and deadlines use `tokio::time`, which the
//! simulator pauses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

use crate::model::Timestamp;

/// Tells the wall time.
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> Timestamp;

    /// Since the machine was started, time asleep included. It never goes back; of two processes, or
    /// of two machines, it means nothing.
    fn since_boot(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn since_boot(&self) -> Duration {
        Duration::try_from(clock_gettime(BOOT_CLOCK)).unwrap_or_default()
    }
}

/// The clock that counts while the machine sleeps; where there is none, the monotonic one.
#[cfg(target_os = "linux")]
const BOOT_CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const BOOT_CLOCK: ClockId = ClockId::Monotonic;

/// A clock that moves when it is told to, for tests and the simulator.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    now: Arc<AtomicI64>,
    since_boot_micros: Arc<AtomicU64>,
}

impl ManualClock {
    /// Starts at `time`.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self { now: Arc::new(AtomicI64::new(time.as_micros())), since_boot_micros: Arc::default() }
    }

    /// Sets the time; it may jump back.
    pub fn set(&self, time: Timestamp) {
        self.now.store(time.as_micros(), Ordering::Relaxed);
    }

    /// Lets time since boot pass, and leaves the wall time as it is.
    pub fn pass(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.since_boot_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::Relaxed))
    }

    fn since_boot(&self) -> Duration {
        Duration::from_micros(self.since_boot_micros.load(Ordering::Relaxed))
    }
}
