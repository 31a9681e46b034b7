//! The bytes that can never change: SHA-256, keys, UUIDv5.
//!
//! Everything that is persisted, compared across processes or derived twice goes through here.
//! The test vectors below pin the results: a change that breaks one breaks every existing ledger.
//!
//! ```text
//! key(parts)    = SHA-256(RFC 8785 array of the parts)[..16]
//! body hash     = SHA-256(RFC 8785 of {"data": …, "type": …})
//! derived id    = UUIDv5(NAMESPACE, RFC 8785 array of the parts)
//! ```

use std::fmt;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The one UUIDv5 namespace: UUIDv5 of the URL namespace and `https://engraft.dev/`. Stable.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x719e_f9f9_dcf6_5f0b_acdf_a7e5_9257_704e);

/// SHA-256 of a body or an image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// The first 16 bytes of a SHA-256: names a record, a relation or a space within a ledger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 16]);

impl Digest {
    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From stored bytes; `None` unless there are exactly 32.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The digest's first 16 bytes.
    #[must_use]
    pub fn key(&self) -> Key {
        let mut key = [0; 16];
        key.copy_from_slice(self.0.split_at(16).0);
        Key(key)
    }
}

impl Key {
    /// The key of an ordered list of parts, e.g. `[space, id]`.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        Digest::of(&canonical_array(parts)).key()
    }

    /// From stored bytes; `None` unless there are exactly 16.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// The UUIDv5 of an ordered list of parts, in [`NAMESPACE`].
#[must_use]
pub fn derived_uuid(parts: &[&str]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, &canonical_array(parts))
}

/// RFC 8785 of an array of strings. For strings, compact `serde_json` *is* the canonical form.
fn canonical_array(parts: &[&str]) -> Vec<u8> {
    serde_json::to_vec(parts).expect("strings always serialise")
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! hex_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }
    };
}
hex_text!(Digest);
hex_text!(Key);

#[cfg(test)]
mod tests {
    use super::*;

    /// Pinned: each of these may never change.
    #[test]
    fn the_pinned_bytes_are_what_they_were() {
        assert_eq!(NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://engraft.dev/"));
        assert_eq!(Key::of(&["acme"]).to_string(), "07fad54f7446269afc481e306a48f046");
        assert_eq!(Key::of(&["acme", "m-1"]).to_string(), "477e2634f38ee20212790c9c1c36581e");
        assert_eq!(Key::of(&["a\u{1}\"\\ü/", "\u{7f}"]).to_string(), "adeb76bd0d6da387248eba0166aa35da");
        assert_eq!(derived_uuid(&["acme", "m-1"]).to_string(), "658062d8-194c-57cf-9925-c0e153825dee");
    }
}
