//! Careful: when owners keep dying young, one saga at a time, counted.
//!
//! A command can kill its worker: by memory, by a bug, by a driver. Restarted, the worker meets it
//! again. So an owner that follows two which never proved healthy runs what is unfinished alone, and
//! writes down each attempt *before* it: the third death of one saga names it. It is then set aside,
//! failed if nothing was sent yet, undone if something was, and the others go on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

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
/// A saga that has been attempted alone so often, and killed its owner each time, is poison.
const ATTEMPTS_MAX: u32 = 3;
/// A saga that has not killed its owner after so long waits for a store, and is no poison.
const ALONE_MAX: Duration = Duration::from_secs(10);

impl Tenure<'_> {
    /// Runs the unfinished sagas alone, in log order, before anything new is taken in.
    pub(super) async fn resume_carefully(&mut self, unproven: u32) -> Result<(), Interruption> {
        let offsets = self.backlog.offsets();
        tracing::warn!(partition = %self.owner.partition, unproven, unfinished = offsets.len(),
            "owners of this partition keep dying; running its unfinished sagas one by one");
        for offset in offsets {
            if self.owner.revoked.is_cancelled() {
                return Ok(());
            }
            if self.owner.attempted.lock().insert(offset) {
                let mut turn = self.open().await?;
                let attempts = turn.attempt(offset).await?;
                turn.commit().await?;
                if attempts > ATTEMPTS_MAX {
                    self.set_aside(offset).await?;
                }
            }
            self.run_alone(offset).await?;
        }
        Ok(())
    }

    /// Sends one saga, as it stands, and waits for its end.
    async fn run_alone(&mut self, offset: u64) -> Result<(), Interruption> {
        let running = |state| self.backlog.running_in(offset, state).cloned();
        if let Some(saga) = running(State::Running) {
            self.executor.run(vec![saga], true);
        } else if let Some(saga) = running(State::Compensating) {
            self.resume_undos(vec![saga]).await?;
        } else {
            self.turn(Work { start: Start::Only(offset), ..Work::default() }).await?;
        }
        let deadline = tokio::time::Instant::now() + ALONE_MAX;
        while self.backlog.running().any(|saga| saga.offset == offset) {
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

const DETAIL: &str = "its worker died three times while running it alone; it was set aside";

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
