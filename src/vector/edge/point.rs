//! How a memory lies in the engine: point id, payload, vectors. Stable: this is on disk.
//!
//! ```text
//! point id   UUIDv5 of [space, id]
//! vectors    dense: of the shard's dimension · sparse
//! payload    space · id · kind · session · properties
//!            _e, _s: version · _h: hash, hexadecimal · _dead: true of a tombstone
//!            _sparse: true where there is a sparse vector
//! ```
//!
//! A tombstone is payload alone and lies with the points that have no dense vector.

use std::{collections::HashMap, sync::Arc};

use qdrant_edge::{
    Payload as EnginePayload, PointId, PointStructPersisted, Record, SparseVector, VectorInternal,
    VectorPersisted, VectorStructInternal, VectorStructPersisted,
};
use serde_json::{Map, Value};

pub(super) use super::super::fields::{
    DEAD, EPOCH, HAS_SPARSE, HASH, ID, KIND, PROPERTIES, SEQUENCE, SESSION, SPACE, SPARSE,
};
use super::super::{Payload, Point, Stored, Write};
use crate::model::{Digest, MemoryId, Space, Sparse, Version};

/// The dense vector's name.
pub(super) const DENSE: &str = "dense";

/// The id that the engine knows a memory by.
pub(super) fn point_id(space: &Space, id: &MemoryId) -> PointId {
    PointId::Uuid(super::super::point_id(space, id))
}

/// The point that `write` makes. When it rewrites one, an absent sparse vector is written as an empty one:
/// the engine would keep the old vector where it copies a point out of an optimised segment.
pub(super) fn to_engine(write: &Write, id: PointId, rewrites: bool) -> PointStructPersisted {
    let memory = write.live();
    let mut vectors = HashMap::with_capacity(2);
    if let Some(dense) = memory.and_then(|memory| memory.dense.as_deref()) {
        vectors.insert(DENSE.to_owned(), VectorPersisted::Dense(dense.to_vec()));
    }
    match memory.and_then(|memory| memory.sparse.as_ref()) {
        Some(sparse) => {
            let sparse = SparseVector { indices: sparse.indices.to_vec(), values: sparse.values.to_vec() };
            vectors.insert(SPARSE.to_owned(), VectorPersisted::Sparse(sparse));
        }
        None if rewrites => {
            let none = SparseVector { indices: Vec::new(), values: Vec::new() };
            vectors.insert(SPARSE.to_owned(), VectorPersisted::Sparse(none));
        }
        None => {}
    }
    let vector = VectorStructPersisted::Named(vectors);
    PointStructPersisted { id, vector, payload: Some(EnginePayload(payload(write))) }
}

fn payload(write: &Write) -> Map<String, Value> {
    let mut payload = Map::new();
    let mut put = |name: &str, value: Value| drop(payload.insert(name.to_owned(), value));
    put(SPACE, write.space.as_str().into());
    put(ID, write.id.as_str().into());
    put(EPOCH, write.version.epoch.into());
    put(SEQUENCE, write.version.sequence.into());
    put(HASH, write.hash.to_string().into());
    let Some(memory) = write.live() else {
        put(DEAD, true.into());
        return payload;
    };
    let Payload { kind, session, properties } = Payload::of(memory);
    put(KIND, kind.into());
    if let Some(session) = session {
        put(SESSION, session.into());
    }
    if !properties.is_empty() {
        put(PROPERTIES, properties.into());
    }
    if memory.sparse.is_some() {
        put(HAS_SPARSE, true.into());
    }
    payload
}

/// The version marker of a payload; `None` when it is not one of ours.
pub(super) fn version(payload: &Map<String, Value>) -> Option<Version> {
    Some(Version {
        epoch: u32::try_from(payload.get(EPOCH)?.as_u64()?).ok()?,
        sequence: payload.get(SEQUENCE)?.as_u64()?,
    })
}

/// The hash marker of a payload.
pub(super) fn hash(payload: &Map<String, Value>) -> Option<Digest> {
    let text = payload.get(HASH)?.as_str()?;
    let digit = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digit).collect();
    Digest::from_slice(&bytes?)
}

/// Whether a payload is a tombstone's.
pub(super) fn is_dead(payload: &Map<String, Value>) -> bool {
    payload.get(DEAD).is_some_and(|dead| *dead == Value::Bool(true))
}

/// A point as the store shows it; `None` when the record is not one of ours.
pub(super) fn to_stored(record: Record) -> Option<Stored> {
    let mut payload = record.payload?.0;
    let text = |name: &str| payload.get(name).and_then(Value::as_str);
    let (space, id) = (Space::new(text(SPACE)?).ok()?, MemoryId::new(text(ID)?).ok()?);
    let (version, hash) = (version(&payload)?, hash(&payload)?);
    if is_dead(&payload) {
        return Some(Stored { space, id, version, hash, point: None });
    }
    let (kind, session) = (text(KIND)?.to_owned(), text(SESSION).map(str::to_owned));
    let has_sparse = payload.contains_key(HAS_SPARSE);
    let properties = match payload.remove(PROPERTIES) {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    let (dense, sparse) = vectors(record.vector);
    let sparse = has_sparse.then(|| sparse.unwrap_or_default());
    let payload = Payload { kind, session, properties };
    Some(Stored { space, id, version, hash, point: Some(Point { dense, sparse, payload }) })
}

fn vectors(held: Option<VectorStructInternal>) -> (Option<Arc<[f32]>>, Option<Sparse>) {
    let Some(VectorStructInternal::Named(mut named)) = held else { return (None, None) };
    let dense = match named.remove(DENSE) {
        Some(VectorInternal::Dense(values)) => Some(values.into()),
        _ => None,
    };
    let sparse = match named.remove(SPARSE) {
        Some(VectorInternal::Sparse(sparse)) => {
            Some(Sparse { indices: sparse.indices.into(), values: sparse.values.into(), derived: false })
        }
        _ => None,
    };
    (dense, sparse)
}
