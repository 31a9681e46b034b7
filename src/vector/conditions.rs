//! A filter in the conditions of a store that has its own.
//!
//! Such a store takes an empty list of conditions for one that always holds, and has no word for what never does. So a
//! filter is first brought into three cases ([`Holds`]), and only what depends on the point is handed over. Its answer
//! is that of [`exact`], for negations too: a condition that was let through too often would, under `not`, hide points.
//!
//! Values travel as values; a property's name enters a path only when it is a plain name.

use serde_json::Value;

use super::{Condition, Filter, exact, fields};
use crate::model::Name;

/// A store's own conditions.
pub(super) trait Conditions {
    /// One of them.
    type One;

    /// The text at `path` is one of these.
    fn text(path: &str, wanted: &[String]) -> Self::One;
    /// What stands at `path` is this, and of its type.
    fn same(path: &str, wanted: Same<'_>) -> Self::One;
    /// The number at `path` lies within.
    fn within(path: &str, bounds: Bounds) -> Self::One;
    /// All of these, at least one.
    fn all(parts: Vec<Self::One>) -> Self::One;
    /// Any of these, at least one.
    fn any(parts: Vec<Self::One>) -> Self::One;
    /// Not this.
    fn not(part: Self::One) -> Self::One;
}

/// What a store compares by type and value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Same<'v> {
    Text(&'v str),
    Flag(bool),
    Whole(i64),
}

/// Where a number lies.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    pub(super) gte: Option<f64>,
    pub(super) gt: Option<f64>,
    pub(super) lte: Option<f64>,
    pub(super) lt: Option<f64>,
}

impl Bounds {
    /// This number alone.
    pub(super) fn only(value: f64) -> Self {
        Self { gte: Some(value), lte: Some(value), ..Self::default() }
    }
}

/// For which points something holds.
#[derive(Debug, PartialEq)]
pub(super) enum Holds<C> {
    /// For all.
    Always,
    /// For none.
    Never,
    /// For those that the store says.
    If(C),
}

/// The points that fulfil `filter`.
pub(super) fn holds<S: Conditions>(filter: &Filter) -> Holds<S::One> {
    let texts = [(fields::KIND, &filter.kinds), (fields::SESSION, &filter.sessions)];
    let texts = texts.into_iter().filter(|(_, wanted)| !wanted.is_empty());
    let texts = texts.map(|(field, wanted)| Holds::If(S::text(field, wanted)));
    let properties = filter.properties.iter().map(|(name, condition)| property::<S>(name, condition));
    let any = (!filter.any.is_empty()).then(|| any_of::<S>(filter.any.iter().map(holds::<S>)));
    let not = filter.not.as_ref().map(|filter| match holds::<S>(filter) {
        Holds::Always => Holds::Never,
        Holds::Never => Holds::Always,
        Holds::If(part) => Holds::If(S::not(part)),
    });
    all_of::<S>(texts.chain(properties).chain(any).chain(not))
}

fn all_of<S: Conditions>(parts: impl Iterator<Item = Holds<S::One>>) -> Holds<S::One> {
    let mut all = Vec::new();
    for part in parts {
        match part {
            Holds::Always => {}
            Holds::Never => return Holds::Never,
            Holds::If(condition) => all.push(condition),
        }
    }
    if all.is_empty() { Holds::Always } else { Holds::If(S::all(all)) }
}

fn any_of<S: Conditions>(parts: impl Iterator<Item = Holds<S::One>>) -> Holds<S::One> {
    let mut any = Vec::new();
    for part in parts {
        match part {
            Holds::Always => return Holds::Always,
            Holds::Never => {}
            Holds::If(condition) => any.push(condition),
        }
    }
    if any.is_empty() { Holds::Never } else { Holds::If(S::any(any)) }
}

fn property<S: Conditions>(name: &str, condition: &Condition) -> Holds<S::One> {
    if matches!(condition, Condition::AnyOf(wanted) if wanted.is_empty()) {
        return Holds::Always;
    }
    // No property has another name, so no point fulfils a condition on one.
    let Ok(name) = Name::new(name) else { return Holds::Never };
    let path = format!("{}.{name}", fields::PROPERTIES);
    match condition {
        Condition::AnyOf(wanted) => any_of::<S>(wanted.iter().map(|value| equal::<S>(&path, value))),
        Condition::Range { gte, gt, lte, lt } => {
            Holds::If(S::within(&path, Bounds { gte: *gte, gt: *gt, lte: *lte, lt: *lt }))
        }
    }
}

/// Holds when the property equals `value`, in the sense of [`exact`].
fn equal<S: Conditions>(path: &str, value: &Value) -> Holds<S::One> {
    let number = |value: f64| Holds::If(S::within(path, Bounds::only(value)));
    match value {
        Value::String(text) => Holds::If(S::same(path, Same::Text(text))),
        Value::Bool(flag) => Holds::If(S::same(path, Same::Flag(*flag))),
        Value::Number(wanted) => match wanted.as_i64() {
            Some(whole) if whole.unsigned_abs() < exact::EXACT_INTEGER_MAX => number(whole as f64),
            Some(whole) => Holds::If(S::same(path, Same::Whole(whole))),
            None => wanted.as_f64().map_or(Holds::Never, number),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Holds::Never,
    }
}
