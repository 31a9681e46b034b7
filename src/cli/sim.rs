//! `engraft sim`: the coordinator against simulated faults.

use indicatif::{ProgressBar, ProgressStyle};

use crate::sim;

use super::{Exit, Failure, output};

/// Seeds of a campaign that does not say how many.
const SEEDS: u64 = 500;

/// What `sim` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engraft sim
  engraft sim --seed 17 --trace
  engraft sim --crash-matrix")]
pub(super) struct Arguments {
    /// How many seeds [default: 500; with --bugs: 2000 at most for each]
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// This seed alone
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Print every event of the seed
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Plant each known mistake, and show how soon it is caught (a build with `--features bugs`)
    #[arg(long, conflicts_with_all = ["seed", "from", "crash_matrix"])]
    bugs: bool,
    /// With --bugs: only the mistakes whose name contains this
    #[arg(long, value_name = "TEXT", requires = "bugs")]
    only: Option<String>,
    /// Strike at every boundary between two steps, for every type of command
    #[arg(long, conflicts_with_all = ["seed", "from", "bugs"])]
    crash_matrix: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.bugs {
        return bugs(arguments.seeds, arguments.only.as_deref().unwrap_or_default());
    }
    if arguments.crash_matrix {
        return crash_matrix();
    }
    match arguments.seed {
        Some(seed) => one(seed, arguments.trace),
        None => many(arguments.from, arguments.seeds.unwrap_or(SEEDS)),
    }
}

#[cfg(feature = "bugs")]
fn bugs(seeds: Option<u64>, only: &str) -> Result<(), Failure> {
    let prey = sim::bugs::all(only);
    if prey.is_empty() {
        return Err(Failure::usage(format!("no planted bug has `{only}` in its name")));
    }
    let seeds = seeds.unwrap_or(sim::bugs::SEEDS_MAX);
    // A planted bug may panic where an assertion catches it: that is a catch, not news.
    std::panic::set_hook(Box::new(|_| {}));
    let bar = ProgressBar::new(prey.len() as u64);
    let reports = sim::bugs::hunt_all(prey, seeds, &sim::Options::default(), || bar.inc(1));
    bar.finish_and_clear();
    let mut out = output::Out::new();
    out.text(&sim::bugs::render(&reports))?;
    out.finish()?;
    match reports.iter().filter(|report| report.seeds.is_none()).count() {
        0 => Ok(()),
        survived => {
            Err(Failure::new(Exit::Failed, format!("{survived} planted bugs survived {seeds} seeds")))
        }
    }
}

#[cfg(not(feature = "bugs"))]
fn bugs(_seeds: Option<u64>, _only: &str) -> Result<(), Failure> {
    Err(Failure::usage("this build has no planted bugs; build it with `--features bugs`".to_owned()))
}

fn crash_matrix() -> Result<(), Failure> {
    let bar = ProgressBar::no_length();
    let report = sim::matrix::crash_matrix(|done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let mut out = output::Out::new();
    out.text(&report.render())?;
    out.finish()?;
    if report.is_clean() {
        Ok(())
    } else {
        Err(Failure::new(Exit::Findings, "the crash matrix is not clean"))
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
