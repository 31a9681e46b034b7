//! Values on their way to a database: what a statement binds, whichever driver carries it.
//!
//! The few values of a single statement are collected in [`Binds`]. The many of a bulk statement go
//! straight to the driver's own buffer, through the same [`Put`].

use crate::model::Key;

/// Takes values one after the other.
pub(in crate::ledger) trait Put: Send {
    /// The next value: a whole number.
    fn integer(&mut self, value: Option<i64>);
    /// The next value: a double.
    fn real(&mut self, value: Option<f64>);
    /// The next value: yes or no.
    fn boolean(&mut self, value: bool);
    /// The next value: a text.
    fn text(&mut self, value: Option<&str>);
    /// The next value: bytes.
    fn bytes(&mut self, value: Option<&[u8]>);

    /// Adds the next value.
    fn add<T: Value>(&mut self, value: T) -> &mut Self
    where
        Self: Sized,
    {
        T::put(Some(value), self);
        self
    }
}

/// What can be bound.
pub(in crate::ledger) trait Value: Sized {
    /// Hands it over; `None`: null.
    fn put(value: Option<Self>, to: &mut impl Put);
}

macro_rules! value {
    ($type:ty, $value:ident => $to:ident.$method:ident($with:expr)) => {
        impl Value for $type {
            fn put($value: Option<Self>, $to: &mut impl Put) {
                $to.$method($with);
            }
        }
    };
}
value!(i64, value => to.integer(value));
value!(u8, value => to.integer(value.map(i64::from)));
value!(u32, value => to.integer(value.map(i64::from)));
value!(f64, value => to.real(value));
value!(bool, value => to.boolean(value.unwrap_or_default()));
value!(&str, value => to.text(value));
value!(String, value => to.text(value.as_deref()));
value!(&[u8], value => to.bytes(value));
value!(Vec<u8>, value => to.bytes(value.as_deref()));

impl<T: Value> Value for Option<T> {
    fn put(value: Option<Self>, to: &mut impl Put) {
        T::put(value.flatten(), to);
    }
}

/// One value of a single statement, or a list of them.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::ledger) enum Bound {
    Integer(Option<i64>),
    Real(Option<f64>),
    Boolean(bool),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    /// A client's words, which may hold any character, a zero byte included.
    Words(String),
    Keys(Vec<Key>),
    Integers(Vec<i64>),
    Texts(Vec<String>),
    /// As [`Bound::Words`].
    WordLists(Vec<String>),
}

/// The values of a single statement, in order.
#[derive(Debug, Clone, Default)]
pub(in crate::ledger) struct Binds(pub(in crate::ledger) Vec<Bound>);

impl Put for Binds {
    fn integer(&mut self, value: Option<i64>) {
        self.0.push(Bound::Integer(value));
    }

    fn real(&mut self, value: Option<f64>) {
        self.0.push(Bound::Real(value));
    }

    fn boolean(&mut self, value: bool) {
        self.0.push(Bound::Boolean(value));
    }

    fn text(&mut self, value: Option<&str>) {
        self.0.push(Bound::Text(value.map(str::to_owned)));
    }

    fn bytes(&mut self, value: Option<&[u8]>) {
        self.0.push(Bound::Bytes(value.map(<[u8]>::to_vec)));
    }
}

/// What a bind list takes: a value, or a list of them.
pub(in crate::ledger) trait Bindable: Sized {
    /// Adds itself.
    fn bind(self, binds: &mut Binds);
}

impl<T: Value> Bindable for T {
    fn bind(self, binds: &mut Binds) {
        binds.add(self);
    }
}

/// A value that is no plain one.
pub(in crate::ledger) struct Special(Bound);

impl Special {
    /// Adds itself.
    pub(in crate::ledger) fn bind(self, binds: &mut Binds) {
        binds.0.push(self.0);
    }
}

/// A list of keys as a `keys` parameter.
pub(in crate::ledger) fn key_list<'a>(keys: impl Iterator<Item = &'a Key>) -> Special {
    Special(Bound::Keys(keys.copied().collect()))
}

/// A list of numbers as a `list` parameter.
pub(in crate::ledger) fn integers(items: impl Iterator<Item = i64>) -> Special {
    Special(Bound::Integers(items.collect()))
}

/// A list of names as a `list` parameter.
pub(in crate::ledger) fn texts<'a>(items: impl Iterator<Item = &'a str>) -> Special {
    Special(Bound::Texts(items.map(str::to_owned).collect()))
}

/// A client's words, for a column of that sort.
pub(in crate::ledger) fn words(text: &str) -> Special {
    Special(Bound::Words(text.to_owned()))
}

/// A list of clients' words, for a column of that sort.
pub(in crate::ledger) fn word_list<'a>(items: impl Iterator<Item = &'a str>) -> Special {
    Special(Bound::WordLists(items.map(str::to_owned).collect()))
}

/// A bind list in one expression.
macro_rules! binds {
    ($($value:expr),* $(,)?) => {{
        #[allow(unused_imports, reason = "lists bind themselves, plain values by the trait")]
        use $crate::ledger::sql::values::Bindable as _;
        #[allow(unused_mut, reason = "a statement may take no values")]
        let mut binds = $crate::ledger::sql::values::Binds::default();
        $($value.bind(&mut binds);)*
        binds
    }};
}
pub(in crate::ledger) use binds;

/// As a database keeps it. Offsets and counts stay far below its limit; a bound may be above it.
pub(in crate::ledger) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
