//! `engraft audit`: every store against the ledger, record by record; `--repair` puts right what differs.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
    time::Duration,
};

use crate::{
    app::{self, Stores},
    audit::{self, Report, Verdict, repair},
    clock::SystemClock,
    config::Config,
    model::Space,
    random::Random,
    worker::checkpoint,
};

use super::{Exit, Failure, Format, output, runtime};

/// What `audit` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engraft audit
  engraft audit --data /srv/engraft --deep -o json")]
pub(super) struct Arguments {
    /// Judge this space alone
    #[arg(long)]
    space: Option<Space>,
    /// Also read every ended command, and what of the log has no row
    #[arg(long)]
    deep: bool,
    /// Write points that are not what the ledger says anew, and remove those that it does not know
    #[arg(long)]
    repair: bool,
    /// Repair without asking
    #[arg(long, requires = "repair")]
    yes: bool,
    #[command(flatten)]
    show: output::Show,
}

pub(super) fn run(arguments: &Arguments, config: Config) -> Result<(), Failure> {
    let options = audit::Options {
        space: arguments.space.clone(),
        deep: arguments.deep,
        wait: Duration::ZERO,
        ..audit::Options::default()
    };
    if !config.data.is_dir() {
        let fix = "`--data` names the folder of a server that is stopped";
        return Err(Failure::new(
            Exit::NotFound,
            format!("there is no folder `{}`; {fix}", config.data.display()),
        ));
    }
    let report = if arguments.repair {
        let options = audit::Options { findings_max: REPAIRED_MAX, ..options };
        runtime()?.block_on(repaired(&config, &options, arguments.yes))?
    } else {
        let bar = output::spinner("reading every store");
        let report = runtime()?.block_on(of_folder(&config, &options));
        bar.finish_and_clear();
        report?
    };
    let mut out = output::Out::new();
    match arguments.show.output {
        Format::Table => out.line(&report.to_string())?,
        Format::Json => out.line(&serde_json::to_string_pretty(&report).unwrap_or_default())?,
        Format::Jsonl => {
            for finding in &report.findings {
                out.line(&serde_json::to_string(finding).unwrap_or_default())?;
            }
        }
    }
    out.finish()?;
    match report.verdict {
        Verdict::Clean => Ok(()),
        Verdict::Violation => {
            Err(Failure::new(Exit::Findings, "the stores do not hold what the ledger says"))
        }
        Verdict::CouldNotTell => Err(Failure::new(Exit::Unreachable, "a store could not be read to the end")),
    }
}

/// Most findings that one repair takes on; an audit after it finds the rest.
const REPAIRED_MAX: usize = 1_000_000;
/// Findings that a plan shows.
const SHOWN: usize = 10;

/// Audits the stores of a data folder that no server has open.
pub(crate) async fn of_folder(config: &Config, options: &audit::Options) -> Result<Report, Failure> {
    let (stores, ports) = open(config).await?;
    let report = audit::run(&ports, options).await;
    stores.close().await;
    Ok(report)
}

/// Audits, says what it would do, does it when a person agrees, and audits again.
async fn repaired(config: &Config, options: &audit::Options, agreed: bool) -> Result<Report, Failure> {
    let (stores, ports) = open(config).await?;
    let report = watched(&ports, options).await;
    let plan = repair::Plan::of(&report);
    show(&report, &plan);
    if plan.records.is_empty() || !(agreed || agree(plan.records.len())?) {
        stores.close().await;
        return Ok(report);
    }
    let bar = output::progress(plan.records.len() as u64, "repairing");
    let done = repair::carry_out(&ports, &plan, |count| bar.inc(count as u64)).await;
    bar.finish_and_clear();
    let done = done.map_err(|stop| {
        let message = format!("{} did not answer: {}; run the same again", stop.store, stop.reason);
        Failure::new(Exit::Unreachable, message)
    })?;
    output::say(&format!("repaired {}, moved meanwhile {}; auditing again", done.repaired, done.moved));
    make_durable(&stores).await?;
    let report = watched(&ports, options).await;
    stores.close().await;
    Ok(report)
}

async fn watched(ports: &audit::Ports, options: &audit::Options) -> Report {
    let bar = output::spinner("reading every store");
    let report = audit::run(ports, options).await;
    bar.finish_and_clear();
    report
}

/// The plan, for a person.
fn show(report: &Report, plan: &repair::Plan) {
    if report.verdict == Verdict::Clean {
        return output::say("nothing to repair");
    }
    let mended = report.findings.iter().filter(|finding| !plan.left.contains(finding));
    output::say(&format!("{} points can be written anew from the ledger, or removed:", plan.records.len()));
    mended.take(SHOWN).for_each(|finding| output::say(&format!("- {finding}")));
    if !plan.left.is_empty() {
        output::say(&format!("{} findings cannot be repaired from the ledger:", plan.left.len()));
        plan.left.iter().take(SHOWN).for_each(|finding| output::say(&format!("- {finding}")));
    }
}

fn agree(count: usize) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("nobody is there to agree; say `--yes` to repair without asking"));
    }
    write!(io::stderr(), "repair {count} points? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn open(config: &Config) -> Result<(Stores, audit::Ports), Failure> {
    let stores = Stores::open(config, Arc::new(SystemClock), &Random::from_system()).await?;
    let ports = audit::Ports {
        ledger: Arc::clone(&stores.ledger),
        points: Arc::clone(&stores.points),
        vector: Arc::clone(&stores.vectors),
        graph: None,
        log: Some(Arc::clone(&stores.log)),
    };
    // What an embedded index has acknowledged is durable from its checkpoint on: a server would apply
    // the rest at its start, before anybody asks.
    if let Some(epoch) = stores.ledger.epoch().await.map_err(app::Error::from)? {
        let brought = checkpoint::bring_up_to_date(&*stores.ledger, &*stores.vectors, &epoch).await;
        brought.map_err(app::Error::from)?;
    }
    Ok((stores, ports))
}

async fn make_durable(stores: &Stores) -> Result<(), Failure> {
    if let Some(epoch) = stores.ledger.epoch().await.map_err(app::Error::from)? {
        let made = checkpoint::make(&*stores.ledger, &*stores.vectors, &epoch).await;
        made.map_err(app::Error::from)?;
    }
    Ok(())
}
