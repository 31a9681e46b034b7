//! Careful: when owners keep dying young, few sagas at a time, counted.
//!
//! A command can kill its worker: by memory, by a bug, by a driver. Restarted, the worker meets it again. So an
//! owner that follows two which never proved healthy runs what is unfinished in small groups, and writes down
//! each attempt *before* it. Whatever has been attempted and is still there may have been the one: it runs
//! alone from then on, and its third death names it. It is then set aside, failed if nothing was sent yet,
//! undone if something was, and the others go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    owner::Interruption,
    tenure::{Start, Tenure, Work},
};
use crate::{
    ledger::{SagaRow, compensate},
    model::{
        Code, FieldError, State,
        outcome::{Ending, Verdict},
    },
};

/// An owner that has lived for so long is healthy.
pub(super) const PROVEN_AFTER: Duration = Duration::from_secs(60);
/// So many owners in a row may be unproven, this one included, before one is careful.
pub(super) const UNPROVEN_MAX: u32 = 2;
/// A saga that was attempted so often, at most once of these among others, and whose owner died each time, is
/// poison.
const ATTEMPTS_MAX: u32 = 3;
/// So many sagas that were never attempted run together.
const GROUP_MAX: usize = 100;
/// Sagas that have not killed their owner after so long wait for a store, and are no poison.
const ATTEMPT_MAX: Duration = Duration::from_secs(10);

impl Tenure<'_> {
    /// Runs the unfinished sagas, in log order, before anything new is taken in.
    pub(super) async fn resume_carefully(&mut self, unproven: u32) -> Result<(), Interruption> {
        let offsets = self.backlog.offsets();
        tracing::warn!(partition = %self.owner.partition, unproven, unfinished = offsets.len(),
            "owners of this partition keep dying; running its unfinished sagas a few at a time");
        for group in offsets.chunks(GROUP_MAX) {
            let mut turn = self.open().await?;
            let attempts = turn.attempts(group).await?;
            turn.commit().await?;
            let (fresh, suspect): (Vec<_>, Vec<_>) =
                group.iter().copied().zip(attempts).partition(|(_, attempts)| *attempts == 0);
            self.attempt(fresh.into_iter().map(|(offset, _)| offset).collect()).await?;
            for (offset, before) in suspect {
                // Whoever lets go in good order has died of nothing.
                if self.owner.revoked.is_cancelled() {
                    return Ok(());
                }
                let counted = self.count(&BTreeSet::from([offset])).await?;
                if counted && before >= ATTEMPTS_MAX {
                    self.set_aside(offset).await?;
                }
                self.attempt(BTreeSet::from([offset])).await?;
            }
        }
        Ok(())
    }

    /// Counts one more attempt of each, unless this process has; whether it had not.
    async fn count(&self, sagas: &BTreeSet<u64>) -> Result<bool, Interruption> {
        let new: Vec<u64> = {
            let mut attempted = self.owner.attempted.lock();
            sagas.iter().copied().filter(|offset| attempted.insert(*offset)).collect()
        };
        if !new.is_empty() {
            let mut turn = self.open().await?;
            turn.attempt(&new).await?;
            turn.commit().await?;
        }
        Ok(!new.is_empty())
    }

    /// Sends these as they stand, each counted, and waits for their ends.
    async fn attempt(&mut self, sagas: BTreeSet<u64>) -> Result<(), Interruption> {
        if sagas.is_empty() || self.owner.revoked.is_cancelled() {
            return Ok(());
        }
        self.count(&sagas).await?;
        let running = self.backlog.running().filter(|saga| sagas.contains(&saga.offset)).cloned();
        let (forward, back) = running.partition(|saga| saga.state == State::Running);
        self.executor.run(forward, true);
        self.resume_undos(back).await?;
        if !self.backlog.ready.is_disjoint(&sagas) {
            self.turn(Work { start: Start::Only(sagas.clone()), ..Work::default() }).await?;
        }
        let deadline = tokio::time::Instant::now() + ATTEMPT_MAX;
        while self.backlog.running().any(|saga| sagas.contains(&saga.offset)) {
            let Ok(Some(report)) = tokio::time::timeout_at(deadline, self.reports.recv()).await else {
                break;
            };
            let mut work = Work { start: Start::Nothing, ..Work::default() };
            self.sort(report, &mut work)?;
            self.turn(work).await?;
        }
        Ok(())
    }

    /// Fails a poisonous saga that has sent nothing; turns one back that may have.
    async fn set_aside(&mut self, offset: u64) -> Result<(), Interruption> {
        tracing::error!(saga.position = %self.owner.partition.at(offset), "set aside as poison");
        if let Some(saga) = self.backlog.running_in(offset, State::Running).cloned() {
            let ending = undone(&saga, self.owner.partition);
            let work = Work { refused: vec![(saga, ending)], start: Start::Nothing, ..Work::default() };
            return self.turn(work).await;
        }
        if self.backlog.is_waiting(offset) {
            let mut turn = self.open().await?;
            turn.fail_waiting(offset, self.backlog.duplicates_of(offset), &failed()).await?;
            let finished = turn.commit().await?;
            self.backlog.ended(offset);
            self.tell_relay(finished);
        }
        Ok(())
    }
}

const DETAIL: &str = "its worker died three times while running it; it was set aside";

fn failed() -> Ending {
    Ending::failed(Code::Poison, vec![FieldError::new(Code::Poison, "", DETAIL)])
}

fn undone(saga: &Arc<SagaRow>, partition: crate::model::PartitionId) -> Ending {
    Ending {
        verdict: Verdict::Compensated,
        code: Code::Poison,
        errors: vec![FieldError::new(Code::Poison, "", DETAIL)],
        records: compensate::unchanged(saga, partition),
        counts: BTreeMap::new(),
    }
}
