//! From a saga row to the answer that clients see: a pure function, so that all copies are equal.

use crate::model::{Outcome, PartitionId, Token, outcome::CommandName};

use super::SagaRow;

impl SagaRow {
    /// The row's outcome; `None` while it has not ended, and for a record whose envelope cannot be
    /// read: the dead letters are its answer.
    #[must_use]
    pub fn outcome(&self, partition: PartitionId) -> Option<Outcome> {
        let (header, ending) = (self.header.as_ref()?, self.ending.as_ref()?);
        let finished_at = self.finished_at.filter(|_| self.state.is_terminal())?;
        let position = partition.at(self.offset);
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
            duplicate_of: self.duplicate_of.map(|first| partition.at(first)),
            errors: ending.errors.clone(),
            records: ending.records.clone(),
            counts: ending.counts.clone(),
            token: Token(position).to_string(),
            accepted_at: self.accepted_at,
            finished_at,
        })
    }
}
