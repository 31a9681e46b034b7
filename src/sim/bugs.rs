//! Teeth: every planted bug must be caught, and redundant defences must not hide each other.
//!
//! A simulator that has never failed proves nothing. Each known mistake is planted alone, and pairs
//! of defences are taken away together; the report says how many seeds it took and which promise was
//! broken first. A bug that survives means that the fault model is too kind.

use std::{
    fmt::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
};

use super::{Options, run};
use crate::fault::{Bug, with_planted};

/// Defences that stand behind each other, and the bug that removes each.
pub const PAIRS: [(Bug, Bug); 10] = [
    (Bug::NoLeaseCheck, Bug::NoStateGuard),
    (Bug::NoLeaseCheck, Bug::NoFence),
    (Bug::NoLeaseCheck, Bug::WatermarkNotMonotone),
    (Bug::NoLeaseCheck, Bug::DedupeOutsideTransaction),
    (Bug::BlindLease, Bug::ExitWhenFenced),
    (Bug::BlindLease, Bug::NoStateGuard),
    (Bug::FenceIgnoresPhase, Bug::UndoSkipsRefuser),
    (Bug::HardDelete, Bug::NoKeyOrder),
    (Bug::TimeoutIsRefusal, Bug::UndoSkipsRefuser),
    (Bug::NoStateGuard, Bug::UndoBeforeDurable),
];

/// How many entries the whole hunt has.
pub const COUNT: usize = Bug::ALL.len() + PAIRS.len();
/// Seeds within which a bug must be caught.
pub const SEEDS_MAX: u64 = 2_000;
/// Threads that hunt.
const THREADS: usize = 2;

/// What became of one planted bug, or of one pair.
#[derive(Debug, Clone)]
pub struct BugReport {
    /// What was planted.
    pub bugs: Vec<Bug>,
    /// Seeds until it was caught; `None`: it survived them all.
    pub seeds: Option<u64>,
    /// The promise that was broken first: its id, or `panic`.
    pub caught_by: String,
    /// What happened, in one sentence.
    pub sentence: String,
}

impl BugReport {
    /// One line of text.
    #[must_use]
    pub fn render(&self) -> String {
        let names: Vec<&str> = self.bugs.iter().map(|bug| bug.name()).collect();
        let names = names.join(" + ");
        match self.seeds {
            Some(seeds) => format!("{names:<56} {seeds:>5} seeds  {:<5} {}", self.caught_by, self.sentence),
            None => format!("{names:<56} SURVIVED"),
        }
    }
}

/// Plants each bug alone and each pair, until it is caught or `seeds_max` seeds have passed.
#[must_use]
pub fn bugs(seeds_max: u64, options: &Options, progress: impl Fn() + Sync) -> Vec<BugReport> {
    let alone = Bug::ALL.iter().map(|bug| vec![*bug]);
    let pairs = PAIRS.iter().map(|(one, other)| vec![*one, *other]);
    hunt_all(alone.chain(pairs).collect(), seeds_max, options, progress)
}

/// Plants these, each entry by itself.
#[must_use]
pub fn hunt_all(
    planted: Vec<Vec<Bug>>,
    seeds_max: u64,
    options: &Options,
    progress: impl Fn() + Sync,
) -> Vec<BugReport> {
    let queue = Mutex::new(planted.into_iter().enumerate());
    let reports = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("nobody panics while holding it").next();
                    let Some((index, bugs)) = next else { return };
                    let report = hunt(&bugs, seeds_max, options);
                    progress();
                    reports.lock().expect("nobody panics while holding it").push((index, report));
                }
            });
        }
    });
    let mut reports = reports.into_inner().expect("nobody panics while holding it");
    reports.sort_by_key(|(index, _)| *index);
    reports.into_iter().map(|(_, report)| report).collect()
}

/// What breaks first when these are planted: the promise, and what happened; `None`: nothing.
fn broken(bugs: &[Bug], seed: u64, options: &Options) -> Option<(String, String)> {
    // A debug assertion that fails has caught the bug as well.
    match with_planted(bugs, || catch_unwind(AssertUnwindSafe(|| run(seed, options)))) {
        Err(_) => Some(("panic".to_owned(), "an assertion failed".to_owned())),
        Ok(report) => {
            let first = report.violations.into_iter().next()?;
            Some((first.invariant.to_string(), first.sentence))
        }
    }
}

fn hunt(bugs: &[Bug], seeds_max: u64, options: &Options) -> BugReport {
    // With each bug left out in turn: of one alone that is the program as it is.
    let without: Vec<Vec<Bug>> =
        bugs.iter().map(|out| bugs.iter().copied().filter(|bug| bug != out).collect()).collect();
    for seed in 0..seeds_max {
        let Some((caught_by, sentence)) = broken(bugs, seed, options) else { continue };
        // A seed that fails without one of them proves nothing about that one.
        let fails = |fewer: &[Bug]| broken(fewer, seed, options).is_some();
        if fails(&[]) || without.iter().any(|fewer| fails(fewer)) {
            continue;
        }
        return BugReport { bugs: bugs.to_vec(), seeds: Some(seed + 1), caught_by, sentence };
    }
    BugReport { bugs: bugs.to_vec(), seeds: None, caught_by: String::new(), sentence: String::new() }
}

/// The reports as a table.
#[must_use]
pub fn render(reports: &[BugReport]) -> String {
    let mut text = String::new();
    for report in reports {
        // Writing into a string never fails.
        writeln!(text, "{}", report.render()).unwrap_or_default();
    }
    let survived = reports.iter().filter(|report| report.seeds.is_none()).count();
    writeln!(text, "{} planted, {survived} survived", reports.len()).unwrap_or_default();
    text
}
