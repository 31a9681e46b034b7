//! What search means, written out once: scores, filters and their order over points at hand.
//!
//! The in-memory backend answers with it, and so can whoever holds images while the vector store
//! is away. Approximate backends must agree with it wherever they find the point at all.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Condition, Filter, Hit, Layout, Payload, Point, Query};
use crate::model::{Sparse, space::Metric};

/// Below it in size, every integer is exact as `f64` and no other integer is equal to it.
pub(super) const EXACT_INTEGER_MAX: u64 = 1 << 53;

/// How near `point` is to `query`: similarity, or distance under euclid; `None` when it cannot be a
/// hit: it lacks that vector, has another length, or shares no sparse term.
#[must_use]
pub fn score(query: &Query, layout: Layout, point: &Point) -> Option<f32> {
    match query {
        Query::Dense(wanted) => {
            let dense = point.dense.as_deref().filter(|dense| dense.len() == wanted.len())?;
            Some(nearness(layout.metric, wanted, dense))
        }
        Query::Sparse(wanted) => point.sparse.as_ref().and_then(|sparse| shared_terms(wanted, sparse)),
    }
}

/// Whether a rising score means farther away.
#[must_use]
pub fn is_distance(query: &Query, layout: Layout) -> bool {
    matches!(query, Query::Dense(_)) && layout.metric == Metric::Euclid
}

/// Whether `score` is good enough: at least `min_score`, or under euclid at most.
#[must_use]
pub fn reaches(score: f32, min_score: Option<f32>, distance: bool) -> bool {
    min_score.is_none_or(|bound| if distance { score <= bound } else { score >= bound })
}

/// Best first; equal scores by id, so that the same question gives the same answer.
pub fn best_first(distance: bool) -> impl Fn(&Hit, &Hit) -> Ordering {
    move |a, b| {
        let rising = a.score.total_cmp(&b.score);
        let by_score = if distance { rising } else { rising.reverse() };
        by_score.then_with(|| a.id.cmp(&b.id))
    }
}

impl Filter {
    /// Whether every condition holds for `payload`.
    #[must_use]
    pub fn matches(&self, payload: &Payload) -> bool {
        let any = |wanted: &[String], held: Option<&str>| {
            wanted.is_empty() || held.is_some_and(|held| wanted.iter().any(|one| one == held))
        };
        any(&self.kinds, Some(&payload.kind))
            && any(&self.sessions, payload.session.as_deref())
            && self.properties.iter().all(|(name, condition)| condition.holds(payload.properties.get(name)))
            && (self.any.is_empty() || self.any.iter().any(|filter| filter.matches(payload)))
            && self.not.as_ref().is_none_or(|filter| !filter.matches(payload))
    }
}

impl Condition {
    /// Whether it holds for a property; an absent one fulfils nothing but the empty list, and a list
    /// fulfils what any of its values does.
    #[must_use]
    pub fn holds(&self, held: Option<&Value>) -> bool {
        if matches!(self, Self::AnyOf(wanted) if wanted.is_empty()) {
            return true;
        }
        match held {
            Some(Value::Array(values)) => values.iter().any(|value| self.holds_for_one(value)),
            Some(value) => self.holds_for_one(value),
            None => false,
        }
    }

    fn holds_for_one(&self, held: &Value) -> bool {
        match self {
            Self::AnyOf(wanted) => wanted.iter().any(|one| equal(one, held)),
            Self::Range { gte, gt, lte, lt } => held.as_f64().is_some_and(|value| {
                gte.is_none_or(|bound| value >= bound)
                    && gt.is_none_or(|bound| value > bound)
                    && lte.is_none_or(|bound| value <= bound)
                    && lt.is_none_or(|bound| value < bound)
            }),
        }
    }
}

/// Two integers are compared as such; an integer and a float as numbers, where both are exact.
fn equal(wanted: &Value, held: &Value) -> bool {
    match (wanted, held) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a == b,
            (Some(whole), None) => {
                whole.unsigned_abs() < EXACT_INTEGER_MAX && b.as_f64() == Some(whole as f64)
            }
            _ => a.as_f64() == b.as_f64(),
        },
        (Value::String(_) | Value::Bool(_), _) => wanted == held,
        _ => false,
    }
}

/// Sums in `f64`, so that the order of addition does not show in the `f32` result.
#[expect(clippy::cast_possible_truncation, reason = "a score is an `f32`; rounding it is meant")]
fn nearness(metric: Metric, a: &[f32], b: &[f32]) -> f32 {
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let dot = || pairs().map(|(a, b)| a * b).sum::<f64>();
    let norm = |vector: &[f32]| vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let nearness = match metric {
        Metric::Dot => dot(),
        Metric::Euclid => pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt(),
        Metric::Cosine => {
            let lengths = norm(a) * norm(b);
            if lengths == 0.0 { 0.0 } else { dot() / lengths }
        }
    };
    nearness as f32
}

/// The inner product of two sparse vectors; `None` when they share no term.
#[expect(clippy::cast_possible_truncation, reason = "a score is an `f32`; rounding it is meant")]
fn shared_terms(a: &Sparse, b: &Sparse) -> Option<f32> {
    let mut sum = None;
    for (index, value) in a.indices.iter().zip(&*a.values) {
        if let Some(other) = b.indices.binary_search(index).ok().and_then(|at| b.values.get(at)) {
            *sum.get_or_insert(0.0) += f64::from(*value) * f64::from(*other);
        }
    }
    sum.map(|sum: f64| sum as f32)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_equal_as_numbers_and_large_integers_stay_exact() {
        assert!(equal(&json!(3), &json!(3.0)));
        assert!(equal(&json!(3.0), &json!(3)));
        assert!(!equal(&json!(9_007_199_254_740_993_i64), &json!(9_007_199_254_740_992_i64)));
        assert!(!equal(&json!("3"), &json!(3)));
        assert!(!equal(&json!(1), &json!(true)));
    }

    #[test]
    fn a_list_fulfils_what_any_of_its_values_does() {
        let held = json!(["tea", "milk"]);
        assert!(Condition::AnyOf(vec![json!("milk"), json!("rum")]).holds(Some(&held)));
        assert!(!Condition::AnyOf(vec![json!("rum")]).holds(Some(&held)));
        let range = Condition::Range { gte: Some(3.0), gt: None, lte: None, lt: Some(9.0) };
        assert!(range.holds(Some(&json!([1, 4]))));
        assert!(!range.holds(Some(&json!(9))));
        assert!(!range.holds(Some(&json!("4"))));
        assert!(!range.holds(None));
    }
}
