//! Reciprocal rank fusion: one order out of several, whatever their scores mean.
//!
//! A hit's score is the sum over the lists that hold it of `weight / (5 + rank)`, ranks from 1. Scores of
//! cosine and of words cannot be compared; ranks can.
//!
//! Vectors that a client brings weigh 1. Words that were derived from a text weigh half: beside a model's
//! vectors they add what is named by its very name, and should not push out what is meant. With these two
//! numbers the demo's questions find together what the better of both finds alone; a test holds that.

use std::collections::BTreeMap;

use crate::model::MemoryId;

/// Damps the first ranks, so that one list's winner does not outweigh agreement. Small, so that the first
/// by words still comes among the first ten of all.
const RANK_OFFSET: f32 = 5.0;
/// The weight of a list that a client's own vector has found.
pub(super) const OF_VECTORS: f32 = 1.0;
/// The weight of a list that derived words have found.
pub(super) const OF_WORDS: f32 = 0.5;

/// Fuses lists of ids, each with its weight, best first; the result is best first, equal scores by id.
pub(super) fn fuse<'a>(
    lists: impl IntoIterator<Item = (f32, Vec<&'a MemoryId>)>,
) -> Vec<(&'a MemoryId, f32)> {
    let mut scores: BTreeMap<&MemoryId, f32> = BTreeMap::new();
    for (weight, list) in lists {
        for (index, id) in list.into_iter().enumerate() {
            *scores.entry(id).or_default() += weight / (RANK_OFFSET + 1.0 + index as f32);
        }
    }
    let mut fused: Vec<_> = scores.into_iter().collect();
    // A stable sort over a map in id order.
    fused.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    fused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_lists_agree_on_comes_before_what_one_of_them_puts_first() {
        let ids: Vec<MemoryId> = ["a", "b", "c"].map(|id| MemoryId::new(id).expect("an id")).into();
        let fused = fuse([(OF_VECTORS, vec![&ids[0], &ids[1]]), (OF_VECTORS, vec![&ids[2], &ids[1]])]);
        let order: Vec<&str> = fused.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(order, ["b", "a", "c"]);
        assert!((fused[1].1 - 1.0 / 6.0).abs() < f32::EPSILON);
    }

    #[test]
    fn the_first_by_words_alone_comes_among_the_first_ten_and_not_first() {
        let ids: Vec<MemoryId> =
            (0..20).map(|n| MemoryId::new(format!("m-{n:02}")).expect("an id")).collect();
        let named = MemoryId::new("named").expect("an id");
        let fused = fuse([(OF_VECTORS, ids.iter().collect()), (OF_WORDS, vec![&named])]);
        let place = fused.iter().position(|(id, _)| **id == named).expect("it is there");
        assert!((1..10).contains(&place), "{place}");
    }
}
