//! What the server says of itself.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    log::envelope::schema::{outcome, text},
    model::{PartitionId, Position, Timestamp},
};

use super::{
    Guarantees, Problem, State,
    access::{Access, Operator},
};

/// Unfinished commands are counted one by one up to here.
const UNFINISHED_COUNTED: usize = 1_000;

/// `GET /livez`: touches nothing.
pub(super) async fn alive() -> &'static str {
    "alive\n"
}

/// `GET /readyz`, `/healthz`: the worker has opened the log, and the ledger answers.
pub(super) async fn ready(shared: State) -> Result<&'static str, Problem> {
    shared.ready().await?;
    Ok("ready\n")
}

/// `GET /v1/guarantees`.
pub(super) async fn guarantees(access: Access) -> Json<Guarantees> {
    Json(access.guarantees().clone())
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Status {
    epoch: u32,
    /// What all spaces together are doing, for who may see all of them.
    #[serde(flatten)]
    work: Option<Work>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Work {
    unfinished: usize,
    lag: u64,
    partitions: Vec<PartitionStatus>,
}

#[derive(Debug, Serialize, JsonSchema)]
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

#[derive(Debug, Serialize, JsonSchema)]
struct Oldest {
    #[schemars(with = "outcome::Position")]
    position: Position,
    state: &'static str,
    #[schemars(with = "text::Time")]
    accepted_at: Timestamp,
}

/// `GET /v1/status`: partitions that never held anything are left out. Who is no operator learns that
/// the server works, and nothing of what it works on.
pub(super) async fn status(access: Access) -> Result<Response, Problem> {
    let epoch = access.epoch().await?;
    let Ok(operator) = access.operator() else {
        return Ok(Json(Status { epoch, work: None }).into_response());
    };
    let mut partitions = Vec::new();
    for partition in 0..access.partitions() {
        let status = operator.partition(PartitionId { epoch, partition }).await?;
        if status.log_end > 0 || status.watermark > 0 {
            partitions.push(status);
        }
    }
    let unfinished = partitions.iter().map(|status| status.unfinished).sum();
    let lag = partitions.iter().map(|status| status.lag).sum();
    let work = Some(Work { unfinished, lag, partitions });
    Ok(Json(Status { epoch, work }).into_response())
}

impl Operator<'_> {
    async fn partition(&self, id: PartitionId) -> Result<PartitionStatus, Problem> {
        let row = self.ledger().partition(id).await?;
        let bounds = self.log().bounds(id.partition).await.map_err(crate::reader::Error::from)?;
        let unfinished = self.ledger().unfinished(id, 0, UNFINISHED_COUNTED).await?;
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
