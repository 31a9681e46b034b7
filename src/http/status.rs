//! What the server says of itself.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::model::{PartitionId, Position, Timestamp};

use super::{Guarantees, Problem, Shared, State};

/// Unfinished commands are counted one by one up to here.
const UNFINISHED_COUNTED: usize = 1_000;

/// `GET /livez`: touches nothing.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// `GET /readyz`, `/healthz`: the worker has opened the log, and the ledger answers.
pub(super) async fn ready(shared: State) -> Result<&'static str, Problem> {
    shared.epoch().await?;
    shared.ports.ledger.epoch().await?;
    Ok("ready\n")
}

/// `GET /v1/guarantees`.
pub(super) async fn guarantees(shared: State) -> Json<Guarantees> {
    Json(shared.ports.guarantees.clone())
}

#[derive(Debug, Serialize)]
struct Status {
    epoch: u32,
    unfinished: usize,
    lag: u64,
    partitions: Vec<PartitionStatus>,
}

#[derive(Debug, Serialize)]
struct PartitionStatus {
    partition: u32,
    /// Below it, every command is in the ledger.
    watermark: u64,
    /// One past the newest command in the log.
    log_end: u64,
    /// Commands in the log that are not in the ledger yet.
    lag: u64,
    /// Commands in the ledger that have not ended.
    unfinished: usize,
    /// Whether there may be more of them than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unfinished_or_more: bool,
    /// The oldest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<Oldest>,
    /// Transactions that ended commands.
    finishes: u64,
    /// Those whose outcomes are published.
    published: u64,
}

#[derive(Debug, Serialize)]
struct Oldest {
    position: Position,
    state: &'static str,
    accepted_at: Timestamp,
}

/// `GET /v1/status`: partitions that never held anything are left out.
pub(super) async fn status(shared: State) -> Result<Response, Problem> {
    let epoch = shared.epoch().await?;
    let mut partitions = Vec::new();
    for partition in 0..shared.partitions {
        let status = shared.partition(PartitionId { epoch, partition }).await?;
        if status.log_end > 0 || status.watermark > 0 {
            partitions.push(status);
        }
    }
    let unfinished = partitions.iter().map(|status| status.unfinished).sum();
    let lag = partitions.iter().map(|status| status.lag).sum();
    Ok(Json(Status { epoch, unfinished, lag, partitions }).into_response())
}

impl Shared {
    async fn partition(&self, id: PartitionId) -> Result<PartitionStatus, Problem> {
        let row = self.ports.ledger.partition(id).await?;
        let bounds = self.ports.log.bounds(id.partition).await.map_err(crate::reader::Error::from)?;
        let unfinished = self.ports.ledger.unfinished(id, 0, UNFINISHED_COUNTED).await?;
        Ok(PartitionStatus {
            partition: id.partition,
            watermark: row.watermark,
            log_end: bounds.end,
            lag: bounds.end.saturating_sub(row.watermark.max(bounds.start)),
            unfinished: unfinished.len(),
            unfinished_or_more: unfinished.len() == UNFINISHED_COUNTED,
            oldest: unfinished.first().map(|row| Oldest {
                position: id.at(row.offset),
                state: row.state.as_str(),
                accepted_at: row.accepted_at,
            }),
            finishes: row.finishes,
            published: row.published,
        })
    }
}
