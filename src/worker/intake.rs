//! Intake: reads one partition ahead of its owner and decodes it there.
//!
//! What arrives while the owner is busy becomes one batch. Bounded: two wait for the owner at most; beyond that
//! the log is not read.

use tokio::sync::mpsc;

use crate::{
    ledger::begin::Inbound,
    log::{
        CommandLog, ReadError, Record,
        envelope::{self, Decoded, Limits, Routing},
    },
    model::{Digest, Timestamp},
    saga::backoff::Backoff,
};

/// A batch that has so many bytes grows no more.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// What intake hands to the owner.
pub(super) type Batch = Result<Vec<Inbound>, ReadError>;

/// Reads from `offset` on until the owner has gone or the log says that the offset is not there.
/// The latter is the last thing it hands over. `decoded` hears how many microseconds decoding took.
pub(super) async fn run(
    log: &dyn CommandLog,
    (epoch, partition): (u32, u32),
    mut offset: u64,
    (batch_count_max, limits): (usize, Limits),
    mut backoff: Backoff,
    owner: mpsc::Sender<Batch>,
    decoded: impl Fn(u64),
) {
    let topology = log.topology();
    let routing = Routing { partitions: topology.partitions, partitioner: topology.partitioner };
    'open: loop {
        let mut reader = match log.reader(partition, offset).await {
            Ok(reader) => reader,
            Err(ReadError::Unavailable(why)) => {
                tracing::warn!(partition, why, "the log cannot be opened; trying again");
                tokio::select! {
                    biased;
                    () = owner.closed() => return,
                    () = backoff.wait() => continue 'open,
                }
            }
            Err(gone) => return hand_over(&owner, Err(gone)).await,
        };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            let room = if bytes < BATCH_BYTES_MAX { batch_count_max - batch.len() } else { 0 };
            let records = tokio::select! {
                biased;
                () = owner.closed() => return,
                place = owner.reserve(), if !batch.is_empty() => {
                    let Ok(place) = place else { return };
                    place.send(Ok(std::mem::take(&mut batch)));
                    bytes = 0;
                    continue;
                }
                records = reader.next(room), if room > 0 => records,
            };
            if records.is_err() && !batch.is_empty() {
                hand_over(&owner, Ok(std::mem::take(&mut batch))).await;
            }
            match records {
                Ok(records) => {
                    backoff.reset();
                    let Some(last) = records.last() else { continue };
                    offset = last.position.offset + 1;
                    bytes += records.iter().map(size).sum::<usize>();
                    let started = tokio::time::Instant::now();
                    batch.extend(records.iter().map(|record| inbound(epoch, record, routing, &limits)));
                    decoded(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
                }
                Err(ReadError::Unavailable(why)) => {
                    tracing::warn!(partition, why, "the log cannot be read; trying again");
                    tokio::select! {
                        biased;
                        () = owner.closed() => return,
                        () = backoff.wait() => continue 'open,
                    }
                }
                Err(gone) => return hand_over(&owner, Err(gone)).await,
            }
        }
    }
}

async fn hand_over(owner: &mpsc::Sender<Batch>, batch: Batch) {
    if owner.send(batch).await.is_err() {
        tracing::debug!("the owner has let go; what was read ahead is read again by the next one");
    }
}

fn size(record: &Record) -> usize {
    record.value.as_ref().map_or(0, |value| value.len())
}

/// The log knows partitions and offsets; the epoch is the ledger's.
fn inbound(epoch: u32, record: &Record, routing: Routing, limits: &Limits) -> Inbound {
    let decoded = envelope::decode(record, routing, limits);
    let raw_hash = match &decoded {
        Decoded::Unreadable { .. } => Digest::of(record.value.as_deref().unwrap_or_default()),
        Decoded::Command(_) | Decoded::Failed(_) => Digest([0; 32]),
    };
    let mut position = record.position;
    position.epoch = epoch;
    Inbound { position, accepted_at: record.appended_at, crc: record.crc(), raw_hash, decoded }
}

/// What tells a record from every other that stood or stands at its offset: the hash of its body as its row
/// has it, and when the log took it.
pub(super) fn identity(log: &dyn CommandLog, record: &Record, limits: &Limits) -> (Digest, Timestamp) {
    let topology = log.topology();
    let routing = Routing { partitions: topology.partitions, partitioner: topology.partitioner };
    let Inbound { decoded, raw_hash, accepted_at, .. } =
        inbound(record.position.epoch, record, routing, limits);
    let body_hash = match decoded {
        Decoded::Command(envelope) => envelope.body_hash,
        Decoded::Failed(failed) => failed.body_hash,
        Decoded::Unreadable { .. } => raw_hash,
    };
    (body_hash, accepted_at)
}
