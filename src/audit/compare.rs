//! What a store should hold for a head, compared with what it gives back. Pure.
//!
//! Payloads, sparse vectors, nodes and edges must be equal exactly. A dense vector may differ by
//! [`TOLERANCE`] a component; under cosine both are brought to unit length first, because a store
//! may keep it so.

use crate::{
    model::{Memory, Sparse, space::Metric},
    vector::{Payload, Point},
};

/// By how much a component of a dense vector may differ.
pub(super) const TOLERANCE: f64 = 1e-6;

/// A difference, in words: what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) expected: String,
    pub(super) found: String,
}

impl Difference {
    pub(super) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { expected: expected.into(), found: found.into() }
    }
}

/// The first way in which a live point differs from its memory.
pub(super) fn of_point(memory: &Memory, metric: Metric, point: &Point) -> Option<Difference> {
    of_payload(&Payload::of(memory), &point.payload)
        .or_else(|| of_dense(memory.dense.as_deref(), point.dense.as_deref(), metric))
        .or_else(|| of_sparse(memory.sparse.as_ref(), point.sparse.as_ref()))
}

fn of_payload(expected: &Payload, found: &Payload) -> Option<Difference> {
    if expected == found {
        return None;
    }
    if expected.kind != found.kind {
        return Some(Difference::new(format!("kind {}", expected.kind), "another kind"));
    }
    if expected.session != found.session {
        return Some(Difference::new("the memory's session", "another session"));
    }
    let names = expected.properties.keys().chain(found.properties.keys());
    let name =
        names.into_iter().find(|name| expected.properties.get(*name) != found.properties.get(*name))?;
    let says = |payload: &Payload| match payload.properties.get(name) {
        Some(value) => format!("property {name}, {}", fingerprint(&value.to_string())),
        None => format!("no property {name}"),
    };
    Some(Difference::new(says(expected), says(found)))
}

/// Enough of a hash to see that two values differ, and nothing of the values.
fn fingerprint(text: &str) -> String {
    let hash = crate::model::Digest::of(text.as_bytes()).to_string();
    format!("hash {}", hash.get(..8).unwrap_or(&hash))
}

fn of_dense(expected: Option<&[f32]>, found: Option<&[f32]>, metric: Metric) -> Option<Difference> {
    let (expected, found) = match (expected, found) {
        (None, None) => return None,
        (Some(expected), None) => {
            return Some(Difference::new(format!("a vector of {}", expected.len()), "no vector"));
        }
        (None, Some(found)) => {
            return Some(Difference::new("no vector", format!("a vector of {}", found.len())));
        }
        (Some(expected), Some(found)) => (expected, found),
    };
    if expected.len() != found.len() {
        let says = |vector: &[f32]| format!("a vector of {}", vector.len());
        return Some(Difference::new(says(expected), says(found)));
    }
    let scale = |vector: &[f32]| match metric {
        Metric::Cosine => 1.0 / norm(vector),
        Metric::Dot | Metric::Euclid => 1.0,
    };
    let (expected_scale, found_scale) = (scale(expected), scale(found));
    let apart = |a: &f32, b: &f32| (f64::from(*a) * expected_scale - f64::from(*b) * found_scale).abs();
    // Negated, so that a NaN is a difference.
    let close = |a: &f32, b: &f32| apart(a, b) <= TOLERANCE;
    let (index, (a, b)) = expected.iter().zip(found).enumerate().find(|(_, (a, b))| !close(a, b))?;
    Some(Difference::new(
        format!("the vector of the image within {TOLERANCE:e}"),
        format!("component {index} off by {:e}", apart(a, b)),
    ))
}

fn norm(vector: &[f32]) -> f64 {
    let squares: f64 = vector.iter().map(|value| f64::from(*value).powi(2)).sum();
    // A zero vector has no direction; it is refused under cosine, and equals only itself here.
    if squares == 0.0 { 1.0 } else { squares.sqrt() }
}

fn of_sparse(expected: Option<&Sparse>, found: Option<&Sparse>) -> Option<Difference> {
    // Without terms there is nothing to keep: a store may answer that with none.
    let terms = |sparse: Option<&Sparse>| -> Vec<(u32, u32)> {
        let Some(sparse) = sparse else { return Vec::new() };
        sparse.indices.iter().copied().zip(sparse.values.iter().map(|value| value.to_bits())).collect()
    };
    let (expected, found) = (terms(expected), terms(found));
    if expected == found {
        return None;
    }
    let at = expected.iter().zip(&found).take_while(|(a, b)| a == b).count();
    Some(Difference::new(
        format!("a sparse vector of {} terms", expected.len()),
        format!("one of {} terms that differs at its term {at}", found.len()),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn dense(values: &[f32]) -> Option<Arc<[f32]>> {
        Some(Arc::from(values))
    }

    fn differ(a: &[f32], b: &[f32], metric: Metric) -> bool {
        of_dense(dense(a).as_deref(), dense(b).as_deref(), metric).is_some()
    }

    #[test]
    fn under_cosine_length_means_nothing_and_direction_everything() {
        assert!(!differ(&[3.0, 4.0], &[0.6, 0.8], Metric::Cosine));
        assert!(differ(&[3.0, 4.0], &[0.6, 0.80001], Metric::Cosine));
        assert!(differ(&[3.0, 4.0], &[-0.6, -0.8], Metric::Cosine));
    }

    #[test]
    fn under_the_other_metrics_length_counts() {
        for metric in [Metric::Dot, Metric::Euclid] {
            assert!(differ(&[3.0, 4.0], &[0.6, 0.8], metric));
            assert!(!differ(&[3.0, 4.0], &[3.0, 4.0], metric));
            assert!(differ(&[3.0, 4.0], &[3.0, 4.000_01], metric));
        }
    }

    #[test]
    fn a_number_that_is_none_is_a_difference() {
        assert!(differ(&[3.0, 4.0], &[f32::NAN, 0.8], Metric::Cosine));
        assert!(differ(&[3.0, 4.0], &[f32::NAN, 4.0], Metric::Dot));
    }

    #[test]
    fn a_sparse_vector_is_compared_bit_by_bit() {
        let sparse = |value: f32| Sparse { indices: [7].into(), values: [value].into(), derived: false };
        assert!(of_sparse(Some(&sparse(0.5)), Some(&sparse(0.5))).is_none());
        assert!(of_sparse(Some(&sparse(0.5)), Some(&sparse(0.500_000_06))).is_some());
        assert!(of_sparse(Some(&sparse(0.5)), None).is_some());
        assert!(of_sparse(Some(&Sparse::default()), None).is_none());
    }
}
