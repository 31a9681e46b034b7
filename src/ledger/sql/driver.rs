//! What the ledger asks of a database's driver: sessions to run statements in, rows to read.
//!
//! ```text
//! Database ──reader()──▶ Session      one statement at a time, never inside a transaction
//!          ──begin()───▶ Writer       a Session inside a write transaction, and its numbers
//! ```
//!
//! Which statements, and what their rows mean, is not asked here.

use std::future::Future;

use super::{
    statements::Bulk,
    values::{Binds, Put},
};
use crate::ledger::Error;

/// One database, and how to get at it.
pub(in crate::ledger) trait Database: Send + Sync + 'static {
    /// What reads.
    type Reader: Session;
    /// What writes.
    type Writer: Writer;

    /// A session outside any transaction.
    fn reader(&self) -> impl Future<Output = Result<Self::Reader, Error>> + Send;

    /// A new write transaction. Dropped without a commit it has done nothing.
    fn begin(&self) -> impl Future<Output = Result<Self::Writer, Error>> + Send;
}

/// A connection for a few statements. After an error inside a transaction, that transaction is over.
pub(in crate::ledger) trait Session: Send {
    /// A row that was read.
    type Row: Row;
    /// Where the values of a bulk statement go.
    type Bulk: Put;

    /// Runs a statement; how many rows it changed.
    fn run(
        &mut self,
        statement: &'static str,
        binds: Binds,
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Writes, and needs no answer: the database may do it with what comes later, up to the commit, as long
    /// as nobody can tell.
    fn put(
        &mut self,
        statement: &'static str,
        binds: Binds,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        async move { self.run(statement, binds).await.map(drop) }
    }

    /// Runs a query; all its rows.
    fn rows(
        &mut self,
        statement: &'static str,
        binds: Binds,
    ) -> impl Future<Output = Result<Vec<Self::Row>, Error>> + Send;

    /// Runs a query for at most one row.
    fn row(
        &mut self,
        statement: &'static str,
        binds: Binds,
    ) -> impl Future<Output = Result<Option<Self::Row>, Error>> + Send {
        async move { Ok(self.rows(statement, binds).await?.into_iter().next()) }
    }

    /// Writes `items`, one row each, in as few statements as the database takes; as late as [`Self::put`].
    fn write<T, I>(
        &mut self,
        bulk: Bulk,
        items: I,
        bind: impl Fn(&mut Self::Bulk, T) + Send,
    ) -> impl Future<Output = Result<(), Error>> + Send
    where
        I: IntoIterator<Item = T> + Send,
        I::IntoIter: ExactSizeIterator + Send;
}

/// A session inside a write transaction.
pub(in crate::ledger) trait Writer: Session {
    /// Takes so many consecutive numbers for records, and so many for images; the first of each. A
    /// number is given out once, whether or not its transaction commits.
    fn reserve(
        &mut self,
        records: i64,
        images: i64,
    ) -> impl Future<Output = Result<(i64, i64), Error>> + Send;

    /// Commits.
    fn commit(self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Ends it without a trace, and waits for that.
    fn roll_back(self) -> impl Future<Output = ()> + Send;
}

/// A row, by the places of its columns. The error says what is wrong with a value.
pub(in crate::ledger) trait Row: Send + Sync {
    /// A whole number; yes is 1, no is 0.
    fn integer(&self, at: usize) -> Result<Option<i64>, String>;
    /// A double.
    fn real(&self, at: usize) -> Result<Option<f64>, String>;
    /// A text.
    fn text(&self, at: usize) -> Result<Option<&str>, String>;
    /// Bytes.
    fn bytes(&self, at: usize) -> Result<Option<&[u8]>, String>;
}
