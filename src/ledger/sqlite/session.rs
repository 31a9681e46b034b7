//! One connection and the texts to run on it: the only place that hands SQL to SQLite's driver.

use std::sync::Arc;

use sqlx::{
    Arguments as _, AssertSqlSafe, Encode, Row as _, Sqlite, SqliteConnection, Type,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::dialect::{key_list, list};
use crate::ledger::{
    Error,
    sql::{
        dialect::Texts,
        driver::{Row, Session},
        statements::Bulk,
        values::{Binds, Bound, Put},
    },
};

/// Most values that one statement may bind: SQLite's own limit.
const BINDS_MAX: usize = 32_766;
/// Most rows of one statement. Longer texts gain nothing and take longer to prepare.
const ROWS_MAX: usize = 256;

/// The values of one statement, in order.
#[derive(Default)]
pub(in crate::ledger) struct Values(SqliteArguments);

impl Values {
    fn push<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) {
        self.0.add(value).expect("plain values always encode");
    }
}

impl Put for Values {
    fn integer(&mut self, value: Option<i64>) {
        self.push(value);
    }

    fn real(&mut self, value: Option<f64>) {
        self.push(value);
    }

    fn boolean(&mut self, value: bool) {
        self.push(value);
    }

    fn text(&mut self, value: Option<&str>) {
        self.push(value);
    }

    fn bytes(&mut self, value: Option<&[u8]>) {
        self.push(value);
    }
}

fn arguments(binds: Binds) -> SqliteArguments {
    let mut values = Values::default();
    for bound in binds.0 {
        match bound {
            Bound::Integer(value) => values.push(value),
            Bound::Real(value) => values.push(value),
            Bound::Boolean(value) => values.push(value),
            Bound::Text(value) => values.push(value),
            Bound::Bytes(value) => values.push(value),
            Bound::Words(value) => values.push(value),
            Bound::Keys(keys) => values.push(key_list(keys.iter())),
            Bound::Integers(items) => values.push(list(&items)),
            Bound::Texts(items) | Bound::WordLists(items) => values.push(list(&items)),
        }
    }
    values.0
}

/// A connection, and the texts to run on it.
pub(in crate::ledger) struct Link<C> {
    pub(super) connection: C,
    pub(super) texts: Arc<Texts>,
}

impl<C: AsMut<SqliteConnection> + Send> Session for Link<C> {
    type Row = SqliteRow;
    type Bulk = Values;

    async fn run(&mut self, statement: &'static str, binds: Binds) -> Result<u64, Error> {
        let text = AssertSqlSafe(self.texts.text(statement, 0));
        let done = sqlx::query_with(text, arguments(binds)).execute(self.connection.as_mut()).await;
        Ok(done.map_err(failed)?.rows_affected())
    }

    async fn rows(&mut self, statement: &'static str, binds: Binds) -> Result<Vec<SqliteRow>, Error> {
        let text = AssertSqlSafe(self.texts.text(statement, 0));
        sqlx::query_with(text, arguments(binds)).fetch_all(self.connection.as_mut()).await.map_err(failed)
    }

    async fn row(&mut self, statement: &'static str, binds: Binds) -> Result<Option<SqliteRow>, Error> {
        let text = AssertSqlSafe(self.texts.text(statement, 0));
        let query = sqlx::query_with(text, arguments(binds));
        query.fetch_optional(self.connection.as_mut()).await.map_err(failed)
    }

    /// In statements of 256, 128, … 1 rows: so few lengths that every one of them is prepared once and
    /// found again.
    async fn write<T, I>(
        &mut self,
        bulk: Bulk,
        items: I,
        bind: impl Fn(&mut Values, T) + Send,
    ) -> Result<(), Error>
    where
        I: IntoIterator<Item = T> + Send,
        I::IntoIter: ExactSizeIterator + Send,
    {
        let columns = bulk.columns.split_whitespace().count();
        let mut items = items.into_iter();
        while items.len() > 0 {
            let most = items.len().min(ROWS_MAX).min(BINDS_MAX / columns);
            let count = 1_usize << most.ilog2();
            let mut values = Values::default();
            values.0.reserve(count * columns, 0);
            items.by_ref().take(count).for_each(|item| bind(&mut values, item));
            let text = AssertSqlSafe(self.texts.text(bulk.text, count));
            sqlx::query_with(text, values.0).execute(self.connection.as_mut()).await.map_err(failed)?;
        }
        Ok(())
    }
}

impl Row for SqliteRow {
    fn integer(&self, at: usize) -> Result<Option<i64>, String> {
        self.try_get(at).map_err(|error| error.to_string())
    }

    fn real(&self, at: usize) -> Result<Option<f64>, String> {
        self.try_get(at).map_err(|error| error.to_string())
    }

    fn text(&self, at: usize) -> Result<Option<&str>, String> {
        self.try_get(at).map_err(|error| error.to_string())
    }

    fn bytes(&self, at: usize) -> Result<Option<&[u8]>, String> {
        self.try_get(at).map_err(|error| error.to_string())
    }
}

/// What a failed statement means. Whatever it was, its transaction is over and changed nothing.
pub(super) fn failed(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(database) => {
            // Extended codes keep the primary one in their low byte: SQLITE_CORRUPT, SQLITE_NOTADB.
            let code = database.code().and_then(|code| code.parse::<i64>().ok()).unwrap_or(0) & 0xff;
            if database.is_unique_violation() || code == 11 || code == 26 {
                Error::Corrupt(error.to_string())
            } else {
                Error::Unavailable(error.to_string())
            }
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Error::Corrupt(error.to_string()),
        _ => Error::Unavailable(error.to_string()),
    }
}
