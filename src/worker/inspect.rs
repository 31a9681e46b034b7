//! What can be said of a partition from outside: by any process, whether or not it works on it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::{self, Ledger},
    log::{
        CommandLog, ReadError,
        envelope::schema::{outcome, text},
    },
    model::{PartitionId, Position, Timestamp},
};

/// Unfinished commands are counted one by one up to here.
pub const UNFINISHED_COUNTED: usize = 1_000;

/// How a partition does.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "PartitionStatus")]
pub struct PartitionReport {
    /// Its number.
    pub partition: u32,
    /// `halted`; else `owned` once a process has taken it, which may have stopped since; else `free`.
    pub state: &'static str,
    /// The process that took it last, by the random number that it drew at its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Below it, every command is in the ledger.
    pub watermark: u64,
    /// One past the newest command in the log.
    pub log_end: u64,
    /// Commands in the log that are not in the ledger yet.
    pub lag: u64,
    /// Age of the oldest of them, in seconds.
    pub lag_seconds: f64,
    /// Commands in the ledger that have not ended.
    pub unfinished: usize,
    /// Whether there may be more of them than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unfinished_or_more: bool,
    /// The oldest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Oldest>,
    /// Transactions that ended commands.
    pub finishes: u64,
    /// Those whose outcomes are published.
    pub published: u64,
    /// Why it stands still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halt: Option<HaltReport>,
}

/// The oldest command that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Oldest {
    /// Where it stands.
    #[schemars(with = "outcome::Position")]
    pub position: Position,
    /// How far it has come.
    pub state: &'static str,
    /// When the log took it.
    #[schemars(with = "text::Time")]
    pub accepted_at: Timestamp,
    /// How long ago that was, in seconds.
    pub age_seconds: f64,
}

/// Why a partition stands still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HaltReport {
    /// A word for scripts.
    pub code: String,
    /// A sentence for people.
    pub reason: String,
}

/// Why nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The ledger does not answer.
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    /// The log does not answer.
    #[error(transparent)]
    Log(#[from] ReadError),
}

/// How a partition does at this moment. Costs a few reads of ledger and log, and the rows of as many unfinished
/// commands as are counted.
///
/// # Errors
/// [`Error`] when ledger or log do not answer.
pub async fn partition(
    ledger: &dyn Ledger,
    log: &dyn CommandLog,
    id: PartitionId,
    now: Timestamp,
) -> Result<PartitionReport, Error> {
    let row = ledger.partition(id).await?;
    let bounds = log.bounds(id.partition).await?;
    let unfinished = ledger.unfinished(id, 0, UNFINISHED_COUNTED).await?;
    let next = row.watermark.max(bounds.start);
    let lag = bounds.end.saturating_sub(next);
    let waiting = if lag == 0 { None } else { log.record(id.partition, next).await? };
    let owner = (row.nonce != 0).then(|| format!("{:016x}", row.nonce >> 64));
    let halt = row.halt.as_deref().map(halt);
    let state = match (&halt, &owner) {
        (Some(_), _) => "halted",
        (None, Some(_)) => "owned",
        (None, None) => "free",
    };
    Ok(PartitionReport {
        partition: id.partition,
        state,
        owner,
        watermark: row.watermark,
        log_end: bounds.end,
        lag,
        lag_seconds: waiting.map_or(0.0, |record| age_seconds(now, record.appended_at)),
        unfinished: unfinished.len(),
        unfinished_or_more: unfinished.len() == UNFINISHED_COUNTED,
        oldest: unfinished.first().map(|row| Oldest {
            position: id.at(row.offset),
            state: row.state.as_str(),
            accepted_at: row.accepted_at,
            age_seconds: age_seconds(now, row.accepted_at),
        }),
        finishes: row.finishes,
        published: row.published,
        halt,
    })
}

/// From the row's `code: sentence`.
fn halt(text: &str) -> HaltReport {
    let (code, reason) = text.split_once(": ").unwrap_or(("unknown", text));
    HaltReport { code: code.to_owned(), reason: reason.to_owned() }
}

/// None, where the clock went back.
fn age_seconds(now: Timestamp, then: Timestamp) -> f64 {
    let micros = now.as_micros().saturating_sub(then.as_micros()).max(0);
    std::time::Duration::from_micros(micros.unsigned_abs()).as_secs_f64()
}
