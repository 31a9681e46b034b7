//! The protocol's words into the engine's, and back.
//!
//! Filters go by way of their JSON form, which both sides define alike.

use std::collections::HashMap;

use qdrant_client::qdrant::{
    Condition, DenseVector, FieldCondition, Filter, Match, NamedVectors, NamedVectorsOutput, PointId,
    PointStruct, Range, RetrievedPoint, ScoredPoint, SparseVector, Value, VectorOutput, VectorsOutput,
    WithPayloadSelector, condition::ConditionOneOf, r#match::MatchValue, point_id::PointIdOptions, vector,
    vector_output, vectors::VectorsOptions, vectors_output, with_payload_selector,
};
use qdrant_edge as engine;
use serde_json::{Map, Value as Json, json};
use tonic::Status;
use uuid::Uuid;

fn refused(what: &'static str) -> Status {
    Status::invalid_argument(what)
}

fn unknown() -> Status {
    Status::unimplemented("the stand-in does not know this")
}

/// A point's id.
pub(super) fn uuid(id: Option<PointId>) -> Result<Uuid, Status> {
    match id.and_then(|id| id.point_id_options) {
        Some(PointIdOptions::Uuid(text)) => text.parse().map_err(|_| refused("this is no point id")),
        Some(PointIdOptions::Num(_)) => Err(unknown()),
        None => Err(refused("a point needs an id")),
    }
}

/// Ids, as the engine takes them.
pub(super) fn ids(ids: Vec<PointId>) -> Result<Vec<engine::PointId>, Status> {
    ids.into_iter().map(|id| uuid(Some(id)).map(engine::PointId::Uuid)).collect()
}

fn id_of(id: engine::PointId) -> PointId {
    let options = match id {
        engine::PointId::Uuid(id) => PointIdOptions::Uuid(id.to_string()),
        engine::PointId::NumId(id) => PointIdOptions::Num(id),
    };
    PointId { point_id_options: Some(options) }
}

/// Where a scroll goes on.
pub(super) fn offset_of(id: Option<engine::PointId>) -> Option<PointId> {
    id.map(id_of)
}

/// A point to write.
pub(super) fn point(point: PointStruct) -> Result<engine::PointStructPersisted, Status> {
    let id = engine::PointId::Uuid(uuid(point.id)?);
    let named = match point.vectors.and_then(|vectors| vectors.vectors_options) {
        Some(VectorsOptions::Vectors(named)) => named,
        None => NamedVectors::default(),
        Some(VectorsOptions::Vector(_)) => return Err(unknown()),
    };
    let mut vectors = HashMap::with_capacity(named.vectors.len());
    for (name, held) in named.vectors {
        let vector = match held.vector {
            Some(vector::Vector::Dense(dense)) => engine::VectorPersisted::Dense(dense.data),
            Some(vector::Vector::Sparse(sparse)) => {
                engine::VectorPersisted::Sparse(sparse_vector(sparse.indices, sparse.values)?)
            }
            _ => return Err(unknown()),
        };
        vectors.insert(name, vector);
    }
    let vector = engine::VectorStructPersisted::Named(vectors);
    Ok(engine::PointStructPersisted { id, vector, payload: Some(engine::Payload(object(point.payload))) })
}

/// A sparse vector, checked as the server checks it.
pub(super) fn sparse_vector(indices: Vec<u32>, values: Vec<f32>) -> Result<engine::SparseVector, Status> {
    let mut sorted = indices.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != indices.len() || indices.len() != values.len() {
        return Err(refused("a sparse vector needs indices that differ, one value each"));
    }
    Ok(engine::SparseVector { indices, values })
}

/// A payload as JSON.
pub(super) fn object(payload: HashMap<String, Value>) -> Map<String, Json> {
    payload.into_iter().map(|(name, value)| (name, value.into_json())).collect()
}

/// JSON as a payload.
pub(super) fn payload(object: Map<String, Json>) -> HashMap<String, Value> {
    object.into_iter().map(|(name, value)| (name, value.into())).collect()
}

/// Which of the payload is asked for.
pub(super) fn wanted(selector: Option<WithPayloadSelector>) -> Result<engine::WithPayloadInterface, Status> {
    match selector.and_then(|selector| selector.selector_options) {
        None => Ok(engine::WithPayloadInterface::Bool(false)),
        Some(with_payload_selector::SelectorOptions::Enable(all)) => {
            Ok(engine::WithPayloadInterface::Bool(all))
        }
        Some(with_payload_selector::SelectorOptions::Include(include)) => {
            let path = |field: String| field.parse().map_err(|()| refused("this is no path"));
            let paths = include.fields.into_iter().map(path).collect::<Result<Vec<_>, _>>()?;
            let include = engine::PayloadSelectorInclude::new(paths);
            Ok(engine::WithPayloadInterface::Selector(engine::PayloadSelector::Include(include)))
        }
        Some(with_payload_selector::SelectorOptions::Exclude(_)) => Err(unknown()),
    }
}

/// A point that was read.
pub(super) fn retrieved(record: engine::Record) -> RetrievedPoint {
    RetrievedPoint {
        id: Some(id_of(record.id)),
        payload: record.payload.map(|held| payload(held.0)).unwrap_or_default(),
        vectors: record.vector.and_then(vectors),
        ..RetrievedPoint::default()
    }
}

/// A point that was found.
pub(super) fn scored(found: engine::ScoredPoint) -> ScoredPoint {
    ScoredPoint {
        id: Some(id_of(found.id)),
        payload: found.payload.map(|held| payload(held.0)).unwrap_or_default(),
        score: found.score,
        version: found.version,
        vectors: found.vector.and_then(vectors),
        ..ScoredPoint::default()
    }
}

fn vectors(held: engine::VectorStructInternal) -> Option<VectorsOutput> {
    let engine::VectorStructInternal::Named(named) = held else { return None };
    let vectors = named.into_iter().filter_map(|(name, vector)| {
        let vector = match vector {
            engine::VectorInternal::Dense(data) => vector_output::Vector::Dense(DenseVector { data }),
            engine::VectorInternal::Sparse(sparse) => {
                let engine::SparseVector { indices, values } = sparse;
                vector_output::Vector::Sparse(SparseVector { indices, values })
            }
            engine::VectorInternal::MultiDense(_) => return None,
        };
        Some((name, VectorOutput { vector: Some(vector), ..VectorOutput::default() }))
    });
    let named = NamedVectorsOutput { vectors: vectors.collect() };
    Some(VectorsOutput { vectors_options: Some(vectors_output::VectorsOptions::Vectors(named)) })
}

/// A filter, by way of JSON.
pub(super) fn filter(filter: &Filter) -> Result<engine::Filter, Status> {
    serde_json::from_value(filter_json(filter)?).map_err(|_| refused("this is no filter"))
}

fn filter_json(filter: &Filter) -> Result<Json, Status> {
    if filter.min_should.is_some() {
        return Err(unknown());
    }
    let mut object = Map::new();
    let parts = [("must", &filter.must), ("should", &filter.should), ("must_not", &filter.must_not)];
    for (name, conditions) in parts.into_iter().filter(|(_, conditions)| !conditions.is_empty()) {
        let conditions = conditions.iter().map(condition_json).collect::<Result<Vec<_>, _>>()?;
        object.insert(name.to_owned(), Json::Array(conditions));
    }
    Ok(Json::Object(object))
}

fn condition_json(condition: &Condition) -> Result<Json, Status> {
    match &condition.condition_one_of {
        Some(ConditionOneOf::Filter(filter)) => filter_json(filter),
        Some(ConditionOneOf::Field(field)) => field_json(field),
        Some(ConditionOneOf::HasId(has_id)) => {
            let ids = has_id.has_id.iter().cloned().map(|id| uuid(Some(id)).map(|id| id.to_string()));
            Ok(json!({ "has_id": ids.collect::<Result<Vec<_>, _>>()? }))
        }
        _ => Err(unknown()),
    }
}

fn field_json(field: &FieldCondition) -> Result<Json, Status> {
    let key = &field.key;
    if let Some(Range { lt, gt, gte, lte }) = &field.range {
        let bounds = [("lt", lt), ("gt", gt), ("gte", gte), ("lte", lte)];
        let bounds: Map<String, Json> = bounds
            .into_iter()
            .filter_map(|(name, bound)| Some((name.to_owned(), json!((*bound)?))))
            .collect();
        return Ok(json!({ "key": key, "range": bounds }));
    }
    let Some(Match { match_value: Some(value) }) = &field.r#match else { return Err(unknown()) };
    let value = match value {
        MatchValue::Keyword(text) => json!({ "value": text }),
        MatchValue::Integer(number) => json!({ "value": number }),
        MatchValue::Boolean(flag) => json!({ "value": flag }),
        MatchValue::Keywords(any) => json!({ "any": any.strings }),
        MatchValue::Integers(any) => json!({ "any": any.integers }),
        _ => return Err(unknown()),
    };
    Ok(json!({ "key": key, "match": value }))
}
