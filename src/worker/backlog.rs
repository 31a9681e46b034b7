//! What an owner keeps in memory of its partition's unfinished sagas.
//!
//! Of every one its conflict keys; of those that are with the stores, their images too. The ledger
//! holds the rest, and all of this can be read from it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    ledger::{SagaRow, Side, finish::End, keys::HeldKeys, resolve::Resolution},
    model::State,
};

/// Unfinished sagas of one partition.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Conflict keys of every unfinished saga but duplicates.
    pub(super) held: HeldKeys,
    /// Waiting sagas that no earlier one conflicts with: they start when there is room.
    pub(super) ready: BTreeSet<u64>,
    /// Waiting duplicates, by their first.
    duplicates: BTreeMap<u64, Vec<u64>>,
    /// Sagas that are with the stores, and their bytes.
    running: BTreeMap<u64, (Arc<SagaRow>, usize)>,
    running_bytes: usize,
    /// The bytes of the largest saga of late.
    largest: usize,
    /// Sagas that an operator ends: whatever else is heard of them counts no more.
    resolving: BTreeMap<u64, (Arc<SagaRow>, Side)>,
}

impl Backlog {
    /// Takes in a row as the ledger has it. Rows come in offset order.
    pub(super) fn load(&mut self, row: SagaRow) {
        match (row.state, row.duplicate_of) {
            (State::Pending, Some(first)) => self.duplicate(first, row.offset),
            (State::Pending, None) => {
                self.heed(row.bytes());
                self.held.hold(row.offset, &row.keys);
                self.wake(row.offset, &row.keys);
            }
            (State::Running | State::Compensating, _) => {
                self.held.hold(row.offset, &row.keys);
                self.run(Arc::new(row));
            }
            (State::Committed | State::Compensated | State::Failed, _) => {}
        }
    }

    fn wake(&mut self, offset: u64, keys: &[crate::model::ConflictKey]) {
        if !self.held.must_wait(offset, keys) {
            self.ready.insert(offset);
        }
    }

    /// A duplicate waits for its first.
    pub(super) fn duplicate(&mut self, first: u64, duplicate: u64) {
        let waiting = self.duplicates.entry(first).or_default();
        if !waiting.contains(&duplicate) {
            waiting.push(duplicate);
        }
    }

    /// These are with the stores from now on.
    pub(super) fn runs(&mut self, sagas: &[Arc<SagaRow>]) {
        for saga in sagas {
            self.ready.remove(&saga.offset);
            self.run(saga.clone());
        }
    }

    fn run(&mut self, saga: Arc<SagaRow>) {
        let bytes = saga.bytes();
        self.heed(bytes);
        self.running_bytes += bytes;
        if let Some((_, before)) = self.running.insert(saga.offset, (saga, bytes)) {
            self.running_bytes -= before;
        }
    }

    fn runs_no_more(&mut self, offset: u64) {
        if let Some((_, bytes)) = self.running.remove(&offset) {
            self.running_bytes -= bytes;
        }
    }

    /// A large one is forgotten after some thousand smaller ones.
    fn heed(&mut self, bytes: usize) {
        self.largest = bytes.max(self.largest - self.largest / 1_024);
    }

    /// Sagas that are with the stores, in log order.
    pub(super) fn running(&self) -> impl Iterator<Item = &Arc<SagaRow>> {
        self.running.values().map(|(saga, _)| saga)
    }

    /// The saga at `offset`, if it is with the stores in this state.
    pub(super) fn running_in(&self, offset: u64, state: State) -> Option<&Arc<SagaRow>> {
        self.running.get(&offset).map(|(saga, _)| saga).filter(|saga| saga.state == state)
    }

    /// What it takes to end the saga at `offset`, which is with the stores in this state.
    pub(super) fn end(&self, offset: u64, state: State) -> Option<End> {
        let saga = self.running_in(offset, state)?.clone();
        Some(End { saga, duplicates: self.duplicates_of(offset).to_vec(), resolved: None })
    }

    /// These end as an operator chose. Their rows have that ending.
    pub(super) fn resolves(&mut self, resolutions: &[Resolution]) {
        for Resolution { saga, side, .. } in resolutions {
            self.runs_no_more(saga.offset);
            self.resolving.insert(saga.offset, (Arc::clone(saga), *side));
        }
    }

    /// The saga at `offset`, if an operator ends it.
    pub(super) fn resolving(&self, offset: u64) -> Option<&(Arc<SagaRow>, Side)> {
        self.resolving.get(&offset)
    }

    /// Whether the saga at `offset` holds keys and has not begun.
    pub(super) fn is_waiting(&self, offset: u64) -> bool {
        self.held.holds(offset) && !self.is_out(offset)
    }

    /// What it takes to end the saga at `offset` as an operator chose.
    pub(super) fn resolved(&self, offset: u64) -> Option<End> {
        let (saga, side) = self.resolving.get(&offset)?;
        let duplicates = self.duplicates_of(offset).to_vec();
        Some(End { saga: Arc::clone(saga), duplicates, resolved: Some(*side) })
    }

    fn is_out(&self, offset: u64) -> bool {
        self.running.contains_key(&offset) || self.resolving.contains_key(&offset)
    }

    /// Duplicates of a saga that ended without having run.
    pub(super) fn duplicates_of(&self, first: u64) -> &[u64] {
        self.duplicates.get(&first).map_or(&[], Vec::as_slice)
    }

    /// The saga at `offset` has ended: frees its keys and readies those that were waiting for them.
    pub(super) fn ended(&mut self, offset: u64) {
        self.runs_no_more(offset);
        self.resolving.remove(&offset);
        self.ready.remove(&offset);
        self.duplicates.remove(&offset);
        for candidate in self.held.release(offset) {
            if !self.is_out(candidate) && !self.held.waits(candidate) {
                self.ready.insert(candidate);
            }
        }
    }

    /// How many are with the stores.
    pub(super) fn running_count(&self) -> usize {
        self.running.len() + self.resolving.len()
    }

    /// How many bytes those have.
    pub(super) fn running_bytes(&self) -> usize {
        self.running_bytes
    }

    /// How many bytes one more may have.
    pub(super) fn largest(&self) -> usize {
        self.largest
    }

    /// How many are unfinished, duplicates included.
    pub(super) fn unfinished_count(&self) -> usize {
        self.held.len() + self.duplicates.values().map(Vec::len).sum::<usize>()
    }

    /// Every unfinished saga but duplicates, in log order.
    pub(super) fn offsets(&self) -> Vec<u64> {
        self.held.offsets().collect()
    }

    /// The oldest unfinished saga.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.held.first()
    }
}
