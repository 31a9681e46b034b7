//! `GET /metrics`: what the process counts, and how its partitions do at this moment. For operators alone:
//! the figures are of all spaces together.

use std::collections::BTreeMap;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

use crate::{
    metrics,
    model::PartitionId,
    telemetry::prometheus,
    worker::{
        board::{PartitionState, PartitionStatus},
        inspect,
    },
};

use super::{
    access::{Access, Operator},
    problem::Problem,
};

/// `GET /metrics`, in Prometheus' text form.
pub(super) async fn show(access: Access) -> Result<Response, Problem> {
    let operator = access.operator()?;
    let mut unfinished = BTreeMap::new();
    // Before the worker has opened the log there is nothing to say of partitions.
    if let Ok(epoch) = access.epoch().await {
        for partition in 0..access.partitions() {
            operator.measure(PartitionId { epoch, partition }, &mut unfinished).await?;
        }
    }
    let works = |status: &&PartitionStatus| {
        matches!(status.state, PartitionState::Recovering | PartitionState::Working | PartitionState::Halted)
    };
    metrics::assigned(operator.board().partitions().iter().filter(works).count());
    metrics::unfinished(|state| unfinished.get(state).copied().unwrap_or_default());
    let form = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((form, prometheus::render()).into_response())
}

impl Operator<'_> {
    async fn measure(
        &self,
        id: PartitionId,
        states: &mut BTreeMap<&'static str, usize>,
    ) -> Result<(), Problem> {
        let report = inspect::partition(self.ledger(), self.log(), id, self.now()).await?;
        for row in &self.ledger().unfinished(id, 0, inspect::UNFINISHED_COUNTED).await? {
            *states.entry(row.state.as_str()).or_default() += 1;
        }
        let status = self.board().partitions().into_iter().find(|status| status.partition == id.partition);
        metrics::partition(&metrics::Partition {
            number: id.partition,
            state: status.as_ref().map(|status| word(status.state)),
            intake_paused: status.is_some_and(|status| status.intake_paused),
            halt: report.halt.as_ref().map(|halt| halt.code.as_str()),
            lag: report.lag,
            lag_age_seconds: report.lag_seconds,
            oldest_seconds: report.oldest.map_or(0.0, |oldest| oldest.age_seconds),
            finishes: report.finishes,
        });
        Ok(())
    }
}

fn word(state: PartitionState) -> &'static str {
    match state {
        PartitionState::Recovering => "recovering",
        PartitionState::Working => "working",
        PartitionState::Overtaken => "overtaken",
        PartitionState::Halted => "halted",
        PartitionState::Stopped => "stopped",
    }
}
