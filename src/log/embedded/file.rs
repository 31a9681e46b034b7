//! The file: who may open it, what it says about itself, how connections to it are set.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use fs4::fs_std::FileExt;
use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{Options, row::PARTITIONS_MAX};
use crate::{
    log::{Partitioner, Topology},
    random::Random,
};

/// `EnLo`: tells this file from any other SQLite database.
const APPLICATION_ID: i32 = 0x456e_4c6f;

/// The layout below. Raised when it changes; an older program then refuses the file.
const FORMAT: i32 = 1;

const SCHEMA: &str = "
    CREATE TABLE log (identity TEXT NOT NULL, partitions INTEGER NOT NULL, partitioner TEXT NOT NULL);
    -- `start`: the oldest offset that is still there. The end follows from the newest record, which stays.
    CREATE TABLE partition (partition INTEGER PRIMARY KEY, start INTEGER NOT NULL);
    CREATE TABLE record (n INTEGER PRIMARY KEY, at INTEGER NOT NULL, key BLOB NOT NULL, headers BLOB NOT NULL,
                         value BLOB NOT NULL);
    -- The highest finish that was published.
    CREATE TABLE witness (epoch INTEGER NOT NULL, partition INTEGER NOT NULL, finish INTEGER NOT NULL,
                          PRIMARY KEY (epoch, partition)) WITHOUT ROWID;
    CREATE TABLE dead_letter (n INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, partition INTEGER NOT NULL,
                              offset INTEGER NOT NULL, code TEXT NOT NULL, detail TEXT NOT NULL, key BLOB, value BLOB,
                              headers BLOB NOT NULL, appended_at INTEGER NOT NULL, sent_at INTEGER NOT NULL,
                              UNIQUE (epoch, partition, offset));
    -- How far each partition had been read when the log had run for so long.
    CREATE TABLE mark (ran_ms INTEGER NOT NULL, partition INTEGER NOT NULL, watermark INTEGER NOT NULL,
                       PRIMARY KEY (partition, ran_ms)) WITHOUT ROWID;
";

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// One process writes a log.
    #[error(
        "`{path}` is in use by process {pid}; stop it, or send commands to it over HTTP instead of opening its log"
    )]
    InUse {
        /// The log's file.
        path: PathBuf,
        /// Who has it open; `?` when it did not say.
        pid: String,
    },
    /// It is a file, but not one of ours.
    #[error("`{0}` is not a command log; name another file in `log.path`")]
    Foreign(PathBuf),
    /// A later release wrote it.
    #[error("`{path}` has format {found}, this program reads up to {FORMAT}; run the release that wrote it")]
    Newer {
        /// The log's file.
        path: PathBuf,
        /// Its format.
        found: i32,
    },
    /// The number of partitions belongs to the log for good: growing it would move spaces.
    #[error(
        "`{path}` has {found} partitions, not {asked}; set `log.partitions = {found}`, or name another file"
    )]
    Partitions {
        /// The log's file.
        path: PathBuf,
        /// What it has.
        found: u32,
        /// What the options say.
        asked: u32,
    },
    /// The number of partitions is not one that a file can hold.
    #[error("`log.partitions` is {0}; it must be from 1 to {PARTITIONS_MAX}")]
    PartitionsRange(u32),
    /// Bytes of the file are not what was written.
    #[error("`{path}` is damaged ({problem}); restore it from a backup, and the ledger with it")]
    Damaged {
        /// The log's file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// The folder or the file cannot be used.
    #[error("open `{path}`")]
    Io {
        /// The log's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// SQLite could not open it.
    #[error("open `{path}`")]
    Database {
        /// The log's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}

impl OpenError {
    /// Sorts an error of SQLite: damage has another remedy than a full disk.
    pub(super) fn database(path: &Path, source: sqlx::Error) -> Self {
        let path = path.to_owned();
        if is_damage(&source) {
            return Self::Damaged { path, problem: source.to_string() };
        }
        Self::Database { path, source }
    }
}

/// Whether SQLite found bytes that it cannot have written (`SQLITE_CORRUPT`, `SQLITE_NOTADB`).
pub(super) fn is_damage(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(11 | 26))
}

/// SQLite's result code without its extension.
pub(super) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// Held while the log is open. The operating system lets go of it when the process dies, however.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock beside `path` and writes this process' id into it.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let fail = |source| OpenError::Io { path: path.to_owned(), source };
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(PathBuf::from(name))
            .map_err(fail)?;
        if !FileExt::try_lock_exclusive(&file).map_err(fail)? {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(fail)?;
            let pid = if pid.trim().is_empty() { "?" } else { pid.trim() };
            return Err(OpenError::InUse { path: path.to_owned(), pid: pid.to_owned() });
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(fail)?;
        writeln!(file, "{}", std::process::id()).map_err(fail)?;
        Ok(Self { _file: file })
    }
}

/// A durable commit is one fsync of the write-ahead log.
pub(super) fn writing(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        // Rows of 2 KB sit badly on pages of 4 KiB: one fits, and its neighbour overflows.
        .page_size(8192)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5))
        // 64 MiB between checkpoints: each page is then copied back once for many commits.
        .pragma("wal_autocheckpoint", "8192")
        .pragma("journal_size_limit", "67108864")
}

/// Readers see what was committed and hold nobody up.
pub(super) fn reading(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(Duration::from_secs(5))
}

/// Opens the file for its one writer, making it when it is not there, and says what log it is.
pub(super) async fn open(
    options: &Options,
    random: &Random,
) -> Result<(SqliteConnection, Topology), OpenError> {
    let path = &options.path;
    if !(1..=PARTITIONS_MAX).contains(&options.partitions) {
        return Err(OpenError::PartitionsRange(options.partitions));
    }
    let fail = |source| OpenError::database(path, source);
    let mut connection = writing(path).connect().await.map_err(fail)?;
    let number = |text: &'static str| sqlx::query_scalar::<_, i32>(text);
    let id = number("PRAGMA application_id").fetch_one(&mut connection).await.map_err(fail)?;
    let format = number("PRAGMA user_version").fetch_one(&mut connection).await.map_err(fail)?;
    let tables =
        number("SELECT count(*) FROM sqlite_schema").fetch_one(&mut connection).await.map_err(fail)?;
    match (id, format) {
        (0, 0) if tables == 0 => create(&mut connection, options, random).await.map_err(fail)?,
        (APPLICATION_ID, FORMAT) => {}
        (APPLICATION_ID, found) => return Err(OpenError::Newer { path: path.clone(), found }),
        _ => return Err(OpenError::Foreign(path.clone())),
    }
    let topology = topology(&mut connection, path).await?;
    if topology.partitions != options.partitions {
        let (found, asked) = (topology.partitions, options.partitions);
        return Err(OpenError::Partitions { path: path.clone(), found, asked });
    }
    Ok((connection, topology))
}

/// Writes an empty log, all of it or nothing.
async fn create(
    connection: &mut SqliteConnection,
    options: &Options,
    random: &Random,
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(SCHEMA).execute(&mut *transaction).await?;
    sqlx::query("INSERT INTO log (identity, partitions, partitioner) VALUES (?, ?, ?)")
        .bind(format!("{:032x}", random.nonce()))
        .bind(options.partitions)
        .bind(Partitioner::default().as_str())
        .execute(&mut *transaction)
        .await?;
    for partition in 0..options.partitions {
        sqlx::query("INSERT INTO partition (partition, start) VALUES (?, 0)")
            .bind(partition)
            .execute(&mut *transaction)
            .await?;
    }
    // Part of the transaction: without them the file is empty and is made again. The numbers are the constants
    // above, which a test compares.
    sqlx::raw_sql("PRAGMA application_id = 1164856431; PRAGMA user_version = 1")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

async fn topology(connection: &mut SqliteConnection, path: &Path) -> Result<Topology, OpenError> {
    let row = sqlx::query("SELECT identity, partitions, partitioner FROM log")
        .fetch_one(connection)
        .await
        .map_err(|source| OpenError::database(path, source))?;
    let read = || -> Result<Topology, Box<dyn std::error::Error>> {
        let partitioner: String = row.try_get("partitioner")?;
        Ok(Topology {
            identity: row.try_get("identity")?,
            partitions: row.try_get("partitions")?,
            partitioner: partitioner.parse()?,
        })
    };
    read().map_err(|problem| OpenError::Damaged { path: path.to_owned(), problem: problem.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_in_the_file_is_ours() {
        assert_eq!(APPLICATION_ID.to_be_bytes(), *b"EnLo");
        assert_eq!((APPLICATION_ID, FORMAT), (1_164_856_431, 1));
    }
}
