//! A command log in memory: for tests, and what the simulator puts its faults around.
//!
//! Clones are handles on the same log, so a "killed" worker leaves the log behind and its successor
//! opens it again. Nothing here depends on timing: the same calls in the same order give the same
//! log. It also collects outcomes and dead letters and lets a test look at them.
//!
//! It keeps everything until [`MemoryLog::trim`] is called, and it survives nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    AppendError, AppendedAt, Assignment, Bounds, CommandLog, DeadLetter, DeadLetters, Headers, Membership,
    NewRecord, OutcomeEvent, OutcomeSink, Partitioner, ReadError, Reader, Record, Topology,
};
use crate::{
    clock::Clock,
    model::{PartitionId, version::OFFSET_MAX},
};

/// A handle on a log in memory.
#[derive(Clone)]
pub struct MemoryLog(Arc<Shared>);

struct Shared {
    topology: Topology,
    clock: Arc<dyn Clock>,
    epoch: AtomicU32,
    state: Mutex<State>,
    /// Woken by every append, trim and close. One for all partitions: a waiter looks and waits on.
    changed: Notify,
}

#[derive(Default)]
struct State {
    partitions: Vec<Partition>,
    outcomes: Vec<(PartitionId, OutcomeEvent)>,
    letters: Vec<DeadLetter>,
    closed: bool,
}

#[derive(Default)]
struct Partition {
    start: u64,
    end: u64,
    records: BTreeMap<u64, Record>,
    watermark: u64,
}

impl Partition {
    fn bounds(&self) -> Bounds {
        Bounds { start: self.start, end: self.end }
    }
}

impl MemoryLog {
    /// An empty log named `identity`, of `partitions` (at least one), in epoch 1.
    #[must_use]
    pub fn new(
        identity: impl Into<String>,
        partitions: u32,
        partitioner: Partitioner,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let partitions = partitions.max(1);
        let state =
            State { partitions: (0..partitions).map(|_| Partition::default()).collect(), ..State::default() };
        Self(Arc::new(Shared {
            topology: Topology { identity: identity.into(), partitions, partitioner },
            clock,
            epoch: AtomicU32::new(1),
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }

    /// The epoch that the ledger gives this log: records read from now on carry it.
    pub fn set_epoch(&self, epoch: u32) {
        self.0.epoch.store(epoch, Ordering::Release);
    }

    /// Appends past the partitioner, as a foreign producer may: any partition, no key, no value.
    ///
    /// # Errors
    /// `Refused` when there is no such partition, or its offsets are used up.
    pub fn append_to(
        &self,
        partition: u32,
        key: Option<Bytes>,
        value: Option<Bytes>,
        headers: Headers,
    ) -> Result<AppendedAt, AppendError> {
        let at = self.0.clock.now();
        let epoch = self.0.epoch.load(Ordering::Acquire);
        let mut state = self.0.state.lock();
        let target = state
            .partitions
            .get_mut(partition as usize)
            .ok_or_else(|| AppendError::Refused(format!("there is no partition {partition}")))?;
        let offset = target.end;
        if offset > OFFSET_MAX {
            return Err(AppendError::Refused(format!("partition {partition} has no offsets left")));
        }
        let position = PartitionId { epoch, partition }.at(offset);
        target.records.insert(offset, Record { position, key, value, headers, appended_at: at });
        target.end += 1;
        drop(state);
        self.0.changed.notify_waiters();
        Ok(AppendedAt { partition, offset, at })
    }

    /// Leaves `count` offsets unused, as a compacted topic or a transaction marker does.
    pub fn skip(&self, partition: u32, count: u64) {
        if let Some(partition) = self.0.state.lock().partitions.get_mut(partition as usize) {
            partition.end += count;
        }
    }

    /// Drops every record below `start`, as retention does.
    pub fn trim(&self, partition: u32, start: u64) {
        if let Some(partition) = self.0.state.lock().partitions.get_mut(partition as usize) {
            partition.start = start.clamp(partition.start, partition.end);
            partition.records = partition.records.split_off(&partition.start);
        }
        self.0.changed.notify_waiters();
    }

    /// Drops every record from `end` on, as a log that lost acknowledged writes would have.
    pub fn truncate(&self, partition: u32, end: u64) {
        if let Some(partition) = self.0.state.lock().partitions.get_mut(partition as usize) {
            partition.end = end.clamp(partition.start, partition.end);
            let _lost = partition.records.split_off(&partition.end);
        }
        self.0.changed.notify_waiters();
    }

    /// Ends every membership; records stay readable.
    pub fn close(&self) {
        self.0.state.lock().closed = true;
        self.0.changed.notify_waiters();
    }

    /// The outcomes of a partition in the order of their publication, copies included.
    #[must_use]
    pub fn outcomes(&self, partition: PartitionId) -> Vec<OutcomeEvent> {
        let state = self.0.state.lock();
        state.outcomes.iter().filter(|(at, _)| *at == partition).map(|(_, event)| event.clone()).collect()
    }

    /// The dead letters in the order of their sending, copies included.
    #[must_use]
    pub fn letters(&self) -> Vec<DeadLetter> {
        self.0.state.lock().letters.clone()
    }

    /// What the ledger said last about how far it has read.
    #[must_use]
    pub fn watermark(&self, partition: u32) -> u64 {
        self.with_partition(partition, |partition| partition.watermark).unwrap_or(0)
    }

    fn with_partition<T>(&self, partition: u32, look: impl FnOnce(&Partition) -> T) -> Result<T, ReadError> {
        let state = self.0.state.lock();
        let found = state.partitions.get(partition as usize);
        found.map(look).ok_or_else(|| ReadError::Unavailable(format!("there is no partition {partition}")))
    }
}

#[async_trait]
impl CommandLog for MemoryLog {
    fn topology(&self) -> Topology {
        self.0.topology.clone()
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<AppendedAt, AppendError>> {
        let Topology { partitions, partitioner, .. } = self.0.topology;
        let append = |record: NewRecord| {
            let partition = partitioner.partition(&record.key, partitions);
            self.append_to(partition, Some(record.key), Some(record.value), record.headers)
        };
        records.into_iter().map(append).collect()
    }

    async fn reader(&self, partition: u32, offset: u64) -> Result<Box<dyn Reader>, ReadError> {
        let bounds = self.bounds(partition).await?;
        if !(bounds.start..=bounds.end).contains(&offset) {
            return Err(ReadError::OutOfRange { offset, bounds });
        }
        Ok(Box::new(MemoryReader { log: self.clone(), partition, offset }))
    }

    async fn bounds(&self, partition: u32) -> Result<Bounds, ReadError> {
        self.with_partition(partition, Partition::bounds)
    }

    async fn record(&self, partition: u32, offset: u64) -> Result<Option<Record>, ReadError> {
        self.with_partition(partition, |partition| partition.records.get(&offset).cloned())
    }

    async fn join(&self) -> Result<Box<dyn Membership>, ReadError> {
        Ok(Box::new(MemoryMembership { log: self.clone(), next: 0 }))
    }

    async fn note_watermark(&self, partition: u32, watermark: u64) {
        if let Some(partition) = self.0.state.lock().partitions.get_mut(partition as usize) {
            partition.watermark = watermark;
        }
    }
}

struct MemoryReader {
    log: MemoryLog,
    partition: u32,
    offset: u64,
}

impl MemoryReader {
    /// The next records that are there already, moving past them.
    fn take(&mut self, count: usize) -> Result<Vec<Record>, ReadError> {
        let offset = self.offset;
        let records = self.log.with_partition(self.partition, |partition| {
            if !(partition.start..=partition.end).contains(&offset) {
                return Err(ReadError::OutOfRange { offset, bounds: partition.bounds() });
            }
            Ok(partition
                .records
                .range(offset..)
                .take(count.max(1))
                .map(|(_, record)| record.clone())
                .collect())
        })?;
        let records: Vec<Record> = records?;
        if let Some(last) = records.last() {
            self.offset = last.position.offset + 1;
        }
        Ok(records)
    }
}

#[async_trait]
impl Reader for MemoryReader {
    async fn next(&mut self, count: usize) -> Result<Vec<Record>, ReadError> {
        let shared = Arc::clone(&self.log.0);
        loop {
            // Listened for before looking, so that an append in between is not slept through.
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let records = self.take(count)?;
            if !records.is_empty() {
                return Ok(records);
            }
            changed.await;
        }
    }
}

struct MemoryMembership {
    log: MemoryLog,
    next: u32,
}

#[async_trait]
impl Membership for MemoryMembership {
    async fn next(&mut self) -> Option<Assignment> {
        let shared = Arc::clone(&self.log.0);
        loop {
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if shared.state.lock().closed {
                return None;
            }
            if self.next < shared.topology.partitions {
                self.next += 1;
                return Some(Assignment::Assigned(self.next - 1));
            }
            changed.await;
        }
    }

    async fn released(&mut self, _partition: u32) {}
}

#[async_trait]
impl OutcomeSink for MemoryLog {
    async fn publish(&self, partition: PartitionId, events: &[OutcomeEvent]) -> Result<(), String> {
        self.0.state.lock().outcomes.extend(events.iter().map(|event| (partition, event.clone())));
        Ok(())
    }

    async fn witness(&self, partition: PartitionId) -> Result<Option<u64>, String> {
        let state = self.0.state.lock();
        Ok(state.outcomes.iter().filter(|(at, _)| *at == partition).map(|(_, event)| event.finish).max())
    }
}

#[async_trait]
impl DeadLetters for MemoryLog {
    async fn send(&self, letters: &[DeadLetter]) -> Result<(), String> {
        self.0.state.lock().letters.extend_from_slice(letters);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SystemClock,
        log::contract::{self, Letter, World},
    };

    #[async_trait]
    impl World for MemoryLog {
        fn log(&self) -> &dyn CommandLog {
            self
        }

        fn outcomes(&self) -> &dyn OutcomeSink {
            self
        }

        fn dead_letters(&self) -> &dyn DeadLetters {
            self
        }

        async fn append_bare(&self, partition: u32, headers: Headers) -> Option<u64> {
            self.append_to(partition, None, None, headers).ok().map(|at| at.offset)
        }

        async fn trim(&self, partition: u32, start: u64) {
            MemoryLog::trim(self, partition, start);
        }

        async fn letters(&self) -> Vec<Letter> {
            MemoryLog::letters(self).into_iter().map(Letter::from).collect()
        }
    }

    async fn world(_test: &str) -> Option<MemoryLog> {
        Some(MemoryLog::new("memory", 4, Partitioner::default(), Arc::new(SystemClock)))
    }

    contract::tests!(world);

    #[tokio::test]
    async fn a_reader_that_was_overtaken_by_a_trim_says_so_instead_of_skipping() {
        let log = world("").await.unwrap();
        for _ in 0..3 {
            log.append_to(0, None, None, Vec::new()).unwrap();
        }
        let mut reader = log.reader(0, 0).await.unwrap();
        MemoryLog::trim(&log, 0, 2);
        let bounds = Bounds { start: 2, end: 3 };
        assert_eq!(reader.next(1).await, Err(ReadError::OutOfRange { offset: 0, bounds }));
    }

    #[tokio::test]
    async fn a_reader_ahead_of_a_truncated_log_says_so_instead_of_waiting() {
        let log = world("").await.unwrap();
        log.append_to(0, None, None, Vec::new()).unwrap();
        let mut reader = log.reader(0, 1).await.unwrap();
        log.truncate(0, 0);
        let bounds = Bounds { start: 0, end: 0 };
        assert_eq!(reader.next(1).await, Err(ReadError::OutOfRange { offset: 1, bounds }));
    }

    #[tokio::test]
    async fn a_gap_is_passed_over() {
        let log = world("").await.unwrap();
        log.skip(0, 5);
        let at = log.append_to(0, None, None, Vec::new()).unwrap();
        assert_eq!(at.offset, 5);
        assert_eq!(log.record(0, 3).await, Ok(None));
        assert_eq!(log.reader(0, 0).await.unwrap().next(9).await.unwrap()[0].position.offset, 5);
    }

    #[tokio::test]
    async fn a_closed_log_ends_its_memberships() {
        let log = world("").await.unwrap();
        let mut membership = log.join().await.unwrap();
        log.close();
        assert_eq!(membership.next().await, None);
    }
}
