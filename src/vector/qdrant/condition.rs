//! Filters, as the server understands them, and the fence of a write.

use qdrant_client::qdrant::{
    Condition, FieldCondition, Filter as ServerFilter, Match, Range, RepeatedStrings,
    condition::ConditionOneOf, r#match::MatchValue,
};

use super::{
    super::{
        Filter,
        conditions::{Bounds, Conditions, Holds, Same, holds},
    },
    point,
};
use crate::model::{Space, Version};

/// The server's conditions.
struct Server;

impl Conditions for Server {
    type One = Condition;

    fn text(path: &str, wanted: &[String]) -> Condition {
        matches(path, MatchValue::Keywords(RepeatedStrings { strings: wanted.to_vec() }))
    }

    fn same(path: &str, wanted: Same<'_>) -> Condition {
        let wanted = match wanted {
            Same::Text(text) => MatchValue::Keyword(text.to_owned()),
            Same::Flag(flag) => MatchValue::Boolean(flag),
            Same::Whole(whole) => MatchValue::Integer(whole),
        };
        matches(path, wanted)
    }

    fn within(path: &str, Bounds { gte, gt, lte, lt }: Bounds) -> Condition {
        condition(FieldCondition { range: Some(Range { lt, gt, gte, lte }), ..field(path) })
    }

    fn all(must: Vec<Condition>) -> Condition {
        nested(ServerFilter { must, ..ServerFilter::default() })
    }

    fn any(should: Vec<Condition>) -> Condition {
        nested(ServerFilter { should, ..ServerFilter::default() })
    }

    fn not(part: Condition) -> Condition {
        nested(ServerFilter { must_not: vec![part], ..ServerFilter::default() })
    }
}

/// The points of `space` that fulfil `filter`, and `vector` besides; `None` when none can.
pub(super) fn within(space: &Space, vector: Condition, filter: &Filter) -> Option<ServerFilter> {
    let mut must = vec![Server::text(point::SPACE, &[space.as_str().to_owned()]), vector];
    match holds::<Server>(filter) {
        Holds::Always => {}
        Holds::Never => return None,
        Holds::If(condition) => must.push(condition),
    }
    Some(ServerFilter { must, ..ServerFilter::default() })
}

/// The fence: the points whose version is lower than `version`.
pub(super) fn below(version: Version) -> ServerFilter {
    let (epoch, sequence) = (f64::from(version.epoch), version.sequence as f64);
    let lower = |field, bound| Server::within(field, Bounds { lt: Some(bound), ..Bounds::default() });
    let same_epoch = Server::within(point::EPOCH, Bounds::only(epoch));
    let same_epoch = all(vec![same_epoch, lower(point::SEQUENCE, sequence)]);
    ServerFilter { should: vec![lower(point::EPOCH, epoch), same_epoch], ..ServerFilter::default() }
}

/// The points that have exactly this version.
pub(super) fn at(version: Version) -> Vec<Condition> {
    let equals =
        |field, value: u64| Server::same(field, Same::Whole(i64::try_from(value).unwrap_or(i64::MAX)));
    vec![equals(point::EPOCH, u64::from(version.epoch)), equals(point::SEQUENCE, version.sequence)]
}

/// The points that have a sparse vector.
pub(super) fn has_sparse() -> Condition {
    Server::same(point::HAS_SPARSE, Same::Flag(true))
}

/// The points whose dense vector has this name.
pub(super) fn has_dense(name: &str) -> Condition {
    Server::same(point::HAS_DENSE, Same::Text(name))
}

/// All of these.
pub(super) fn all(must: Vec<Condition>) -> Condition {
    Server::all(must)
}

fn nested(filter: ServerFilter) -> Condition {
    Condition { condition_one_of: Some(ConditionOneOf::Filter(filter)) }
}

fn field(key: &str) -> FieldCondition {
    FieldCondition { key: key.to_owned(), ..FieldCondition::default() }
}

fn condition(field: FieldCondition) -> Condition {
    Condition { condition_one_of: Some(ConditionOneOf::Field(field)) }
}

fn matches(key: &str, value: MatchValue) -> Condition {
    condition(FieldCondition { r#match: Some(Match { match_value: Some(value) }), ..field(key) })
}
