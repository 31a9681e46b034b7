//! A memory: what an agent remembers, as one whole image.
//!
//! An image is immutable. A change writes another one at a higher version; the head of the record
//! says which is current.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Digest, Name, Timestamp, canonical};

/// Free-form properties of a memory or a relation: names to JSON scalars, lists of one scalar type,
/// or objects kept whole.
pub type Properties = Map<String, Value>;

/// The content of a memory at one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// What sort of memory: a label in the graph, a filter in the vector store.
    pub kind: Name,
    /// UTF-8 text, at most 256 KiB by default; may be empty.
    pub content: String,
    /// At most 256 entries.
    pub properties: Properties,
    /// The session it belongs to, if any: indexed for filtered search.
    pub session: Option<String>,
    /// From 0 to 1.
    pub importance: f64,
    /// `[f32; dimension of the space]`, finite, as the client sent it (not normalised).
    pub dense: Option<Arc<[f32]>>,
    /// The sparse vector, brought by the client or derived from `content`.
    pub sparse: Option<Sparse>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Start of the half-open interval in which it holds.
    pub valid_from: Timestamp,
    /// End of that interval; `None`: it still holds.
    pub valid_until: Option<Timestamp>,
}

/// About how many bytes a value takes in memory.
fn value_bytes(value: &Value) -> usize {
    let more = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(value_bytes).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + value_bytes(value)).sum(),
    };
    size_of::<Value>() + more
}

/// A sparse vector: strictly rising indices, as many finite values.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Sparse {
    /// Term numbers, strictly rising.
    pub indices: Arc<[u32]>,
    /// One weight a term, finite.
    pub values: Arc<[f32]>,
    /// Whether Engraft derived it from the content, so that a change of content derives it anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub derived: bool,
}

impl Memory {
    /// Whether the vector store must hold a point for this memory.
    #[must_use]
    pub fn needs_vector_store(&self) -> bool {
        self.dense.is_some() || self.sparse.is_some()
    }

    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let properties = self.properties.iter().map(|(name, value)| name.len() + value_bytes(value));
        let sparse = self.sparse.as_ref().map_or(0, |sparse| sparse.indices.len() * 8);
        size_of::<Self>()
            + self.content.len()
            + self.session.as_ref().map_or(0, String::len)
            + properties.sum::<usize>()
            + self.dense.as_ref().map_or(0, |dense| dense.len() * 4)
            + sparse
    }

    /// The image's hash: over content alone, never over its version. Pinned.
    ///
    /// ```text
    /// SHA-256( u64 length, RFC 8785 object of everything but the vectors
    ///        , u64 count, dense as f32        -- count 2^64-1: absent
    ///        , u64 count, sparse indices as u32, values as f32 )       all little-endian
    /// ```
    #[must_use]
    pub fn hash(&self) -> Digest {
        let fields = self.fields();
        let mut hasher = Sha256::new();
        let count = |hasher: &mut Sha256, n: Option<usize>| {
            hasher.update(n.map_or(u64::MAX, |n| n as u64).to_le_bytes());
        };
        count(&mut hasher, Some(fields.len()));
        hasher.update(&fields);
        count(&mut hasher, self.dense.as_ref().map(|dense| dense.len()));
        hasher.update(f32s_to_bytes(self.dense.as_deref().unwrap_or_default()));
        count(&mut hasher, self.sparse.as_ref().map(|sparse| sparse.indices.len()));
        if let Some(sparse) = &self.sparse {
            sparse.indices.iter().for_each(|index| hasher.update(index.to_le_bytes()));
            hasher.update(f32s_to_bytes(&sparse.values));
        }
        Digest(hasher.finalize().into())
    }

    /// The RFC 8785 object of everything but the vectors.
    fn fields(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.content.len() + 256);
        out.extend_from_slice(b"{\"content\":");
        canonical::write_text(&self.content, &mut out);
        out.extend_from_slice(b",\"importance\":");
        canonical::write_float(self.importance, &mut out);
        out.extend_from_slice(b",\"kind\":");
        canonical::write_text(self.kind.as_str(), &mut out);
        out.extend_from_slice(b",\"occurred_at\":");
        canonical::write_integer(self.occurred_at.as_micros(), &mut out);
        out.extend_from_slice(b",\"properties\":");
        canonical::write_object(&self.properties, &mut out);
        out.extend_from_slice(b",\"session\":");
        match &self.session {
            Some(session) => canonical::write_text(session, &mut out),
            None => out.extend_from_slice(b"null"),
        }
        let derived = self.sparse.as_ref().is_some_and(|sparse| sparse.derived);
        out.extend_from_slice(if derived {
            b",\"sparse_derived\":true"
        } else {
            b",\"sparse_derived\":false"
        });
        canonical::write_interval(self.valid_from, self.valid_until, &mut out);
        out.push(b'}');
        out
    }
}

/// The hash of a tombstone, which has no content. Pinned: SHA-256 of the empty string.
#[must_use]
pub fn tombstone_hash() -> Digest {
    Digest::of(b"")
}

/// Little-endian bytes of `values`, four each: how vectors are stored and hashed.
#[must_use]
pub fn f32s_to_bytes(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * values.len());
    values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
    bytes
}

/// The inverse of [`f32s_to_bytes`]; `None` when the length is no multiple of four.
#[must_use]
pub fn f32s_from_bytes(bytes: &[u8]) -> Option<Arc<[f32]>> {
    let (chunks, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Memory {
        Memory {
            kind: Name::new("Episode").expect("a name"),
            content: "Ada likes tea".to_owned(),
            properties: Properties::from_iter([("turn".to_owned(), 3.into())]),
            session: Some("s-42".to_owned()),
            importance: 0.5,
            dense: Some(Arc::from([0.1_f32, 0.2])),
            sparse: None,
            occurred_at: Timestamp::from_micros(1),
            valid_from: Timestamp::from_micros(2),
            valid_until: None,
        }
    }

    /// Pinned: these may never change.
    #[test]
    fn the_pinned_hashes_are_what_they_were() {
        assert_eq!(
            sample().hash().to_string(),
            "600f602414a942bb73bce9e2e88110fe553c714863d4f2b250334b5f2a8ba297"
        );
        let large = |turn: i64| Memory {
            properties: Properties::from_iter([("turn".to_owned(), turn.into())]),
            ..sample()
        };
        assert_ne!(large(1 << 53).hash(), large((1 << 53) + 1).hash());
    }

    #[test]
    fn every_field_moves_the_hash() {
        let base = sample();
        let mut seen = vec![base.hash()];
        let mut changed = |change: &dyn Fn(&mut Memory)| {
            let mut memory = base.clone();
            change(&mut memory);
            let hash = memory.hash();
            assert!(!seen.contains(&hash), "{memory:?}");
            seen.push(hash);
        };
        changed(&|m| m.kind = Name::new("Entity").expect("a name"));
        changed(&|m| m.content.push('.'));
        changed(&|m| drop(m.properties.insert("turn".to_owned(), 4.into())));
        changed(&|m| m.session = None);
        changed(&|m| m.importance = 0.6);
        changed(&|m| m.dense = Some(Arc::from([0.1_f32, 0.3])));
        changed(&|m| m.dense = None);
        changed(&|m| m.dense = Some(Arc::from([])));
        changed(&|m| m.sparse = Some(Sparse::default()));
        changed(&|m| m.occurred_at = Timestamp::from_micros(9));
        changed(&|m| m.valid_from = Timestamp::from_micros(9));
        changed(&|m| m.valid_until = Some(Timestamp::from_micros(9)));
    }

    #[test]
    fn floats_survive_their_bytes() {
        let values = [0.0_f32, -0.0, f32::MIN_POSITIVE, 1.5e30];
        let bytes = f32s_to_bytes(&values);
        let back = f32s_from_bytes(&bytes).expect("whole floats");
        assert!(values.iter().zip(&*back).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert!(f32s_from_bytes(&bytes[..3]).is_none());
    }
}
