//! Values in the form in which they travel to Postgres.
//!
//! A bulk statement takes its rows as one array a column. Each array is written straight into the
//! bytes of the protocol, value by value: nothing is collected first.

use sqlx::{
    Arguments as _, Encode, Postgres, Type,
    encode::IsNull,
    error::BoxDynError,
    postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo},
};

use crate::ledger::sql::{
    dialect::Column,
    values::{Binds, Bound, Put},
};

/// An array in the making: its head is known only when it is whole.
struct Array {
    column: Column,
    /// Each element: its length as i32, big-endian, then its bytes; a null has length -1.
    elements: Vec<u8>,
    count: i32,
    nulls: bool,
}

impl Array {
    fn new(column: Column) -> Self {
        Self { column, elements: Vec::new(), count: 0, nulls: false }
    }

    fn of<'a>(column: Column, values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut array = Self::new(column);
        values.for_each(|value| array.push(Some(value)));
        array
    }

    fn push(&mut self, value: Option<&[u8]>) {
        self.count += 1;
        match value {
            Some(bytes) => {
                let length = i32::try_from(bytes.len()).expect("a value is far smaller than 2 GiB");
                self.elements.extend_from_slice(&length.to_be_bytes());
                self.elements.extend_from_slice(bytes);
            }
            None => {
                self.nulls = true;
                self.elements.extend_from_slice(&(-1_i32).to_be_bytes());
            }
        }
    }

    fn array_type(&self) -> PgTypeInfo {
        match self.column {
            Column::Integer => <Vec<i64> as Type<Postgres>>::type_info(),
            Column::Real => <Vec<f64> as Type<Postgres>>::type_info(),
            Column::Boolean => <Vec<bool> as Type<Postgres>>::type_info(),
            Column::Text => <Vec<String> as Type<Postgres>>::type_info(),
            Column::Bytes => <Vec<Vec<u8>> as Type<Postgres>>::type_info(),
        }
    }

    /// The element type's number in every Postgres' own catalogue.
    fn element_type(&self) -> i32 {
        match self.column {
            Column::Boolean => 16,
            Column::Bytes => 17,
            Column::Integer => 20,
            Column::Text => 25,
            Column::Real => 701,
        }
    }
}

impl Type<Postgres> for Array {
    fn type_info() -> PgTypeInfo {
        <Vec<Vec<u8>> as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Array {
    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.array_type())
    }

    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let mut put = |number: i32| buffer.extend_from_slice(&number.to_be_bytes());
        put(i32::from(self.count > 0)); // dimensions
        put(i32::from(self.nulls));
        put(self.element_type());
        if self.count > 0 {
            put(self.count);
            put(1); // the first index
            buffer.extend_from_slice(&self.elements);
        }
        Ok(IsNull::No)
    }

    fn size_hint(&self) -> usize {
        self.elements.len() + 20
    }
}

/// The rows of a bulk statement, column by column.
pub(in crate::ledger) struct Rows {
    columns: Vec<Array>,
    next: usize,
}

impl Rows {
    /// No rows of such columns.
    pub(super) fn new(columns: &str) -> Self {
        Self { columns: Column::list(columns).into_iter().map(Array::new).collect(), next: 0 }
    }

    fn push(&mut self, value: Option<&[u8]>) {
        let column = self.next % self.columns.len();
        self.next += 1;
        self.columns.get_mut(column).expect("a remainder is in range").push(value);
    }

    /// How many parameters they come to: one a column.
    pub(super) fn count(&self) -> usize {
        self.columns.len()
    }

    /// Adds these parameters.
    pub(super) fn bind(self, arguments: &mut PgArguments) {
        let bytes = self.columns.iter().map(|column| column.elements.len() + 20).sum();
        arguments.reserve(self.columns.len(), bytes);
        for column in self.columns {
            arguments.add(column).expect("arrays of plain values always encode");
        }
    }
}

impl Put for Rows {
    fn integer(&mut self, value: Option<i64>) {
        self.push(value.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    }

    fn real(&mut self, value: Option<f64>) {
        self.push(value.map(f64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    }

    fn boolean(&mut self, value: bool) {
        self.push(Some(&[u8::from(value)]));
    }

    fn text(&mut self, value: Option<&str>) {
        self.push(value.map(str::as_bytes));
    }

    fn bytes(&mut self, value: Option<&[u8]>) {
        self.push(value);
    }
}

/// The parameters of a single statement.
pub(super) fn arguments(binds: Binds) -> PgArguments {
    let mut arguments = PgArguments::default();
    bind(&mut arguments, binds);
    arguments
}

/// Adds the parameters of a single statement.
pub(super) fn bind(arguments: &mut PgArguments, binds: Binds) {
    for bound in binds.0 {
        let added = match bound {
            Bound::Integer(value) => arguments.add(value),
            Bound::Real(value) => arguments.add(value),
            Bound::Boolean(value) => arguments.add(value),
            Bound::Text(value) => arguments.add(value),
            Bound::Bytes(value) => arguments.add(value),
            Bound::Words(value) => arguments.add(value.into_bytes()),
            Bound::Keys(keys) => {
                arguments.add(Array::of(Column::Bytes, keys.iter().map(|key| key.0.as_slice())))
            }
            Bound::Integers(items) => arguments.add(items),
            Bound::Texts(items) => arguments.add(items),
            Bound::WordLists(items) => {
                arguments.add(Array::of(Column::Bytes, items.iter().map(String::as_bytes)))
            }
        };
        added.expect("plain values always encode");
    }
}
