//! Reciprocal rank fusion: one order out of several, whatever their scores mean.
//!
//! A hit's score is the sum over the lists that hold it of `1 / (60 + rank)`, ranks from 1. Scores of
//! cosine and of words cannot be compared; ranks can.

use std::collections::BTreeMap;

use crate::model::MemoryId;

/// Damps the first ranks, so that one list's winner does not outweigh agreement. The usual constant.
const RANK_OFFSET: f32 = 60.0;

/// Fuses lists of ids, each best first; the result is best first, equal scores by id.
pub(super) fn fuse<'a>(lists: impl IntoIterator<Item = Vec<&'a MemoryId>>) -> Vec<(&'a MemoryId, f32)> {
    let mut scores: BTreeMap<&MemoryId, f32> = BTreeMap::new();
    for list in lists {
        for (index, id) in list.into_iter().enumerate() {
            *scores.entry(id).or_default() += 1.0 / (RANK_OFFSET + 1.0 + index as f32);
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
        let fused = fuse([vec![&ids[0], &ids[1]], vec![&ids[2], &ids[1]]]);
        let order: Vec<&str> = fused.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(order, ["b", "a", "c"]);
        assert!((fused[1].1 - 1.0 / 61.0).abs() < f32::EPSILON);
    }
}
