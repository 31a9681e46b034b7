//! Resolve: an operator ends a saga that would not end.
//!
//! Its records get one of the saga's two images, at a version that is newer than its own and than its undo:
//! whatever of either is still on its way changes nothing any more. Nothing is decided here. The order in
//! the ledger is the decision, and what it means follows from the row and from heads that no saga touches
//! before its finish: whoever asks again gets the same.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Error, SagaRow, Side,
    compensate::{Before, Undo},
    turn::Turn,
};
use crate::model::{
    Code, Effect, FieldError, PartitionId, Phase, State, Version,
    outcome::{Ending, RecordName, RecordOutcome, RelationName, Verdict},
};

/// The phase at which a resolved saga writes, forward or back.
pub const PHASE: Phase = Phase::RecoveredForward;

/// A saga on its way to the end that an operator chose.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// Its row, Running or Compensating, with the ending that it will have.
    pub saga: Arc<SagaRow>,
    /// Which image its records get.
    pub side: Side,
    /// What stood before it.
    pub before: Before,
}

impl Turn<'_> {
    /// Reads what it takes to resolve these sagas, which are Running or Compensating. Writes nothing.
    ///
    /// # Errors
    /// [`Error`] of the ledger; the turn is over then.
    pub async fn resolutions(&mut self, sagas: &[(Arc<SagaRow>, Side)]) -> Result<Vec<Resolution>, Error> {
        if sagas.is_empty() {
            return Ok(Vec::new());
        }
        let partition = self.lease.partition;
        let undos = self.before(sagas.iter().map(|(saga, _)| Arc::clone(saga)).collect()).await?;
        let resolution = |(Undo { saga, before }, (_, side)): (Undo, &(_, Side))| {
            let ending = match side {
                Side::Before => undone(&saga, partition),
                Side::After => done(&saga, &before, partition),
            };
            let row = SagaRow { ending: Some(ending), ..SagaRow::clone(&saga) };
            Resolution { saga: Arc::new(row), side: *side, before }
        };
        Ok(undos.into_iter().zip(sagas).map(resolution).collect())
    }
}

const DETAIL: &str = "an operator resolved it to what stood before it";

fn undone(saga: &SagaRow, partition: PartitionId) -> Ending {
    let version = version(saga, partition);
    let named = saga.ending.iter().flat_map(|ending| &ending.records);
    let records = named.map(|record| RecordOutcome {
        record: record.record.clone(),
        version: record.version.map(|_| version),
        effect: Effect::Unchanged,
        vector: None,
    });
    Ending {
        verdict: Verdict::Compensated,
        code: Code::Cancelled,
        errors: vec![FieldError::new(Code::Cancelled, "", DETAIL)],
        records: records.collect(),
        counts: BTreeMap::new(),
    }
}

fn done(saga: &SagaRow, before: &Before, partition: PartitionId) -> Ending {
    let (forward, resolved) = (partition.at(saga.offset).version(Phase::Forward), version(saga, partition));
    let ending = saga.ending.clone().unwrap_or_else(|| Ending::failed(Code::Cancelled, Vec::new()));
    let records = ending.records.into_iter().map(|record| match saga.state {
        // Turned back, it has forgotten how it would have ended.
        State::Compensating => as_planned(record, saga, before, resolved),
        _ if record.version == Some(forward) => RecordOutcome { version: Some(resolved), ..record },
        _ => record,
    });
    Ending {
        verdict: Verdict::Committed,
        code: Code::Ok,
        errors: Vec::new(),
        records: records.collect(),
        counts: ending.counts,
    }
}

/// What the saga does to a record, as far as its images and what stood before tell.
fn as_planned(record: RecordOutcome, saga: &SagaRow, before: &Before, version: Version) -> RecordOutcome {
    let Some(plan) = &saga.plan else { return record };
    let written = match &record.record {
        RecordName::Memory(id) => plan.memories.iter().find(|write| write.id == *id).map(|write| {
            let stood = before.memories.get(id).is_some_and(|head| head.memory.is_some());
            (write.after.is_some(), stood)
        }),
        RecordName::Relation(name) => {
            let write = plan.relations.iter().find(|write| RelationName::from(&write.relation) == *name);
            write.map(|write| {
                let stood = before.relations.get(&write.relation).is_some_and(|head| head.state.is_some());
                (write.after.is_some(), stood)
            })
        }
    };
    let effect = match written {
        Some((false, _)) => Effect::Deleted,
        Some((true, true)) => Effect::Replaced,
        Some((true, false)) => Effect::Created,
        None => return record,
    };
    RecordOutcome { version: Some(version), effect, ..record }
}

fn version(saga: &SagaRow, partition: PartitionId) -> Version {
    partition.at(saga.offset).version(PHASE)
}
