//! `engraft bench`: rates beside those of the same drivers on their own.

use std::path::PathBuf;

use crate::bench;

use super::{Exit, Failure, Format, output, runtime};

/// What `bench` measures.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// The embedded deployment: log, ledger and index in one folder
    #[command(after_help = "Example:\n  engraft bench embedded --count 10000 --rounds 1")]
    Embedded(Arguments),
    /// Single reads: by id, searches, walks, beside the stores below them, in microseconds
    #[command(after_help = "Example:\n  engraft bench reads --count 20000")]
    Reads(Arguments),
    /// How long a command takes to be accepted over HTTP, beside the log's own append
    #[command(after_help = "Example:\n  engraft bench accept --rounds 3")]
    Accept(Arguments),
    /// Adding memories one by one and in batches, beside SQLite with a commit a row
    #[command(after_help = "Example:\n  engraft bench adds")]
    Adds(Arguments),
    /// An audit of so many memories, which are put first
    #[command(after_help = "Example:\n  engraft bench audit --count 100000 -o json")]
    Audit(Arguments),
    /// The ledger on Postgres, beside a bare upsert of the same rows
    #[cfg(feature = "postgres")]
    #[command(after_help = "Example:\n  engraft bench ledger --url postgres://ada@localhost/scratch")]
    Ledger(LedgerArguments),
    /// Kafka, Postgres and Qdrant's protocol: throughput, latencies and far stores, beside each part alone
    #[cfg(all(feature = "postgres", feature = "qdrant"))]
    #[command(
        after_help = "Example:\n  engraft bench kafka --brokers localhost:9092 --postgres postgres://ada@localhost/scratch"
    )]
    Kafka(KafkaArguments),
}

/// What a benchmark over Kafka takes besides.
#[cfg(all(feature = "postgres", feature = "qdrant"))]
#[derive(Debug, clap::Args)]
pub(super) struct KafkaArguments {
    /// Brokers, `host:port`, on which it makes topics and deletes them again
    #[arg(long, env = "KAFKA_BOOTSTRAP_SERVERS")]
    brokers: String,
    /// Copies of each partition
    #[arg(long, default_value_t = 1)]
    replication: u32,
    /// The database, in which it makes a schema and drops it again
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    postgres: String,
    /// A Qdrant server's gRPC address; without one, a stand-in runs in this process
    #[arg(long)]
    qdrant: Option<String>,
    /// Measures this part alone; may be given several times
    #[arg(long, value_enum)]
    only: Vec<bench::Part>,
    #[command(flatten)]
    more: Arguments,
}

/// What a benchmark of the ledger takes besides.
#[cfg(feature = "postgres")]
#[derive(Debug, clap::Args)]
pub(super) struct LedgerArguments {
    /// The database, in which it makes a schema and drops it again
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    url: String,
    #[command(flatten)]
    more: Arguments,
}

/// What a benchmark takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Commands of a row
    #[arg(long, default_value_t = 40_000)]
    count: usize,
    /// How often the batched rows are measured; the median is told
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Length of the vectors
    #[arg(long, default_value_t = 384)]
    dimension: usize,
    /// A folder on the disk to measure; a temporary one by default
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    show: output::Show,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let arguments = match command {
        Command::Embedded(arguments)
        | Command::Reads(arguments)
        | Command::Accept(arguments)
        | Command::Adds(arguments)
        | Command::Audit(arguments) => arguments,
        #[cfg(feature = "postgres")]
        Command::Ledger(arguments) => &arguments.more,
        #[cfg(all(feature = "postgres", feature = "qdrant"))]
        Command::Kafka(arguments) => &arguments.more,
    };
    let name = format!("engraft-bench-{}", std::process::id());
    let folder = arguments.folder.clone().unwrap_or_else(std::env::temp_dir).join(name);
    let options = bench::Options {
        count: arguments.count.max(1),
        rounds: arguments.rounds.max(1),
        dimension: arguments.dimension.max(1),
        batch: 500,
        count_single: 500,
        count_unfinished: 10_000,
        folder: folder.clone(),
    };
    let made = std::fs::create_dir_all(&folder);
    made.map_err(|error| Failure::new(Exit::Failed, format!("make `{}`: {error}", folder.display())))?;
    output::say(&format!("measuring {} commands a row in `{}`", options.count, folder.display()));
    let runtime = runtime()?;
    let measured = match command {
        Command::Embedded(_) => runtime.block_on(bench::embedded(&options, |_| ())),
        Command::Accept(_) => runtime.block_on(bench::accept(&options)),
        Command::Adds(_) => runtime.block_on(bench::adds(&options)),
        Command::Reads(_) => runtime.block_on(bench::reads(&options, |_| ())),
        #[cfg(feature = "postgres")]
        Command::Ledger(arguments) => runtime.block_on(bench::ledger(&options, &arguments.url)),
        #[cfg(all(feature = "postgres", feature = "qdrant"))]
        Command::Kafka(arguments) => {
            let servers = bench::Servers {
                brokers: arguments.brokers.clone(),
                replication: arguments.replication,
                postgres: arguments.postgres.clone(),
                qdrant: arguments.qdrant.clone(),
            };
            let parts = &arguments.only;
            runtime.block_on(bench::kafka(&options, &servers, parts, |row| output::say(&line(row))))
        }
        Command::Audit(_) => {
            let bar = output::progress(options.count as u64, "memories put");
            let row = runtime.block_on(bench::audit(&options, |loaded| bar.set_position(loaded as u64)));
            bar.finish_and_clear();
            row.map(|row| vec![row])
        }
    };
    let removed = std::fs::remove_dir_all(&folder);
    let rows = measured.map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let mut out = output::Out::new();
    for row in &rows {
        match arguments.show.output {
            Format::Table => out.line(&line(row))?,
            Format::Json | Format::Jsonl => out.line(&serde_json::to_string(row).unwrap_or_default())?,
        }
    }
    out.finish()?;
    removed.map_err(|error| Failure::new(Exit::Failed, format!("remove `{}`: {error}", folder.display())))
}

fn line(row: &bench::Row) -> String {
    let against = match (&row.baseline, row.ratio) {
        (Some(baseline), Some(ratio)) => format!("{ratio:>8.2} x {}", baseline.name),
        _ => String::new(),
    };
    let spent: Vec<String> = row
        .spent
        .iter()
        .map(|(stage, seconds)| {
            if *seconds < 0.1 {
                format!("{stage} {:.2} ms", seconds * 1e3)
            } else {
                format!("{stage} {seconds:.2} s")
            }
        })
        .collect();
    format!("{:<26} {:>12.1} {:<11}{against:<30} {}", row.name, row.rate, row.unit, spent.join(", "))
        .trim_end()
        .to_owned()
}
