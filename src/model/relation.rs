//! A relation: a typed, weighted, directed edge between two memories of one space.

use std::fmt;

use super::{Digest, Key, MemoryId, Name, Space, Timestamp, canonical, memory::Properties};

/// What names a relation: its ends, its type and a discriminator for parallel edges.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationKey {
    /// The space that both ends lie in.
    pub space: Space,
    /// The memory it starts at.
    pub source: MemoryId,
    /// Its type, e.g. `CAUSES`.
    pub kind: Name,
    /// The memory it ends at.
    pub target: MemoryId,
    /// Tells parallel relations of one type apart; `""` where there is one.
    pub discriminator: String,
}

impl RelationKey {
    /// The 16-byte key of this relation.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::of(&[
            self.space.as_str(),
            self.source.as_str(),
            self.kind.as_str(),
            self.target.as_str(),
            &self.discriminator,
        ])
    }

    /// Whether `id` is one of its ends.
    #[must_use]
    pub fn touches(&self, id: &MemoryId) -> bool {
        self.source == *id || self.target == *id
    }
}

impl fmt::Display for RelationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -{}-> {}", self.source, self.kind, self.target)?;
        if !self.discriminator.is_empty() {
            write!(f, " ({})", self.discriminator)?;
        }
        Ok(())
    }
}

/// The content of a relation at one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    /// From 0 to 1.
    pub weight: f64,
    /// Free-form properties.
    pub properties: Properties,
    /// Start of the half-open interval in which it holds.
    pub valid_from: Timestamp,
    /// End of that interval; `None`: it still holds.
    pub valid_until: Option<Timestamp>,
    /// When a put or a strengthen last used it: what decay counts from.
    pub used_at: Timestamp,
}

impl Relation {
    /// The hash of its content: SHA-256 of the RFC 8785 object of its fields. Pinned.
    #[must_use]
    pub fn hash(&self) -> Digest {
        let mut out = Vec::with_capacity(160);
        out.extend_from_slice(b"{\"properties\":");
        canonical::write_object(&self.properties, &mut out);
        out.extend_from_slice(b",\"used_at\":");
        canonical::write_integer(self.used_at.as_micros(), &mut out);
        canonical::write_interval(self.valid_from, self.valid_until, &mut out);
        out.extend_from_slice(b",\"weight\":");
        canonical::write_float(self.weight, &mut out);
        out.push(b'}');
        Digest::of(&out)
    }
}
