//! Sparse vectors from text. Only the signature stands here yet.

use crate::model::Sparse;

/// The sparse vector of `content`, marked as derived; `None` when it holds no words.
#[must_use]
pub fn derive(_content: &str) -> Option<Sparse> {
    None
}

/// The sparse vector of a question.
#[must_use]
pub fn query(text: &str) -> Sparse {
    derive(text).unwrap_or_default()
}
