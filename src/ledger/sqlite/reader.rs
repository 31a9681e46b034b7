//! Reading connections: asked where the caller stands, without a thread in between.
//!
//! A point read takes SQLite some microseconds, and handing a question to another thread and its answer back
//! takes ten times that. So readers do not go through the writer's driver: the question is asked on the calling
//! thread, which tells the runtime first, so that the tasks queued behind it go on elsewhere should the disk be
//! slow.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use rusqlite::{
    CachedStatement, Connection, OpenFlags,
    config::DbConfig,
    types::{Null, ToSql, Value},
};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    BUSY_TIMEOUT, STATEMENTS_MAX,
    dialect::{key_list, list},
};
use crate::ledger::{
    Error,
    sql::{
        dialect::Texts,
        driver::{Row, Session},
        statements::Bulk,
        values::{Binds, Bound},
    },
};

/// Connections that read one file, each made when it is first needed.
pub(super) struct Readers {
    path: PathBuf,
    /// Pages that each keeps in memory, in bytes.
    cache_bytes: u64,
    count: u32,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, count: u32, cache_bytes: u64) -> Self {
        let count = count.max(1);
        let free = Arc::new(Semaphore::new(count as usize));
        Self { path, cache_bytes, count, free, idle: Mutex::default() }
    }

    /// One of them, waiting until one is free.
    pub(super) async fn take(self: &Arc<Self>, texts: &Arc<Texts>) -> Result<Reader, Error> {
        let closed = |_| Error::Unavailable("the ledger is closed".to_owned());
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(closed)?;
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open().map_err(failed)?,
        };
        let readers = Arc::clone(self);
        Ok(Reader { connection: Some(connection), readers, texts: Arc::clone(texts), _permit: permit })
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Negative: in KiB rather than in pages.
        let kibibytes = i64::try_from(self.cache_bytes / 1024).unwrap_or(i64::MAX);
        connection.pragma_update(None, "cache_size", -kibibytes)?;
        connection.pragma_update(None, "temp_store", "memory")?;
        // A plan is made once, whatever is bound to it: else SQLite prepares many a statement anew at each call.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(connection)
    }

    /// Waits for those that are reading, and closes them all.
    pub(super) async fn close(&self) {
        if let Ok(all) = self.free.acquire_many(self.count).await {
            self.idle.lock().clear();
            self.free.close();
            drop(all);
        }
    }
}

/// A reading connection, given back when it is dropped.
pub(in crate::ledger) struct Reader {
    /// `None` only while it is given back.
    connection: Option<Connection>,
    readers: Arc<Readers>,
    texts: Arc<Texts>,
    /// Given back after the connection.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.readers.idle.lock().extend(self.connection.take());
    }
}

impl Reader {
    /// Runs a statement's text with its values, as many rows as `take` takes.
    fn ask<T>(
        &self,
        text: &str,
        binds: Binds,
        take: impl FnOnce(&mut CachedStatement<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let connection = self.connection.as_ref().expect("it is there until it is given back");
        let ask = || {
            let mut statement = connection.prepare_cached(text)?;
            bind(&mut statement, binds)?;
            take(&mut statement)
        };
        in_place(ask).map_err(failed)
    }
}

/// Blocks this thread, and lets the tasks that wait for it go on elsewhere, where there is an elsewhere.
fn in_place<T>(work: impl FnOnce() -> T) -> T {
    let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
    match flavor {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Binds each value to every place that has its number.
fn bind(statement: &mut CachedStatement<'_>, binds: Binds) -> rusqlite::Result<()> {
    let values: Vec<Value> = binds.0.into_iter().map(value).collect();
    for place in 1..=statement.parameter_count() {
        let number: Option<usize> =
            statement.parameter_name(place).and_then(|name| name.get(1..)?.parse().ok());
        let value = values.get(number.unwrap_or(place) - 1);
        statement.raw_bind_parameter(place, value.map_or(&Null as &dyn ToSql, |value| value))?;
    }
    Ok(())
}

fn value(bound: Bound) -> Value {
    match bound {
        Bound::Integer(value) => value.into(),
        Bound::Real(value) => value.into(),
        Bound::Boolean(value) => value.into(),
        Bound::Text(value) => value.into(),
        Bound::Bytes(value) => value.into(),
        Bound::Words(value) => value.into(),
        Bound::Keys(keys) => key_list(keys.iter()).into(),
        Bound::Integers(items) => list(&items).into(),
        Bound::Texts(items) | Bound::WordLists(items) => list(&items).into(),
    }
}

/// The columns of one row, in order.
pub(in crate::ledger) struct Columns(Vec<Value>);

fn columns(row: &rusqlite::Row<'_>, count: usize) -> rusqlite::Result<Columns> {
    (0..count).map(|at| row.get(at)).collect::<rusqlite::Result<_>>().map(Columns)
}

impl Session for Reader {
    type Row = Columns;
    type Bulk = Binds;

    /// SQLite itself refuses a statement that writes: the file is open to read.
    async fn run(&mut self, statement: &'static str, binds: Binds) -> Result<u64, Error> {
        let text = self.texts.text(statement, 0);
        self.ask(&text, binds, |statement| statement.raw_execute()).map(|rows| rows as u64)
    }

    async fn rows(&mut self, statement: &'static str, binds: Binds) -> Result<Vec<Columns>, Error> {
        let text = self.texts.text(statement, 0);
        self.ask(&text, binds, |statement| {
            let count = statement.column_count();
            let (mut found, mut rows) = (Vec::new(), statement.raw_query());
            while let Some(row) = rows.next()? {
                found.push(columns(row, count)?);
            }
            Ok(found)
        })
    }

    async fn row(&mut self, statement: &'static str, binds: Binds) -> Result<Option<Columns>, Error> {
        let text = self.texts.text(statement, 0);
        self.ask(&text, binds, |statement| {
            let count = statement.column_count();
            statement.raw_query().next()?.map(|row| columns(row, count)).transpose()
        })
    }

    /// As [`Self::run`]: refused.
    async fn write<T, I>(
        &mut self,
        bulk: Bulk,
        items: I,
        bind: impl Fn(&mut Binds, T) + Send,
    ) -> Result<(), Error>
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: ExactSizeIterator + Send,
    {
        for item in items {
            let mut binds = Binds::default();
            bind(&mut binds, item);
            let text = self.texts.text(bulk.text, 1);
            self.ask(&text, binds, |statement| statement.raw_execute())?;
        }
        Ok(())
    }
}

impl Row for Columns {
    fn integer(&self, at: usize) -> Result<Option<i64>, String> {
        match self.0.get(at) {
            Some(Value::Integer(value)) => Ok(Some(*value)),
            other => other_than("a whole number", other),
        }
    }

    fn real(&self, at: usize) -> Result<Option<f64>, String> {
        match self.0.get(at) {
            Some(Value::Real(value)) => Ok(Some(*value)),
            other => other_than("a number", other),
        }
    }

    fn text(&self, at: usize) -> Result<Option<&str>, String> {
        match self.0.get(at) {
            Some(Value::Text(value)) => Ok(Some(value)),
            other => other_than("a text", other),
        }
    }

    fn bytes(&self, at: usize) -> Result<Option<&[u8]>, String> {
        match self.0.get(at) {
            Some(Value::Blob(value)) => Ok(Some(value)),
            other => other_than("bytes", other),
        }
    }
}

/// Nothing, or what was not expected.
fn other_than<T>(expected: &str, value: Option<&Value>) -> Result<Option<T>, String> {
    match value {
        Some(Value::Null) => Ok(None),
        Some(other) => Err(format!("{} where {expected} belongs", other.data_type())),
        None => Err("nothing: there is no such column".to_owned()),
    }
}

/// What a failed question means: nothing has changed, whatever it was.
fn failed(error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => Error::Corrupt(error.to_string()),
        _ => Error::Unavailable(error.to_string()),
    }
}
