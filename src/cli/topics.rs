//! `engraft topics …`: the topics of a log on Kafka, as they are and as they must be.

use crate::config::Config;

use super::{Exit, Failure, output, runtime};
use crate::log::kafka::topics::{self, Finding, PARTITIONS};

/// What can be done about topics.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show what would have to be made or changed
    #[command(after_help = "Example:\n  engraft topics plan --partitions 32")]
    Plan(Arguments),
    /// Make the topics that are not there; nothing that is there is touched
    #[command(after_help = "Example:\n  engraft topics apply --partitions 32 --replication 3")]
    Apply(Apply),
    /// Compare the topics with what they must be; exit code 3 when anything differs
    #[command(after_help = "Example:\n  engraft topics check -o json")]
    Check(Arguments),
}

/// What every one of them takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many partitions a new log has; fixed for good
    #[arg(long, value_name = "N", default_value_t = PARTITIONS, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: u32,
    #[command(flatten)]
    show: output::Show,
}

/// `topics apply`.
#[derive(Debug, clap::Args)]
pub(super) struct Apply {
    /// Copies of each partition
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    replication: u32,
    #[command(flatten)]
    all: Arguments,
}

pub(super) fn run(command: &Command, config: &Config) -> Result<(), Failure> {
    let (arguments, applies) = match command {
        Command::Plan(arguments) | Command::Check(arguments) => (arguments, None),
        Command::Apply(apply) => (&apply.all, Some(apply.replication)),
    };
    let unreachable = |error: rdkafka::error::KafkaError| {
        Failure::new(Exit::Unreachable, format!("the brokers `{}`: {error}", config.kafka.brokers))
    };
    let findings = runtime()?.block_on(async {
        if let Some(replication) = applies {
            // A log that is there keeps its own number; its answering topics get as many.
            let partitions = topics::partitions(&config.kafka).await.map_err(unreachable)?;
            let partitions = partitions.unwrap_or(arguments.partitions);
            topics::create(&config.kafka, partitions, replication).await.map_err(unreachable)?;
        }
        topics::survey(&config.kafka, arguments.partitions).await.map_err(unreachable)
    })?;
    show(&findings, arguments)?;
    match command {
        Command::Plan(_) => Ok(()),
        Command::Apply(_) | Command::Check(_) if findings.is_empty() => Ok(()),
        Command::Apply(_) | Command::Check(_) => {
            Err(Failure::new(Exit::Findings, "the topics are not as they must be"))
        }
    }
}

fn show(findings: &[Finding], arguments: &Arguments) -> Result<(), Failure> {
    let records: Vec<serde_json::Value> =
        findings.iter().map(|finding| serde_json::to_value(finding).unwrap_or_default()).collect();
    let document = serde_json::json!({ "findings": records });
    let columns = [
        ("TOPIC", "/topic"),
        ("WHAT", "/what"),
        ("FOUND", "/found"),
        ("EXPECTED", "/expected"),
        ("REMEDY", "/remedy"),
    ];
    let mut out = output::Out::new();
    out.list(arguments.show.output, &document, "findings", &columns)?;
    out.finish()?;
    if findings.is_empty() {
        output::say("the topics are as they must be");
    }
    Ok(())
}
