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

mod heads;
mod open;
mod questions;
mod read;
mod relations;
mod rows;
mod sagas;
mod session;
mod transaction;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
};

use parking_lot::Mutex;
use sqlx::{SqliteConnection, SqlitePool};
use tokio::sync::OwnedMutexGuard;

pub use self::open::{OpenError, Options};
use self::session::{Binds, Session, binds};
use super::{
    Error,
    sql::{dialect::Texts, statements as sql},
};
use crate::model::{Key, PartitionId, Space};

/// A ledger in one SQLite file. Clones share it.
#[derive(Clone)]
pub struct SqliteLedger {
    shared: Arc<Shared>,
}

struct Shared {
    identity: String,
    texts: Texts,
    readers: SqlitePool,
    writer: Arc<tokio::sync::Mutex<Writer>>,
    /// Numbers of spaces that have committed. Never wrong, since a number never changes.
    spaces: Mutex<HashMap<Space, i64>>,
    /// Images up to this number have been looked at in the present round of sweeping.
    swept: AtomicU64,
    /// Held until the last handle is gone.
    _lock: std::fs::File,
}

/// The writing connection, and the numbers that only it gives out.
struct Writer {
    connection: SqliteConnection,
    /// A transaction was begun and has not been seen to end: it was dropped, or its answer was lost.
    open: bool,
    last_record: i64,
    last_image: i64,
    /// Where the images of sagas are that have not ended: what a finish would otherwise read back, row
    /// by row. A saga that is missing here is looked up; one that was rolled back is numbered anew
    /// before it can be asked for.
    written: HashMap<(PartitionId, u64), Images>,
}

/// The number of a saga's first image, and its writes in order: whether each has an image, and its key.
type Images = (i64, Vec<(bool, Key)>);

/// Most sagas whose images' numbers are remembered: some 5 MB.
const WRITTEN_MAX: usize = 50_000;

/// Most spaces whose numbers are remembered: some 10 MB.
const SPACES_MAX: usize = 100_000;

impl Writer {
    /// Rolls back whatever was left open, and begins.
    async fn begin(&mut self, texts: &Texts) -> Result<(), Error> {
        if self.open {
            // It fails when there is nothing to roll back, which is as good.
            if let Err(error) = self.session(texts).run(sql::ROLLBACK, Binds::default()).await {
                tracing::debug!(%error, "nothing to roll back");
            }
        }
        self.open = true;
        self.session(texts).run(sql::BEGIN, Binds::default()).await?;
        Ok(())
    }

    async fn commit(&mut self, texts: &Texts) -> Result<(), Error> {
        let done = self.session(texts).run(sql::COMMIT, Binds::default()).await;
        done.map_err(|error| Error::Indeterminate(error.to_string()))?;
        self.open = false;
        Ok(())
    }

    /// Remembers where the images of a saga are.
    fn remember(&mut self, position: (PartitionId, u64), first: i64, writes: Vec<(bool, Key)>) {
        if self.written.len() >= WRITTEN_MAX {
            self.written.clear();
        }
        self.written.insert(position, (first, writes));
    }

    fn session<'c>(&'c mut self, texts: &'c Texts) -> Session<'c> {
        Session { connection: &mut self.connection, texts }
    }
}

impl SqliteLedger {
    /// The writer, inside a new transaction.
    async fn begin(&self) -> Result<OwnedMutexGuard<Writer>, Error> {
        let mut writer = Arc::clone(&self.shared.writer).lock_owned().await;
        writer.begin(&self.shared.texts).await?;
        Ok(writer)
    }

    fn remember(&self, spaces: HashMap<Space, i64>) {
        let mut known = self.shared.spaces.lock();
        if known.len() + spaces.len() > SPACES_MAX {
            known.clear();
        }
        known.extend(spaces);
    }

    /// Folds the write-ahead log into the file and closes every connection. Without it nothing is
    /// lost; the next start reads the log again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the file cannot be written.
    pub async fn close(self) -> Result<(), Error> {
        self.shared.readers.close().await;
        let mut writer = self.shared.writer.lock().await;
        writer.session(&self.shared.texts).run(sql::CHECKPOINT, binds!()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
