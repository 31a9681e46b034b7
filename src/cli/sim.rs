//! `engraft sim`: the coordinator against simulated faults.

use indicatif::{ProgressBar, ProgressStyle};

use crate::sim;

use super::{Exit, Failure, output};

/// What `sim` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This seed alone
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Print every event of the seed
    #[arg(long, requires = "seed")]
    trace: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match arguments.seed {
        Some(seed) => one(seed, arguments.trace),
        None => many(arguments.from, arguments.seeds),
    }
}

fn one(seed: u64, trace: bool) -> Result<(), Failure> {
    let options = sim::Options::default();
    let report = if trace { sim::trace(seed, &options) } else { sim::run(seed, &options) };
    let mut out = output::Out::new();
    for line in &report.lines {
        out.line(line)?;
    }
    for violation in &report.violations {
        out.line(&format!("{}: {}", violation.invariant, violation.sentence))?;
    }
    let verdict = if report.violations.is_empty() { "clean" } else { "FAILED" };
    out.line(&format!(
        "{verdict}: seed {seed}, {} events, {} virtual ms, trace hash {:016x}",
        report.events, report.virtual_ms, report.hash
    ))?;
    out.finish()?;
    if report.violations.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(Exit::Findings, format!("seed {seed} broke a promise")))
    }
}

fn many(from: u64, seeds: u64) -> Result<(), Failure> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left");
    let bar = ProgressBar::new(seeds).with_style(style.expect("a constant template"));
    let report = sim::campaign(from, seeds, &sim::Options::default(), |done| bar.set_position(done));
    bar.finish_and_clear();
    let mut out = output::Out::new();
    out.text(&report.render())?;
    out.finish()?;
    if report.is_clean() {
        return Ok(());
    }
    let replay = report.failures.first().map_or_else(String::new, |first| {
        format!("; replay one with `engraft sim --seed {} --trace`", first.seed)
    });
    Err(Failure::new(Exit::Findings, format!("the campaign is not clean{replay}")))
}
