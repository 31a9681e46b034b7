//! `engraft partitions …`: how each partition does, why one stands still, and what mends it.
//!
//! Asks ledger and log themselves, so that it works where no server can start. Where the ledger is in a file,
//! one process at a time can have it open: stop the server first, or ask it (`engraft status`).

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::{
    app::Stores,
    clock::SystemClock,
    config::Config,
    model::PartitionId,
    random::Random,
    saga::plan::Planner,
    tasks::Tasks,
    worker::{self, board::Board, checkpoint, explain, fence, inspect},
};

use super::{Exit, Failure, output, runtime};

/// What can be done about partitions.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List every partition: who has it, how far it is, why it stands still
    #[command(after_help = "\
Examples:
  engraft partitions list
  engraft partitions list -o json | jq '.partitions[] | select(.halt)'")]
    List(List),
    /// Tell why a partition stands still, what that means, and what to do
    #[command(after_help = "Example:\n  engraft partitions explain 17")]
    Explain(Explain),
    /// Begin a new epoch, where the log was cut, made anew, overrun by retention, or has grown
    #[command(after_help = "\
Stop every process of this log first, and start them again afterwards.

Examples:
  engraft partitions fence
  engraft partitions fence --yes -o json")]
    Fence(Fence),
}

/// `partitions list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    show: output::Show,
}

/// `partitions explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    /// Its number
    partition: u32,
    #[command(flatten)]
    show: output::Show,
}

/// `partitions fence`.
#[derive(Debug, clap::Args)]
pub(super) struct Fence {
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    show: output::Show,
}

/// What is told of a partition.
const COLUMNS: [(&str, &str); 10] = [
    ("PARTITION", "/partition"),
    ("STATE", "/state"),
    ("OWNER", "/owner"),
    ("WATERMARK", "/watermark"),
    ("END", "/log_end"),
    ("LAG", "/lag"),
    ("LAG SECONDS", "/lag_seconds"),
    ("UNFINISHED", "/unfinished"),
    ("OLDEST", "/oldest/accepted_at"),
    ("HALT", "/halt/code"),
];
/// What a fence does to a partition.
const STEPS: [(&str, &str); 5] = [
    ("PARTITION", "/partition"),
    ("FOUND", "/found"),
    ("READS FROM", "/reads_from"),
    ("UNREAD", "/unread"),
    ("LOST", "/lost"),
];

pub(super) fn run(command: &Command, config: &Config) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let (stores, ports) = open(config).await?;
        let done = match command {
            Command::List(list) => list.run(&ports).await,
            Command::Explain(explain) => explain.run(&ports).await,
            Command::Fence(fence) => fence.run(config, &ports).await,
        };
        stores.close().await;
        done
    })
}

async fn open(config: &Config) -> Result<(Stores, worker::Ports), Failure> {
    let random = Random::from_system();
    let stores = Stores::open(config, Arc::new(SystemClock), &random).await?;
    let ports = worker::Ports {
        log: Arc::clone(&stores.log),
        outcomes: Arc::clone(&stores.outcomes),
        dead_letters: Arc::clone(&stores.dead_letters),
        ledger: Arc::clone(&stores.ledger),
        vectors: Arc::clone(&stores.vectors),
        graph: None,
        decide: Arc::new(Planner::default()),
        clock: Arc::new(SystemClock),
        random,
        board: Board::default(),
    };
    Ok((stores, ports))
}

impl List {
    async fn run(&self, ports: &worker::Ports) -> Result<(), Failure> {
        let mut partitions = Vec::new();
        if let Some(epoch) = ports.ledger.epoch().await.map_err(unanswered)? {
            for partition in 0..epoch.partitions {
                let id = PartitionId { epoch: epoch.epoch, partition };
                let report = inspect::partition(&*ports.ledger, &*ports.log, id, ports.clock.now()).await;
                partitions.push(value(&report.map_err(unanswered)?));
            }
        }
        let mut out = output::Out::new();
        out.list(self.show.output, &json!({ "partitions": partitions }), "partitions", &COLUMNS)?;
        out.finish()
    }
}

impl Explain {
    async fn run(&self, ports: &worker::Ports) -> Result<(), Failure> {
        let epoch = ports.ledger.epoch().await.map_err(unanswered)?;
        let Some(epoch) = epoch.filter(|epoch| self.partition < epoch.partitions) else {
            let message = format!("the ledger knows no partition {}", self.partition);
            return Err(Failure::new(Exit::NotFound, message));
        };
        let id = PartitionId { epoch: epoch.epoch, partition: self.partition };
        let explained = explain::explain(ports, id).await.map_err(unanswered)?;
        let mut out = output::Out::new();
        let document = json!({ "partition": self.partition, "halt": explained });
        if !out.json(self.show.output, &document)? {
            match explained {
                None => out.line(&format!("partition {id}: log and ledger agree"))?,
                Some(halt) => out.text(&told(id, &halt))?,
            }
        }
        out.finish()
    }
}

fn told(id: PartitionId, halt: &explain::Explanation) -> String {
    let mut text = format!(
        "partition {id} is halted: {}\n\nFound: {}.\nMeans: {}.\n\nWhat to do:\n",
        halt.code, halt.found, halt.means
    );
    for (number, step) in halt.todo.iter().enumerate() {
        text += &format!("{}. {step}\n", number + 1);
    }
    if let Some(command) = halt.command {
        text += &format!("\n  {command}\n");
    }
    text
}

impl Fence {
    async fn run(&self, config: &Config, ports: &worker::Ports) -> Result<(), Failure> {
        let options = worker::Options { limits: config.limits.into(), ..worker::Options::default() };
        let plan = match fence::plan(ports, &options.limits).await {
            Err(fence::Error::Needless) => {
                output::say("log and ledger agree; there is nothing to do");
                return Ok(());
            }
            plan => plan.map_err(unfenced)?,
        };
        if !self.yes {
            self.show(&plan)?;
            if !agree(&plan)? {
                return Ok(());
            }
        }
        checkpoint::bring_up_to_date(&*ports.ledger, &*ports.vectors, &plan.last)
            .await
            .map_err(unanswered)?;
        let tasks = Tasks::new();
        let bar = output::spinner("ending what is unfinished in the last epoch");
        let done = fence::carry_out(ports, &options, &tasks).await;
        tasks.shut_down().await;
        bar.finish_and_clear();
        let done = done.map_err(unfenced)?;
        if !ports.vectors.durable_when_acknowledged() {
            checkpoint::make(&*ports.ledger, &*ports.vectors, &done.last).await.map_err(unanswered)?;
        }
        self.show(&done)?;
        output::say(&format!("epoch {} has begun; start the engraft processes again", done.next.epoch));
        Ok(())
    }

    fn show(&self, plan: &fence::Plan) -> Result<(), Failure> {
        let steps: Vec<Value> = plan.steps.iter().map(value).collect();
        let document =
            json!({ "epoch": plan.last.epoch, "next_epoch": plan.next.epoch, "partitions": steps });
        let mut out = output::Out::new();
        out.list(self.show.output, &document, "partitions", &STEPS)?;
        out.finish()
    }
}

fn agree(plan: &fence::Plan) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "nobody is there to agree; say `--yes` to begin a new epoch without asking",
        ));
    }
    let (last, next) = (plan.last.epoch, plan.next.epoch);
    write!(io::stderr(), "end epoch {last} for good and begin epoch {next}? [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn value(report: &impl serde::Serialize) -> Value {
    serde_json::to_value(report).unwrap_or_default()
}

fn unanswered(error: impl std::error::Error) -> Failure {
    Failure::chain(Exit::Unreachable, &error)
}

fn unfenced(error: fence::Error) -> Failure {
    let exit = match error {
        fence::Error::Ledger(_) | fence::Error::Log(_) => Exit::Unreachable,
        fence::Error::Needless | fence::Error::Helpless(_) | fence::Error::Busy(_) => Exit::Failed,
    };
    Failure::chain(exit, &error)
}
