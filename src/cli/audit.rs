//! `engraft audit`: every store against the ledger, record by record.

use std::{sync::Arc, time::Duration};

use crate::{
    app::{self, Stores},
    audit::{self, Report, Verdict},
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
    /// How to show it
    #[arg(
        short,
        long,
        value_name = "table|json|jsonl",
        hide_possible_values = true,
        value_enum,
        default_value_t
    )]
    output: Format,
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
    let bar = output::spinner("reading every store");
    let report = runtime()?.block_on(of_folder(&config, &options));
    bar.finish_and_clear();
    let report = report?;
    let mut out = output::Out::new();
    match arguments.output {
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

/// Audits the stores of a data folder that no server has open.
pub(crate) async fn of_folder(config: &Config, options: &audit::Options) -> Result<Report, Failure> {
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
    let report = audit::run(&ports, options).await;
    stores.close().await;
    Ok(report)
}
