//! The command log in one SQLite file, for one process: `engraft serve` on a laptop.
//!
//! ```text
//! append ──▶ writer (one task, group commit, fsync) ──▶ file ──▶ reader (bulk, woken by commits)
//! publish ─▶   its finish as witness, durable, then ──▶ subscribers in this process
//! send ────▶   a row a letter                       ──▶ lists for people
//! ```
//!
//! A returned position is committed with `synchronous = FULL`: it survives `kill -9` and a power cut. The file
//! is separate from the ledger's, so that neither waits for the other's fsync, and it bears witness against a
//! ledger that was restored from an old copy.
//!
//! One process writes, and a lock says which. There are no foreign producers, so every record has a key and a
//! value and lies where its key belongs.

mod file;
mod letters;
mod reader;
mod row;
mod tail;
#[cfg(test)]
mod tests;
mod trim;
mod writer;

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::Deserialize;
use sqlx::{SqlitePool, sqlite::SqlitePoolOptions};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::Instant,
};

use super::{
    AppendError, AppendedAt, Assignment, Bounds, CommandLog, DeadLetter, DeadLetters, Membership, NewRecord,
    OutcomeEvent, OutcomeSink, ReadError, Reader, Record, Topology,
};
use crate::{
    clock::Clock,
    model::{PartitionId, Position},
    random::Random,
    tasks::Tasks,
};
use reader::EmbeddedReader;
use tail::Tail;
use writer::{Change, Job, Writer};

pub use file::OpenError;
pub use letters::{LETTER_DAYS, StoredLetter};

/// Connections that read. Each read is short; more would only take turns on two cores.
const READERS_MAX: u32 = 4;

/// Outcomes that a slow subscriber may be behind before it misses some, and is told so.
const SUBSCRIBER_LAG_MAX: usize = 4_096;

/// `[log]`, when the log is embedded.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The file; its folder is made. Default `engraft-data/log.db`.
    pub path: PathBuf,
    /// Partitions, fixed when the file is made; 1 to 4,096, default 1.
    pub partitions: u32,
    /// Bytes of a record's key, value and headers; default 5 MiB, as for a topic.
    pub record_bytes_max: usize,
    /// Running hours that a record is kept after it was read; default 24.
    pub retention_hours: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: PathBuf::from("engraft-data/log.db"),
            partitions: 1,
            record_bytes_max: 5 << 20,
            retention_hours: 24,
        }
    }
}

/// An outcome as subscribers get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// The command's partition.
    pub partition: PartitionId,
    /// The outcome.
    pub event: OutcomeEvent,
}

/// A handle on the log; clones share it. Closed by [`EmbeddedLog::close`], or when the last one is dropped.
#[derive(Clone)]
pub struct EmbeddedLog(Arc<Shared>);

struct Shared {
    topology: Topology,
    clock: Arc<dyn Clock>,
    epoch: AtomicU32,
    tasks: Tasks,
    /// `None` once the log is closed.
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    bounds: Arc<Vec<watch::Sender<Bounds>>>,
    tail: Arc<Tail>,
    readers: SqlitePool,
    published: broadcast::Sender<Arc<Published>>,
    watermarks: Vec<AtomicU64>,
    retention: Duration,
    /// Milliseconds that earlier runs of this log lasted together.
    ran_before_ms: i64,
}

impl EmbeddedLog {
    /// Opens the file, making it when it is not there. Records carry epoch 1 until [`EmbeddedLog::set_epoch`].
    ///
    /// # Errors
    /// [`OpenError`]: another process has it, or it is not a log that this program can read.
    pub async fn open(options: &Options, clock: Arc<dyn Clock>, random: &Random) -> Result<Self, OpenError> {
        let path = options.path.clone();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        }
        let fail = |source| OpenError::database(&path, source);
        let lock = file::Lock::take(&path)?;
        let (mut connection, topology) = file::open(options, random).await?;
        let bounds = writer::read_bounds(&mut connection, topology.partitions).await.map_err(fail)?;
        let bounds: Arc<Vec<_>> = Arc::new(bounds.into_iter().map(|one| watch::channel(one).0).collect());
        let ran_before_ms = sqlx::query_scalar::<_, i64>("SELECT coalesce(max(ran_ms), 0) FROM mark")
            .fetch_one(&mut connection)
            .await
            .map_err(fail)?;
        let tail = Arc::new(Tail::new(bounds.len()));
        let (jobs, queue) = mpsc::channel(writer::JOBS_MAX);
        let writer = Writer {
            path: path.clone(),
            topology: topology.clone(),
            clock: Arc::clone(&clock),
            record_bytes_max: options.record_bytes_max,
            jobs: queue,
            bounds: Arc::clone(&bounds),
            tail: Arc::clone(&tail),
            connection: Some(connection),
            _lock: lock,
        };
        let shared = Arc::new(Shared {
            clock,
            epoch: AtomicU32::new(1),
            tasks: Tasks::new(),
            jobs: Mutex::new(Some(jobs)),
            readers: SqlitePoolOptions::new()
                .max_connections(READERS_MAX)
                .test_before_acquire(false)
                .connect_lazy_with(file::reading(&path)),
            published: broadcast::channel(SUBSCRIBER_LAG_MAX).0,
            watermarks: bounds.iter().map(|_| AtomicU64::new(0)).collect(),
            retention: Duration::from_secs(u64::from(options.retention_hours) * 3_600),
            ran_before_ms,
            topology,
            bounds,
            tail,
        });
        shared.tasks.spawn(writer.run());
        let log = Self(shared);
        log.trim_in_the_background();
        Ok(log)
    }

    /// The epoch that the ledger gives this log: records read from now on carry it.
    pub fn set_epoch(&self, epoch: u32) {
        self.0.epoch.store(epoch, Ordering::Release);
    }

    /// The outcomes published from now on. One who falls behind by 4,096 is told how many it missed; nobody is
    /// waited for.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Published>> {
        self.0.published.subscribe()
    }

    /// At most `count` dead letters with a number above `after` (0: from the first), oldest first.
    ///
    /// # Errors
    /// A sentence for people: the file cannot be read.
    pub async fn letters(&self, after: u64, count: u32) -> Result<Vec<StoredLetter>, String> {
        let read = letters::list(Arc::clone(&self.0), after, count);
        self.0.tasks.spawn(read).await.map_err(|error| error.to_string())?
    }

    /// The dead letter of one position, if it is there.
    ///
    /// # Errors
    /// A sentence for people: the file cannot be read.
    pub async fn letter(&self, position: Position) -> Result<Option<StoredLetter>, String> {
        let read = letters::one(Arc::clone(&self.0), position);
        self.0.tasks.spawn(read).await.map_err(|error| error.to_string())?
    }

    /// Answers what was asked, then closes the file. Whatever is asked later is refused.
    pub async fn close(&self) {
        self.0.jobs.lock().take();
        self.0.tasks.shut_down().await;
        self.0.readers.close().await;
    }

    fn trim_in_the_background(&self) {
        let log = Arc::downgrade(&self.0);
        let tasks = self.0.tasks.clone();
        let opened = Instant::now();
        self.0.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = tasks.stopping() => return,
                    () = tokio::time::sleep(trim::MARK_EVERY) => {}
                }
                let Some(shared) = log.upgrade() else { return };
                if let Err(error) = Self(shared).trim_tick(opened.elapsed()).await {
                    tracing::warn!(error, "the command log could not be trimmed; it is tried again later");
                }
            }
        });
    }
}

impl Shared {
    fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    fn bounds(&self, partition: u32) -> Option<Bounds> {
        self.bounds.get(partition as usize).map(|bounds| *bounds.borrow())
    }

    /// Puts a job before the writer; `false` once the log is closed.
    async fn submit(&self, job: Job) -> bool {
        let jobs = self.jobs.lock().clone();
        match jobs {
            Some(jobs) => jobs.send(job).await.is_ok(),
            None => false,
        }
    }

    async fn change(&self, change: Change) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        if !self.submit(Job::Change { change, reply }).await {
            return Err("the log is closed".into());
        }
        answer.await.unwrap_or_else(|_| Err("the log closed before it answered".into()))
    }
}

fn no_partition(partition: u32) -> ReadError {
    ReadError::Unavailable(format!("there is no partition {partition}"))
}

#[async_trait]
impl CommandLog for EmbeddedLog {
    fn topology(&self) -> Topology {
        self.0.topology.clone()
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<AppendedAt, AppendError>> {
        let count = records.len();
        let (reply, answer) = oneshot::channel();
        if !self.0.submit(Job::Append { records, reply }).await {
            return vec![Err(AppendError::Unavailable("the log is closed".into())); count];
        }
        let lost = |_| vec![Err(AppendError::Unknown("the log closed before it answered".into())); count];
        answer.await.unwrap_or_else(lost)
    }

    async fn reader(&self, partition: u32, offset: u64) -> Result<Box<dyn Reader>, ReadError> {
        let sender = self.0.bounds.get(partition as usize).ok_or_else(|| no_partition(partition))?;
        let receiver = sender.subscribe();
        let bounds = *receiver.borrow();
        if !(bounds.start..=bounds.end).contains(&offset) {
            return Err(ReadError::OutOfRange { offset, bounds });
        }
        Ok(Box::new(EmbeddedReader {
            shared: Arc::clone(&self.0),
            partition,
            offset,
            bounds: receiver,
            fetched: VecDeque::new(),
            fetching: None,
        }))
    }

    async fn bounds(&self, partition: u32) -> Result<Bounds, ReadError> {
        self.0.bounds(partition).ok_or_else(|| no_partition(partition))
    }

    async fn record(&self, partition: u32, offset: u64) -> Result<Option<Record>, ReadError> {
        self.0.bounds(partition).ok_or_else(|| no_partition(partition))?;
        let read = reader::one(Arc::clone(&self.0), partition, offset);
        self.0.tasks.spawn(read).await.map_err(|error| ReadError::Unavailable(error.to_string()))?
    }

    async fn join(&self) -> Result<Box<dyn Membership>, ReadError> {
        let partitions = self.0.topology.partitions;
        Ok(Box::new(SoleMember { tasks: self.0.tasks.clone(), partitions: 0..partitions }))
    }

    async fn note_watermark(&self, partition: u32, watermark: u64) {
        if let Some(noted) = self.0.watermarks.get(partition as usize) {
            noted.fetch_max(watermark, Ordering::AcqRel);
        }
    }
}

/// The one process there is: every partition is its own until the log closes.
struct SoleMember {
    tasks: Tasks,
    partitions: std::ops::Range<u32>,
}

#[async_trait]
impl Membership for SoleMember {
    async fn next(&mut self) -> Option<Assignment> {
        if self.tasks.is_stopping() {
            return None;
        }
        if let Some(partition) = self.partitions.next() {
            return Some(Assignment::Assigned(partition));
        }
        self.tasks.stopping().await;
        None
    }

    async fn released(&mut self, _partition: u32) {}
}

#[async_trait]
impl OutcomeSink for EmbeddedLog {
    async fn publish(&self, partition: PartitionId, events: &[OutcomeEvent]) -> Result<(), String> {
        let Some(finish) = events.iter().map(|event| event.finish).max() else { return Ok(()) };
        self.0.change(Change::Witness { partition, finish }).await?;
        for event in events {
            // An error means that nobody listens.
            drop(self.0.published.send(Arc::new(Published { partition, event: event.clone() })));
        }
        Ok(())
    }

    async fn witness(&self, partition: PartitionId) -> Result<Option<u64>, String> {
        let readers = self.0.readers.clone();
        let read = async move {
            sqlx::query_scalar::<_, i64>("SELECT finish FROM witness WHERE epoch = ? AND partition = ?")
                .bind(partition.epoch)
                .bind(partition.partition)
                .fetch_optional(&readers)
                .await
        };
        let finish = self.0.tasks.spawn(read).await.map_err(|error| error.to_string())?;
        Ok(finish.map_err(|error| error.to_string())?.map(i64::unsigned_abs))
    }
}

#[async_trait]
impl DeadLetters for EmbeddedLog {
    async fn send(&self, letters: &[DeadLetter]) -> Result<(), String> {
        if letters.is_empty() {
            return Ok(());
        }
        let at = self.0.clock.now();
        self.0.change(Change::Letters { letters: letters.to_vec(), at }).await
    }
}
