//! `GET /metrics`: what the process counts, and how its partitions do at this moment. For operators alone:
//! the figures are of all spaces together.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

use crate::{
    metrics,
    model::{PartitionId, Timestamp},
    telemetry::prometheus,
    worker::board::PartitionState,
};

use super::{
    access::{Access, Operator},
    problem::Problem,
};

/// Unfinished commands are counted one by one up to here.
const UNFINISHED_COUNTED: usize = 1_000;

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
        let row = self.ledger().partition(id).await?;
        let bounds = self.log().bounds(id.partition).await.map_err(crate::reader::Error::from)?;
        let unfinished = self.ledger().unfinished(id, 0, UNFINISHED_COUNTED).await?;
        for row in &unfinished {
            *states.entry(row.state.as_str()).or_default() += 1;
        }
        let next = row.watermark.max(bounds.start);
        let lag = bounds.end.saturating_sub(next);
        let waiting = match lag {
            0 => None,
            _ => self.log().record(id.partition, next).await.map_err(crate::reader::Error::from)?,
        };
        let now = self.now();
        let state = self.board().partitions().into_iter().find(|status| status.partition == id.partition);
        metrics::partition(&metrics::Partition {
            number: id.partition,
            state: state.map(|status| word(status.state)),
            lag,
            lag_age: waiting.map_or(Duration::ZERO, |record| age(now, record.appended_at)),
            oldest: unfinished.first().map_or(Duration::ZERO, |row| age(now, row.accepted_at)),
            finishes: row.finishes,
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

/// None, where the clock went back.
fn age(now: Timestamp, then: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(now.as_micros().saturating_sub(then.as_micros())).unwrap_or_default())
}
