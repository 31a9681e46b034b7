//! How producers append: straight to the log, or through a server's guard, and what they are told.
//!
//! A producer that is told that nothing was appended may say so to whoever sent the command, so it must be
//! true: every attempt carries a number of its own, and at rest no record of the log may have one of those.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;

use crate::{
    log::{AppendError, AppendedAt, CommandLog, NewRecord, Record},
    model::PartitionId,
};

use super::{log::SharedLog, monitor::Monitor, workload::Wire};

/// Attempts at one record before a producer gives it up.
const ATTEMPTS_MAX: usize = 4;
/// The header that tells attempts apart.
const ATTEMPT: &str = "attempt";

/// A producer's ways to the log.
#[derive(Clone)]
pub(super) struct Appends {
    /// Past everything, to any partition.
    pub(super) log: Arc<SharedLog>,
    /// Through a server, to the partition of the key.
    pub(super) server: Option<Arc<dyn CommandLog>>,
    /// What was told.
    pub(super) monitor: Arc<Monitor>,
    /// Numbers the attempts of the run.
    pub(super) attempts: Arc<AtomicU64>,
}

impl Appends {
    /// Appends, again while the answer is lost or no, as a client would that does not give up easily.
    pub(super) async fn append(&self, wire: &Wire) {
        for _ in 0..ATTEMPTS_MAX {
            let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
            match self.attempt(wire.clone(), attempt).await {
                Ok(at) => {
                    let partition = PartitionId { epoch: self.log.epoch(), partition: at.partition };
                    return self.monitor.acknowledged(partition.at(at.offset));
                }
                Err(AppendError::Unknown(_)) => {}
                Err(AppendError::Unavailable(_)) => self.monitor.told_never(attempt),
                Err(AppendError::Refused(_)) => return,
            }
        }
    }

    async fn attempt(&self, wire: Wire, attempt: u64) -> Result<AppendedAt, AppendError> {
        let Wire { partition, key, value, mut headers, doomed } = wire;
        headers.push((ATTEMPT.to_owned(), Bytes::from(attempt.to_string())));
        match (&self.server, key, value) {
            // A server takes no record that is wrong in its form.
            (Some(server), Some(key), Some(value)) if !doomed => {
                let answers = server.append(vec![NewRecord { key, value, headers }]).await;
                let none = || Err(AppendError::Unknown("no answer".to_owned()));
                answers.into_iter().next().unwrap_or_else(none)
            }
            (_, key, value) => self.log.produce(partition, key, value, headers, doomed).await,
        }
    }
}

/// Which attempt of a producer a record came from.
pub(super) fn attempt_of(record: &Record) -> Option<u64> {
    let header = record.headers.iter().find(|(name, _)| name == ATTEMPT)?;
    std::str::from_utf8(&header.1).ok()?.parse().ok()
}
