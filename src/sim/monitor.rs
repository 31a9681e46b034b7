//! What is checked while a run goes on, so that a failure is found near its cause.
//!
//! The simulated servers report each effect at the moment it happens. Everything here is cheap and
//! knows nothing of the coordinator: versions, rows, states and copies, compared with the last seen.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use crate::{
    invariant::Invariant,
    ledger::Lease,
    model::{
        Access, ConflictKey, Digest, Outcome, PartitionId, Position, State, Timestamp, Version,
        conflict::merge,
    },
};

use super::Violation;

/// Which store an effect was seen in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Store {
    /// The vector store.
    Vector,
    /// The projected graph store.
    Graph,
}

/// A saga row, as far as it is watched.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    /// Its state.
    pub(super) state: State,
    /// What it holds while it has not ended.
    pub(super) keys: Vec<ConflictKey>,
}

/// One effect of a committed ledger transaction.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// A row came to be.
    Inserted(u64, Watched),
    /// A row moved: offset, from, to.
    Moved(u64, State, State),
    /// The watermark was set.
    Watermark(u64),
    /// Why the partition stands still was written down.
    Halted,
}

#[derive(Debug, Default)]
struct Seen {
    watermark: u64,
    rows: BTreeMap<u64, Watched>,
}

#[derive(Debug, Default)]
struct Inner {
    violations: Vec<Violation>,
    registers: BTreeMap<(Store, String), (Version, Digest)>,
    hashes: BTreeMap<(String, Version), Digest>,
    partitions: BTreeMap<PartitionId, Seen>,
    /// The last lease of each partition: whose, and its number.
    leases: BTreeMap<PartitionId, (u128, u64)>,
    appended: BTreeMap<PartitionId, BTreeSet<u64>>,
    doomed: BTreeSet<Position>,
    acknowledged: BTreeSet<Position>,
    /// Attempts of producers that were told that nothing was appended.
    never: BTreeSet<u64>,
    published: BTreeMap<Position, Outcome>,
    refused: BTreeSet<(Store, Position)>,
    /// Partitions where nothing may happen any more.
    stopped: BTreeSet<PartitionId>,
}

/// What a sentence ends with that tells of a transaction whose lease had gone to another.
pub(super) const BY_FORMER_OWNER: &str = ", by a former owner";

/// Most violations that are kept of one run: the first says what broke.
const VIOLATIONS_MAX: usize = 20;

/// Watches one run.
#[derive(Debug, Default)]
pub(super) struct Monitor(Mutex<Inner>);

impl Inner {
    fn violate(&mut self, invariant: Invariant, sentence: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { invariant, sentence });
        }
    }

    fn inserted(&mut self, partition: PartitionId, offset: u64, row: Watched) {
        let position = partition.at(offset);
        let seen = self.partitions.entry(partition).or_default();
        if row.state == State::Running
            && let Some(earlier) = overtaken(&seen.rows, offset, &row.keys)
        {
            self.violate(
                Invariant::I13,
                format!(
                    "saga {position} started before the unfinished saga at {earlier}, whose keys it needs"
                ),
            );
        }
        let seen = self.partitions.entry(partition).or_default();
        if seen.rows.insert(offset, row).is_some() {
            self.violate(Invariant::I2, format!("saga {position} was inserted twice"));
        }
    }

    fn moved(&mut self, partition: PartitionId, offset: u64, from: State, to: State) {
        let position = partition.at(offset);
        let seen = self.partitions.entry(partition).or_default();
        let Some(row) = seen.rows.get(&offset).cloned() else {
            return self.violate(Invariant::I13, format!("saga {position} moved to {to:?} and has no row"));
        };
        let overtaken = overtaken(&seen.rows, offset, &row.keys);
        if let Some(row) = seen.rows.get_mut(&offset) {
            row.state = to;
        }
        if row.state != from || !is_edge(row.state, to) {
            let was = row.state;
            self.violate(
                Invariant::I13,
                format!("saga {position} was {was:?} and was moved from {from:?} to {to:?}"),
            );
        }
        if let (State::Running, Some(earlier)) = (to, overtaken) {
            self.violate(
                Invariant::I13,
                format!(
                    "saga {position} started before the unfinished saga at {earlier}, whose keys it needs"
                ),
            );
        }
    }

    fn watermark(&mut self, partition: PartitionId, watermark: u64) {
        let appended = self.appended.get(&partition);
        let seen = self.partitions.entry(partition).or_default();
        let before = std::mem::replace(&mut seen.watermark, watermark);
        let missing = appended
            .into_iter()
            .flat_map(|offsets| offsets.range(before.min(watermark)..watermark))
            .find(|offset| !seen.rows.contains_key(offset))
            .copied();
        if watermark < before {
            self.violate(
                Invariant::I10,
                format!("the watermark of {partition} went back from {before} to {watermark}"),
            );
        }
        if let Some(missing) = missing {
            let position = partition.at(missing);
            self.violate(
                Invariant::I10,
                format!("the watermark of {partition} is {watermark}, but {position} has no saga row"),
            );
        }
    }
}

/// The earliest unfinished row before `offset` that `keys` conflict with.
fn overtaken(rows: &BTreeMap<u64, Watched>, offset: u64, keys: &[ConflictKey]) -> Option<u64> {
    let wanted: BTreeMap<_, _> = keys.iter().map(|key| (key.key, key.access)).collect();
    let conflicts = |held: &ConflictKey| {
        wanted.get(&held.key).is_some_and(|access| Access::Exclusive == *access.max(&held.access))
    };
    let unfinished =
        |row: &Watched| matches!(row.state, State::Pending | State::Running | State::Compensating);
    rows.range(..offset)
        .find(|(_, row)| unfinished(row) && row.keys.iter().any(conflicts))
        .map(|(offset, _)| *offset)
}

/// The edges of the state machine, written down a second time on purpose.
fn is_edge(from: State, to: State) -> bool {
    use State::{Committed, Compensated, Compensating, Failed, Pending, Running};
    matches!(
        (from, to),
        (Pending, Running | Committed | Compensated | Failed)
            | (Running, Committed | Compensating)
            | (Compensating, Compensated)
    )
}

impl Monitor {
    /// Everything found so far.
    pub(super) fn violations(&self) -> Vec<Violation> {
        self.0.lock().violations.clone()
    }

    /// Nothing may happen in these partitions from now on; their leases may be those of an older ledger.
    pub(super) fn stop(&self, partitions: &BTreeSet<PartitionId>) {
        let mut inner = self.0.lock();
        inner.stopped.clone_from(partitions);
        inner.leases.clear();
    }

    /// Whether nothing may happen in this partition.
    pub(super) fn is_stopped(&self, partition: PartitionId) -> bool {
        self.0.lock().stopped.contains(&partition)
    }

    /// Somebody else has found something.
    pub(super) fn violate(&self, invariant: Invariant, sentence: String) {
        self.0.lock().violate(invariant, sentence);
    }

    /// A record is in the log; `doomed`: whoever made it knows that it can never commit.
    pub(super) fn appended(&self, partition: PartitionId, offset: u64, doomed: bool) {
        let mut inner = self.0.lock();
        inner.appended.entry(partition).or_default().insert(offset);
        if doomed {
            inner.doomed.insert(partition.at(offset));
        }
    }

    /// A producer was told that its record is in the log.
    pub(super) fn acknowledged(&self, position: Position) {
        self.0.lock().acknowledged.insert(position);
    }

    /// A producer was told that this attempt of it is not in the log, and never will be.
    pub(super) fn told_never(&self, attempt: u64) {
        self.0.lock().never.insert(attempt);
    }

    /// Whether a producer was told that this attempt of it is not in the log.
    pub(super) fn was_told_never(&self, attempt: u64) -> bool {
        self.0.lock().never.contains(&attempt)
    }

    /// Every position that a producer was told of.
    pub(super) fn acknowledgements(&self) -> BTreeSet<Position> {
        self.0.lock().acknowledged.clone()
    }

    /// Whether this record was made to fail.
    pub(super) fn is_doomed(&self, position: Position) -> bool {
        self.0.lock().doomed.contains(&position)
    }

    /// The ledger has given a lease: a number belongs to one owner, and an owner that asks twice keeps
    /// what it has, or its second request would fence off its own first.
    pub(super) fn leased(&self, lease: &Lease) {
        let mut inner = self.0.lock();
        let Lease { partition, nonce, epoch: number } = *lease;
        let Some((owner, last)) = inner.leases.insert(partition, (nonce, number)) else { return };
        if owner == nonce && last != number {
            inner.violate(
                Invariant::L1,
                format!("the owner of {partition} held lease {last}, asked again, and fenced itself off with {number}"),
            );
        }
        if owner != nonce && number <= last {
            inner.violate(
                Invariant::I13,
                format!("lease {number} of {partition} was given to a second owner, after lease {last}"),
            );
        }
    }

    /// A ledger transaction has committed, and did this; under a lease that another has by now, or not.
    pub(super) fn committed(&self, partition: PartitionId, effects: Vec<Effect>, by_former_owner: bool) {
        let mut inner = self.0.lock();
        if inner.stopped.contains(&partition) {
            let notes = |effect: &Effect| matches!(effect, Effect::Halted | Effect::Watermark(_));
            let has_halted = effects.iter().any(|effect| matches!(effect, Effect::Halted));
            if has_halted && effects.iter().all(notes) {
                return;
            }
            inner.violate(Invariant::I10, format!("a transaction commits in {partition}, which must stop"));
        }
        let before = inner.violations.len();
        for effect in effects {
            match effect {
                Effect::Inserted(offset, mut row) => {
                    row.keys = merge(row.keys);
                    inner.inserted(partition, offset, row);
                }
                Effect::Moved(offset, from, to) => inner.moved(partition, offset, from, to),
                Effect::Watermark(watermark) => inner.watermark(partition, watermark),
                Effect::Halted => {}
            }
        }
        if by_former_owner {
            for violation in inner.violations.iter_mut().skip(before) {
                violation.sentence.push_str(BY_FORMER_OWNER);
            }
        }
    }

    /// A store's register, as the store shows it after a write.
    pub(super) fn register(&self, store: Store, name: String, marker: Option<(Version, Digest)>) {
        let mut inner = self.0.lock();
        let before = inner.registers.get(&(store, name.clone())).copied();
        match (before, marker) {
            (Some((before, _)), None) => {
                inner.violate(
                    Invariant::I9,
                    format!("{store:?} store: {name} stood at {before} and left no tombstone"),
                );
                inner.registers.remove(&(store, name));
            }
            (Some((before, _)), Some((after, _))) if after < before => {
                inner.violate(
                    Invariant::I6,
                    format!("{store:?} store: {name} went back from {before} to {after}"),
                );
                inner.registers.extend(marker.map(|marker| ((store, name), marker)));
            }
            (_, Some((version, hash))) => {
                let known = *inner.hashes.entry((name.clone(), version)).or_insert(hash);
                if known != hash {
                    inner.violate(
                        Invariant::I11,
                        format!(
                            "{store:?} store: {name} at {version} has another content than was seen before"
                        ),
                    );
                }
                inner.registers.insert((store, name), (version, hash));
            }
            (None, None) => {}
        }
    }

    /// A store came back without what it held: an embedded one whose process died.
    pub(super) fn forget(&self, store: Store) {
        self.0.lock().registers.retain(|(of, _), _| *of != store);
    }

    /// A store refused an item of this saga for good.
    pub(super) fn refused(&self, store: Store, position: Position) {
        self.0.lock().refused.insert((store, position));
    }

    /// Whether a store refused an item of this saga for good.
    pub(super) fn was_refused(&self, position: Position) -> bool {
        let inner = self.0.lock();
        [Store::Vector, Store::Graph].iter().any(|store| inner.refused.contains(&(*store, position)))
    }

    /// A copy of an outcome is published.
    pub(super) fn published(&self, outcome: &Outcome) {
        let mut inner = self.0.lock();
        if inner.stopped.contains(&outcome.position.partition_id()) {
            let position = outcome.position;
            inner.violate(Invariant::I2, format!("{position} has an outcome, and its partition must stop"));
        }
        match inner.published.get(&outcome.position) {
            Some(first) if first != outcome => {
                let position = outcome.position;
                inner.violate(
                    Invariant::I2,
                    format!("two published copies of the outcome of {position} differ"),
                );
            }
            Some(_) => {}
            None => {
                inner.published.insert(outcome.position, outcome.clone());
            }
        }
    }

    /// The outcome that was published for this position.
    pub(super) fn outcome(&self, position: Position) -> Option<Outcome> {
        self.0.lock().published.get(&position).cloned()
    }

    /// A version that an outcome has told of a memory or a relation lately: what a client would send
    /// as `if_version`. `pick` chooses among the last few.
    pub(super) fn known_version(&self, of: &str, before: Timestamp) -> Option<Version> {
        let inner = self.0.lock();
        let outcomes = inner.published.values().rev().take(200);
        outcomes
            .filter(|outcome| outcome.finished_at <= before)
            .flat_map(|outcome| &outcome.records)
            .find(|record| matches!(&record.record, crate::model::outcome::RecordName::Memory(id) if id.as_str() == of))
            .and_then(|record| record.version)
    }
}
