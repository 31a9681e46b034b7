//! The form of every column that is not a plain value. Stable: a ledger outlives the program.
//!
//! ```text
//! header, plan       JSON, keys below; absent means default
//! keys, writes       17 bytes each: a flag, then the 16-byte key
//! offsets            LEB128 of the first offset, then of each distance to the next
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    ledger::{Error, MemoryWrite, Plan, RelationWrite},
    model::{
        Access, ConflictKey, Digest, Header, Key, Memory, MemoryId, Name, Relation, RelationKey, Space,
        Timestamp,
        command::Trace,
        memory::{Properties, tombstone_hash},
    },
};

/// JSON text of a stored value.
pub(in crate::ledger) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("stored values have string keys and finite numbers")
}

/// The value of a stored JSON text; `what` names the row.
pub(in crate::ledger) fn from_json<T: DeserializeOwned>(
    text: &str,
    what: impl Fn() -> String,
) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Corrupt(format!("{}: {error}", what())))
}

#[derive(Serialize, Deserialize)]
struct StoredHeader {
    id: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    claims: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    source: String,
    space: Space,
    kind: String,
    time: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(default, skip_serializing_if = "is_default")]
    trace: Trace,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A header as JSON.
pub(in crate::ledger) fn header_json(header: &Header) -> String {
    json(&StoredHeader {
        id: header.id.clone(),
        claims: header.claims,
        source: header.source.clone(),
        space: header.space.clone(),
        kind: header.kind.clone(),
        time: header.time.as_micros(),
        expires_at: header.expires_at.map(Timestamp::as_micros),
        trace: header.trace.clone(),
    })
}

/// The inverse of [`header_json`].
pub(in crate::ledger) fn header_from(text: &str, what: impl Fn() -> String) -> Result<Header, Error> {
    let stored: StoredHeader = from_json(text, what)?;
    Ok(Header {
        id: stored.id,
        claims: stored.claims,
        source: stored.source,
        space: stored.space,
        kind: stored.kind,
        time: Timestamp::from_micros(stored.time),
        expires_at: stored.expires_at.map(Timestamp::from_micros),
        trace: stored.trace,
    })
}

/// A plan without the bytes of its memories, which are images.
#[derive(Serialize, Deserialize)]
struct StoredPlan {
    now: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    memories: Vec<StoredWrite>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    relations: Vec<StoredRelationWrite>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    touched: Vec<MemoryId>,
}

#[derive(Serialize, Deserialize)]
struct StoredWrite {
    id: MemoryId,
    /// Whether it has an image; else it is a tombstone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    image: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    vector: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredRelationWrite {
    source: MemoryId,
    kind: Name,
    target: MemoryId,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    discriminator: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<StoredRelation>,
}

#[derive(Serialize, Deserialize)]
struct StoredRelation {
    weight: f64,
    #[serde(default, skip_serializing_if = "Properties::is_empty")]
    properties: Properties,
    valid_from: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_until: Option<i64>,
    used_at: i64,
}

/// A plan as JSON.
pub(in crate::ledger) fn plan_json(plan: &Plan) -> String {
    let memory = |write: &MemoryWrite| StoredWrite {
        id: write.id.clone(),
        image: write.after.is_some(),
        vector: write.vector,
    };
    let relation = |write: &RelationWrite| StoredRelationWrite {
        source: write.relation.source.clone(),
        kind: write.relation.kind.clone(),
        target: write.relation.target.clone(),
        discriminator: write.relation.discriminator.clone(),
        after: write.after.as_ref().map(|after| StoredRelation {
            weight: after.weight,
            properties: after.properties.clone(),
            valid_from: after.valid_from.as_micros(),
            valid_until: after.valid_until.map(Timestamp::as_micros),
            used_at: after.used_at.as_micros(),
        }),
    };
    json(&StoredPlan {
        now: plan.now.as_micros(),
        memories: plan.memories.iter().map(memory).collect(),
        relations: plan.relations.iter().map(relation).collect(),
        touched: plan.touched.clone(),
    })
}

/// The inverse of [`plan_json`], with the images in the order of their numbers.
pub(in crate::ledger) fn plan_from(
    text: &str,
    space: &Space,
    images: Vec<(Arc<Memory>, Digest)>,
    what: impl Fn() -> String,
) -> Result<Plan, Error> {
    let stored: StoredPlan = from_json(text, &what)?;
    let mut images = images.into_iter();
    let mut memories = Vec::with_capacity(stored.memories.len());
    for StoredWrite { id, image, vector } in stored.memories {
        let (after, hash) = if image {
            let missing = || Error::Corrupt(format!("{}: an image of it is gone", what()));
            let (memory, hash) = images.next().ok_or_else(missing)?;
            (Some(memory), hash)
        } else {
            (None, tombstone_hash())
        };
        memories.push(MemoryWrite { id, after, hash, vector });
    }
    let relation = |write: StoredRelationWrite| RelationWrite {
        relation: RelationKey {
            space: space.clone(),
            source: write.source,
            kind: write.kind,
            target: write.target,
            discriminator: write.discriminator,
        },
        after: write.after.map(|after| Relation {
            weight: after.weight,
            properties: after.properties,
            valid_from: Timestamp::from_micros(after.valid_from),
            valid_until: after.valid_until.map(Timestamp::from_micros),
            used_at: Timestamp::from_micros(after.used_at),
        }),
    };
    Ok(Plan {
        memories,
        relations: stored.relations.into_iter().map(relation).collect(),
        touched: stored.touched,
        now: Timestamp::from_micros(stored.now),
    })
}

/// Flagged keys, 17 bytes each.
fn flagged(entries: impl Iterator<Item = (bool, Key)>) -> Vec<u8> {
    entries.flat_map(|(flag, key)| std::iter::once(u8::from(flag)).chain(key.0)).collect()
}

fn flagged_from(bytes: &[u8]) -> Option<Vec<(bool, Key)>> {
    let (entries, rest) = bytes.as_chunks::<17>();
    let entry = |entry: &[u8; 17]| {
        let (flag, key) = entry.split_first()?;
        Some((*flag != 0, Key::from_slice(key)?))
    };
    if rest.is_empty() { entries.iter().map(entry).collect() } else { None }
}

/// Conflict keys; the flag: held alone.
pub(in crate::ledger) fn keys_bytes(keys: &[ConflictKey]) -> Vec<u8> {
    flagged(keys.iter().map(|held| (held.access == Access::Exclusive, held.key)))
}

/// The inverse of [`keys_bytes`].
pub(in crate::ledger) fn keys_from(bytes: &[u8]) -> Option<Vec<ConflictKey>> {
    let access = |alone| if alone { Access::Exclusive } else { Access::Shared };
    let held = |(alone, key)| ConflictKey { key, access: access(alone) };
    Some(flagged_from(bytes)?.into_iter().map(held).collect())
}

/// Which memories a saga writes, in the order of its plan; the flag: it has an image.
pub(in crate::ledger) fn writes_bytes(writes: &[(bool, Key)]) -> Vec<u8> {
    flagged(writes.iter().copied())
}

/// The inverse of [`writes_bytes`].
pub(in crate::ledger) fn writes_from(bytes: &[u8]) -> Option<Vec<(bool, Key)>> {
    flagged_from(bytes)
}

/// Sorted offsets.
pub(in crate::ledger) fn offsets_bytes(offsets: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(offsets.len() + 8);
    let mut last = 0;
    for offset in offsets {
        let mut distance = offset - last;
        while distance >= 0x80 {
            bytes.push((distance & 0x7f) as u8 | 0x80);
            distance >>= 7;
        }
        bytes.push((distance & 0x7f) as u8);
        last = *offset;
    }
    bytes
}

/// The inverse of [`offsets_bytes`].
pub(in crate::ledger) fn offsets_from(bytes: &[u8]) -> Option<Vec<u64>> {
    let (mut offsets, mut last, mut distance, mut shift) = (Vec::new(), 0_u64, 0_u64, 0);
    for byte in bytes {
        distance |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            last = last.checked_add(distance)?;
            offsets.push(last);
            (distance, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_round_trip_in_little_space() {
        let offsets: Vec<u64> = (1_000_000..1_000_500).chain([1 << 50]).collect();
        let bytes = offsets_bytes(&offsets);
        assert!(bytes.len() < 512, "{}", bytes.len());
        assert_eq!(offsets_from(&bytes), Some(offsets));
        assert_eq!(offsets_from(&[]), Some(vec![]));
        assert_eq!(offsets_from(&[0x80]), None);
    }

    #[test]
    fn keys_round_trip_and_a_torn_one_is_seen() {
        let keys = vec![
            ConflictKey { key: Key([1; 16]), access: Access::Shared },
            ConflictKey { key: Key([2; 16]), access: Access::Exclusive },
        ];
        let bytes = keys_bytes(&keys);
        assert_eq!(keys_from(&bytes), Some(keys));
        assert_eq!(keys_from(&bytes[1..]), None);
    }
}
