//! What the same drivers do on their own: the rates to be compared with.

use std::path::Path;

use futures::future::BoxFuture;
use sqlx::{
    ConnectOptions, Connection, QueryBuilder, Sqlite,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::time::{Duration, Instant};

use super::{Error, Options, Row, at, cpu, load};
use crate::{model::memory::f32s_to_bytes, random::Random};

/// SQLite alone: one row a memory with the columns of an image, commits of `batch`, write-ahead log,
/// full synchronisation, through sqlx.
pub(super) async fn sqlite(options: &Options, folder: &Path, random: &Random) -> Result<Row, Error> {
    let connect = SqliteConnectOptions::new()
        .filename(folder.join("baseline.db"))
        .create_if_missing(true)
        .page_size(8192)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "8192");
    let mut connection = connect.connect().await.map_err(at("open SQLite"))?;
    sqlx::query(
        "CREATE TABLE image (n INTEGER PRIMARY KEY, key BLOB, e INTEGER, s INTEGER, hash BLOB, kind TEXT, \
         session TEXT, content TEXT, properties TEXT, importance REAL, occurred_at INTEGER, \
         valid_from INTEGER, valid_until INTEGER, dense BLOB)",
    )
    .execute(&mut connection)
    .await
    .map_err(at("create the table"))?;
    let rows: Vec<(String, String, Vec<u8>)> = (0..options.count)
        .map(|number| {
            let vector = f32s_to_bytes(&load::vector(random, options.dimension));
            (load::sentence(random), format!(r#"{{"turn":{number}}}"#), vector)
        })
        .collect();
    let (started, used) = (Instant::now(), cpu::seconds());
    for (batch, rows) in rows.chunks(options.batch).enumerate() {
        insert(&mut connection, batch * options.batch, rows).await.map_err(at("insert rows"))?;
    }
    let (seconds, used) = (started.elapsed().as_secs_f64(), cpu::seconds() - used);
    connection.close().await.map_err(at("close SQLite"))?;
    Ok(Row::new("sqlite_bulk", options.count as f64 / seconds, "commands/s")
        .spent("whole", seconds)
        .spent("processor", used))
}

fn insert<'c>(
    connection: &'c mut sqlx::SqliteConnection,
    first: usize,
    rows: &'c [(String, String, Vec<u8>)],
) -> BoxFuture<'c, Result<(), sqlx::Error>> {
    Box::pin(async move {
        let mut transaction = connection.begin().await?;
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO image (n, key, e, s, hash, kind, session, content, properties, importance, \
             occurred_at, valid_from, dense) ",
        );
        insert.push_values(rows.iter().enumerate(), |mut row, (index, (content, properties, vector))| {
            let number = (first + index) as i64;
            let key = crate::model::Digest::of(&number.to_le_bytes());
            row.push_bind(number + 1)
                .push_bind(key.key().0.to_vec())
                .push_bind(1_i64)
                .push_bind(number * 4)
                .push_bind(key.0.to_vec())
                .push_bind("Episode")
                .push_bind("s-1")
                .push_bind(content.as_str())
                .push_bind(properties.as_str())
                .push_bind(0.5_f64)
                .push_bind(number)
                .push_bind(number)
                .push_bind(vector.as_slice());
        });
        insert.build().execute(&mut *transaction).await?;
        transaction.commit().await
    })
}

/// The embedded vector engine alone: bulk upserts of `batch` with the payload that a memory has and the
/// indexes that our index has, flushed as often as our checkpoint flushes.
#[cfg(feature = "edge")]
pub(super) async fn edge(
    options: &Options,
    folder: &Path,
    random: &Random,
    flush_interval: Duration,
) -> Result<Row, Error> {
    let vectors: Vec<Vec<f32>> =
        (0..options.count).map(|_| load::vector(random, options.dimension)).collect();
    let (folder, batch, count) = (folder.join("baseline-index"), options.batch, options.count);
    let dimension = options.dimension;
    let seconds = tokio::task::spawn_blocking(move || {
        crate::vector::edge::bulk_seconds(&folder, dimension, vectors, batch, flush_interval)
    })
    .await
    .map_err(at("join the engine's thread"))?
    .map_err(at("write to the engine"))?;
    Ok(Row::new("edge_bulk", count as f64 / seconds, "commands/s"))
}
