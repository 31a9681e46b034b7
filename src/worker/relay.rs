//! Relay: publishes what has ended, at least once, then says so.
//!
//! Ended rows are the outbox. They are sent, and only then marked; a relay that dies in between sends
//! them again, byte for byte. The owner hands over what it has just ended; whatever it could not hand
//! over whole, and whatever an earlier owner left behind, is read from the ledger.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::Ports;
use crate::{
    fault::{Bug, planted},
    ledger::{SagaRow, lease, turn::Finished},
    log::{DeadLetter, OutcomeEvent, ReadError},
    model::{Code, PartitionId},
    saga::backoff::Backoff,
};

/// Rows read at once.
const ROWS_MAX: usize = 1_000;

/// Publishes finishes after `published`, as they are handed over or as `finishes` names them, and tells
/// `marks` how far it is.
pub(super) async fn run(
    ports: &Ports,
    (partition, lease): (PartitionId, Arc<lease::Watch>),
    mut published: u64,
    mut finishes: watch::Receiver<u64>,
    mut ended: mpsc::Receiver<Finished>,
    marks: watch::Sender<u64>,
    mut backoff: Backoff,
) {
    while finishes.wait_for(|finish| *finish > published).await.is_ok() {
        // What was handed over late has been read from the ledger by now.
        let mut handed = ended.try_recv().ok();
        while handed.as_ref().is_some_and(|handed| handed.number <= published) {
            handed = ended.try_recv().ok();
        }
        let next = handed.filter(|handed| handed.number == published + 1);
        if let Err(error) = lease.check().await {
            // Another owner publishes the same, and the witness must not fall behind what it has said.
            tracing::debug!(%partition, %error, "nothing is published without a lease");
            tokio::select! {
                biased;
                () = marks.closed() => return,
                () = backoff.wait() => continue,
            }
        }
        let sent = match next {
            Some(Finished { number, rows: Some(rows) }) => {
                publish(ports, partition, number, rows, &marks).await
            }
            Some(Finished { rows: None, .. }) | None => {
                read_and_publish(ports, partition, published, &marks).await
            }
        };
        match sent {
            Ok(done) => {
                published = done;
                marks.send_replace(published);
                backoff.reset();
            }
            Err(why) => {
                tracing::warn!(%partition, why, "outcomes wait in the ledger; trying again");
                tokio::select! {
                    biased;
                    () = marks.closed() => return,
                    () = backoff.wait() => {}
                }
            }
        }
    }
}

async fn read_and_publish(
    ports: &Ports,
    partition: PartitionId,
    after: u64,
    marks: &watch::Sender<u64>,
) -> Result<u64, String> {
    let ended =
        ports.ledger.ended_after(partition, after, ROWS_MAX).await.map_err(|error| error.to_string())?;
    let Some((last, _)) = ended.last() else { return Ok(after) };
    let last = *last;
    let rows = ended.into_iter().flat_map(|(_, rows)| rows).collect();
    publish(ports, partition, last, rows, marks).await
}

/// Sends rows that end with finish `last`.
async fn publish(
    ports: &Ports,
    partition: PartitionId,
    last: u64,
    rows: Vec<SagaRow>,
    marks: &watch::Sender<u64>,
) -> Result<u64, String> {
    if planted(Bug::MarkedBeforeSent) {
        marks.send_replace(last);
    }
    let mut events = Vec::with_capacity(rows.len());
    let mut letters = Vec::new();
    for row in rows {
        if row.dead_letter {
            letters.extend(letter(ports, partition, &row).await?);
        }
        events.extend(event(ports, partition, row));
    }
    if !letters.is_empty() {
        ports.dead_letters.send(&letters).await?;
    }
    if !events.is_empty() {
        ports.outcomes.publish(partition, &events).await?;
    }
    Ok(last)
}

fn event(ports: &Ports, partition: PartitionId, row: SagaRow) -> Option<OutcomeEvent> {
    let mut outcome = row.outcome(partition)?;
    if planted(Bug::RandomOutcomeId) {
        outcome.token = ports.random.next_u64().to_string();
    }
    if planted(Bug::OutcomeToldAnew) {
        outcome.finished_at = ports.clock.now();
    }
    Some(OutcomeEvent { outcome, finish: row.finish, trace: row.header?.trace })
}

/// The record itself is still in the log: it was read from there.
async fn letter(ports: &Ports, partition: PartitionId, row: &SagaRow) -> Result<Option<DeadLetter>, String> {
    let error = row.ending.as_ref().and_then(|ending| ending.errors.first());
    let code = row.ending.as_ref().map_or(Code::Malformed, |ending| ending.code);
    let detail = error.map(|error| error.detail.clone()).unwrap_or_default();
    match ports.log.record(partition.partition, row.offset).await {
        Ok(Some(mut record)) => {
            record.position.epoch = partition.epoch;
            Ok(Some(DeadLetter { record, code, detail }))
        }
        // Retention has overtaken the relay: the outcome still tells what was wrong.
        Ok(None) | Err(ReadError::OutOfRange { .. }) => {
            tracing::error!(%partition, offset = row.offset, %code, "a record left the log before its dead letter was sent");
            Ok(None)
        }
        Err(ReadError::Unavailable(why)) => Err(why),
    }
}
