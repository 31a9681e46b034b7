//! Kafka, Postgres and a vector store on a server: what the whole does beside the parts that it is made of.
//!
//! ```text
//! throughput  brokers ─▶ worker ─▶ Postgres + Qdrant's protocol, or + the embedded index │ each store alone
//! accepted    HTTP ─▶ brokers                                                            │ the producer alone
//! outcomes    append ─▶ … ─▶ outcome at another client, 500 a second                     │ its parts
//! far         stores that take 100 ms a call: one partition's order, 1, 2 and 4 workers  │ what the delay allows
//! ```
//!
//! Every run has topics, a schema and a collection of its own, which go with it.

mod cluster;
mod far;
mod outcomes;
mod store;
mod throughput;

use clap::ValueEnum as _;

use super::{Error, Options, Row};

/// The servers to measure on.
#[derive(Debug, Clone)]
pub struct Servers {
    /// Bootstrap brokers.
    pub brokers: String,
    /// Copies of each partition.
    pub replication: u32,
    /// A Postgres database, in which the run makes a schema of its own.
    pub postgres: String,
    /// A Qdrant server's gRPC address; without one, a stand-in that speaks its protocol runs in this process.
    pub qdrant: Option<String>,
}

/// Partitions of the commands, where it does not matter how many.
const PARTITIONS: u32 = 32;
/// Spaces that the load is spread over.
const SPACES: usize = 128;

/// What can be measured on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The whole and its stores, in bulk; a command at a time.
    Throughput,
    /// Accepting over HTTP.
    Accept,
    /// Command to outcome at 500 a second.
    Outcomes,
    /// Order over a store that is far away.
    Ordered,
    /// One, two and four workers over such stores.
    Workers,
}

/// Measures these parts, or all if there are none, calling `done` with each row as it comes.
///
/// # Errors
/// [`Error`] when a server does not answer.
pub async fn kafka(
    options: &Options,
    servers: &Servers,
    parts: &[Part],
    mut done: impl FnMut(&Row),
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for part in Part::value_variants() {
        if !parts.is_empty() && !parts.contains(part) {
            continue;
        }
        let found = match part {
            Part::Throughput => throughput::rows(options, servers).await?,
            Part::Accept => outcomes::accepted(options, servers).await?,
            Part::Outcomes => outcomes::latencies(options, servers).await?,
            Part::Ordered => far::ordered(options, servers).await?,
            Part::Workers => far::scaling(options, servers).await?,
        };
        found.iter().for_each(&mut done);
        rows.extend(found);
    }
    Ok(rows)
}
