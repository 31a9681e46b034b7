//! Two pools of connections, and the numbers that this process may give out.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;

use super::{dialect::TAKE_NUMBERS, error::failed, session::Link};
use crate::ledger::{
    Error,
    sql::{
        SqlLedger,
        cells::Cells,
        dialect::Texts,
        driver::{Database, Session as _},
        values::binds,
    },
};

/// A ledger in a schema of a Postgres database. Clones share it.
pub type PostgresLedger = SqlLedger<PostgresDatabase>;

/// The connections to one schema of one database.
pub struct PostgresDatabase {
    pub(super) pools: Arc<Pools>,
}

/// The connections, and what all of them share.
pub(super) struct Pools {
    pub(super) texts: Texts,
    pub(super) readers: PgPool,
    pub(super) writers: PgPool,
    /// What opens a transaction.
    pub(super) begin: Arc<str>,
    pub(super) answer_timeout: Duration,
    pub(super) numbers: tokio::sync::Mutex<Numbers>,
}

/// The rest of the present blocks: from the first, up to the second, exclusive.
#[derive(Default)]
pub(super) struct Numbers {
    record: (i64, i64),
    image: (i64, i64),
}

/// So many numbers at once: a process that starts wastes no more than these.
const BLOCK: i64 = 1 << 20;

impl Pools {
    pub(super) async fn reserve(self: &Arc<Self>, records: i64, images: i64) -> Result<(i64, i64), Error> {
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
            let row = link.row(TAKE_NUMBERS, binds!(name, size)).await?;
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
