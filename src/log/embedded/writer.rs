//! The one writer: takes what waits, commits it in one transaction, answers.
//!
//! ```text
//! append ─┐
//! append ─┼─▶ jobs ─▶ writer: all that wait ─▶ one transaction, one fsync ─▶ ends move ─▶ readers wake
//! publish ┘   (bounded)                                                 └─▶ every caller is answered
//! ```
//!
//! Nobody waits for company: a lone append is committed at once, and whatever comes meanwhile shares
//! the next commit. The task owns its connection and is never cancelled inside a transaction; a caller
//! that goes away leaves its job behind, which is done all the same.
//!
//! After any error the connection is replaced and the ends are read again: what an unknown commit left
//! in the file is found there, and never written over.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use sqlx::{ConnectOptions, Connection, QueryBuilder, Row, Sqlite, SqliteConnection};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    file::{self, primary_code},
    row::{encode_headers, headers_bytes, offset_of, position, row_id},
    tail::Tail,
};
use crate::{
    clock::Clock,
    log::{AppendError, AppendedAt, Bounds, DeadLetter, NewRecord, Record, Topology},
    model::{PartitionId, Timestamp, version::OFFSET_MAX},
};

/// Jobs that may wait for the writer. Their callers wait anyway; more would only hide that.
pub(super) const JOBS_MAX: usize = 1_024;

/// Records of one commit. An fsync is spread over so many that a larger commit would gain nothing, while
/// everyone behind it waits.
const COMMIT_RECORDS_MAX: usize = 2_000;

/// Bytes of one commit.
const COMMIT_BYTES_MAX: usize = 16 << 20;

/// Rows of one `INSERT`: few sizes, so that few statements are prepared, once each.
const INSERT_ROWS: [usize; 5] = [512, 128, 32, 8, 1];

/// How long to wait before a connection that could not be made is tried again for the next job.
const RECONNECT_DELAY: Duration = Duration::from_millis(50);

type Reply<T> = oneshot::Sender<T>;

/// One answer a record, in order.
type Answers = Vec<Result<AppendedAt, AppendError>>;

/// What a caller wants written, and where it waits.
pub(super) enum Job {
    /// Records, each to the partition of its key.
    Append { records: Vec<NewRecord>, reply: Reply<Answers> },
    /// Anything else; it comes to pass whole or not at all.
    Change { change: Change, reply: Reply<Result<(), String>> },
}

/// A change beside the records.
pub(super) enum Change {
    /// The highest finish that was published in a partition.
    Witness { partition: PartitionId, finish: u64 },
    /// Dead letters; one that is there already stays as it is.
    Letters { letters: Vec<DeadLetter>, at: Timestamp },
    /// Everything of a partition below an offset goes.
    Trim { partition: u32, start: u64 },
    /// How far a partition had been read when the log had run for so long; older marks below `forget` go.
    Mark { partition: u32, ran_ms: i64, watermark: u64, forget_ms: i64 },
    /// Dead letters that were sent before then go.
    ForgetLetters { before: Timestamp },
}

/// The writer's half of the log.
pub(super) struct Writer {
    pub(super) path: PathBuf,
    pub(super) topology: Topology,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) record_bytes_max: usize,
    pub(super) jobs: mpsc::Receiver<Job>,
    /// What readers may read, by partition: moved only after a commit.
    pub(super) bounds: Arc<Vec<watch::Sender<Bounds>>>,
    /// What readers that keep up read; filled only after a commit.
    pub(super) tail: Arc<Tail>,
    /// `None` after an error.
    pub(super) connection: Option<SqliteConnection>,
    /// Let go of when the last commit is done.
    pub(super) _lock: file::Lock,
}

/// A row to insert.
#[derive(Clone)]
struct NewRow {
    n: i64,
    partition: u32,
    record: NewRecord,
}

impl NewRow {
    /// As a reader gets it; the epoch is the reader's to say.
    fn into_record(self, at: Timestamp) -> Record {
        let Self { n, partition, record: NewRecord { key, value, headers } } = self;
        let position = position(0, partition, n);
        Record { position, key: Some(key), value: Some(value), headers, appended_at: at }
    }
}

/// What the answers to the jobs of one commit will be when it succeeds.
#[derive(Default)]
struct Commit {
    at: Timestamp,
    rows: Vec<NewRow>,
    appends: Vec<(Answers, Reply<Answers>)>,
    changes: Vec<(Change, Reply<Result<(), String>>)>,
    /// By partition, as they will be.
    bounds: Vec<Bounds>,
}

impl Writer {
    /// Works until every handle is gone or closed and every job is answered.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.jobs.recv().await {
            if self.connection.is_none()
                && let Err(error) = self.connect().await
            {
                tracing::error!(%error, "the command log cannot be written");
                refuse(first, &error);
                tokio::time::sleep(RECONNECT_DELAY).await;
                continue;
            }
            let commit = self.gather(first);
            self.commit(commit).await;
        }
        if let Some(connection) = self.connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "the command log was not closed cleanly; it recovers when it is opened");
        }
    }

    async fn connect(&mut self) -> Result<(), sqlx::Error> {
        let mut connection = file::writing(&self.path).create_if_missing(false).connect().await?;
        let bounds = read_bounds(&mut connection, self.topology.partitions).await?;
        self.publish(&bounds);
        self.connection = Some(connection);
        Ok(())
    }

    /// Takes `first` and what else waits, up to the size of a commit.
    fn gather(&mut self, first: Job) -> Commit {
        let bounds = self.bounds.iter().map(|bounds| *bounds.borrow()).collect();
        let mut commit = Commit { at: self.clock.now(), bounds, ..Commit::default() };
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Append { records, reply } => {
                    bytes += records.iter().map(record_bytes).sum::<usize>();
                    let answers = records.into_iter().map(|record| self.place(record, &mut commit)).collect();
                    commit.appends.push((answers, reply));
                }
                Job::Change { change, reply } => {
                    bytes += change.bytes();
                    if let Change::Trim { partition, start } = &change
                        && let Some(bounds) = commit.bounds.get_mut(*partition as usize)
                    {
                        bounds.start = bounds.start.max(*start);
                    }
                    commit.changes.push((change, reply));
                }
            }
            let full = commit.rows.len() >= COMMIT_RECORDS_MAX || bytes >= COMMIT_BYTES_MAX;
            next = if full { None } else { self.jobs.try_recv().ok() };
        }
        commit
    }

    /// Gives a record its offset.
    fn place(&self, record: NewRecord, commit: &mut Commit) -> Result<AppendedAt, AppendError> {
        let size = record_bytes(&record);
        if size > self.record_bytes_max {
            let limit = self.record_bytes_max;
            return Err(AppendError::Refused(format!("it has {size} bytes, the limit is {limit}")));
        }
        let Topology { partitions, partitioner, .. } = self.topology;
        let partition = partitioner.partition(&record.key, partitions);
        let bounds = commit.bounds.get_mut(partition as usize).expect("a partition of the log");
        let offset = bounds.end;
        if offset > OFFSET_MAX {
            return Err(AppendError::Refused(format!("partition {partition} has no offsets left")));
        }
        bounds.end += 1;
        commit.rows.push(NewRow { n: row_id(partition, offset), partition, record });
        Ok(AppendedAt { partition, offset, at: commit.at })
    }

    async fn commit(&mut self, mut commit: Commit) {
        let connection = self.connection.as_mut().expect("connected before jobs were gathered");
        let rows = std::mem::take(&mut commit.rows);
        let committed = rows.clone();
        match write(connection, rows, &commit).await {
            Ok(()) => {
                self.tail.push(committed.into_iter().map(|row| row.into_record(commit.at)));
                self.publish(&commit.bounds);
                for (answers, reply) in commit.appends {
                    answer(reply, answers);
                }
                for (_, reply) in commit.changes {
                    answer(reply, Ok(()));
                }
            }
            Err(error) => {
                tracing::error!(%error, "a commit of the command log failed");
                self.connection = None;
                for (answers, reply) in commit.appends {
                    let failed =
                        |placed: Result<_, _>| placed.and_then(|_: AppendedAt| Err(classify(&error)));
                    answer(reply, answers.into_iter().map(failed).collect());
                }
                for (_, reply) in commit.changes {
                    answer(reply, Err(error.to_string()));
                }
            }
        }
    }

    fn publish(&self, bounds: &[Bounds]) {
        for (sender, now) in self.bounds.iter().zip(bounds) {
            sender.send_if_modified(|published| std::mem::replace(published, *now) != *now);
        }
    }
}

/// A caller that went away gets no answer.
fn answer<T>(reply: Reply<T>, answer: T) {
    drop(reply.send(answer));
}

fn refuse(job: Job, error: &sqlx::Error) {
    match job {
        Job::Append { records, reply } => {
            let refusal = || Err(AppendError::Unavailable(error.to_string()));
            answer(reply, records.iter().map(|_| refusal()).collect());
        }
        Job::Change { reply, .. } => answer(reply, Err(error.to_string())),
    }
}

/// What a failed commit means for its records: only what SQLite says before it writes is "nothing happened".
fn classify(error: &sqlx::Error) -> AppendError {
    const PERM: i32 = 3;
    const BUSY: i32 = 5;
    const READONLY: i32 = 8;
    const FULL: i32 = 13;
    match primary_code(error) {
        // A full disk rolls the transaction back before its commit frame is written.
        Some(PERM | BUSY | READONLY | FULL) => AppendError::Unavailable(error.to_string()),
        _ => AppendError::Unknown(error.to_string()),
    }
}

fn record_bytes(record: &NewRecord) -> usize {
    record.key.len() + record.value.len() + headers_bytes(&record.headers)
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Self::Letters { letters, .. } => {
                letters.iter().filter_map(|letter| letter.record.value.as_ref()).map(Bytes::len).sum()
            }
            Self::Witness { .. } | Self::Trim { .. } | Self::Mark { .. } | Self::ForgetLetters { .. } => 0,
        }
    }
}

/// What can be read, by partition.
pub(super) async fn read_bounds(
    connection: &mut SqliteConnection,
    partitions: u32,
) -> Result<Vec<Bounds>, sqlx::Error> {
    let mut all = Vec::new();
    for partition in 0..partitions {
        // `CROSS JOIN` and a scalar subquery: the newest record is one step down the B-tree.
        let row = sqlx::query(
            "SELECT start, (SELECT max(n) FROM record WHERE n >= ? AND n < ?) AS last \
             FROM partition WHERE partition = ?",
        )
        .bind(row_id(partition, 0))
        .bind(row_id(partition, OFFSET_MAX + 1))
        .bind(partition)
        .fetch_one(&mut *connection)
        .await?;
        let start = row.try_get::<i64, _>("start")?.unsigned_abs();
        let last: Option<i64> = row.try_get("last")?;
        all.push(Bounds { start, end: last.map_or(start, |last| offset_of(last) + 1) });
    }
    Ok(all)
}

/// Writes all of a commit in one transaction; a lone statement is one by itself.
async fn write(
    connection: &mut SqliteConnection,
    rows: Vec<NewRow>,
    commit: &Commit,
) -> Result<(), sqlx::Error> {
    if commit.changes.is_empty() && INSERT_ROWS.contains(&rows.len()) {
        return insert(connection, rows, commit.at).await;
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    insert(&mut transaction, rows, commit.at).await?;
    for (change, _) in &commit.changes {
        apply(&mut transaction, change).await?;
    }
    transaction.commit().await
}

async fn insert(
    connection: &mut SqliteConnection,
    rows: Vec<NewRow>,
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    let mut rows = rows.into_iter();
    for size in INSERT_ROWS {
        while rows.len() >= size {
            let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO record (n, at, key, headers, value) ");
            insert.push_values(rows.by_ref().take(size), |mut values, NewRow { n, record, .. }| {
                values
                    .push_bind(n)
                    .push_bind(at.as_micros())
                    .push_bind(Vec::from(record.key))
                    .push_bind(encode_headers(&record.headers))
                    .push_bind(Vec::from(record.value));
            });
            insert.build().execute(&mut *connection).await?;
        }
    }
    Ok(())
}

async fn apply(connection: &mut SqliteConnection, change: &Change) -> Result<(), sqlx::Error> {
    match change {
        Change::Witness { partition, finish } => {
            sqlx::query(
                "INSERT INTO witness (epoch, partition, finish) VALUES (?, ?, ?) \
                 ON CONFLICT (epoch, partition) DO UPDATE SET finish = max(finish, excluded.finish)",
            )
            .bind(partition.epoch)
            .bind(partition.partition)
            .bind(signed(*finish))
            .execute(connection)
            .await?;
        }
        Change::Letters { letters, at } => insert_letters(connection, letters, *at).await?,
        Change::Trim { partition, start } => {
            sqlx::query("UPDATE partition SET start = max(start, ?) WHERE partition = ?")
                .bind(signed(*start))
                .bind(partition)
                .execute(&mut *connection)
                .await?;
            sqlx::query("DELETE FROM record WHERE n >= ? AND n < ?")
                .bind(row_id(*partition, 0))
                .bind(row_id(*partition, *start))
                .execute(connection)
                .await?;
        }
        Change::Mark { partition, ran_ms, watermark, forget_ms } => {
            sqlx::query("INSERT OR REPLACE INTO mark (ran_ms, partition, watermark) VALUES (?, ?, ?)")
                .bind(ran_ms)
                .bind(partition)
                .bind(signed(*watermark))
                .execute(&mut *connection)
                .await?;
            sqlx::query("DELETE FROM mark WHERE partition = ? AND ran_ms < ?")
                .bind(partition)
                .bind(forget_ms)
                .execute(connection)
                .await?;
        }
        Change::ForgetLetters { before } => {
            sqlx::query("DELETE FROM dead_letter WHERE sent_at < ?")
                .bind(before.as_micros())
                .execute(connection)
                .await?;
        }
    }
    Ok(())
}

/// Letters are few: one statement each is simple, and the commit is shared all the same.
async fn insert_letters(
    connection: &mut SqliteConnection,
    letters: &[DeadLetter],
    at: Timestamp,
) -> Result<(), sqlx::Error> {
    for DeadLetter { record, code, detail } in letters {
        sqlx::query(
            "INSERT INTO dead_letter (epoch, partition, offset, code, detail, key, value, headers, appended_at, sent_at) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (epoch, partition, offset) DO NOTHING",
        )
        .bind(record.position.epoch)
        .bind(record.position.partition)
        .bind(signed(record.position.offset))
        .bind(code.as_str())
        .bind(detail.clone())
        .bind(record.key.as_deref().map(<[u8]>::to_vec))
        .bind(record.value.as_deref().map(<[u8]>::to_vec))
        .bind(encode_headers(&record.headers))
        .bind(record.appended_at.as_micros())
        .bind(at.as_micros())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// SQLite's integers are signed; ours stay far below.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
