//! The published answer of an ended saga, put together from its row: the same bytes every time.

use crate::{
    ledger::SagaRow,
    model::{Outcome, PartitionId, outcome::CommandName, token},
};

/// The outcome of an ended row; `None` for rows that have not ended, and for records that could not
/// be read, whose only answer is the dead letter.
#[must_use]
pub fn outcome_of(partition: PartitionId, row: &SagaRow) -> Option<Outcome> {
    let header = row.header.as_ref()?;
    let ending = row.ending.as_ref().filter(|_| row.state.is_terminal())?;
    let position = partition.at(row.offset);
    Some(Outcome {
        command: CommandName {
            id: header.id.clone(),
            source: header.source.clone(),
            kind: header.kind.clone(),
        },
        space: header.space.clone(),
        position,
        verdict: ending.verdict,
        code: ending.code,
        duplicate_of: row.duplicate_of.map(|offset| partition.at(offset)),
        errors: ending.errors.clone(),
        records: ending.records.clone(),
        counts: ending.counts.clone(),
        token: token::encode(position),
        accepted_at: row.accepted_at,
        finished_at: row.finished_at?,
    })
}
