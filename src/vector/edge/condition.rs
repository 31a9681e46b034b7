//! Filters, as the engine understands them.

use qdrant_edge::{
    Condition, FieldCondition, Filter as EngineFilter, JsonPath, Match, Range,
    external::ordered_float::OrderedFloat,
};

use super::super::{
    Filter,
    conditions::{Bounds, Conditions, Holds, Same, holds},
    fields,
};
use crate::model::Space;

/// The engine's conditions.
struct Engine;

impl Conditions for Engine {
    type One = Condition;

    fn text(at: &str, wanted: &[String]) -> Condition {
        Condition::Field(FieldCondition::new_match(path(at), wanted.to_vec().into()))
    }

    fn same(at: &str, wanted: Same<'_>) -> Condition {
        let wanted: Match = match wanted {
            Same::Text(text) => text.to_owned().into(),
            Same::Flag(flag) => flag.into(),
            Same::Whole(whole) => whole.into(),
        };
        Condition::Field(FieldCondition::new_match(path(at), wanted))
    }

    fn within(at: &str, Bounds { gte, gt, lte, lt }: Bounds) -> Condition {
        let bound = |bound: Option<f64>| bound.map(OrderedFloat);
        let range = Range { gte: bound(gte), gt: bound(gt), lte: bound(lte), lt: bound(lt) };
        Condition::Field(FieldCondition::new_range(path(at), range))
    }

    fn all(parts: Vec<Condition>) -> Condition {
        Condition::Filter(EngineFilter { must: Some(parts), ..EngineFilter::new() })
    }

    fn any(parts: Vec<Condition>) -> Condition {
        Condition::Filter(EngineFilter { should: Some(parts), ..EngineFilter::new() })
    }

    fn not(part: Condition) -> Condition {
        Condition::Filter(EngineFilter { must_not: Some(vec![part]), ..EngineFilter::new() })
    }
}

/// The points of `space` that fulfil `filter`; `None` when none can.
pub(super) fn within(space: &Space, filter: &Filter) -> Option<EngineFilter> {
    let mut must = vec![Engine::text(fields::SPACE, &[space.as_str().to_owned()])];
    match holds::<Engine>(filter) {
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
