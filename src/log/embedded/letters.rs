//! The dead letters: kept for 30 days, listed for people.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::{Row, sqlite::SqliteRow};

use super::{Shared, row::decode_headers, writer::signed};
use crate::{
    log::Headers,
    model::{PartitionId, Position, Timestamp},
};

/// Days that a dead letter is kept.
pub const LETTER_DAYS: i64 = 30;

/// A dead letter as it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLetter {
    /// Its number, rising in the order of arrival: where the next page of a list begins.
    pub number: u64,
    /// Where its record stood.
    pub position: Position,
    /// The code's text; kept as text, since a later release may have retired it.
    pub code: String,
    /// What to change.
    pub detail: String,
    /// The record's key, if it had one.
    pub key: Option<Bytes>,
    /// The record's value, if it had one.
    pub value: Option<Bytes>,
    /// The record's headers.
    pub headers: Headers,
    /// When the log took the record.
    pub appended_at: Timestamp,
    /// When it became a dead letter.
    pub sent_at: Timestamp,
}

/// At most `count` letters with a number above `after`, oldest first.
pub(super) async fn list(shared: Arc<Shared>, after: u64, count: u32) -> Result<Vec<StoredLetter>, String> {
    let rows = sqlx::query("SELECT * FROM dead_letter WHERE n > ? ORDER BY n LIMIT ?")
        .bind(signed(after))
        .bind(count)
        .fetch_all(&shared.readers)
        .await;
    rows.map_err(|error| error.to_string())?.iter().map(decode).collect()
}

/// The letter of one position.
pub(super) async fn one(shared: Arc<Shared>, position: Position) -> Result<Option<StoredLetter>, String> {
    let row = sqlx::query("SELECT * FROM dead_letter WHERE epoch = ? AND partition = ? AND offset = ?")
        .bind(position.epoch)
        .bind(position.partition)
        .bind(signed(position.offset))
        .fetch_optional(&shared.readers)
        .await;
    row.map_err(|error| error.to_string())?.as_ref().map(decode).transpose()
}

fn decode(row: &SqliteRow) -> Result<StoredLetter, String> {
    let read = || -> Result<StoredLetter, sqlx::Error> {
        let partition = PartitionId { epoch: row.try_get("epoch")?, partition: row.try_get("partition")? };
        let headers: &[u8] = row.try_get("headers")?;
        let headers = decode_headers(headers)
            .ok_or_else(|| sqlx::Error::Decode("the headers of a dead letter are damaged".into()))?;
        Ok(StoredLetter {
            number: row.try_get::<i64, _>("n")?.unsigned_abs(),
            position: partition.at(row.try_get::<i64, _>("offset")?.unsigned_abs()),
            code: row.try_get("code")?,
            detail: row.try_get("detail")?,
            key: row.try_get::<Option<Vec<u8>>, _>("key")?.map(Bytes::from),
            value: row.try_get::<Option<Vec<u8>>, _>("value")?.map(Bytes::from),
            headers,
            appended_at: Timestamp::from_micros(row.try_get("appended_at")?),
            sent_at: Timestamp::from_micros(row.try_get("sent_at")?),
        })
    };
    read().map_err(|error| error.to_string())
}
