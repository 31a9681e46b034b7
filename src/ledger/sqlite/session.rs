//! One connection and the texts to run on it: the only place that hands SQL to the driver.

use sqlx::{
    Arguments as _, AssertSqlSafe, Encode, Row as _, Sqlite, SqliteConnection, Type,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::ledger::{
    Error,
    sql::{dialect::Texts, statements::Bulk},
};

/// Most values that one statement may bind: SQLite's own limit.
const BINDS_MAX: usize = 32_766;
/// Most rows of one statement. Longer texts gain nothing and take longer to prepare.
const ROWS_MAX: usize = 256;

/// The values of one statement, in order.
#[derive(Default)]
pub(super) struct Binds(SqliteArguments);

impl Binds {
    /// Adds the next value.
    pub(super) fn add<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        self.0.add(value).expect("plain values always encode");
        self
    }
}

/// A bind list in one expression.
macro_rules! binds {
    ($($value:expr),* $(,)?) => {{
        #[allow(unused_mut, reason = "a statement may take no values")]
        let mut binds = $crate::ledger::sqlite::session::Binds::default();
        $(binds.add($value);)*
        binds
    }};
}
pub(super) use binds;

/// A connection for a few statements.
pub(super) struct Session<'c> {
    pub(super) connection: &'c mut SqliteConnection,
    pub(super) texts: &'c Texts,
}

impl Session<'_> {
    /// Runs a statement; how many rows it changed.
    pub(super) async fn run(&mut self, statement: &'static str, binds: Binds) -> Result<u64, Error> {
        let text = AssertSqlSafe(self.texts.text(statement, 0));
        let done = sqlx::query_with(text, binds.0).execute(&mut *self.connection).await;
        Ok(done.map_err(failed)?.rows_affected())
    }

    /// Runs a query; all its rows.
    pub(super) async fn rows(
        &mut self,
        statement: &'static str,
        binds: Binds,
    ) -> Result<Vec<SqliteRow>, Error> {
        let text = AssertSqlSafe(self.texts.text(statement, 0));
        sqlx::query_with(text, binds.0).fetch_all(&mut *self.connection).await.map_err(failed)
    }

    /// Runs a query for at most one row.
    pub(super) async fn row(
        &mut self,
        statement: &'static str,
        binds: Binds,
    ) -> Result<Option<SqliteRow>, Error> {
        let text = AssertSqlSafe(self.texts.text(statement, 0));
        sqlx::query_with(text, binds.0).fetch_optional(&mut *self.connection).await.map_err(failed)
    }

    /// Writes `items`, one row each, in statements of 256, 128, … 1 rows: so few lengths that every
    /// one of them is prepared once and found again.
    pub(super) async fn write<T>(
        &mut self,
        bulk: Bulk,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator + Send>,
        bind: impl Fn(&mut Binds, T) + Send,
    ) -> Result<(), Error> {
        let mut items = items.into_iter();
        while items.len() > 0 {
            let most = items.len().min(ROWS_MAX).min(BINDS_MAX / bulk.columns);
            let count = 1_usize << most.ilog2();
            let mut binds = Binds::default();
            binds.0.reserve(count * bulk.columns, 0);
            items.by_ref().take(count).for_each(|item| bind(&mut binds, item));
            let text = AssertSqlSafe(self.texts.text(bulk.text, count));
            sqlx::query_with(text, binds.0).execute(&mut *self.connection).await.map_err(failed)?;
        }
        Ok(())
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

/// The columns of one row, read from left to right.
pub(super) struct Cells<'r> {
    row: &'r SqliteRow,
    next: usize,
    table: &'static str,
}

impl<'r> Cells<'r> {
    /// The columns of `row`, which came from `table`.
    pub(super) fn of(row: &'r SqliteRow, table: &'static str) -> Self {
        Self { row, next: 0, table }
    }

    /// The next column.
    pub(super) fn get<T: sqlx::Decode<'r, Sqlite> + Type<Sqlite>>(&mut self) -> Result<T, Error> {
        let value = self.row.try_get(self.next);
        self.next += 1;
        value.map_err(|error| Error::Corrupt(format!("{}: {error}", self.table)))
    }

    /// The next column, a number that is never negative.
    pub(super) fn number(&mut self) -> Result<u64, Error> {
        let value: i64 = self.get()?;
        u64::try_from(value).map_err(|_| self.nonsense("a negative number"))
    }

    /// The next column, by what makes sense of its bytes.
    pub(super) fn bytes<T>(&mut self, read: impl Fn(&[u8]) -> Option<T>) -> Result<T, Error> {
        let bytes: &[u8] = self.get()?;
        read(bytes).ok_or_else(|| self.nonsense("bytes that cannot be read"))
    }

    /// As [`Self::bytes`], where there may be none.
    pub(super) fn bytes_if_any<T>(&mut self, read: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, Error> {
        let bytes: Option<&[u8]> = self.get()?;
        bytes.map(|bytes| read(bytes).ok_or_else(|| self.nonsense("bytes that cannot be read"))).transpose()
    }

    /// The next column, a name of some sort.
    pub(super) fn name<T: std::str::FromStr>(&mut self) -> Result<T, Error> {
        let text: &str = self.get()?;
        text.parse().map_err(|_| self.nonsense("a name of the wrong form"))
    }

    /// Leaves columns out.
    pub(super) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    fn nonsense(&self, what: &str) -> Error {
        Error::Corrupt(format!("{}: column {} holds {what}", self.table, self.next - 1))
    }
}

/// As SQLite keeps it. Offsets and counts stay far below its limit; a bound may be above it.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
