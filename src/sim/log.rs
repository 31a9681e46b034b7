//! The command log behind a network: the real in-memory log, whose answers are late, lost and doubled.
//!
//! Who works on which partition is the [`group`](super::group)'s to say.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::{
    fault::{Bug, planted},
    log::{
        AppendError, AppendedAt, Bounds, CommandLog, DeadLetter, DeadLetters, Headers, Membership, NewRecord,
        OutcomeEvent, OutcomeSink, ReadError, Reader, Record, Topology, memory::MemoryLog,
    },
    model::PartitionId,
};

use super::{
    boundary::{Action, Boundary},
    faults::Fault,
    group::{Group, SimulatedMembership},
    monitor::Monitor,
    network::{Link, Network},
    senders::Rights,
};

/// The log and its group: what every node shares.
pub(super) struct SharedLog {
    /// The log of each epoch, the current one last.
    logs: Mutex<Vec<MemoryLog>>,
    monitor: Arc<Monitor>,
    /// What carries the calls.
    pub(super) network: Arc<Network>,
    /// Who works on what.
    pub(super) group: Mutex<Group>,
}

impl SharedLog {
    /// An empty log without members.
    pub(super) fn new(log: MemoryLog, monitor: Arc<Monitor>, network: Arc<Network>) -> Self {
        Self { logs: Mutex::new(vec![log]), monitor, network, group: Mutex::default() }
    }

    /// The log of the current epoch.
    pub(super) fn log(&self) -> MemoryLog {
        self.logs.lock().last().cloned().expect("there is a log from the start")
    }

    /// The log of each epoch, from 1.
    pub(super) fn logs(&self) -> Vec<MemoryLog> {
        self.logs.lock().clone()
    }

    /// The epoch that positions carry now.
    pub(super) fn epoch(&self) -> u32 {
        u32::try_from(self.logs.lock().len()).unwrap_or(u32::MAX)
    }

    /// The log is made anew, and its group with it; what is still on its way arrives in the new one.
    pub(super) fn renew(&self, log: MemoryLog) {
        self.logs.lock().push(log);
        self.log().set_epoch(self.epoch());
        self.dissolve();
    }

    /// Appends one record for a producer, to `partition` whatever its key. `doomed`: whoever made it
    /// knows that it can never commit.
    ///
    /// # Errors
    /// `Unknown` when the answer was lost, whether or not the record is there.
    pub(super) async fn produce(
        self: &Arc<Self>,
        partition: u32,
        key: Option<Bytes>,
        value: Option<Bytes>,
        headers: Headers,
        doomed: bool,
    ) -> Result<AppendedAt, AppendError> {
        let faults = &self.network.faults;
        self.network.latency().await;
        let lost = || Err(AppendError::Unknown("no answer in time".to_owned()));
        let append = {
            let (log, epoch) = (Arc::clone(self), self.epoch());
            // What was in its wrong place may be in its right one when it arrives in another epoch.
            let doomed = move |log: &Self| doomed && log.epoch() == epoch;
            move || {
                let doomed = doomed(&log);
                log.append_one(partition, key.clone(), value.clone(), headers.clone(), doomed)
            }
        };
        if faults.fires(Fault::AppendRefused) {
            return Err(AppendError::Unavailable("the log takes nothing now".to_owned()));
        }
        if faults.fires(Fault::AppendLostRequest) {
            self.network.give_up().await;
            return lost();
        }
        if faults.fires(Fault::AppendLate) {
            let delay = Duration::from_millis(faults.between(Fault::AppendLate, 300, 4_000));
            self.network.spawn(async move {
                tokio::time::sleep(delay).await;
                drop(append());
            });
            self.network.give_up().await;
            return lost();
        }
        let answer = append();
        let struck = self.network.strike(Boundary::Appended);
        if let Some(action @ (Action::Kill | Action::Zombie)) = struck {
            self.network.blow(action);
        }
        if faults.fires(Fault::AppendDouble) || struck == Some(Action::Repeat) {
            drop(append());
        }
        if faults.fires(Fault::AppendLostReply) || struck == Some(Action::Unknown) {
            self.network.give_up().await;
            return lost();
        }
        answer
    }

    fn append_one(
        &self,
        partition: u32,
        key: Option<Bytes>,
        value: Option<Bytes>,
        headers: Headers,
        doomed: bool,
    ) -> Result<AppendedAt, AppendError> {
        let log = self.log();
        if self.network.faults.fires(Fault::OffsetGap) {
            log.skip(partition, self.network.faults.between(Fault::OffsetGap, 1, 3));
        }
        let appended = log.append_to(partition, key, value, headers)?;
        if planted(Bug::AckBeforeDurable) && appended.offset % 7 == 3 {
            // Acknowledged, and gone with the log's process before it was written down.
            log.truncate(partition, appended.offset);
            log.skip(partition, 1);
        }
        self.monitor.appended(PartitionId { epoch: self.epoch(), partition }, appended.offset, doomed);
        let at = PartitionId { epoch: self.epoch(), partition }.at(appended.offset);
        self.network.trace.event(&"log", format_args!("append {at}"));
        Ok(appended)
    }
}

/// One node's log, sink and dead letters.
pub(super) struct SimulatedLog {
    /// The node's way to it.
    pub(super) link: Link,
    /// What nodes share.
    pub(super) shared: Arc<SharedLog>,
    /// What the node was told.
    pub(super) rights: Arc<Rights>,
}

impl SimulatedLog {
    async fn reach(&self) -> Result<(), ReadError> {
        reach(&self.link).await
    }
}

async fn reach(link: &Link) -> Result<(), ReadError> {
    link.node.gate().await;
    link.network.latency().await;
    link.node.gate().await;
    if link.network.faults.fires(Fault::LogReadLost) {
        return Err(ReadError::Unavailable("the log did not answer".to_owned()));
    }
    Ok(())
}

#[async_trait]
impl CommandLog for SimulatedLog {
    fn topology(&self) -> Topology {
        self.shared.log().topology()
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<AppendedAt, AppendError>> {
        let Topology { partitions, partitioner, .. } = self.topology();
        let mut answers = Vec::with_capacity(records.len());
        for record in records {
            let partition = partitioner.partition(&record.key, partitions);
            let NewRecord { key, value, headers } = record;
            answers.push(self.shared.produce(partition, Some(key), Some(value), headers, false).await);
        }
        answers
    }

    async fn reader(&self, partition: u32, offset: u64) -> Result<Box<dyn Reader>, ReadError> {
        self.reach().await?;
        let inner = self.shared.log().reader(partition, offset).await?;
        Ok(Box::new(SimulatedReader { link: self.link.clone(), inner, read: VecDeque::new() }))
    }

    async fn bounds(&self, partition: u32) -> Result<Bounds, ReadError> {
        self.reach().await?;
        self.shared.log().bounds(partition).await
    }

    async fn record(&self, partition: u32, offset: u64) -> Result<Option<Record>, ReadError> {
        self.reach().await?;
        self.shared.log().record(partition, offset).await
    }

    async fn join(&self) -> Result<Box<dyn Membership>, ReadError> {
        self.reach().await?;
        let changed = self.shared.join(self.link.node.id);
        Ok(Box::new(SimulatedMembership {
            link: self.link.clone(),
            shared: Arc::clone(&self.shared),
            changed,
            rights: Arc::clone(&self.rights),
        }))
    }

    async fn note_watermark(&self, partition: u32, watermark: u64) {
        self.link.node.gate().await;
        self.shared.log().note_watermark(partition, watermark).await;
    }
}

struct SimulatedReader {
    link: Link,
    inner: Box<dyn Reader>,
    /// Read, and not handed out yet: cancelling a call must lose nothing.
    read: VecDeque<Record>,
}

#[async_trait]
impl Reader for SimulatedReader {
    async fn next(&mut self, count: usize) -> Result<Vec<Record>, ReadError> {
        reach(&self.link).await?;
        if self.read.is_empty() {
            let records = self.inner.next(count).await?;
            self.read.extend(records);
        }
        let struck = self.link.pass(Boundary::Fetched).await;
        if struck == Some(Action::Unknown) {
            return Err(ReadError::Unavailable("the log did not answer".to_owned()));
        }
        let count = count.max(1).min(self.read.len());
        Ok(self.read.drain(..count).collect())
    }
}

#[async_trait]
impl OutcomeSink for SimulatedLog {
    async fn publish(&self, partition: PartitionId, events: &[OutcomeEvent]) -> Result<(), String> {
        self.link.node.gate().await;
        self.link.network.latency().await;
        let faults = &self.link.network.faults;
        let lost = || Err("the outcomes topic did not answer".to_owned());
        if faults.fires(Fault::PublishLostRequest) {
            return lost();
        }
        let reply_lost = faults.fires(Fault::PublishLostReply);
        let part = if reply_lost {
            faults.between(Fault::PublishLostReply, 0, events.len() as u64)
        } else {
            events.len() as u64
        };
        let taken = events.get(..usize::try_from(part).unwrap_or(events.len())).unwrap_or(events);
        taken.iter().for_each(|event| self.shared.monitor.published(&event.outcome));
        self.shared.log().publish(partition, taken).await?;
        self.link.event(format_args!("publish {} of {} outcomes of {partition}", taken.len(), events.len()));
        if reply_lost {
            return lost();
        }
        match self.link.pass(Boundary::Unmarked).await {
            Some(Action::Unknown) => lost(),
            Some(Action::Repeat) => self.shared.log().publish(partition, taken).await,
            _ => Ok(()),
        }
    }

    async fn witness(&self, partition: PartitionId) -> Result<Option<u64>, String> {
        self.reach().await.map_err(|error| error.to_string())?;
        self.shared.log().witness(partition).await
    }
}

#[async_trait]
impl DeadLetters for SimulatedLog {
    async fn send(&self, letters: &[DeadLetter]) -> Result<(), String> {
        self.link.node.gate().await;
        self.link.network.latency().await;
        self.shared.log().send(letters).await?;
        self.link.event(format_args!("send {} dead letters", letters.len()));
        self.link.node.gate().await;
        if self.link.network.faults.fires(Fault::LetterLostReply) {
            return Err("the dead letters did not answer".to_owned());
        }
        Ok(())
    }
}
