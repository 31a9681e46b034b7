//! Finish: from acknowledged to ended.
//!
//! States move first, each only from where it must be; heads are written for those that moved and
//! for no others. A saga's duplicates end in the same transaction with the same ending.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Error, HeadWrite, ImagePointer, Plan, RelationHeadWrite, RelationState, SagaRow, Side, Transition,
    resolve, turn::Turn,
};
use crate::{
    fault::{Bug, planted},
    model::{MemoryId, Phase, Space, State, Version, outcome::Ending},
};

/// A saga that is to end.
#[derive(Debug, Clone)]
pub struct End {
    /// Its row, Running or Compensating, with its plan and its prospective ending.
    pub saga: Arc<SagaRow>,
    /// Its duplicates that wait for it.
    pub duplicates: Vec<u64>,
    /// The image that an operator chose; its row has the ending of that. `None`: it ends as it stands.
    pub resolved: Option<Side>,
}

impl End {
    /// The state that it ends in.
    fn to(&self) -> State {
        match (self.resolved, self.saga.state) {
            (Some(Side::Before), _) | (None, State::Compensating) => State::Compensated,
            _ => State::Committed,
        }
    }

    /// The phase whose version the heads have from now on.
    fn phase(&self) -> Phase {
        match self.saga.state {
            _ if self.resolved.is_some() => resolve::PHASE,
            State::Compensating if !planted(Bug::UndoAtPhaseZero) => Phase::Undo,
            _ => Phase::Forward,
        }
    }
}

impl Turn<'_> {
    /// Ends these sagas.
    ///
    /// # Errors
    /// [`Error`] of the ledger; [`Error::Indeterminate`] when a row is not where its owner believes it
    /// to be: another owner has moved it, and its word holds. The turn is over then.
    pub async fn finish(&mut self, ends: &[End]) -> Result<(), Error> {
        if ends.is_empty() {
            return Ok(());
        }
        let moves = self.moves(ends)?;
        let moved: BTreeSet<u64> = self.transaction.transition(&moves).await?.into_iter().collect();
        if moved.len() != moves.len() && !planted(Bug::NoStateGuard) {
            return Err(Error::Indeterminate("a running saga has been moved by another owner".to_owned()));
        }
        let number = self.number();
        let mut heads = Vec::with_capacity(ends.len());
        let mut relations = Vec::new();
        for end in ends {
            let Some((space, plan)) = written(&end.saga) else { continue };
            let version = self.lease.partition.at(end.saga.offset).version(end.phase());
            collect(end, space, plan, version, number, &mut heads, &mut relations);
            if end.to() == State::Committed {
                self.touch(Some(space), plan).await?;
            }
        }
        if !heads.is_empty() {
            self.transaction.write_heads(&heads).await?;
        }
        if !relations.is_empty() {
            self.transaction.write_relations(&relations).await?;
        }
        for end in ends {
            self.ended.row(&end.saga, end.to(), number, self.now);
            self.ended.unseen(end.duplicates.iter().copied());
        }
        Ok(())
    }

    fn moves(&self, ends: &[End]) -> Result<Vec<Transition>, Error> {
        let number = self.number();
        let mut moves = Vec::with_capacity(ends.len());
        for end in ends {
            let lost = || Error::Corrupt(format!("saga at offset {} has no ending", end.saga.offset));
            let ending: &Ending = end.saga.ending.as_ref().ok_or_else(lost)?;
            let transition = |offset, from, ending| Transition {
                offset,
                from,
                to: end.to(),
                plan: None,
                ending,
                finish: number,
                finished_at: Some(self.now),
            };
            // The ending stands in the saga's row since it was decided; its duplicates get a copy.
            let own = end.resolved.map(|_| ending.clone());
            moves.push(transition(end.saga.offset, end.saga.state, own));
            moves.extend(
                end.duplicates
                    .iter()
                    .map(|duplicate| transition(*duplicate, State::Pending, Some(ending.clone()))),
            );
        }
        Ok(moves)
    }
}

fn written(saga: &SagaRow) -> Option<(&Space, &Plan)> {
    Some((&saga.header.as_ref()?.space, saga.plan.as_ref()?))
}

fn collect(
    end: &End,
    space: &Space,
    plan: &Plan,
    version: Version,
    finish: u64,
    heads: &mut Vec<HeadWrite>,
    relations: &mut Vec<RelationHeadWrite>,
) {
    let undone = end.to() == State::Compensated;
    let head = |id: &MemoryId, image| HeadWrite {
        space: space.clone(),
        id: id.clone(),
        version,
        image,
        finish,
        at: plan.now,
    };
    heads.extend(plan.memories.iter().map(|write| {
        let forward = || ImagePointer::Forward { after: write.after.clone() };
        head(&write.id, if undone { ImagePointer::Untouched } else { forward() })
    }));
    relations.extend(plan.relations.iter().map(|write| {
        let forward = || RelationState::Forward(write.after.clone());
        RelationHeadWrite {
            relation: write.relation.clone(),
            version,
            state: if undone { RelationState::Untouched } else { forward() },
            finish,
            at: plan.now,
        }
    }));
}
