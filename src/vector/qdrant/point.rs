//! How a memory lies in the collection: point id, payload, named vectors. Stable: this is in the store.
//!
//! ```text
//! point id   UUIDv5 of [space, id]
//! vectors    384-cosine: dense, one name a dimension and metric · sparse
//! payload    space · id · kind · session · properties
//!            _e, _s: version · _h: hash, hexadecimal · _dead: true of a tombstone
//!            _dense: name of its dense vector · _sparse: true where there is a sparse vector
//! ```
//!
//! `_dense` and `_sparse` are what searches go by: a tombstone has neither, and a vector that a rewrite
//! left behind in an optimised segment is not found by them. A tombstone is payload alone.

use std::{collections::HashMap, sync::Arc};

use qdrant_client::qdrant::{
    DenseVector, Distance, NamedVectors, PointId, PointStruct, RetrievedPoint, SparseVector, Value, Vector,
    Vectors, VectorsOutput, point_id::PointIdOptions, value::Kind, vector, vector_output,
    vectors::VectorsOptions, vectors_output,
};
use serde_json::Map;
use uuid::Uuid;

pub(super) use super::super::fields::{
    DEAD, EPOCH, HAS_SPARSE, HASH, ID, KIND, PROPERTIES, SEQUENCE, SESSION, SPACE, SPARSE,
};
use super::super::{Payload, Point, Stored, Write};
use crate::model::{
    Digest, MemoryId, Space, Sparse, Version,
    space::{Layout, Metric},
};

/// Payload field: the name of the dense vector that counts.
pub(super) const HAS_DENSE: &str = "_dense";

/// A dense vector's place in the collection: dimension and metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dense {
    pub(super) dimension: u32,
    pub(super) metric: Metric,
}

impl Dense {
    /// Where a vector of `values` belongs under `layout`.
    pub(super) fn of(values: &[f32], layout: Layout) -> Self {
        // Lengths are bounded far below 2^32 by the record limit.
        Self { dimension: u32::try_from(values.len()).unwrap_or(u32::MAX), metric: layout.metric }
    }

    /// The vector's name in the collection.
    pub(super) fn name(self) -> String {
        let metric = match self.metric {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot",
            Metric::Euclid => "euclid",
        };
        format!("{}-{metric}", self.dimension)
    }

    /// The place that has this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (dimension, metric) = name.split_once('-')?;
        let metric = match metric {
            "cosine" => Metric::Cosine,
            "dot" => Metric::Dot,
            "euclid" => Metric::Euclid,
            _ => return None,
        };
        Some(Self { dimension: dimension.parse().ok().filter(|dimension| *dimension > 0)?, metric })
    }

    /// The metric, in the server's word.
    pub(super) fn distance(self) -> Distance {
        match self.metric {
            Metric::Cosine => Distance::Cosine,
            Metric::Dot => Distance::Dot,
            Metric::Euclid => Distance::Euclid,
        }
    }
}

/// The id that the server knows a memory by.
pub(super) fn point_id(id: Uuid) -> PointId {
    PointId { point_id_options: Some(PointIdOptions::Uuid(id.to_string())) }
}

/// The id behind the server's; `None` when it is a number, which is none of ours.
pub(super) fn uuid(id: Option<&PointId>) -> Option<Uuid> {
    match id?.point_id_options.as_ref()? {
        PointIdOptions::Uuid(text) => text.parse().ok(),
        PointIdOptions::Num(_) => None,
    }
}

/// The dense vector's place that `write` needs.
pub(super) fn dense_of(write: &Write) -> Option<Dense> {
    let dense = write.live()?.dense.as_deref()?;
    Some(Dense::of(dense, write.layout))
}

/// The point that `write` makes.
pub(super) fn to_point(write: &Write) -> PointStruct {
    let mut vectors = HashMap::with_capacity(2);
    let memory = write.live();
    if let Some(dense) = memory.and_then(|memory| memory.dense.as_deref()) {
        let name = Dense::of(dense, write.layout).name();
        vectors.insert(name, named(vector::Vector::Dense(DenseVector { data: dense.to_vec() })));
    }
    let sparse = memory.and_then(|memory| memory.sparse.as_ref());
    if let Some(sparse) = sparse.filter(|sparse| !sparse.indices.is_empty()) {
        let sparse = SparseVector { indices: sparse.indices.to_vec(), values: sparse.values.to_vec() };
        vectors.insert(SPARSE.to_owned(), named(vector::Vector::Sparse(sparse)));
    }
    PointStruct {
        id: Some(point_id(super::super::point_id(&write.space, &write.id))),
        payload: payload(write),
        vectors: Some(Vectors { vectors_options: Some(VectorsOptions::Vectors(NamedVectors { vectors })) }),
    }
}

fn named(vector: vector::Vector) -> Vector {
    Vector { vector: Some(vector), ..Vector::default() }
}

fn payload(write: &Write) -> HashMap<String, Value> {
    let mut payload = HashMap::with_capacity(12);
    let mut put = |name: &str, value: Value| drop(payload.insert(name.to_owned(), value));
    put(SPACE, text(write.space.as_str()));
    put(ID, text(write.id.as_str()));
    put(EPOCH, integer(u64::from(write.version.epoch)));
    put(SEQUENCE, integer(write.version.sequence));
    put(HASH, text(&write.hash.to_string()));
    let Some(memory) = write.live() else {
        put(DEAD, Value { kind: Some(Kind::BoolValue(true)) });
        return payload;
    };
    let Payload { kind, session, properties } = Payload::of(memory);
    put(KIND, text(&kind));
    if let Some(session) = session {
        put(SESSION, text(&session));
    }
    if !properties.is_empty() {
        put(PROPERTIES, serde_json::Value::Object(properties).into());
    }
    if let Some(dense) = dense_of(write) {
        put(HAS_DENSE, text(&dense.name()));
    }
    if memory.sparse.is_some() {
        put(HAS_SPARSE, Value { kind: Some(Kind::BoolValue(true)) });
    }
    payload
}

fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.to_owned())) }
}

fn integer(number: u64) -> Value {
    // Sequences are below 2^53: the server compares ranges as `f64`.
    Value { kind: Some(Kind::IntegerValue(i64::try_from(number).unwrap_or(i64::MAX))) }
}

/// The text of a payload field.
pub(super) fn text_of<'a>(payload: &'a HashMap<String, Value>, name: &str) -> Option<&'a str> {
    match payload.get(name)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

fn integer_of(payload: &HashMap<String, Value>, name: &str) -> Option<u64> {
    match payload.get(name)?.kind.as_ref()? {
        Kind::IntegerValue(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn is_set(payload: &HashMap<String, Value>, name: &str) -> bool {
    matches!(payload.get(name).and_then(|value| value.kind.as_ref()), Some(Kind::BoolValue(true)))
}

/// The version marker of a payload; `None` when it is not one of ours.
pub(super) fn version(payload: &HashMap<String, Value>) -> Option<Version> {
    let epoch = u32::try_from(integer_of(payload, EPOCH)?).ok()?;
    Some(Version { epoch, sequence: integer_of(payload, SEQUENCE)? })
}

/// The hash marker of a payload.
pub(super) fn hash(payload: &HashMap<String, Value>) -> Option<Digest> {
    let text = text_of(payload, HASH)?;
    let digit = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digit).collect();
    Digest::from_slice(&bytes?)
}

/// Whether a payload is a tombstone's.
pub(super) fn is_dead(payload: &HashMap<String, Value>) -> bool {
    is_set(payload, DEAD)
}

/// A point as the store shows it; `None` when it is not one of ours.
pub(super) fn to_stored(point: RetrievedPoint) -> Option<Stored> {
    let RetrievedPoint { mut payload, vectors, .. } = point;
    let space = Space::new(text_of(&payload, SPACE)?).ok()?;
    let id = MemoryId::new(text_of(&payload, ID)?).ok()?;
    let (version, hash) = (version(&payload)?, hash(&payload)?);
    if is_dead(&payload) {
        return Some(Stored { space, id, version, hash, point: None });
    }
    let mut vectors = named_vectors(vectors);
    let dense =
        text_of(&payload, HAS_DENSE).and_then(|name| vectors.remove(name)).and_then(|vector| match vector {
            vector_output::Vector::Dense(dense) => Some(Arc::from(dense.data)),
            _ => None,
        });
    let sparse = is_set(&payload, HAS_SPARSE).then(|| match vectors.remove(SPARSE) {
        Some(vector_output::Vector::Sparse(sparse)) => {
            Sparse { indices: sparse.indices.into(), values: sparse.values.into(), derived: false }
        }
        _ => Sparse::default(),
    });
    let kind = text_of(&payload, KIND)?.to_owned();
    let session = text_of(&payload, SESSION).map(str::to_owned);
    let properties = match payload.remove(PROPERTIES).map(Value::into_json) {
        Some(serde_json::Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    let payload = Payload { kind, session, properties };
    Some(Stored { space, id, version, hash, point: Some(Point { dense, sparse, payload }) })
}

fn named_vectors(held: Option<VectorsOutput>) -> HashMap<String, vector_output::Vector> {
    let Some(vectors_output::VectorsOptions::Vectors(named)) = held.and_then(|held| held.vectors_options)
    else {
        return HashMap::new();
    };
    named.vectors.into_iter().map(|(name, vector)| (name, vector.into_vector())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vector::contract::{dense, tombstone};

    #[test]
    fn the_marker_is_what_it_was() {
        let point = to_point(&dense("m", 5, &[1.0, 0.0]));
        let show = |name: &str| point.payload[name].clone().into_json().to_string();
        assert_eq!(
            uuid(point.id.as_ref()).expect("a uuid").to_string(),
            crate::vector::point_id(&crate::vector::contract::space("a"), &crate::vector::contract::id("m"))
                .to_string()
        );
        assert_eq!([show("_e"), show("_s"), show("_dense")], ["1", "20", "\"2-cosine\""]);
        assert_eq!(show("_h").len(), 66);
        assert!(!point.payload.contains_key(DEAD) && !point.payload.contains_key(HAS_SPARSE));
        let dead = to_point(&tombstone("m", 6));
        let mut names: Vec<&str> = dead.payload.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["_dead", "_e", "_h", "_s", "id", "space"]);
    }

    #[test]
    fn a_place_is_named_so_that_it_can_be_read_back() {
        for metric in [Metric::Cosine, Metric::Dot, Metric::Euclid] {
            let place = Dense { dimension: 384, metric };
            assert_eq!(Dense::parse(&place.name()), Some(place));
        }
        for none in ["", "384", "384-manhattan", "0-dot", "x-dot", "sparse"] {
            assert_eq!(Dense::parse(none), None, "{none}");
        }
    }
}
