//! Benchmarks: rates of the real thing beside what the same drivers do on their own, in one run.
//!
//! Absolute figures belong to one machine and one minute; ratios travel. So every row carries the rate
//! of a baseline that was measured right before or after it, with the same drivers, on the same disk.
//!
//! Nothing here asserts: a slow machine is no defect.

mod accept;
mod adds;
mod audit;
mod baseline;
mod cpu;
mod embedded;
#[cfg(all(feature = "postgres", feature = "qdrant"))]
mod kafka;
#[cfg(feature = "postgres")]
mod ledger;
mod load;
mod reads;
mod watched;
mod work;
mod world;

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

pub use accept::accept;
pub use adds::adds;
pub use audit::audit;
pub use embedded::embedded;
#[cfg(all(feature = "postgres", feature = "qdrant"))]
pub use kafka::{Part, Servers, kafka};
#[cfg(feature = "postgres")]
pub use ledger::ledger;
pub use reads::reads;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Commands of one row.
    pub count: usize,
    /// How often the batched rows are measured, each time right after their baselines; the median is told.
    pub rounds: usize,
    /// Length of the dense vectors.
    pub dimension: usize,
    /// Records of one append, rows of one baseline commit.
    pub batch: usize,
    /// Commands of the one-at-a-time row, which is slow by nature.
    pub count_single: usize,
    /// Unfinished sagas of the restart row.
    pub count_unfinished: usize,
    /// A folder on the disk to measure; emptied of what the run made when it ends.
    pub folder: PathBuf,
}

/// One measured row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: &'static str,
    /// The figure.
    pub rate: f64,
    /// Its unit: `commands/s`, `rows/s`, `points/s`, `adds/s`, `s`; `us`: the median of single calls.
    pub unit: &'static str,
    /// The row that it is compared with, and that row's figure.
    pub baseline: Option<Baseline>,
    /// `rate / baseline`.
    pub ratio: Option<f64>,
    /// Of every round, where there were several: the ratios, or the rates of a row without one, rising.
    pub rounds: Vec<f64>,
    /// Seconds spent, by where; stages overlap, so they need not add up to the whole.
    pub spent: BTreeMap<&'static str, f64>,
}

/// What a row is compared with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Baseline {
    /// The row's name.
    pub name: &'static str,
    /// Its figure, in the same unit.
    pub rate: f64,
}

impl Row {
    fn new(name: &'static str, rate: f64, unit: &'static str) -> Self {
        Self { name, rate, unit, baseline: None, ratio: None, rounds: Vec::new(), spent: BTreeMap::new() }
    }

    fn against(mut self, baseline: &Self) -> Self {
        self.ratio = (baseline.rate > 0.0).then(|| self.rate / baseline.rate);
        self.baseline = Some(Baseline { name: baseline.name, rate: baseline.rate });
        self
    }

    /// The row in the middle, which knows of the others. `None` when there are none.
    fn median(mut rows: Vec<Self>) -> Option<Self> {
        let figure = |row: &Self| row.ratio.unwrap_or(row.rate);
        rows.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
        let rounds = rows.iter().map(figure).collect();
        let middle = rows.len() / 2;
        let row = rows.into_iter().nth(middle)?;
        Some(Self { rounds, ..row })
    }

    /// The median of what single calls took, in microseconds; the 99th percentile beside it, in seconds.
    fn percentiles(name: &'static str, mut micros: Vec<f64>) -> Self {
        micros.sort_by(f64::total_cmp);
        let at = |share: usize| micros.get(micros.len() * share / 100).copied().unwrap_or_default();
        Self::new(name, at(50), "us").spent("p99", at(99) / 1e6)
    }

    fn spent(mut self, stage: &'static str, seconds: f64) -> Self {
        self.spent.insert(stage, (seconds * 1e6).round() / 1e6);
        self
    }
}

/// Why a benchmark could not run.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {why}")]
pub struct Error {
    step: &'static str,
    why: String,
}

/// Turns any error into one that says at which step it came.
fn at<E: std::fmt::Display>(step: &'static str) -> impl Fn(E) -> Error {
    move |error| Error { step, why: error.to_string() }
}
