//! Names of spaces, memories, kinds and relation types.
//!
//! Each is a string that has passed its shape check, shared rather than copied: one command's
//! space is held by its saga, its images and its conflict keys.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize, de};

/// Longest space, in bytes.
pub const SPACE_BYTES_MAX: usize = 128;
/// Longest memory id, session or discriminator, in bytes.
pub const ID_BYTES_MAX: usize = 255;
/// Longest kind, relation type or property name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A name that does not have the shape its kind of name must have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct InvalidName {
    /// Which sort of name: `space`, `id`, `name`.
    pub what: &'static str,
    /// What is wrong, and what the rule is.
    pub problem: String,
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes `text` when it has the right shape.
            ///
            /// # Errors
            /// [`InvalidName`] with the rule that `text` breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
                let text = text.as_ref();
                $check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(text).map_err(de::Error::custom)
            }
        }
    };
}

name_type!(
    /// The unit of isolation and of ordering: `[A-Za-z0-9._-]{1,128}`, not `.` or `..`.
    Space,
    check_space
);
name_type!(
    /// A memory's id within its space: 1–255 bytes of UTF-8, no control characters, not `.` or `..`.
    MemoryId,
    check_id
);
name_type!(
    /// A kind, a relation type or a property name: `^[A-Za-z][A-Za-z0-9_]{0,63}$`.
    ///
    /// The alphabet is what every store accepts as a label, a type and a payload key, so that a
    /// name never needs escaping.
    Name,
    check_name
);

fn check_space(text: &str) -> Result<(), InvalidName> {
    let fail = |problem: &str| Err(InvalidName { what: "space", problem: problem.to_owned() });
    if text.is_empty() || text.len() > SPACE_BYTES_MAX {
        return fail("must have 1 to 128 characters");
    }
    if text == "." || text == ".." {
        return fail("must not be `.` or `..`");
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return fail("may hold only letters, digits, `.`, `_` and `-`");
    }
    Ok(())
}

/// Checks an id, a session or any other free label of a record.
///
/// # Errors
/// [`InvalidName`] with the rule that `text` breaks.
pub fn check_id(text: &str) -> Result<(), InvalidName> {
    let fail = |problem: &str| Err(InvalidName { what: "id", problem: problem.to_owned() });
    if text.is_empty() || text.len() > ID_BYTES_MAX {
        return fail("must have 1 to 255 bytes");
    }
    if text == "." || text == ".." {
        return fail("must not be `.` or `..`");
    }
    if text.chars().any(char::is_control) {
        return fail("must not hold control characters");
    }
    Ok(())
}

fn check_name(text: &str) -> Result<(), InvalidName> {
    let mut bytes = text.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    if !starts || text.len() > NAME_BYTES_MAX || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(InvalidName {
            what: "name",
            problem: "must match ^[A-Za-z][A-Za-z0-9_]{0,63}$".to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_alphabets() {
        assert!(Space::new("acme-1.prod_x").is_ok());
        for bad in ["", ".", "..", "a b", "a/b", "ü", &"x".repeat(129)] {
            assert!(Space::new(bad).is_err(), "space {bad:?}");
        }
        assert!(MemoryId::new("m 1/ü").is_ok());
        for bad in ["", ".", "..", "a\nb", "a\u{0}", &"x".repeat(256)] {
            assert!(MemoryId::new(bad).is_err(), "id {bad:?}");
        }
        assert!(Name::new("RELATES_TO").is_ok());
        for bad in ["", "_a", "1a", "a-b", "a`b", &"x".repeat(65)] {
            assert!(Name::new(bad).is_err(), "name {bad:?}");
        }
    }
}
