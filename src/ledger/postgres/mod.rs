//! A ledger on Postgres, for as many processes as have partitions to own.
//!
//! ```text
//! write transactions ──▶ a pool: BEGIN · SELECT … FROM partition … FOR UPDATE · lease · bulk · COMMIT
//! reads ───────────────▶ another pool, one statement each
//! ```
//!
//! **Isolation.** A transaction first locks its partition's row, then checks the lease on it, and
//! every row that it reads or writes afterwards belongs to that partition: a space lies in one
//! partition, and its claims, sagas, heads and relations with it. Whoever else would write these rows
//! waits for the same lock. READ COMMITTED takes a new snapshot for every statement, hence after the
//! lock, so each statement sees all that earlier owners committed and no half of anything. What is
//! shared by partitions is numbers alone: spaces' (given out once, never changed) and the blocks below.
//! The one who reads without the lock, the sweep, deletes only images that nobody can point at again.
//!
//! **Numbers.** Records and images are numbered by the process that writes them, from blocks of a
//! million that it takes from a row of their own, in a transaction of its own.

mod arguments;
mod dialect;
mod error;
mod open;
mod options;
mod session;

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;

pub use self::open::OpenError;
pub use self::options::{Options, Refused};
use self::{error::failed, session::Link};
use super::{
    Error,
    sql::{
        SqlLedger,
        cells::Cells,
        dialect::Texts,
        driver::{Database, Session as _},
        statements as sql,
        values::binds,
    },
};

/// A ledger in a schema of a Postgres database. Clones share it.
pub type PostgresLedger = SqlLedger<PostgresDatabase>;

/// The connections to one schema of one database.
pub struct PostgresDatabase {
    pools: Arc<Pools>,
}

struct Pools {
    texts: Texts,
    readers: PgPool,
    writers: PgPool,
    /// What opens a transaction.
    begin: Arc<str>,
    answer_timeout: Duration,
    numbers: tokio::sync::Mutex<Numbers>,
}

/// The rest of the present blocks: from the first, up to the second, exclusive.
#[derive(Default)]
struct Numbers {
    record: (i64, i64),
    image: (i64, i64),
}

/// So many numbers at once: a process that starts wastes no more than these.
const BLOCK: i64 = 1 << 20;

impl Pools {
    async fn reserve(self: &Arc<Self>, records: i64, images: i64) -> Result<(i64, i64), Error> {
        let mut numbers = self.numbers.lock().await;
        let record = self.take(&mut numbers.record, "record", records).await?;
        let image = self.take(&mut numbers.image, "image", images).await?;
        Ok((record, image))
    }

    /// `count` consecutive numbers; the first.
    async fn take(
        self: &Arc<Self>,
        block: &mut (i64, i64),
        name: &'static str,
        count: i64,
    ) -> Result<i64, Error> {
        if block.1 - block.0 < count {
            let size = BLOCK.max(count);
            let mut link = self.reader().await?;
            let row = link.row(sql::TAKE_NUMBERS, binds!(name, size)).await?;
            let missing = || Error::Corrupt(format!("numbers: there is no row `{name}`"));
            let last: i64 = Cells::of(&row.ok_or_else(missing)?, "numbers").get()?;
            *block = (last - size + 1, last + 1);
        }
        let first = block.0;
        block.0 += count;
        Ok(first)
    }

    async fn reader(self: &Arc<Self>) -> Result<Link, Error> {
        let connection = self.readers.acquire().await.map_err(|error| failed(&error))?;
        Ok(Link::new(connection, Arc::clone(self)))
    }
}

impl Database for PostgresDatabase {
    type Reader = Link;
    type Writer = Link;

    async fn reader(&self) -> Result<Link, Error> {
        self.pools.reader().await
    }

    async fn begin(&self) -> Result<Link, Error> {
        let connection = self.pools.writers.acquire().await.map_err(|error| failed(&error))?;
        let mut link = Link::new(connection, Arc::clone(&self.pools));
        link.begin().await?;
        Ok(link)
    }
}

impl PostgresLedger {
    /// Closes every connection. Without it nothing is lost.
    pub async fn close(self) {
        let pools = &self.shared.database.pools;
        pools.writers.close().await;
        pools.readers.close().await;
    }
}

#[cfg(test)]
mod tests;
