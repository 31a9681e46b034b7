//! Many seeds, on two threads, and one line that says what they came to.
//!
//! A fault that never fired looks exactly like a pass, so a campaign of five hundred seeds or more fails
//! when one kind did not fire, or one boundary was never passed; one of thousands also when one boundary
//! was never struck.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use super::{Boundary, Fault, Options, SeedReport, run};
use crate::model::Code;

/// From so many seeds on, every kind of fault must have fired.
const COVERAGE_SEEDS: u64 = 500;
/// From so many seeds on, every boundary must have been struck.
const STRIKE_SEEDS: u64 = 5_000;
/// Threads that run seeds.
const THREADS: usize = 2;
/// Failed seeds that are kept whole.
const FAILURES_MAX: usize = 20;

/// What a range of seeds came to.
#[derive(Debug, Clone, Default)]
pub struct CampaignReport {
    /// The first seed.
    pub from: u64,
    /// How many were run.
    pub seeds: u64,
    /// Those that broke a promise, in order; the first few.
    pub failures: Vec<SeedReport>,
    /// How many broke a promise.
    pub failed: u64,
    /// How often each fault fired.
    pub fired: Vec<u64>,
    /// Passes and strikes of each boundary.
    pub boundaries: Vec<(u64, u64)>,
    /// How many commands of each type ended with each code.
    pub endings: BTreeMap<(String, Code), u64>,
    /// Events of all seeds.
    pub events: u64,
    /// Virtual time of all seeds, in milliseconds.
    pub virtual_ms: u64,
}

impl CampaignReport {
    fn add(&mut self, report: SeedReport) {
        self.seeds += 1;
        self.events += report.events;
        self.virtual_ms += report.virtual_ms;
        self.fired.resize(Fault::ALL.len(), 0);
        self.boundaries.resize(Boundary::ALL.len(), (0, 0));
        self.fired.iter_mut().zip(&report.fired).for_each(|(sum, fired)| *sum += fired);
        for (sum, counts) in self.boundaries.iter_mut().zip(&report.boundaries) {
            *sum = (sum.0 + counts.0, sum.1 + counts.1);
        }
        for (ending, count) in &report.endings {
            *self.endings.entry(ending.clone()).or_default() += count;
        }
        if !report.violations.is_empty() {
            self.failed += 1;
            self.failures.push(report);
            self.failures.sort_by_key(|failure| failure.seed);
            self.failures.truncate(FAILURES_MAX);
        }
    }

    fn merge(&mut self, other: Self) {
        let (failures, failed) = (other.failures, other.failed);
        self.seeds += other.seeds;
        self.events += other.events;
        self.virtual_ms += other.virtual_ms;
        self.failed += failed;
        self.fired.resize(Fault::ALL.len(), 0);
        self.boundaries.resize(Boundary::ALL.len(), (0, 0));
        self.fired.iter_mut().zip(&other.fired).for_each(|(sum, fired)| *sum += fired);
        for (sum, counts) in self.boundaries.iter_mut().zip(&other.boundaries) {
            *sum = (sum.0 + counts.0, sum.1 + counts.1);
        }
        for (ending, count) in other.endings {
            *self.endings.entry(ending).or_default() += count;
        }
        self.failures.extend(failures);
        self.failures.sort_by_key(|failure| failure.seed);
        self.failures.truncate(FAILURES_MAX);
    }

    /// Faults that never fired although there were seeds enough.
    #[must_use]
    pub fn silent(&self) -> Vec<Fault> {
        if self.seeds < COVERAGE_SEEDS {
            return Vec::new();
        }
        let fired = Fault::ALL.iter().zip(&self.fired);
        fired.filter(|(_, count)| **count == 0).map(|(fault, _)| *fault).collect()
    }

    /// Boundaries that no node passed although there were seeds enough.
    #[must_use]
    pub fn unreached(&self) -> Vec<Boundary> {
        if self.seeds < COVERAGE_SEEDS {
            return Vec::new();
        }
        let passed = Boundary::ALL.iter().zip(&self.boundaries);
        passed.filter(|(_, (passes, _))| *passes == 0).map(|(boundary, _)| *boundary).collect()
    }

    /// Boundaries at which no node was struck although there were seeds enough.
    #[must_use]
    pub fn unstruck(&self) -> Vec<Boundary> {
        if self.seeds < STRIKE_SEEDS {
            return Vec::new();
        }
        let struck = Boundary::ALL.iter().zip(&self.boundaries);
        struck.filter(|(_, (_, strikes))| *strikes == 0).map(|(boundary, _)| *boundary).collect()
    }

    /// Whether nothing was broken, and everything was tried.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed == 0
            && self.silent().is_empty()
            && self.unreached().is_empty()
            && self.unstruck().is_empty()
    }

    /// The report as text: one line of verdict, then what supports it.
    #[must_use]
    pub fn render(&self) -> String {
        let faults: u64 = self.fired.iter().sum();
        let mut text = format!(
            "{}: {} seeds from {}, {} failed, {} faults of {} kinds, {} events, {:.1} virtual hours\n",
            if self.is_clean() { "clean" } else { "FAILED" },
            self.seeds,
            self.from,
            self.failed,
            faults,
            self.fired.iter().filter(|count| **count > 0).count(),
            self.events,
            self.virtual_ms as f64 / 3_600_000.0,
        );
        // Writing into a string never fails.
        let mut line = |arguments: std::fmt::Arguments<'_>| text.write_fmt(arguments).unwrap_or_default();
        for (fault, count) in Fault::ALL.iter().zip(&self.fired) {
            line(format_args!("  {:<28} {count:>8}\n", fault.name()));
        }
        for (boundary, (passes, strikes)) in Boundary::ALL.iter().zip(&self.boundaries) {
            line(format_args!("  {:<28} {passes:>8} passes {strikes:>6} strikes\n", boundary.name()));
        }
        for ((kind, code), count) in &self.endings {
            line(format_args!("  {kind:<36} {:<28} {count:>8}\n", code.as_str()));
        }
        for fault in self.silent() {
            line(format_args!("  never fired: {}\n", fault.name()));
        }
        for boundary in self.unreached() {
            line(format_args!("  never passed: {}\n", boundary.name()));
        }
        for boundary in self.unstruck() {
            line(format_args!("  never struck: {}\n", boundary.name()));
        }
        for failure in &self.failures {
            for violation in failure.violations.iter().take(3) {
                line(format_args!(
                    "  seed {}: {}: {}\n",
                    failure.seed, violation.invariant, violation.sentence
                ));
            }
        }
        text
    }
}

/// Runs `seeds` seeds from `from` on, on two threads. `progress` hears of each that is done.
#[must_use]
pub fn campaign(from: u64, seeds: u64, options: &Options, progress: impl Fn(u64) + Sync) -> CampaignReport {
    let next = AtomicU64::new(from);
    let done = AtomicU64::new(0);
    let work = || {
        let mut report = CampaignReport::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from.saturating_add(seeds) {
                return report;
            }
            report.add(run(seed, options));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let mut whole = CampaignReport { from, ..CampaignReport::default() };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            whole.merge(
                thread.join().expect("a seed that panics is a bug of the simulator or of an assertion"),
            );
        }
    });
    whole
}
