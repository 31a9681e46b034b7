//! One connection of a pool, and the one place that hands SQL to Postgres' driver.
//!
//! A connection goes back to its pool only when it is known to be at rest: no statement under way and
//! no transaction open. In every other case (an error, a caller that was cancelled, an answer that did
//! not come) it is closed, and the server rolls back what it finds. So no transaction can ever be
//! found open by the next user of a connection, whoever drops what and when.

use std::{future::Future, sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, Postgres, Row as _, ValueRef as _,
    pool::PoolConnection,
    postgres::{PgArguments, PgConnection, PgRow, PgValueRef},
};

use super::{
    arguments::{Rows, arguments},
    database::Pools,
    error::{NO_ANSWER, commit_failed, failed, is_refusal},
    queue::{Queue, Values},
};
use crate::ledger::{
    Error,
    sql::{
        driver::{Row, Session, Writer},
        statements::{self as sql, Bulk},
        values::Binds,
    },
};

/// A connection in use.
pub(in crate::ledger) struct Link {
    /// There until it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    pools: Arc<Pools>,
    /// A statement is under way, or its answer never came.
    busy: bool,
    /// A transaction is open.
    within: bool,
    /// A statement of this transaction failed: the server takes nothing but its end.
    over: bool,
    /// What this transaction has still to write.
    queue: Queue,
}

impl Link {
    pub(super) fn new(connection: PoolConnection<Postgres>, pools: Arc<Pools>) -> Self {
        Self {
            connection: Some(connection),
            pools,
            busy: false,
            within: false,
            over: false,
            queue: Queue::default(),
        }
    }

    /// Opens a transaction, with its limits.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        self.within = true;
        let text = Arc::clone(&self.pools.begin);
        let begin = |connection| sqlx::raw_sql(AssertSqlSafe(text)).execute(connection);
        self.answered(begin).await?.map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Waits for the answer to a statement, not for ever.
    async fn answered<'c, T, F>(
        &'c mut self,
        statement: impl FnOnce(&'c mut PgConnection) -> F,
    ) -> Result<Result<T, sqlx::Error>, Error>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        if self.over {
            return Err(Error::Unavailable("this transaction is over".to_owned()));
        }
        self.busy = true;
        let timeout: Duration = self.pools.answer_timeout;
        let connection = self.connection.as_mut().expect("held until it is dropped");
        let Ok(answer) = tokio::time::timeout(timeout, statement(connection)).await else {
            self.over = true;
            self.pools.losses.note();
            return Err(Error::Unavailable(NO_ANSWER.to_owned()));
        };
        // After a refusal of the server the connection is at rest; after its last words, or any other
        // error, who knows.
        let at_rest = answer.as_ref().err().is_none_or(is_refusal);
        self.busy = !at_rest;
        if !at_rest {
            self.pools.losses.note();
        }
        self.over = answer.is_err() && (self.within || !at_rest);
        Ok(answer)
    }

    async fn execute(&mut self, text: Arc<str>, arguments: PgArguments) -> Result<u64, Error> {
        let query = sqlx::query_with(AssertSqlSafe(text), arguments);
        let done = self.answered(|connection| query.execute(connection)).await?;
        Ok(done.map_err(|error| failed(&error))?.rows_affected())
    }

    /// Writes with what else there is to write; outside a transaction, now.
    async fn later(&mut self, text: Arc<str>, values: Values) -> Result<(), Error> {
        self.after(&text).await?;
        self.queue.push(text, values);
        if self.within { Ok(()) } else { self.flush().await }
    }

    /// Sends what this statement must not overtake.
    async fn after(&mut self, text: &str) -> Result<(), Error> {
        if self.queue.concerns(text) { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let Some((text, arguments)) = self.queue.take() else { return Ok(()) };
        self.execute(text, arguments).await.map(drop)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && (self.busy || self.within)
        {
            // Closed here and now, without a word: the server notices, and rolls back.
            drop(connection.detach());
        }
    }
}

impl Session for Link {
    type Row = PgRow;
    type Bulk = Rows;

    async fn run(&mut self, statement: &'static str, binds: Binds) -> Result<u64, Error> {
        let text = self.pools.texts.text(statement, 0);
        self.after(&text).await?;
        self.execute(text, arguments(binds)).await
    }

    async fn put(&mut self, statement: &'static str, binds: Binds) -> Result<(), Error> {
        let text = self.pools.texts.text(statement, 0);
        self.later(text, Values::One(binds)).await
    }

    async fn rows(&mut self, statement: &'static str, binds: Binds) -> Result<Vec<PgRow>, Error> {
        let text = self.pools.texts.text(statement, 0);
        self.after(&text).await?;
        let query = sqlx::query_with(AssertSqlSafe(text), arguments(binds));
        let rows = self.answered(|connection| query.fetch_all(connection)).await?;
        rows.map_err(|error| failed(&error))
    }

    async fn write<T, I>(
        &mut self,
        bulk: Bulk,
        items: I,
        bind: impl Fn(&mut Rows, T) + Send,
    ) -> Result<(), Error>
    where
        I: IntoIterator<Item = T> + Send,
        I::IntoIter: ExactSizeIterator + Send,
    {
        let rows = {
            let items = items.into_iter();
            if items.len() == 0 {
                return Ok(());
            }
            let mut rows = Rows::new(bulk.columns);
            items.for_each(|item| bind(&mut rows, item));
            rows
        };
        let text = self.pools.texts.text(bulk.text, 0);
        self.later(text, Values::Many(rows)).await
    }
}

impl Writer for Link {
    async fn reserve(&mut self, records: i64, images: i64) -> Result<(i64, i64), Error> {
        self.pools.reserve(records, images).await
    }

    async fn commit(mut self) -> Result<(), Error> {
        if self.over {
            // The server would answer such a COMMIT with success, having rolled back.
            return Err(Error::Unavailable("this transaction is over".to_owned()));
        }
        self.flush().await?;
        let answer = self.answered(|connection| sqlx::raw_sql(sql::COMMIT).execute(connection)).await;
        let answer = answer.map_err(|_| Error::Indeterminate(NO_ANSWER.to_owned()))?;
        answer.map_err(|error| commit_failed(&error))?;
        self.within = false;
        Ok(())
    }

    async fn roll_back(mut self) {
        // Otherwise the connection is closed, which does as well.
        if let Ok(Ok(_)) = self.answered(|connection| sqlx::raw_sql(sql::ROLLBACK).execute(connection)).await
        {
            self.within = false;
        }
    }
}

/// Whole numbers and yes or no by their width; texts and bytes as they are.
impl Row for PgRow {
    fn integer(&self, at: usize) -> Result<Option<i64>, String> {
        let Some(bytes) = cell(self, at)? else { return Ok(None) };
        match *bytes {
            [yes] => Ok(Some(i64::from(yes))),
            [a, b] => Ok(Some(i64::from(i16::from_be_bytes([a, b])))),
            [a, b, c, d] => Ok(Some(i64::from(i32::from_be_bytes([a, b, c, d])))),
            _ => bytes
                .try_into()
                .map(|bytes| Some(i64::from_be_bytes(bytes)))
                .map_err(|_| NO_NUMBER.to_owned()),
        }
    }

    fn real(&self, at: usize) -> Result<Option<f64>, String> {
        let Some(bytes) = cell(self, at)? else { return Ok(None) };
        bytes.try_into().map(|bytes| Some(f64::from_be_bytes(bytes))).map_err(|_| NO_NUMBER.to_owned())
    }

    fn text(&self, at: usize) -> Result<Option<&str>, String> {
        let Some(bytes) = cell(self, at)? else { return Ok(None) };
        std::str::from_utf8(bytes).map(Some).map_err(|_| "bytes that are no text".to_owned())
    }

    fn bytes(&self, at: usize) -> Result<Option<&[u8]>, String> {
        cell(self, at)
    }
}

const NO_NUMBER: &str = "bytes that are no number";

fn cell(row: &PgRow, at: usize) -> Result<Option<&[u8]>, String> {
    let value: PgValueRef<'_> = row.try_get_raw(at).map_err(|_| "no such column".to_owned())?;
    if value.is_null() {
        return Ok(None);
    }
    value.as_bytes().map(Some).map_err(|_| "no bytes".to_owned())
}
