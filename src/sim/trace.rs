//! What happened in a run: a hash over every event, and the events themselves when asked for.
//!
//! The hash is what makes a seed a proof: the same seed twice must give the same hash, else something
//! in the program reads real time, real chance or the order of a hash map.

use std::fmt;

use parking_lot::Mutex;
use tokio::time::Instant;

/// The events of one run, in order.
#[derive(Debug)]
pub(super) struct Trace {
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    hash: Fnv,
    events: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace that starts now; keeps its lines when `keep`.
    pub(super) fn new(keep: bool) -> Self {
        let inner = Inner { hash: Fnv::default(), events: 0, lines: keep.then(Vec::new) };
        Self { started: Instant::now(), inner: Mutex::new(inner) }
    }

    /// Milliseconds of virtual time since the run began.
    pub(super) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// One event. Who, at which virtual millisecond, and what.
    pub(super) fn event(&self, who: &dyn fmt::Display, what: fmt::Arguments<'_>) {
        let at = self.elapsed_ms();
        let mut inner = self.inner.lock();
        inner.events += 1;
        // Writing into a hash never fails.
        fmt::Write::write_fmt(&mut inner.hash, format_args!("{at} {who} {what}\n")).unwrap_or_default();
        if let Some(lines) = &mut inner.lines {
            lines.push(format!("{at:>8} ms  {who:<10} {what}"));
        }
    }

    /// Hash and count of the events so far.
    pub(super) fn digest(&self) -> (u64, u64) {
        let inner = self.inner.lock();
        (inner.hash.0, inner.events)
    }

    /// The lines, if they were kept.
    pub(super) fn lines(&self) -> Vec<String> {
        self.inner.lock().lines.clone().unwrap_or_default()
    }
}

/// FNV-1a over 64 bits: the same on every machine, and cheap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fnv(pub(super) u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
