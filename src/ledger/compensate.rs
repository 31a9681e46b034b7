//! Compensate: from refused to being undone.
//!
//! The decision is durable before the first undo is sent. What an undo writes back is read here,
//! under the same lock: the heads, which no saga touches before its finish, *are* the before-images.

use std::{collections::BTreeMap, sync::Arc};

use super::{Error, Head, RelationHead, SagaRow, Transition, turn::Turn};
use crate::{
    fault::{Bug, planted},
    model::{
        Answer, Code, Effect, FieldError, MemoryId, PartitionId, Phase, RelationKey, Space, State,
        answer::Reason,
        outcome::{Ending, RecordOutcome, Verdict},
    },
};

/// What stood before a saga, for every record that it wrote. A record that is missing here, or a
/// tombstone, was not there.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Heads of the memories.
    pub memories: BTreeMap<MemoryId, Head>,
    /// Heads of the relations.
    pub relations: BTreeMap<RelationKey, RelationHead>,
}

/// A saga that is being undone.
#[derive(Debug, Clone)]
pub struct Undo {
    /// Its row, Compensating.
    pub saga: Arc<SagaRow>,
    /// What to write back.
    pub before: Before,
}

impl Turn<'_> {
    /// Turns back sagas that a store refused for good: Running becomes Compensating, with the ending
    /// that it will have when undone.
    ///
    /// # Errors
    /// [`Error`] of the ledger; [`Error::Indeterminate`] when a row is not where its owner believes it
    /// to be. The turn is over then.
    pub async fn turn_back(&mut self, refused: &[(Arc<SagaRow>, Ending)]) -> Result<Vec<Undo>, Error> {
        if refused.is_empty() {
            return Ok(Vec::new());
        }
        let moves: Vec<Transition> = refused
            .iter()
            .map(|(saga, ending)| Transition {
                offset: saga.offset,
                from: State::Running,
                to: State::Compensating,
                plan: None,
                ending: Some(ending.clone()),
                finish: 0,
                finished_at: None,
            })
            .collect();
        if !planted(Bug::UndoBeforeDurable) {
            let moved = self.transaction.transition(&moves).await?;
            if moved.len() != moves.len() && !planted(Bug::NoStateGuard) {
                return Err(Error::Indeterminate(
                    "a running saga has been moved by another owner".to_owned(),
                ));
            }
        }
        let sagas: Vec<Arc<SagaRow>> = refused
            .iter()
            .map(|(saga, ending)| {
                let mut row = SagaRow::clone(saga);
                row.state = State::Compensating;
                row.ending = Some(ending.clone());
                Arc::new(row)
            })
            .collect();
        self.before(sagas).await
    }

    /// Reads what stood before sagas that are Compensating.
    ///
    /// # Errors
    /// [`Error`] of the ledger; the turn is over then.
    pub async fn before(&mut self, sagas: Vec<Arc<SagaRow>>) -> Result<Vec<Undo>, Error> {
        let mut memories: Vec<(Space, MemoryId)> = Vec::new();
        let mut relations: Vec<RelationKey> = Vec::new();
        for saga in &sagas {
            let (Some(header), Some(plan)) = (&saga.header, &saga.plan) else { continue };
            memories.extend(plan.memories.iter().map(|write| (header.space.clone(), write.id.clone())));
            relations.extend(plan.relations.iter().map(|write| write.relation.clone()));
        }
        let heads = match memories.is_empty() {
            true => Vec::new(),
            false => self.transaction.heads(&memories).await?,
        };
        let heads: BTreeMap<(Space, MemoryId), Head> =
            heads.into_iter().map(|head| ((head.space.clone(), head.id.clone()), head)).collect();
        let relation_heads = match relations.is_empty() {
            true => Vec::new(),
            false => self.transaction.relations(&relations).await?,
        };
        let relation_heads: BTreeMap<RelationKey, RelationHead> =
            relation_heads.into_iter().map(|head| (head.relation.clone(), head)).collect();
        Ok(sagas.into_iter().map(|saga| undo_of(saga, &heads, &relation_heads)).collect())
    }
}

fn undo_of(
    saga: Arc<SagaRow>,
    heads: &BTreeMap<(Space, MemoryId), Head>,
    relations: &BTreeMap<RelationKey, RelationHead>,
) -> Undo {
    let mut before = Before::default();
    if let (Some(header), Some(plan)) = (&saga.header, &saga.plan) {
        for write in &plan.memories {
            if let Some(head) = heads.get(&(header.space.clone(), write.id.clone())) {
                let mut head = head.clone();
                if planted(Bug::BeforeImageFromStore) {
                    // What a store would show: the saga's own image, where it has landed.
                    head.memory.clone_from(&write.after);
                    head.hash = write.hash;
                }
                before.memories.insert(write.id.clone(), head);
            }
        }
        for write in &plan.relations {
            if let Some(head) = relations.get(&write.relation) {
                before.relations.insert(write.relation.clone(), head.clone());
            }
        }
    }
    Undo { saga, before }
}

/// The ending that a saga will have once it is undone: what the command named is unchanged, at the
/// version of the undo.
#[must_use]
pub fn undone(saga: &SagaRow, partition: PartitionId, store: &str, refusal: &Answer) -> Ending {
    let reason = match refusal {
        Answer::Rejected(reason) => reason.clone(),
        _ => Reason::new("refused", "the store refused the write"),
    };
    let detail = format!("the {store} store refused it for good ({}): {}", reason.code, reason.detail);
    Ending {
        verdict: Verdict::Compensated,
        code: Code::StoreRejected,
        errors: vec![FieldError::new(Code::StoreRejected, "/data", detail)],
        records: unchanged(saga, partition),
        counts: BTreeMap::new(),
    }
}

/// What a saga named, as it will stand once it is undone: unchanged, at the version of the undo.
#[must_use]
pub fn unchanged(saga: &SagaRow, partition: PartitionId) -> Vec<RecordOutcome> {
    let version = partition.at(saga.offset).version(Phase::Undo);
    let named = saga.ending.iter().flat_map(|ending| &ending.records);
    named
        .map(|record| RecordOutcome {
            record: record.record.clone(),
            version: record.version.map(|_| version),
            effect: Effect::Unchanged,
            vector: None,
        })
        .collect()
}
