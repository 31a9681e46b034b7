//! The fold: what the log means under the outcomes that the ledger gave.
//!
//! It reads the log from its start, asks of each position how it ended, says whether that is legal,
//! and keeps what every store must hold in the end. No tasks, no retries, no stores: a loop.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    invariant::Invariant,
    ledger::SagaRow,
    log::{
        Record,
        envelope::{self, Decoded, Limits, Routing},
    },
    model::{
        Code, Command, Declaration, Digest, Envelope, Header, Memory, MemoryId, PartitionId, Phase, Position,
        Relation, RelationKey, Space, State, Timestamp, Version, outcome::Verdict,
    },
};

use super::{
    Violation,
    meaning::{Changes, Records, Terms, changes},
};

/// A register as it must be: its content, and the versions that it may stand at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Register<T> {
    /// The content; `None`: a tombstone.
    pub(super) state: Option<T>,
    /// The versions that it may stand at; the last is that of the head.
    pub(super) versions: BTreeSet<Version>,
    /// Whether it may be absent altogether.
    pub(super) absent: bool,
}

impl<T> Register<T> {
    fn at(state: Option<T>, version: Version) -> Self {
        Self { state, versions: BTreeSet::from([version]), absent: false }
    }

    /// Whether the last write that touched it was undone.
    pub(super) fn is_undone(&self) -> bool {
        self.versions.last().is_some_and(|version| version.phase() == Phase::Undo)
    }
}

/// What one space must be.
#[derive(Debug, Clone, Default)]
pub(super) struct SpaceFold {
    /// Its declaration.
    pub(super) declaration: Declaration,
    /// Its memories as heads and graph hold them.
    pub(super) memories: BTreeMap<MemoryId, Register<Arc<Memory>>>,
    /// Its relations likewise.
    pub(super) relations: BTreeMap<RelationKey, Register<Relation>>,
    /// Its points in the vector store.
    pub(super) points: BTreeMap<MemoryId, Register<Arc<Memory>>>,
    /// What each memory was at each version that it ever stood at; `None`: a tombstone.
    pub(super) passed: BTreeMap<MemoryId, BTreeMap<Version, Option<Arc<Memory>>>>,
    /// Memories that were there for a while and may have been counted against a quota.
    passing: u64,
}

/// How the row that holds a claim came and went.
#[derive(Debug, Clone)]
struct Claim {
    offset: u64,
    body_hash: Digest,
}

/// What the log means.
#[derive(Debug, Default)]
pub(super) struct Fold {
    /// By space.
    pub(super) spaces: BTreeMap<Space, SpaceFold>,
    /// What was wrong with outcomes.
    pub(super) violations: Vec<Violation>,
    claims: BTreeMap<(PartitionId, String, String, String), Claim>,
}

/// Who knows more than the log does.
pub(super) struct Witness<'a> {
    /// How the log routes in an epoch.
    pub(super) routing: &'a dyn Fn(u32) -> Routing,
    /// The row of a position.
    pub(super) row: &'a dyn Fn(Position) -> Option<SagaRow>,
    /// Whether a store refused an item of this saga for good.
    pub(super) was_refused: &'a dyn Fn(Position) -> bool,
}

impl Fold {
    /// Folds records, which are in log order within each partition.
    pub(super) fn of(records: &[Record], witness: &Witness<'_>) -> Self {
        let mut fold = Self::default();
        records.iter().for_each(|record| fold.record(record, witness));
        fold
    }

    fn violate(&mut self, invariant: Invariant, sentence: String) {
        self.violations.push(Violation { invariant, sentence });
    }

    fn record(&mut self, record: &Record, witness: &Witness<'_>) {
        let position = record.position;
        let Some(row) = (witness.row)(position) else {
            return self.violate(Invariant::I1, format!("{position} is in the log and has no saga row"));
        };
        if !row.state.is_terminal() {
            return self.violate(Invariant::L1, format!("saga {position} is still {:?}", row.state));
        }
        match envelope::decode(record, (witness.routing)(position.epoch), &Limits::default()) {
            Decoded::Unreadable { code, .. } => self.must_fail(position, &row, code, "it cannot be read"),
            Decoded::Failed(failed) => {
                if self.settled_by_claim(position, &failed.header, failed.body_hash, &row, witness) {
                    return;
                }
                self.must_fail(position, &row, failed.code, "its shape is wrong");
            }
            Decoded::Command(envelope) => {
                let Envelope { header, command, body_hash, .. } = *envelope;
                if self.settled_by_claim(position, &header, body_hash, &row, witness) {
                    return;
                }
                self.command(position, &header, &command, &row, witness);
            }
        }
    }

    fn must_fail(&mut self, position: Position, row: &SagaRow, code: Code, why: &str) {
        if is_poison(row) {
            return;
        }
        let ended = row.ending.as_ref().map(|ending| (ending.verdict, ending.code));
        if row.state != State::Failed || ended != Some((Verdict::Failed, code)) {
            self.violate(
                Invariant::I3,
                format!(
                    "saga {position} must have failed with `{code}`, since {why}; it is {:?}, {ended:?}",
                    row.state
                ),
            );
        }
    }

    /// Whether an earlier record holds this one's claim, so that nothing is done here.
    fn settled_by_claim(
        &mut self,
        position: Position,
        header: &Header,
        body_hash: Digest,
        row: &SagaRow,
        witness: &Witness<'_>,
    ) -> bool {
        if !header.claims {
            return false;
        }
        let partition = position.partition_id();
        let key = (partition, header.space.as_str().to_owned(), header.source.clone(), header.id.clone());
        let Some(first) = self.claims.get(&key).cloned() else {
            self.claims.insert(key, Claim { offset: position.offset, body_hash });
            return false;
        };
        if first.body_hash != body_hash {
            self.must_fail(position, row, Code::IdReused, "its id came before with another body");
            return true;
        }
        if row.duplicate_of != Some(first.offset) {
            let (first, is) = (partition.at(first.offset), row.duplicate_of);
            self.violate(Invariant::I5, format!("saga {position} repeats {first}, but its row says {is:?}"));
        }
        let ended = (witness.row)(partition.at(first.offset)).map(|first| (first.state, first.ending));
        if ended != Some((row.state, row.ending.clone())) {
            let first = partition.at(first.offset);
            self.violate(Invariant::I2, format!("saga {position} repeats {first} and ended otherwise"));
        }
        true
    }

    fn command(
        &mut self,
        position: Position,
        header: &Header,
        command: &Command,
        row: &SagaRow,
        witness: &Witness<'_>,
    ) {
        let space = self.spaces.entry(header.space.clone()).or_default();
        let code = row.ending.as_ref().map(|ending| ending.code);
        if let Some(expires_at) = header.expires_at {
            match (expiry(expires_at), code) {
                (Expiry::Long, _) => {
                    return self.must_fail(position, row, Code::Expired, "it had expired long before");
                }
                (Expiry::Soon, Some(Code::Expired)) => return,
                (Expiry::Soon | Expiry::Never, _) => {}
            }
        }
        let judgement = space.declaration.fold(command);
        if (row.state, code) == (State::Failed, Some(Code::Poison)) && row.attempts > 3 {
            // Its owners kept dying, and it was the one that they were at: set aside, rightly or not.
            return;
        }
        if let Some(first) = judgement.refused.first() {
            return self.must_fail(position, row, first.code, "its space's declaration refuses it");
        }
        let terms =
            Terms { now: header.time, version: position.version(Phase::Forward), text: judgement.text };
        let before = space.live();
        let predicted = changes(&before, command, terms);
        let stands = before.memories.len() as u64;
        let growth = predicted.as_ref().map_or(0, |changes| growth(changes, &before));
        let changes = match predicted {
            Err(code) => return self.must_fail(position, row, code, "that is what it means"),
            Ok(changes) => changes,
        };
        if let Some(quota) = judgement.quota.filter(|_| growth > 0) {
            let growth = growth.unsigned_abs();
            if stands + growth > quota {
                return self.must_fail(position, row, Code::QuotaExceeded, "its space is full");
            }
            if code == Some(Code::QuotaExceeded) && stands + growth + space.passing > quota {
                // Memories that were there when it started are gone by now.
                return;
            }
        }
        if is_poison(row) {
            return;
        }
        match row.state {
            State::Committed => space.commit(position, changes),
            State::Compensated => {
                if changes.is_empty() || !((witness.was_refused)(position) || row.attempts > ATTEMPTS_MAX) {
                    self.violate(
                        Invariant::I3,
                        format!("saga {position} was undone, although no store refused anything of it"),
                    );
                } else {
                    space.undo(position, changes, &before);
                }
            }
            _ => self.violate(
                Invariant::I3,
                format!("saga {position} failed with {code:?}, although nothing is wrong with it"),
            ),
        }
    }
}

impl SpaceFold {
    /// What of it is live.
    fn live(&self) -> Records {
        let memories = self.memories.iter().filter_map(|(id, register)| {
            Some((id.clone(), (*register.versions.last()?, Arc::clone(register.state.as_ref()?))))
        });
        let relations =
            self.relations.iter().filter_map(|(key, register)| Some((key.clone(), register.state.clone()?)));
        Records { memories: memories.collect(), relations: relations.collect() }
    }

    fn commit(&mut self, position: Position, changes: Changes) {
        let version = position.version(Phase::Forward);
        for (id, after) in changes.memories {
            let before = self.memories.get(&id).and_then(|register| register.state.clone());
            if before.is_some() && after.is_none() {
                self.passing += 1;
            }
            if needs_point(before.as_ref()) || needs_point(after.as_ref()) {
                let point = after.clone().filter(|memory| memory.needs_vector_store());
                self.points.insert(id.clone(), Register::at(point, version));
            }
            self.passed.entry(id.clone()).or_default().insert(version, after.clone());
            self.memories.insert(id, Register::at(after, version));
        }
        for (key, after) in changes.relations {
            self.relations.insert(key, Register::at(after, version));
        }
    }

    fn undo(&mut self, position: Position, changes: Changes, before: &Records) {
        let version = position.version(Phase::Undo);
        for (id, after) in changes.memories {
            let stood = before.memories.get(&id).map(|(_, memory)| Arc::clone(memory));
            if stood.is_none() {
                self.passing += 1;
            }
            if needs_point(stood.as_ref()) || needs_point(after.as_ref()) {
                let point = stood.clone().filter(|memory| memory.needs_vector_store());
                self.points.insert(id.clone(), Register::at(point, version));
            }
            self.passed.entry(id.clone()).or_default().insert(version, stood.clone());
            restore(&mut self.memories, id, stood, version);
        }
        for (key, _) in changes.relations {
            let stood = before.relations.get(&key).cloned();
            restore(&mut self.relations, key, stood, version);
        }
    }
}

/// A register after an undo: a projected graph that was never told stands where it stood.
fn restore<K: Ord, T>(registers: &mut BTreeMap<K, Register<T>>, key: K, stood: Option<T>, version: Version) {
    let register =
        registers.entry(key).or_insert(Register { state: None, versions: BTreeSet::new(), absent: true });
    register.state = stood;
    register.versions.insert(version);
}

fn needs_point(memory: Option<&Arc<Memory>>) -> bool {
    memory.is_some_and(|memory| memory.needs_vector_store())
}

fn growth(changes: &Changes, before: &Records) -> i64 {
    let one = |(id, after): (&MemoryId, &Option<Arc<Memory>>)| {
        i64::from(after.is_some()) - i64::from(before.memories.contains_key(id))
    };
    changes.memories.iter().map(one).sum()
}

/// So many attempts alone may kill their owners before a saga is set aside.
const ATTEMPTS_MAX: u32 = 3;

/// Whether it was set aside before anything was sent: it was there each time that its owner died.
fn is_poison(row: &SagaRow) -> bool {
    let code = row.ending.as_ref().map(|ending| ending.code);
    row.state == State::Failed && code == Some(Code::Poison) && row.attempts > ATTEMPTS_MAX
}

enum Expiry {
    Long,
    Soon,
    Never,
}

/// The workload's expiry times are years away, or so near that either is right.
fn expiry(at: Timestamp) -> Expiry {
    const YEAR_2025: i64 = 1_735_689_600_000_000;
    const YEAR_2035: i64 = 2_051_222_400_000_000;
    match at.as_micros() {
        ..YEAR_2025 => Expiry::Long,
        YEAR_2025..YEAR_2035 => Expiry::Soon,
        _ => Expiry::Never,
    }
}
