//! Start: from a waiting row to after-images, or to an end.
//!
//! The rows are read again under the lock, and move only from Pending: an owner that was overtaken
//! finds nothing to move.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Decision, Error, Request, SagaRow, Transition,
    keys::HeldKeys,
    turn::{Turn, Waiting},
};
use crate::{
    fault::{Bug, planted},
    log::envelope,
    model::{
        Command, State,
        outcome::{Ending, Verdict},
    },
};

/// What a start did.
#[derive(Debug, Default)]
pub struct Started {
    /// Running now.
    pub running: Vec<Arc<SagaRow>>,
    /// Ended at once: refused, expired, or nothing to do.
    pub ended: Vec<u64>,
}

impl Turn<'_> {
    /// Decides these waiting sagas, which must be free: no earlier unfinished saga conflicts with
    /// them. Those that end free their keys only when the turn has committed.
    ///
    /// # Errors
    /// [`Error`] of the ledger, [`Error::Indeterminate`] when a row is not where its owner believes it
    /// to be; the turn is over then.
    pub async fn start(&mut self, waiting: &[Waiting], held: &HeldKeys) -> Result<Started, Error> {
        if waiting.is_empty() {
            return Ok(Started::default());
        }
        let offsets: Vec<u64> = waiting.iter().map(|saga| saga.offset).collect();
        let mut rows = self.transaction.sagas(&offsets).await?;
        rows.retain(|row| row.state == State::Pending || planted(Bug::NoStateGuard));
        if rows.len() != offsets.len() {
            return Err(Error::Indeterminate("a waiting saga has been moved by another owner".to_owned()));
        }
        debug_assert!(
            planted(Bug::NoKeyOrder) || rows.iter().all(|row| !held.must_wait(row.offset, &row.keys)),
            "I13: a saga starts before an earlier one that it conflicts with"
        );
        let commands = rows.iter().map(revive).collect::<Result<Vec<Command>, Error>>()?;
        let partition = self.lease.partition;
        let requests: Vec<Request<'_>> = rows
            .iter()
            .zip(&commands)
            .filter_map(|(row, command)| {
                Some(Request {
                    position: partition.at(row.offset),
                    header: row.header.as_ref()?,
                    command,
                    judgement: &row.judgement,
                    now: self.now,
                })
            })
            .collect();
        let decisions = self.decide_all(&requests).await?;
        drop(requests);
        let duplicates: BTreeMap<u64, &[u64]> =
            waiting.iter().map(|saga| (saga.offset, saga.duplicates.as_slice())).collect();
        self.apply(rows, decisions, &duplicates).await
    }

    async fn apply(
        &mut self,
        rows: Vec<SagaRow>,
        decisions: Vec<Decision>,
        duplicates: &BTreeMap<u64, &[u64]>,
    ) -> Result<Started, Error> {
        let number = self.number();
        let mut moves = Vec::with_capacity(rows.len());
        let mut started = Started::default();
        for (mut row, decision) in rows.into_iter().zip(decisions) {
            if let Decision::Done(plan, _) = &decision {
                self.touch(row.header.as_ref().map(|header| &header.space), plan).await?;
            }
            moves.push(self.transition(row.offset, &decision, number));
            if let Decision::Run(plan, ending) = decision {
                row.state = State::Running;
                row.plan = Some(plan);
                row.ending = Some(ending);
                row.body = None;
                started.running.push(Arc::new(row));
                continue;
            }
            let duplicates = duplicates.get(&row.offset).copied().unwrap_or_default();
            moves.extend(duplicates.iter().map(|offset| self.transition(*offset, &decision, number)));
            self.ended.unseen(duplicates.iter().copied());
            started.ended.push(row.offset);
            let (Decision::Done(_, ending) | Decision::Refuse(ending) | Decision::Run(_, ending)) = decision;
            let state = if ending.verdict == Verdict::Committed { State::Committed } else { State::Failed };
            row.ending = Some(ending);
            self.ended.row(&row, state, number, self.now);
        }
        let moved = self.transaction.transition(&moves).await?;
        if moved.len() != moves.len() && !planted(Bug::NoStateGuard) {
            return Err(Error::Indeterminate("a waiting saga has been moved by another owner".to_owned()));
        }
        Ok(started)
    }

    /// Ends a saga that waits, and its duplicates, without deciding it.
    ///
    /// # Errors
    /// [`Error`] of the ledger; the turn is over then.
    pub async fn fail_waiting(
        &mut self,
        offset: u64,
        duplicates: &[u64],
        ending: &Ending,
    ) -> Result<(), Error> {
        let (number, refusal) = (self.number(), Decision::Refuse(ending.clone()));
        let all = std::iter::once(offset).chain(duplicates.iter().copied());
        let moves: Vec<Transition> = all.map(|offset| self.transition(offset, &refusal, number)).collect();
        let moved = self.transaction.transition(&moves).await?;
        self.ended.unseen(moved);
        Ok(())
    }

    fn transition(&self, offset: u64, decision: &Decision, number: u64) -> Transition {
        let (to, plan, ending): (State, _, &Ending) = match decision {
            Decision::Run(plan, ending) => (State::Running, Some(plan.clone()), ending),
            Decision::Done(_, ending) => (State::Committed, None, ending),
            Decision::Refuse(ending) => (State::Failed, None, ending),
        };
        let ends = to.is_terminal();
        Transition {
            offset,
            from: State::Pending,
            to,
            plan,
            ending: Some(ending.clone()),
            finish: if ends { number } else { 0 },
            finished_at: ends.then_some(self.now),
        }
    }
}

/// The command of a row that still holds it.
pub(super) fn revive(row: &SagaRow) -> Result<Command, Error> {
    let lost = |what: &str| Error::Corrupt(format!("saga at offset {} {what}", row.offset));
    let header = row.header.as_ref().ok_or_else(|| lost("waits without a header"))?;
    let body = row.body.as_ref().ok_or_else(|| lost("waits without its command"))?;
    envelope::revive(header, body).map_err(|_| lost("holds a command that cannot be read back"))
}
