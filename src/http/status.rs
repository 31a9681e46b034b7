//! What the server says of itself.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    model::PartitionId,
    worker::inspect::{self, PartitionReport},
};

use super::{Guarantees, Problem, State, access::Access};

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
    partitions: Vec<PartitionReport>,
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
        let id = PartitionId { epoch, partition };
        let status = inspect::partition(operator.ledger(), operator.log(), id, operator.now()).await?;
        if status.log_end > 0 || status.watermark > 0 {
            partitions.push(status);
        }
    }
    let unfinished = partitions.iter().map(|status| status.unfinished).sum();
    let lag = partitions.iter().map(|status| status.lag).sum();
    let work = Some(Work { unfinished, lag, partitions });
    Ok(Json(Status { epoch, work }).into_response())
}
