//! The simulator: the real coordinator over simulated log, ledger, stores and clock.
//!
//! ```text
//! seed ─▶ shape, swarm ─▶ producers ─▶ log ─▶ nodes (the real worker) ─▶ ledger, stores
//!                          faults ───────┴──────────┴──────────────────────┘
//!                          monitor: cheap invariants, at every effect
//!                          fold + check: everything else, at rest
//! ```
//!
//! A run is a pure function of its seed: one thread, paused time, ordered maps, seeded streams. The
//! servers are the real in-memory ones behind a [`network`] that loses, delays and doubles; nodes are
//! killed and paused at any call. Then faults stop, everything must end, and the [`fold`] of the log
//! says what every store must hold.
//!
//! It cannot find wrong beliefs about real stores, bugs of drivers, or races of memory.

mod appends;
mod boundary;
#[cfg(feature = "bugs")]
pub mod bugs;
mod campaign;
mod check;
mod clock;
mod cluster;
mod commit;
mod contradiction;
mod faults;
mod fold;
mod group;
mod guards;
mod history;
mod ledger;
mod log;
pub mod matrix;
pub mod meaning;
mod monitor;
mod network;
mod questions;
mod run;
mod senders;
mod shape;
mod stores;
mod trace;
mod transaction;
mod workload;

use std::collections::BTreeMap;

use crate::{invariant::Invariant, model::Code, random::Random};

pub use boundary::{Action, Boundary, Strike};
pub use campaign::{CampaignReport, campaign};
pub use faults::{Counts, Fault};

/// How seeds are run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether anything goes wrong at all.
    pub faults: bool,
    /// Keep every event as text.
    pub keep_trace: bool,
    /// Tell the checker something false: every seed must fail.
    pub canary: bool,
    /// One planned blow, for the crash matrix.
    pub strike: Option<Strike>,
    /// Whether the graph is a projection; `None`: the seed says so.
    pub graph: Option<bool>,
    /// What is sent, where it is not drawn.
    script: Option<shape::Script>,
}

impl Default for Options {
    fn default() -> Self {
        Self { faults: true, keep_trace: false, canary: false, strike: None, graph: None, script: None }
    }
}

impl Options {
    /// The shape of a run.
    fn shape(&self, random: &Random, guards: &Random, shares: &[u64]) -> shape::Shape {
        if let Some(script) = &self.script {
            return shape::Shape::scripted(script.clone(), self.graph.unwrap_or(false));
        }
        let mut shape = shape::Shape::draw(random, shares);
        shape.draw_guards(guards);
        shape.graph = self.graph.unwrap_or(shape.graph);
        shape
    }
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What happened, in one sentence.
    pub sentence: String,
}

/// What one seed came to.
#[derive(Debug, Clone)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// What was broken; empty: nothing.
    pub violations: Vec<Violation>,
    /// Hash over every event: the same seed gives the same.
    pub hash: u64,
    /// How many events there were.
    pub events: u64,
    /// How much virtual time passed, in milliseconds.
    pub virtual_ms: u64,
    /// How often each fault fired, in the order of [`Fault::ALL`].
    pub fired: Counts,
    /// Passes and strikes of each boundary, in the order of [`Boundary::ALL`].
    pub boundaries: Vec<(u64, u64)>,
    /// How many commands of each type ended with each code: what the run was made of.
    pub endings: BTreeMap<(String, Code), u64>,
    /// The events as text, if they were kept.
    pub lines: Vec<String>,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, options: &Options) -> SeedReport {
    run::run(seed, options)
}

/// Every event of one seed, one line each.
#[must_use]
pub fn trace(seed: u64, options: &Options) -> SeedReport {
    run(seed, &Options { keep_trace: true, ..options.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_events() {
        let mut fired = vec![0; Fault::ALL.len()];
        for seed in 0..20 {
            let (first, again) = (run(seed, &Options::default()), run(seed, &Options::default()));
            assert_eq!((first.hash, first.events), (again.hash, again.events), "seed {seed}");
            fired.iter_mut().zip(first.fired).for_each(|(sum, count)| *sum += count);
        }
        for fault in [Fault::Pause, Fault::PauseAtBoundary, Fault::NewEpoch] {
            assert!(fired[fault as usize] > 0, "no seed among them had a {}", fault.name());
        }
    }

    #[test]
    fn another_seed_gives_other_events() {
        assert_ne!(run(1, &Options::default()).hash, run(2, &Options::default()).hash);
    }

    #[test]
    fn a_checker_that_is_told_something_false_fails_every_seed() {
        let options = Options { canary: true, ..Options::default() };
        let report = campaign(0, 10, &options, |_| ());
        assert_eq!(report.failed, 10, "{}", report.render());
    }

    #[test]
    fn a_hundred_seeds_keep_every_promise() {
        let report = campaign(0, 100, &Options::default(), |_| ());
        assert!(report.is_clean(), "{}", report.render());
    }

    #[test]
    fn seeds_that_ever_found_a_bug_stay_clean() {
        for line in include_str!("corpus/seeds.txt").lines().filter(|line| !line.starts_with('#')) {
            let Some(seed) = line.split_whitespace().next().and_then(|seed| seed.parse().ok()) else {
                continue;
            };
            let report = run(seed, &Options::default());
            assert!(report.violations.is_empty(), "seed {seed}: {:?}", report.violations);
        }
    }

    #[cfg(feature = "bugs")]
    #[test]
    fn the_plainest_bugs_are_caught_at_once() {
        use crate::fault::Bug;
        let planted = [
            Bug::NoFence,
            Bug::NoDedupe,
            Bug::NoKeyOrder,
            Bug::AckBeforeDurable,
            Bug::SweepIgnoresUnfinished,
        ]
        .map(|bug| bugs::Prey { bugs: vec![bug], tells: "" });
        for report in bugs::hunt_all(planted.to_vec(), 200, &Options::default(), || ()) {
            assert!(report.seeds.is_some(), "{}", report.render());
        }
    }
}
