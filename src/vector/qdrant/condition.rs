//! Filters, as the server understands them.
//!
//! The server takes an empty list of conditions for one that always holds, and has no word for what
//! never does. So a filter is first brought into three cases ([`Holds`]), and only what depends on
//! the point is handed over. Its answer is that of [`exact`], for negations too.
//!
//! Values travel as values; a property's name enters a path only when it is a plain name.

use qdrant_client::qdrant::{
    Condition as ServerCondition, FieldCondition, Filter as ServerFilter, Match, Range, RepeatedStrings,
    condition::ConditionOneOf, r#match::MatchValue,
};
use serde_json::Value;

use super::{
    super::{Condition, Filter, exact},
    point,
};
use crate::model::{Name, Space, Version};

/// For which points something holds.
enum Holds {
    /// For all.
    Always,
    /// For none.
    Never,
    /// For those that the server says.
    If(Box<ServerCondition>),
}

/// The points of `space` that fulfil `filter`, and `vector` besides; `None` when none can.
pub(super) fn within(space: &Space, vector: ServerCondition, filter: &Filter) -> Option<ServerFilter> {
    let mut must = vec![any_text(point::SPACE, &[space.as_str().to_owned()]), vector];
    match holds(filter) {
        Holds::Always => {}
        Holds::Never => return None,
        Holds::If(condition) => must.push(*condition),
    }
    Some(ServerFilter { must, ..ServerFilter::default() })
}

/// The fence: the points whose version is lower than `version`.
pub(super) fn below(version: Version) -> ServerFilter {
    let (epoch, sequence) = (f64::from(version.epoch), version.sequence as f64);
    let lower = |field, bound| range(field, Range { lt: Some(bound), ..Range::default() });
    let same_epoch = range(point::EPOCH, Range { gte: Some(epoch), lte: Some(epoch), ..Range::default() });
    let same_epoch = all(vec![same_epoch, lower(point::SEQUENCE, sequence)]);
    ServerFilter { should: vec![lower(point::EPOCH, epoch), same_epoch], ..ServerFilter::default() }
}

/// The points that have exactly this version.
pub(super) fn at(version: Version) -> Vec<ServerCondition> {
    let equals = |field, value: u64| {
        let value = MatchValue::Integer(i64::try_from(value).unwrap_or(i64::MAX));
        matches(field, value)
    };
    vec![equals(point::EPOCH, u64::from(version.epoch)), equals(point::SEQUENCE, version.sequence)]
}

/// The points that have a sparse vector.
pub(super) fn has_sparse() -> ServerCondition {
    matches(point::HAS_SPARSE, MatchValue::Boolean(true))
}

/// The points whose dense vector has this name.
pub(super) fn has_dense(name: &str) -> ServerCondition {
    matches(point::HAS_DENSE, MatchValue::Keyword(name.to_owned()))
}

/// All of these.
pub(super) fn all(must: Vec<ServerCondition>) -> ServerCondition {
    nested(ServerFilter { must, ..ServerFilter::default() })
}

fn nested(filter: ServerFilter) -> ServerCondition {
    ServerCondition { condition_one_of: Some(ConditionOneOf::Filter(filter)) }
}

fn holds(filter: &Filter) -> Holds {
    let fields = [(point::KIND, &filter.kinds), (point::SESSION, &filter.sessions)];
    let fields = fields.into_iter().filter(|(_, wanted)| !wanted.is_empty());
    let fields = fields.map(|(field, wanted)| Holds::If(Box::new(any_text(field, wanted))));
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
            Holds::If(condition) => must.push(*condition),
        }
    }
    if must.is_empty() { Holds::Always } else { Holds::If(Box::new(all(must))) }
}

fn one_of(parts: impl Iterator<Item = Holds>) -> Holds {
    let mut should = Vec::new();
    for part in parts {
        match part {
            Holds::Always => return Holds::Always,
            Holds::Never => {}
            Holds::If(condition) => should.push(*condition),
        }
    }
    if should.is_empty() {
        return Holds::Never;
    }
    Holds::If(Box::new(nested(ServerFilter { should, ..ServerFilter::default() })))
}

fn none_of(part: Holds) -> Holds {
    match part {
        Holds::Always => Holds::Never,
        Holds::Never => Holds::Always,
        Holds::If(condition) => Holds::If(Box::new(nested(ServerFilter {
            must_not: vec![*condition],
            ..ServerFilter::default()
        }))),
    }
}

fn property(name: &str, condition: &Condition) -> Holds {
    if matches!(condition, Condition::AnyOf(wanted) if wanted.is_empty()) {
        return Holds::Always;
    }
    // No property has another name, so no point fulfils a condition on one.
    let Ok(name) = Name::new(name) else { return Holds::Never };
    let path = format!("{}.{name}", point::PROPERTIES);
    match condition {
        Condition::AnyOf(wanted) => one_of(wanted.iter().map(|value| equal(&path, value))),
        Condition::Range { gte, gt, lte, lt } => {
            Holds::If(Box::new(range(&path, Range { gte: *gte, gt: *gt, lte: *lte, lt: *lt })))
        }
    }
}

/// Holds when the property equals `value`, in the sense of [`exact`].
fn equal(path: &str, value: &Value) -> Holds {
    let number = |value: f64| {
        Holds::If(Box::new(range(path, Range { gte: Some(value), lte: Some(value), ..Range::default() })))
    };
    match value {
        Value::String(text) => Holds::If(Box::new(matches(path, MatchValue::Keyword(text.clone())))),
        Value::Bool(flag) => Holds::If(Box::new(matches(path, MatchValue::Boolean(*flag)))),
        Value::Number(wanted) => match wanted.as_i64() {
            Some(whole) if whole.unsigned_abs() < exact::EXACT_INTEGER_MAX => number(whole as f64),
            Some(whole) => Holds::If(Box::new(matches(path, MatchValue::Integer(whole)))),
            None => wanted.as_f64().map_or(Holds::Never, number),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Holds::Never,
    }
}

fn field(key: &str) -> FieldCondition {
    FieldCondition { key: key.to_owned(), ..FieldCondition::default() }
}

fn condition(field: FieldCondition) -> ServerCondition {
    ServerCondition { condition_one_of: Some(ConditionOneOf::Field(field)) }
}

fn range(key: &str, range: Range) -> ServerCondition {
    condition(FieldCondition { range: Some(range), ..field(key) })
}

fn matches(key: &str, value: MatchValue) -> ServerCondition {
    condition(FieldCondition { r#match: Some(Match { match_value: Some(value) }), ..field(key) })
}

fn any_text(key: &str, wanted: &[String]) -> ServerCondition {
    matches(key, MatchValue::Keywords(RepeatedStrings { strings: wanted.to_vec() }))
}
