//! Reading: in bulk, by tasks that are never cancelled, woken by commits.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use sqlx::{Row, sqlite::SqliteRow};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Shared,
    row::{decode_headers, position, row_id},
};
use crate::{
    log::{Bounds, ReadError, Reader, Record},
    model::{Timestamp, version::OFFSET_MAX},
};

/// Bytes of values that one read brings in; a single larger record is brought alone.
const READ_BYTES_MAX: usize = 16 << 20;

/// Reads one partition. What a cancelled `next` was about to give stays here for the next call.
pub(super) struct EmbeddedReader {
    pub(super) shared: Arc<Shared>,
    pub(super) partition: u32,
    /// The next offset to fetch.
    pub(super) offset: u64,
    pub(super) bounds: watch::Receiver<Bounds>,
    pub(super) fetched: VecDeque<Record>,
    pub(super) fetching: Option<JoinHandle<Result<Vec<Record>, ReadError>>>,
}

#[async_trait]
impl Reader for EmbeddedReader {
    async fn next(&mut self, count: usize) -> Result<Vec<Record>, ReadError> {
        let count = count.max(1);
        while self.fetched.is_empty() {
            let fetching = match self.fetching.as_mut() {
                Some(fetching) => fetching,
                None => {
                    self.wait().await?;
                    let epoch = self.shared.epoch();
                    if let Some(records) = self.shared.tail.read(self.partition, self.offset, count, epoch) {
                        self.offset = records.last().map_or(self.offset, |last| last.position.offset + 1);
                        return Ok(records);
                    }
                    let read = read(Arc::clone(&self.shared), self.partition, self.offset, count);
                    self.fetching.insert(self.shared.tasks.spawn(read))
                }
            };
            let records = fetching.await;
            self.fetching = None;
            let records = records.map_err(|error| ReadError::Unavailable(error.to_string()))??;
            self.offset = records.last().map_or(self.offset, |last| last.position.offset + 1);
            self.fetched.extend(records);
        }
        let count = count.min(self.fetched.len());
        Ok(self.fetched.drain(..count).collect())
    }
}

impl EmbeddedReader {
    /// Waits until there is something at the offset.
    async fn wait(&mut self) -> Result<(), ReadError> {
        let offset = self.offset;
        let here = |bounds: &Bounds| bounds.end > offset || bounds.start > offset;
        let bounds = tokio::select! {
            biased;
            bounds = self.bounds.wait_for(here) => *bounds.map_err(|_| closed())?,
            () = self.shared.tasks.stopping() => return Err(closed()),
        };
        if bounds.start > offset { Err(ReadError::OutOfRange { offset, bounds }) } else { Ok(()) }
    }
}

fn closed() -> ReadError {
    ReadError::Unavailable("the log is closed".into())
}

fn unavailable(error: &sqlx::Error) -> ReadError {
    ReadError::Unavailable(error.to_string())
}

/// At most `count` records from `offset` on, none missing in between.
async fn read(
    shared: Arc<Shared>,
    partition: u32,
    offset: u64,
    count: usize,
) -> Result<Vec<Record>, ReadError> {
    let mut records: Vec<Record> = Vec::new();
    {
        let mut rows = sqlx::query(
            "SELECT n, at, key, headers, value FROM record WHERE n >= ? AND n < ? ORDER BY n LIMIT ?",
        )
        .bind(row_id(partition, offset))
        .bind(row_id(partition, OFFSET_MAX + 1))
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .fetch(&shared.readers);
        let mut bytes = 0;
        while bytes < READ_BYTES_MAX
            && let Some(row) = rows.try_next().await.map_err(|error| unavailable(&error))?
        {
            let record = decode(&row, shared.epoch(), partition)?;
            bytes += record.value.as_ref().map_or(0, Bytes::len);
            records.push(record);
        }
    }
    // Offsets of this log have no gaps: a hole at the front was trimmed meanwhile, any other is damage.
    let expected = (offset..).zip(&records).find(|(expected, record)| record.position.offset != *expected);
    match expected {
        None if !records.is_empty() => Ok(records),
        _ => Err(missing(&shared, partition, offset).await),
    }
}

/// Why the record at `offset`, which the log has had, cannot be read.
async fn missing(shared: &Shared, partition: u32, offset: u64) -> ReadError {
    let start = sqlx::query_scalar::<_, i64>("SELECT start FROM partition WHERE partition = ?")
        .bind(partition)
        .fetch_one(&shared.readers)
        .await;
    match start.map(i64::unsigned_abs) {
        Err(error) => unavailable(&error),
        Ok(start) if start > offset => {
            let end = shared.bounds(partition).map_or(start, |bounds| bounds.end);
            ReadError::OutOfRange { offset, bounds: Bounds { start, end } }
        }
        Ok(_) => {
            ReadError::Unavailable(format!("records of partition {partition} after {offset} are missing"))
        }
    }
}

/// One record, if it is there.
pub(super) async fn one(
    shared: Arc<Shared>,
    partition: u32,
    offset: u64,
) -> Result<Option<Record>, ReadError> {
    if offset > OFFSET_MAX {
        return Ok(None);
    }
    let row = sqlx::query("SELECT n, at, key, headers, value FROM record WHERE n = ?")
        .bind(row_id(partition, offset))
        .fetch_optional(&shared.readers)
        .await
        .map_err(|error| unavailable(&error))?;
    row.map(|row| decode(&row, shared.epoch(), partition)).transpose()
}

fn decode(row: &SqliteRow, epoch: u32, partition: u32) -> Result<Record, ReadError> {
    let column = |error: sqlx::Error| unavailable(&error);
    let n: i64 = row.try_get("n").map_err(column)?;
    let key: Vec<u8> = row.try_get("key").map_err(column)?;
    let value: Vec<u8> = row.try_get("value").map_err(column)?;
    let headers: &[u8] = row.try_get("headers").map_err(column)?;
    Ok(Record {
        position: position(epoch, partition, n),
        key: Some(key.into()),
        value: Some(value.into()),
        headers: decode_headers(headers)
            .ok_or_else(|| ReadError::Unavailable(format!("the headers of record {n} are damaged")))?,
        appended_at: Timestamp::from_micros(row.try_get("at").map_err(column)?),
    })
}
