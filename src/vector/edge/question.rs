//! Searches, as the engine understands them.
//!
//! Every request is built in [`request`], and there alone, so that none can be without its space.
//! Values travel as values; a property's name enters a path only when it is a plain name.

use std::{cmp::Reverse, collections::BTreeSet};

use qdrant_edge::{
    Condition as EngineCondition, FieldCondition, Filter as EngineFilter, JsonPath, Match, NamedQuery,
    PayloadSelector, PayloadSelectorInclude, QueryEnum, Range, ScoredPoint, SearchRequest, SparseVector,
    VectorInternal, WithPayloadInterface, external::ordered_float::OrderedFloat,
};
use serde_json::Value;

use super::{
    super::{Condition, Error, Filter, Hit, Query, Search, exact},
    point,
    shards::{Place, Shards, unavailable},
};
use crate::model::{MemoryId, Name};

/// Answers a search from every shard that may hold its points.
pub(super) fn search(shards: &Shards, search: &Search) -> Result<Vec<Hit>, Error> {
    search.check()?;
    let Some(request) = request(search).filter(|_| search.limit > 0) else { return Ok(Vec::new()) };
    let mut hits = Vec::new();
    for slot in shards.all()?.iter().filter(|slot| concerns(search, slot.place)) {
        let points = slot.ask(|engine| engine.search(request.clone())).map_err(unavailable)?;
        hits.extend(points.into_iter().filter_map(to_hit));
    }
    // A point on its way from one shard to another may be seen in both: the newer copy counts.
    hits.sort_by_key(|hit| Reverse(hit.version));
    let mut seen = BTreeSet::new();
    hits.retain(|hit| seen.insert(hit.id.clone()));
    hits.sort_by(exact::best_first(exact::is_distance(&search.query, search.layout)));
    hits.truncate(search.limit);
    Ok(hits)
}

/// A dense vector is in the shard of its dimension and metric; a sparse one may be in any.
fn concerns(search: &Search, place: Place) -> bool {
    match &search.query {
        Query::Dense(dense) => {
            let dimension = u32::try_from(dense.len()).unwrap_or(u32::MAX);
            place == Place::Dense(dimension, search.layout.metric)
        }
        Query::Sparse(_) => true,
    }
}

/// The engine's request; `None` when nothing can fulfil the filter.
fn request(search: &Search) -> Option<SearchRequest> {
    let (using, query) = match &search.query {
        Query::Dense(dense) => (point::DENSE, VectorInternal::Dense(dense.to_vec())),
        Query::Sparse(sparse) => {
            let sparse = SparseVector { indices: sparse.indices.to_vec(), values: sparse.values.to_vec() };
            (point::SPARSE, VectorInternal::Sparse(sparse))
        }
    };
    let mut conditions = vec![any_text(point::SPACE, &[search.space.as_str().to_owned()])];
    conditions.extend(filter(&search.filter)?);
    let filter = EngineFilter { must: Some(conditions), ..EngineFilter::new() };
    let wanted = [point::ID, point::EPOCH, point::SEQUENCE, point::DEAD].map(path).to_vec();
    let wanted = PayloadSelector::Include(PayloadSelectorInclude::new(wanted));
    Some(SearchRequest {
        query: QueryEnum::Nearest(NamedQuery { query, using: Some(using.to_owned()) }),
        filter: Some(filter),
        params: None,
        limit: search.limit,
        offset: 0,
        with_payload: Some(WithPayloadInterface::Selector(wanted)),
        with_vector: None,
        score_threshold: search.min_score,
    })
}

/// A tombstone has no vector and is never found; were it found, it would be dropped here.
fn to_hit(found: ScoredPoint) -> Option<Hit> {
    let payload = found.payload.filter(|payload| !point::is_dead(&payload.0))?.0;
    let id = MemoryId::new(payload.get(point::ID)?.as_str()?).ok()?;
    Some(Hit { id, version: point::version(&payload)?, score: found.score })
}

fn filter(filter: &Filter) -> Option<Vec<EngineCondition>> {
    let mut conditions = Vec::new();
    for (field, wanted) in [(point::KIND, &filter.kinds), (point::SESSION, &filter.sessions)] {
        if !wanted.is_empty() {
            conditions.push(any_text(field, wanted));
        }
    }
    for (name, condition) in &filter.properties {
        if matches!(condition, Condition::AnyOf(wanted) if wanted.is_empty()) {
            continue;
        }
        // No property has another name, so no point fulfils a condition on one.
        let name = Name::new(name).ok()?;
        conditions.push(property(&path(&format!("{}.{name}", point::PROPERTIES)), condition)?);
    }
    Some(conditions)
}

/// `None` when no value fulfils it: the engine would take an empty list for one that always holds.
fn property(path: &JsonPath, condition: &Condition) -> Option<EngineCondition> {
    match condition {
        Condition::AnyOf(wanted) => {
            let any: Vec<_> = wanted.iter().filter_map(|value| equal(path, value)).collect();
            let filter = EngineFilter { should: Some(any), ..EngineFilter::new() };
            filter
                .should
                .as_ref()
                .is_some_and(|any| !any.is_empty())
                .then_some(EngineCondition::Filter(filter))
        }
        Condition::Range { gte, gt, lte, lt } => {
            let bound = |bound: &Option<f64>| bound.map(OrderedFloat);
            Some(range(path, Range { gte: bound(gte), gt: bound(gt), lte: bound(lte), lt: bound(lt) }))
        }
    }
}

/// Holds when the property equals `value`, in the sense of [`exact`]; `None`: nothing does.
fn equal(path: &JsonPath, value: &Value) -> Option<EngineCondition> {
    let is = |wanted: Match| EngineCondition::Field(FieldCondition::new_match(path.clone(), wanted));
    let number = |value: f64| {
        let value = Some(OrderedFloat(value));
        range(path, Range { gte: value, gt: None, lte: value, lt: None })
    };
    match value {
        Value::String(text) => Some(is(text.clone().into())),
        Value::Bool(flag) => Some(is((*flag).into())),
        Value::Number(wanted) => match wanted.as_i64() {
            Some(whole) if whole.unsigned_abs() < exact::EXACT_INTEGER_MAX => Some(number(whole as f64)),
            Some(whole) => Some(is(whole.into())),
            None => wanted.as_f64().map(number),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn range(path: &JsonPath, range: Range<OrderedFloat<f64>>) -> EngineCondition {
    EngineCondition::Field(FieldCondition::new_range(path.clone(), range))
}

fn any_text(field: &str, wanted: &[String]) -> EngineCondition {
    EngineCondition::Field(FieldCondition::new_match(path(field), wanted.to_vec().into()))
}

fn path(name: &str) -> JsonPath {
    name.parse().expect("plain names joined by dots are a path")
}
