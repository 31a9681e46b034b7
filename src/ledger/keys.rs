//! The conflict keys of every unfinished saga of a partition, in its owner's memory.
//!
//! Asked inside a transaction that has checked the lease, which makes the answer sound: nobody else
//! can have begun or finished a saga of this partition. Rebuilt from the ledger at takeover.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::model::{Access, ConflictKey, Key};

/// Who holds which key.
#[derive(Debug, Clone, Default)]
pub struct HeldKeys {
    holders: HashMap<Key, Holders>,
    sagas: BTreeMap<u64, Arc<[ConflictKey]>>,
}

#[derive(Debug, Clone, Default)]
struct Holders {
    shared: BTreeSet<u64>,
    exclusive: BTreeSet<u64>,
}

impl Holders {
    /// The earliest holder that `access` by the saga at `offset` must wait for.
    fn blocks(&self, offset: u64, access: Access) -> bool {
        let earlier = |set: &BTreeSet<u64>| set.first().is_some_and(|first| *first < offset);
        earlier(&self.exclusive) || (access == Access::Exclusive && earlier(&self.shared))
    }

    /// Those that may have waited for a holder that has just gone: the first exclusive one, and
    /// every shared one before it.
    fn next(&self) -> impl Iterator<Item = u64> + '_ {
        let exclusive = self.exclusive.first().copied();
        let before = self.shared.range(..exclusive.unwrap_or(u64::MAX)).copied();
        before.chain(exclusive)
    }
}

impl HeldKeys {
    /// Whether the saga at `offset`, holding `keys`, must wait for an earlier one.
    #[must_use]
    pub fn must_wait(&self, offset: u64, keys: &[ConflictKey]) -> bool {
        keys.iter().any(|held| {
            self.holders.get(&held.key).is_some_and(|holders| holders.blocks(offset, held.access))
        })
    }

    /// The saga at `offset` holds `keys` until it is released. Holding twice changes nothing.
    pub fn hold(&mut self, offset: u64, keys: &[ConflictKey]) {
        for held in keys {
            let holders = self.holders.entry(held.key).or_default();
            match held.access {
                Access::Shared => holders.shared.insert(offset),
                Access::Exclusive => holders.exclusive.insert(offset),
            };
        }
        self.sagas.insert(offset, Arc::from(keys));
    }

    /// The saga at `offset` has ended: frees its keys, and names the sagas that may have waited for
    /// them, in log order.
    pub fn release(&mut self, offset: u64) -> BTreeSet<u64> {
        let mut waiting = BTreeSet::new();
        for held in self.sagas.remove(&offset).iter().flat_map(|keys| keys.iter()) {
            let Some(holders) = self.holders.get_mut(&held.key) else { continue };
            holders.shared.remove(&offset);
            let was_exclusive = holders.exclusive.remove(&offset);
            if holders.shared.is_empty() && holders.exclusive.is_empty() {
                self.holders.remove(&held.key);
            } else if was_exclusive {
                waiting.extend(holders.next());
            } else {
                waiting.extend(holders.exclusive.first());
            }
        }
        waiting
    }

    /// Every key that an unfinished saga before `offset`, which touches `key` at all, holds alone.
    ///
    /// A deletion takes relations with it that an earlier unfinished saga may be about to make; which
    /// of that saga's keys are those relations cannot be told from hashes, so it takes them all.
    #[must_use]
    pub fn exclusive_beside(&self, key: Key, offset: u64) -> Vec<Key> {
        let Some(holders) = self.holders.get(&key) else { return Vec::new() };
        let earlier = holders.shared.range(..offset).chain(holders.exclusive.range(..offset));
        earlier
            .filter_map(|saga| self.sagas.get(saga))
            .flat_map(|keys| keys.iter())
            .filter(|held| held.access == Access::Exclusive && held.key != key)
            .map(|held| held.key)
            .collect()
    }

    /// Whether the saga at `offset`, which holds keys already, must wait for an earlier one.
    #[must_use]
    pub fn waits(&self, offset: u64) -> bool {
        self.sagas.get(&offset).is_some_and(|keys| self.must_wait(offset, keys))
    }

    /// Every unfinished saga, in log order.
    pub fn offsets(&self) -> impl Iterator<Item = u64> + '_ {
        self.sagas.keys().copied()
    }

    /// Whether the saga at `offset` holds keys.
    #[must_use]
    pub fn holds(&self, offset: u64) -> bool {
        self.sagas.contains_key(&offset)
    }

    /// The earliest unfinished saga.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.sagas.first_key_value().map(|(offset, _)| *offset)
    }

    /// How many unfinished sagas hold keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sagas.len()
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sagas.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, access: Access) -> ConflictKey {
        ConflictKey { key: Key::of(&[name]), access }
    }

    #[test]
    fn shared_holders_pass_each_other_and_an_exclusive_one_waits_for_all_before_it() {
        let mut held = HeldKeys::default();
        held.hold(1, &[key("a", Access::Shared)]);
        held.hold(2, &[key("a", Access::Shared)]);
        held.hold(3, &[key("a", Access::Exclusive)]);
        held.hold(4, &[key("a", Access::Shared)]);
        assert!(!held.must_wait(1, &[key("a", Access::Shared)]));
        assert!(!held.must_wait(2, &[key("a", Access::Shared)]));
        assert!(held.must_wait(3, &[key("a", Access::Exclusive)]));
        assert!(held.must_wait(4, &[key("a", Access::Shared)]));
        assert_eq!(held.release(1), BTreeSet::from([3]));
        assert!(held.must_wait(3, &[key("a", Access::Exclusive)]));
        assert_eq!(held.release(2), BTreeSet::from([3]));
        assert!(!held.must_wait(3, &[key("a", Access::Exclusive)]));
        assert_eq!(held.release(3), BTreeSet::from([4]));
        assert_eq!(held.release(4), BTreeSet::new());
        assert!(held.is_empty());
    }

    #[test]
    fn a_later_saga_never_blocks_an_earlier_one() {
        let mut held = HeldKeys::default();
        held.hold(7, &[key("a", Access::Exclusive)]);
        assert!(!held.must_wait(6, &[key("a", Access::Exclusive)]));
        assert!(held.must_wait(8, &[key("a", Access::Shared)]));
    }

    #[test]
    fn a_deletion_learns_what_earlier_sagas_may_hang_on_its_memory() {
        let mut held = HeldKeys::default();
        held.hold(
            1,
            &[key("relation", Access::Exclusive), key("a", Access::Shared), key("b", Access::Shared)],
        );
        assert_eq!(held.exclusive_beside(Key::of(&["a"]), 2), vec![Key::of(&["relation"])]);
        assert!(held.exclusive_beside(Key::of(&["a"]), 1).is_empty());
    }
}
