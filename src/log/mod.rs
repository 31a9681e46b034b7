//! The command log: where a command becomes durable, and the two topics that answer it.
//!
//! ```text
//! producer ─▶ CommandLog::append ─▶ partition p, offset o ─▶ Reader::next ─▶ worker
//!                                                                             │
//!             OutcomeSink::publish ◀── relay ◀── ledger ◀────────────────────┘
//!             DeadLetters::send    ◀──┘
//! ```
//!
//! The log is the commit point: a position that `append` returned stays readable, with the same
//! bytes, until retention. Its own group offsets decide nothing; readers start where the ledger
//! says. Backends: [`memory`], [`embedded`] (SQLite, one process) and `kafka`.
//!
//! This room decodes records ([`envelope`]) but judges nothing that needs state.

pub mod contract;
pub mod embedded;
pub mod envelope;
pub mod kafka;
pub mod memory;
pub mod partitioner;

use async_trait::async_trait;
use bytes::Bytes;

use crate::model::{Code, Outcome, PartitionId, Position, Timestamp, command::Trace};

pub use partitioner::Partitioner;

/// A header of a record: name and raw value, in order; names may repeat.
pub type Headers = Vec<(String, Bytes)>;

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// The record key: the space.
    pub key: Bytes,
    /// The record value.
    pub value: Bytes,
    /// The record headers.
    pub headers: Headers,
}

/// A record as the log holds it. Key and value are what the producer sent, which may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub position: Position,
    /// Its key, if it has one.
    pub key: Option<Bytes>,
    /// Its value, if it has one.
    pub value: Option<Bytes>,
    /// Its headers.
    pub headers: Headers,
    /// When the log took it.
    pub appended_at: Timestamp,
}

impl Record {
    /// CRC-32 over key and value, absent ones counting as empty: what the anchor remembers. Pinned.
    #[must_use]
    pub fn crc(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.key.as_deref().unwrap_or_default());
        hasher.update(&[0]);
        hasher.update(self.value.as_deref().unwrap_or_default());
        hasher.finalize()
    }
}

/// What the log is: identity that belongs to an epoch. A change of any field means that offsets may
/// have lost their meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The log's own name: the topic, or the file's nonce.
    pub identity: String,
    /// How many partitions there are.
    pub partitions: u32,
    /// How keys become partitions.
    pub partitioner: Partitioner,
}

/// The first and the next offset of a partition: `start <= offset < end` can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest offset that is still there.
    pub start: u64,
    /// One past the newest.
    pub end: u64,
}

/// Why an append has no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The log will never take this record.
    #[error("the log refused the record: {0}")]
    Refused(String),
    /// The log did not take it; nothing happened.
    #[error("the log is not available: {0}")]
    Unavailable(String),
    /// The record may or may not be in the log: append it again under the same command id.
    #[error("the log's answer was lost: {0}")]
    Unknown(String),
}

/// Why a partition cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It may work later.
    #[error("the log cannot be read now: {0}")]
    Unavailable(String),
    /// The offset is not in the log: retention, truncation or another log altogether. Never skip.
    #[error("offset {offset} is outside the log's {bounds:?}")]
    OutOfRange {
        /// What was asked for.
        offset: u64,
        /// What there is.
        bounds: Bounds,
    },
}

/// Which partitions this process is to work on, as the log's group decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assignment {
    /// Start working on it.
    Assigned(u32),
    /// Stop, then call [`Membership::released`].
    Revoked(u32),
    /// The group has lost this process, and may have given the partition to another. Whoever works on it
    /// goes on for as long as its lease holds, and takes no lease anew until the partition is assigned
    /// again; if the group gives it to another for good, a revocation follows. Whoever was giving it back leaves
    /// the rest to the next.
    Unconfirmed(u32),
}

/// A durable, partitioned, ordered log of records.
///
/// Implementations MUST
/// - return a position from `append` only once the record is durable, as the deployment defines it
///   (embedded: fsynced; Kafka: acknowledged by all in-sync replicas);
/// - keep offsets of a partition strictly rising in the order of appends (gaps are allowed), and a
///   record's bytes unchanged;
/// - answer `AppendError::Unknown` whenever the record may have been taken.
///
/// Implementations MAY group concurrent appends into one commit. All methods are cancel-safe,
/// except that a cancelled `append` is `Unknown`.
#[async_trait]
pub trait CommandLog: Send + Sync {
    /// What the log is.
    fn topology(&self) -> Topology;

    /// What the log is now, where it can change under a process that has it open.
    ///
    /// # Errors
    /// `Unavailable` when the log does not answer.
    async fn topology_now(&self) -> Result<Topology, ReadError> {
        Ok(self.topology())
    }

    /// Appends records, each to the partition of its key; one answer a record, in order. Records of
    /// one call and one partition keep their order.
    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<AppendedAt, AppendError>>;

    /// Opens a partition for reading from `offset` on.
    ///
    /// # Errors
    /// `OutOfRange` when `offset` lies outside `start..=end`.
    async fn reader(&self, partition: u32, offset: u64) -> Result<Box<dyn Reader>, ReadError>;

    /// What of a partition can be read.
    ///
    /// # Errors
    /// `Unavailable` when the log does not answer.
    async fn bounds(&self, partition: u32) -> Result<Bounds, ReadError>;

    /// One record, or `None` when it is not there: aged out, a gap, or beyond the end.
    ///
    /// # Errors
    /// `Unavailable` when the log does not answer.
    async fn record(&self, partition: u32, offset: u64) -> Result<Option<Record>, ReadError>;

    /// Joins the group that shares the partitions. A log of one process assigns them all at once.
    ///
    /// # Errors
    /// `Unavailable` when the log does not answer.
    async fn join(&self) -> Result<Box<dyn Membership>, ReadError>;

    /// Tells the log up to where the ledger has inboxed: for lag tools and trimming alone.
    async fn note_watermark(&self, partition: u32, watermark: u64);
}

/// Where an appended record stands: partition and offset; the ledger knows the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendedAt {
    /// The partition that its key belongs to.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// When the log took it.
    pub at: Timestamp,
}

/// Reads one partition in order.
#[async_trait]
pub trait Reader: Send {
    /// The next records, at least one, at most `count`, in offset order; waits while there are
    /// none. MUST be cancel-safe: a cancelled call loses nothing.
    ///
    /// # Errors
    /// [`ReadError`]; after `Unavailable` the call can be repeated.
    async fn next(&mut self, count: usize) -> Result<Vec<Record>, ReadError>;
}

/// This process's place in the group.
#[async_trait]
pub trait Membership: Send {
    /// The next change, waiting for one; `None` when the log has closed. MUST be cancel-safe.
    async fn next(&mut self) -> Option<Assignment>;

    /// The revoked partition is no longer worked on here.
    async fn released(&mut self, partition: u32);
}

/// An outcome on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct OutcomeEvent {
    /// The answer.
    pub outcome: Outcome,
    /// The highest finish number sent so far in this partition, this one included.
    pub finish: u64,
    /// Carried from the command.
    pub trace: Trace,
}

/// Where outcomes are published: at least once, copies identical.
#[async_trait]
pub trait OutcomeSink: Send + Sync {
    /// Publishes events of one partition, in order. `Ok` means that all are durable; on an error any
    /// part of them may be, and the caller publishes them all again.
    ///
    /// # Errors
    /// A sentence for the log; always worth a retry.
    async fn publish(&self, partition: PartitionId, events: &[OutcomeEvent]) -> Result<(), String>;

    /// The highest finish number that was published in this partition, ever.
    ///
    /// # Errors
    /// A sentence for the log; always worth a retry.
    async fn witness(&self, partition: PartitionId) -> Result<Option<u64>, String>;
}

/// A record that could not be read as a command, or not there, on its way to the dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record, byte for byte.
    pub record: Record,
    /// Why.
    pub code: Code,
    /// What to change.
    pub detail: String,
}

/// Where dead letters go: at least once.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Sends letters; `Ok` means that all are durable.
    ///
    /// # Errors
    /// A sentence for the log; always worth a retry.
    async fn send(&self, letters: &[DeadLetter]) -> Result<(), String>;
}
