//! Teeth: every planted bug must be caught, and redundant defences must not hide each other.
//!
//! A simulator that has never failed proves nothing. Each known mistake is planted alone, and defences
//! that hide each other are taken away together; the report says how many seeds it took and which promise was
//! broken first. A bug that survives means that the fault model is too kind.
//!
//! What counts as caught: the seed breaks a promise with the bugs planted, and breaks none with any
//! one of them left out. So a bug alone is never credited with a seed that fails by itself, and several
//! never with a seed on which fewer would have failed anyway. Since one mistake also changes the course
//! of a run, and so the luck of the others, most of those must moreover break their promise at the very
//! place that the first defence left open.

use std::{
    fmt::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
};

use super::{Options, monitor::BY_FORMER_OWNER, run};
use crate::fault::{Bug, with_planted};

/// Defences that hold where another is gone, taken away together, as the bugs that remove each; and what
/// the broken promise must tell, to have come about where the first was missing.
///
/// The lease check alone has such lines behind it: sagas that are not in the state that whoever is overtaken
/// believes, a watermark that is higher. In front of a store stands nothing but its fence: whoever is overtaken
/// may have sent before, so each mistake there is caught alone.
pub const TOGETHER: [(&[Bug], &str); 2] = [
    // It moves sagas that its successor has moved already.
    (&[Bug::NoLeaseCheck, Bug::NoStateGuard], BY_FORMER_OWNER),
    // Its last watermark arrives once more, beneath that of its successor.
    (&[Bug::NoLeaseCheck, Bug::WatermarkNotMonotone], BY_FORMER_OWNER),
];

/// Seeds within which a bug must be caught.
pub const SEEDS_MAX: u64 = 2_000;
/// Longest sentence of a line.
const SENTENCE_CHARS_MAX: usize = 140;
/// Threads that hunt.
const THREADS: usize = 2;

/// What is planted together, and what a broken promise must tell to count.
#[derive(Debug, Clone)]
pub struct Prey {
    /// What is planted.
    pub bugs: Vec<Bug>,
    /// Words that the sentence must hold; empty: any promise counts.
    pub tells: &'static str,
}

/// What became of one planted bug, or of several together.
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
            Some(seeds) => {
                let (by, sentence) = (&self.caught_by, shortened(&self.sentence));
                format!("{names:<40} {seeds:>5} seeds  {by:<5} {sentence}")
            }
            None => format!("{names:<40} SURVIVED"),
        }
    }
}

/// A sentence that quotes whole records says too much for a line.
fn shortened(sentence: &str) -> String {
    match sentence.char_indices().nth(SENTENCE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &sentence[..end]),
        None => sentence.to_owned(),
    }
}

/// Each bug alone, then those that go together, as far as the name of one holds `only`.
#[must_use]
pub fn all(only: &str) -> Vec<Prey> {
    let alone = Bug::ALL.iter().map(|bug| Prey { bugs: vec![*bug], tells: "" });
    let together = TOGETHER.iter().map(|(bugs, tells)| Prey { bugs: bugs.to_vec(), tells });
    let named = |prey: &Prey| prey.bugs.iter().any(|bug| bug.name().contains(only));
    alone.chain(together).filter(named).collect()
}

/// Plants these, each entry by itself, until it is caught or `seeds_max` seeds have passed.
#[must_use]
pub fn hunt_all(
    planted: Vec<Prey>,
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
                    let Some((index, prey)) = next else { return };
                    let report = hunt(&prey, seeds_max, options);
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

fn hunt(prey: &Prey, seeds_max: u64, options: &Options) -> BugReport {
    let bugs = &prey.bugs;
    // With each bug left out in turn: of one alone that is the program as it is.
    let without: Vec<Vec<Bug>> =
        bugs.iter().map(|out| bugs.iter().copied().filter(|bug| bug != out).collect()).collect();
    for seed in 0..seeds_max {
        let Some((caught_by, sentence)) = broken(bugs, seed, options) else { continue };
        // A seed that fails without one of them proves nothing about that one.
        let fails = |fewer: &[Bug]| broken(fewer, seed, options).is_some();
        if !sentence.contains(prey.tells) || fails(&[]) || without.iter().any(|fewer| fails(fewer)) {
            continue;
        }
        return BugReport { bugs: bugs.clone(), seeds: Some(seed + 1), caught_by, sentence };
    }
    BugReport { bugs: bugs.clone(), seeds: None, caught_by: String::new(), sentence: String::new() }
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
