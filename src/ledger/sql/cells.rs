//! The columns of one row, read from left to right.

use super::driver::Row;
use crate::ledger::Error;

/// The columns of one row, read from left to right.
pub(in crate::ledger) struct Cells<'r, R> {
    row: &'r R,
    next: usize,
    table: &'static str,
}

impl<'r, R: Row> Cells<'r, R> {
    /// The columns of `row`, which came from `table`.
    pub(in crate::ledger) fn of(row: &'r R, table: &'static str) -> Self {
        Self { row, next: 0, table }
    }

    /// The next column.
    pub(in crate::ledger) fn get<T: FromCell<'r>>(&mut self) -> Result<T, Error> {
        let value = T::from_cell(self.row, self.next);
        self.next += 1;
        match value {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.nonsense("nothing")),
            Err(words) => Err(self.nonsense(&words)),
        }
    }

    /// The next column, a number that is never negative.
    pub(in crate::ledger) fn number(&mut self) -> Result<u64, Error> {
        let value: i64 = self.get()?;
        u64::try_from(value).map_err(|_| self.nonsense("a negative number"))
    }

    /// The next column, by what makes sense of its bytes.
    pub(in crate::ledger) fn bytes<T>(&mut self, read: impl Fn(&[u8]) -> Option<T>) -> Result<T, Error> {
        let bytes: &[u8] = self.get()?;
        read(bytes).ok_or_else(|| self.nonsense("bytes that cannot be read"))
    }

    /// As [`Self::bytes`], where there may be none.
    pub(in crate::ledger) fn bytes_if_any<T>(
        &mut self,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let bytes: Option<&[u8]> = self.get()?;
        bytes.map(|bytes| read(bytes).ok_or_else(|| self.nonsense("bytes that cannot be read"))).transpose()
    }

    /// The next column, a name of some sort.
    pub(in crate::ledger) fn name<T: std::str::FromStr>(&mut self) -> Result<T, Error> {
        let text: &str = self.get()?;
        text.parse().map_err(|_| self.nonsense("a name of the wrong form"))
    }

    /// Leaves columns out.
    pub(in crate::ledger) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    fn nonsense(&self, what: &str) -> Error {
        Error::Corrupt(format!("{}: column {} holds {what}", self.table, self.next - 1))
    }
}

/// What a column can be read as.
pub(in crate::ledger) trait FromCell<'r>: Sized {
    /// The value of column `at`; `None`: null.
    fn from_cell(row: &'r impl Row, at: usize) -> Result<Option<Self>, String>;
}

macro_rules! from_cell {
    ($type:ty, $row:ident, $at:ident => $value:expr) => {
        impl<'r> FromCell<'r> for $type {
            fn from_cell($row: &'r impl Row, $at: usize) -> Result<Option<Self>, String> {
                $value
            }
        }
    };
}

macro_rules! from_integer {
    ($($type:ty),*) => {$(
        from_cell!($type, row, at => match row.integer(at)? {
            Some(number) => <$type>::try_from(number).map(Some).map_err(|_| format!("{number}, which is too large")),
            None => Ok(None),
        });
    )*};
}

from_integer!(u8, u32);
from_cell!(i64, row, at => row.integer(at));
from_cell!(bool, row, at => Ok(row.integer(at)?.map(|number| number != 0)));
from_cell!(f64, row, at => row.real(at));
from_cell!(&'r str, row, at => row.text(at));
from_cell!(String, row, at => Ok(row.text(at)?.map(str::to_owned)));
from_cell!(&'r [u8], row, at => row.bytes(at));

impl<'r, T: FromCell<'r>> FromCell<'r> for Option<T> {
    fn from_cell(row: &'r impl Row, at: usize) -> Result<Option<Self>, String> {
        T::from_cell(row, at).map(Some)
    }
}
