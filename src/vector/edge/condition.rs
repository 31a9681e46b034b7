//! Filters, as the engine understands them.
//!
//! The engine takes an empty list of conditions for one that always holds, and has no word for what
//! never does. So a filter is first brought into three cases ([`Holds`]), and only what depends on
//! the point is handed over. Its answer is that of [`exact`], for negations too: a condition that
//! was let through too often would, under `not`, hide points.
//!
//! Values travel as values; a property's name enters a path only when it is a plain name.

use qdrant_edge::{
    Condition as EngineCondition, FieldCondition, Filter as EngineFilter, JsonPath, Match, Range,
    external::ordered_float::OrderedFloat,
};
use serde_json::Value;

use super::{
    super::{Condition, Filter, exact},
    point,
};
use crate::model::{Name, Space};

/// For which points something holds.
#[expect(clippy::large_enum_variant, reason = "a few of them live for the length of one question")]
enum Holds {
    /// For all.
    Always,
    /// For none.
    Never,
    /// For those that the engine says.
    If(EngineCondition),
}

/// The points of `space` that fulfil `filter`; `None` when none can.
pub(super) fn within(space: &Space, filter: &Filter) -> Option<EngineFilter> {
    let mut must = vec![any_text(point::SPACE, &[space.as_str().to_owned()])];
    match holds(filter) {
        Holds::Always => {}
        Holds::Never => return None,
        Holds::If(condition) => must.push(condition),
    }
    Some(EngineFilter { must: Some(must), ..EngineFilter::new() })
}

/// A path into the payload.
pub(super) fn path(name: &str) -> JsonPath {
    name.parse().expect("plain names joined by dots are a path")
}

fn holds(filter: &Filter) -> Holds {
    let fields = [(point::KIND, &filter.kinds), (point::SESSION, &filter.sessions)];
    let fields = fields.into_iter().filter(|(_, wanted)| !wanted.is_empty());
    let fields = fields.map(|(field, wanted)| Holds::If(any_text(field, wanted)));
    let properties = filter.properties.iter().map(|(name, condition)| property(name, condition));
    let any = (!filter.any.is_empty()).then(|| one_of(filter.any.iter().map(holds)));
    let not = filter.not.as_ref().map(|filter| none_of(holds(filter)));
    all_of(fields.chain(properties).chain(any).chain(not))
}

fn all_of(parts: impl Iterator<Item = Holds>) -> Holds {
    let mut must = Vec::new();
    for part in parts {
        match part {
            Holds::Always => {}
            Holds::Never => return Holds::Never,
            Holds::If(condition) => must.push(condition),
        }
    }
    if must.is_empty() {
        return Holds::Always;
    }
    Holds::If(EngineCondition::Filter(EngineFilter { must: Some(must), ..EngineFilter::new() }))
}

fn one_of(parts: impl Iterator<Item = Holds>) -> Holds {
    let mut should = Vec::new();
    for part in parts {
        match part {
            Holds::Always => return Holds::Always,
            Holds::Never => {}
            Holds::If(condition) => should.push(condition),
        }
    }
    if should.is_empty() {
        return Holds::Never;
    }
    Holds::If(EngineCondition::Filter(EngineFilter { should: Some(should), ..EngineFilter::new() }))
}

fn none_of(part: Holds) -> Holds {
    match part {
        Holds::Always => Holds::Never,
        Holds::Never => Holds::Always,
        Holds::If(condition) => {
            let must_not = Some(vec![condition]);
            Holds::If(EngineCondition::Filter(EngineFilter { must_not, ..EngineFilter::new() }))
        }
    }
}

fn property(name: &str, condition: &Condition) -> Holds {
    if matches!(condition, Condition::AnyOf(wanted) if wanted.is_empty()) {
        return Holds::Always;
    }
    // No property has another name, so no point fulfils a condition on one.
    let Ok(name) = Name::new(name) else { return Holds::Never };
    let path = path(&format!("{}.{name}", point::PROPERTIES));
    match condition {
        Condition::AnyOf(wanted) => one_of(wanted.iter().map(|value| equal(&path, value))),
        Condition::Range { gte, gt, lte, lt } => {
            let bound = |bound: &Option<f64>| bound.map(OrderedFloat);
            range(&path, Range { gte: bound(gte), gt: bound(gt), lte: bound(lte), lt: bound(lt) })
        }
    }
}

/// Holds when the property equals `value`, in the sense of [`exact`].
fn equal(path: &JsonPath, value: &Value) -> Holds {
    let is =
        |wanted: Match| Holds::If(EngineCondition::Field(FieldCondition::new_match(path.clone(), wanted)));
    let number = |value: f64| {
        let value = Some(OrderedFloat(value));
        range(path, Range { gte: value, gt: None, lte: value, lt: None })
    };
    match value {
        Value::String(text) => is(text.clone().into()),
        Value::Bool(flag) => is((*flag).into()),
        Value::Number(wanted) => match wanted.as_i64() {
            Some(whole) if whole.unsigned_abs() < exact::EXACT_INTEGER_MAX => number(whole as f64),
            Some(whole) => is(whole.into()),
            None => wanted.as_f64().map_or(Holds::Never, number),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Holds::Never,
    }
}

fn range(path: &JsonPath, range: Range<OrderedFloat<f64>>) -> Holds {
    Holds::If(EngineCondition::Field(FieldCondition::new_range(path.clone(), range)))
}

fn any_text(field: &str, wanted: &[String]) -> EngineCondition {
    EngineCondition::Field(FieldCondition::new_match(path(field), wanted.to_vec().into()))
}
