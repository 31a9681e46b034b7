//! A ledger in one SQLite file.
//!
//! ```text
//! write transactions ──one at a time──▶ one connection, BEGIN IMMEDIATE
//! reads ──────────────────────────────▶ a few read-only connections, one statement each
//! ```
//!
//! SQLite has one writer, so the one connection behind a lock *is* the lock of every partition. A
//! read is always a single statement, or several over rows that no longer change: no connection of
//! the pool is ever inside a transaction, so none can be handed back inside one.
//!
//! One process opens a ledger at a time; a lock file beside it names that process.

mod dialect;
mod open;
mod session;

use std::sync::Arc;

use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::OwnedMutexGuard;

pub use self::open::{OpenError, Options};
use self::session::{Link, failed};
use super::{
    Error,
    sql::{
        SqlLedger,
        dialect::Texts,
        driver::{Database, Session as _},
        statements as sql,
        values::{Binds, binds},
    },
};

/// A ledger in one SQLite file. Clones share it.
pub type SqliteLedger = SqlLedger<Sqlite>;

/// One SQLite file.
pub struct Sqlite {
    texts: Arc<Texts>,
    readers: SqlitePool,
    writer: Arc<tokio::sync::Mutex<Writer>>,
    /// Held until the last handle is gone.
    _lock: std::fs::File,
}

/// The writing connection, and the numbers that only it gives out.
pub(in crate::ledger) struct Writer {
    connection: SqliteConnection,
    /// A transaction was begun and has not been seen to end: it was dropped, or its answer was lost.
    open: bool,
    last_record: i64,
    last_image: i64,
}

impl AsMut<SqliteConnection> for Writer {
    fn as_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

/// The writer, held for one transaction.
pub(in crate::ledger) struct Held(OwnedMutexGuard<Writer>);

impl AsMut<SqliteConnection> for Held {
    fn as_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0.connection
    }
}

impl Database for Sqlite {
    type Reader = Link<sqlx::pool::PoolConnection<sqlx::Sqlite>>;
    type Writer = Link<Held>;

    async fn reader(&self) -> Result<Self::Reader, Error> {
        let connection = self.readers.acquire().await.map_err(failed)?;
        Ok(Link { connection, texts: Arc::clone(&self.texts) })
    }

    /// Rolls back whatever was left open, and begins.
    async fn begin(&self) -> Result<Self::Writer, Error> {
        let held = Held(Arc::clone(&self.writer).lock_owned().await);
        let mut link = Link { connection: held, texts: Arc::clone(&self.texts) };
        if link.connection.0.open {
            // It fails when there is nothing to roll back, which is as good.
            if let Err(error) = link.run(sql::ROLLBACK, Binds::default()).await {
                tracing::debug!(%error, "nothing to roll back");
            }
        }
        link.connection.0.open = true;
        link.run(sql::BEGIN, Binds::default()).await?;
        Ok(link)
    }
}

impl super::sql::driver::Writer for Link<Held> {
    async fn reserve(&mut self, records: i64, images: i64) -> Result<(i64, i64), Error> {
        let writer = &mut *self.connection.0;
        let first = (writer.last_record + 1, writer.last_image + 1);
        writer.last_record += records;
        writer.last_image += images;
        Ok(first)
    }

    async fn commit(mut self) -> Result<(), Error> {
        let done = self.run(sql::COMMIT, Binds::default()).await;
        done.map_err(|error| Error::Indeterminate(error.to_string()))?;
        self.connection.0.open = false;
        Ok(())
    }

    /// Whoever writes next rolls back first.
    async fn roll_back(self) {}
}

impl SqliteLedger {
    /// Folds the write-ahead log into the file and closes every connection. Without it nothing is
    /// lost; the next start reads the log again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the file cannot be written.
    pub async fn close(self) -> Result<(), Error> {
        let Sqlite { texts, readers, writer, .. } = &self.shared.database;
        readers.close().await;
        let connection = Held(Arc::clone(writer).lock_owned().await);
        let mut link = Link { connection, texts: Arc::clone(texts) };
        link.run(sql::CHECKPOINT, binds!()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
