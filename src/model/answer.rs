//! What a store answers to one item of a bulk write.

use super::Version;

/// A store's answer to one write. The backend that got it classifies it, because only it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The store holds this version now, and did not before.
    Applied,
    /// The store held exactly this version already: an earlier attempt had landed.
    Same,
    /// The store holds a higher version; the write changed nothing and must not be retried.
    Superseded(Version),
    /// The store refuses *this item* for good, whatever the number of attempts.
    Rejected(Reason),
    /// The store did not take the write, and may take it later.
    Transient(Reason),
    /// The write may or may not have happened. Never folded into "failed".
    Indeterminate(Reason),
}

impl Answer {
    /// The fence itself: what a store that holds `held` answers to a write at `offered` without
    /// applying it. `None`: it must be applied.
    #[must_use]
    pub fn fenced(held: Option<Version>, offered: Version) -> Option<Self> {
        match held {
            Some(held) if held == offered => Some(Self::Same),
            Some(held) if held > offered => Some(Self::Superseded(held)),
            _ => None,
        }
    }

    /// Whether the store is known to hold this version or a higher one.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Applied | Self::Same | Self::Superseded(_))
    }
}

/// Why a store did not take a write: a stable code of the backend and a sentence for people,
/// without hosts, paths, credentials or the text of memories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// Stable, lower-case, closed per backend, e.g. `dimension_mismatch`.
    pub code: &'static str,
    /// One sentence, lower case, no full stop.
    pub detail: String,
}

impl Reason {
    /// A reason with its sentence.
    #[must_use]
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}
