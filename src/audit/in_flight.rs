//! Records that unfinished sagas are about to change: neither right nor wrong yet.

use std::collections::HashSet;

use crate::{
    ledger::{self, Ledger},
    model::{Access, Key, Space, conflict::space_key},
};

/// Most unfinished sagas of one space that are looked at one by one; with more, the whole space
/// counts as in flight. Twice the backlog that intake allows.
const SAGAS_OF_A_SPACE_MAX: usize = 200_000;

/// What unfinished sagas hold exclusively at one instant.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    records: HashSet<Key>,
    spaces: HashSet<Space>,
}

impl InFlight {
    /// What the unfinished sagas of these spaces hold now.
    pub(super) async fn load<'a>(
        ledger: &dyn Ledger,
        spaces: impl IntoIterator<Item = &'a Space>,
    ) -> Result<Self, ledger::Error> {
        let mut in_flight = Self::default();
        for space in spaces {
            let sagas = ledger.unfinished_of(space, SAGAS_OF_A_SPACE_MAX).await?;
            let whole = space_key(space);
            if sagas.len() >= SAGAS_OF_A_SPACE_MAX {
                in_flight.spaces.insert(space.clone());
            }
            // A shared key is an end of a relation or the space of a command: not changed by it.
            let exclusive = sagas
                .iter()
                .flat_map(|(_, keys)| keys)
                .filter(|held| held.access == Access::Exclusive)
                .map(|held| held.key);
            for key in exclusive {
                if key == whole {
                    in_flight.spaces.insert(space.clone());
                } else {
                    in_flight.records.insert(key);
                }
            }
        }
        Ok(in_flight)
    }

    /// Whether the record with this key, in this space, may be about to change.
    pub(super) fn holds(&self, space: &Space, key: &Key) -> bool {
        self.records.contains(key) || self.spaces.contains(space)
    }

    /// Whether any of these records is held, or a whole space is.
    pub(super) fn holds_any(&self, keys: &HashSet<Key>) -> bool {
        !self.spaces.is_empty() || keys.iter().any(|key| self.records.contains(key))
    }
}
