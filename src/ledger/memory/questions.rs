//! Readers' questions over the tables in memory: plain walks, since nobody waits long for a test.

use async_trait::async_trait;

use super::{
    MemoryLedger,
    tables::{HeadRow, Tables},
};
use crate::{
    ledger::{
        Error, Head, SagaRow,
        questions::{AsOf, CommandsQuestion, Counts, Part, Past, Questions, Selection},
    },
    model::{Key, MemoryId, Space, Timestamp, Version},
};

impl Tables {
    /// Live heads of a space in id order.
    fn live_heads(&self, space: &Space) -> Result<Vec<Head>, Error> {
        let within = self.heads.values().filter(|head| head.space == *space && head.image.is_some());
        let mut rows: Vec<_> = within.collect();
        rows.sort_by(|a, b| a.id.cmp(&b.id));
        rows.into_iter().map(|row| self.head(row)).collect()
    }

    fn past(&self, row: &HeadRow, until: Option<Timestamp>) -> Result<Past, Error> {
        let head = Head { accessed_at: None, ..self.head(row)? };
        Ok(Past { head, written_by: row.image.map(|image| image.position), until })
    }

    /// A memory's head and the heads that were, newest first.
    fn pasts(&self, memory: Key) -> Result<Vec<Past>, Error> {
        let head = self.heads.get(&memory).map(|row| self.past(row, None));
        let kept = self.kept.iter().rev().filter(|((key, _), _)| *key == memory);
        head.into_iter().chain(kept.map(|(_, kept)| self.past(&kept.row, Some(kept.until)))).collect()
    }
}

#[async_trait]
impl Questions for MemoryLedger {
    async fn list_of(
        &self,
        space: &Space,
        of: &Selection,
        after: Option<&MemoryId>,
        limit: usize,
    ) -> Result<Part<Head, MemoryId>, Error> {
        let limit = limit.max(1);
        let mut found = self.read(|tables| tables.live_heads(space))?;
        found.retain(|head| of.holds(head) && after.is_none_or(|after| head.id > *after));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|head| head.id.clone());
        Ok(Part { found, next })
    }

    async fn count_of(&self, space: &Space, of: &Selection) -> Result<u64, Error> {
        let heads = self.read(|tables| tables.live_heads(space))?;
        Ok(heads.iter().filter(|head| of.holds(head)).count() as u64)
    }

    async fn commands(&self, question: &CommandsQuestion) -> Result<Part<SagaRow, u64>, Error> {
        let CommandsQuestion { space, partition, states, newest_first, after, limit } = question;
        let whole = partition.at(0)..=partition.at(u64::MAX);
        let beyond = |row: &SagaRow| {
            after.is_none_or(|after| if *newest_first { row.offset < after } else { row.offset > after })
        };
        let asked = |row: &SagaRow| {
            row.header.as_ref().is_some_and(|header| header.space == *space)
                && (states.is_empty() || states.contains(&row.state))
        };
        let mut rows: Vec<SagaRow> =
            self.read(|tables| tables.sagas.range(whole).map(|(_, saga)| saga.row.clone()).collect());
        rows.retain(beyond);
        if *newest_first {
            rows.reverse();
        }
        let mut rest = rows.into_iter().filter(asked);
        let found: Vec<SagaRow> = rest.by_ref().take((*limit).max(1)).collect();
        let next = found.last().filter(|_| rest.next().is_some()).map(|row| row.offset);
        Ok(Part { found, next })
    }

    async fn counts(&self, space: &Space) -> Result<Counts, Error> {
        let mut counts = Counts::default();
        self.read(|tables| {
            for head in tables.live_heads(space)? {
                let memory = head.memory.expect("these are the live ones");
                *counts.kinds.entry(memory.kind.clone()).or_default() += 1;
            }
            let dead = tables.heads.values().filter(|head| head.space == *space && head.image.is_none());
            counts.tombstones = dead.count() as u64;
            let relations = tables.relations.values().filter(|head| head.relation.space == *space);
            for head in relations.filter(|head| head.state.is_some()) {
                *counts.relation_types.entry(head.relation.kind.clone()).or_default() += 1;
            }
            let unfinished = tables.unfinished.iter().filter_map(|position| tables.sagas.get(position));
            let own = unfinished.filter(|saga| saga.row.header.as_ref().is_some_and(|h| h.space == *space));
            counts.unfinished = own.count() as u64;
            Ok(counts)
        })
    }

    async fn history(&self, memory: Key, before: Option<Version>, limit: usize) -> Result<Vec<Past>, Error> {
        let mut pasts = self.read(|tables| tables.pasts(memory))?;
        pasts.retain(|past| before.is_none_or(|before| past.head.version < before));
        pasts.truncate(limit);
        Ok(pasts)
    }

    async fn as_of(&self, space: &Space, memory: Key, at: Timestamp) -> Result<AsOf, Error> {
        let (pasts, whole_since) =
            self.read(|tables| (tables.pasts(memory), tables.history_since.get(space).copied().flatten()));
        let stood = |past: &Past| past.head.updated_at <= at && past.until.is_none_or(|until| at < until);
        Ok(AsOf { past: pasts?.into_iter().find(stood), whole_since })
    }

    async fn head_at_rest(&self, memory: Key) -> Result<Option<Head>, Error> {
        self.read(|tables| {
            let Some(row) = tables.heads.get(&memory) else { return Ok(None) };
            let unfinished = tables.unfinished.iter().filter_map(|position| tables.sagas.get(position));
            let mut headers = unfinished.filter_map(|saga| saga.row.header.as_ref());
            let at_rest = !headers.any(|header| header.space == row.space);
            at_rest.then(|| tables.head(row)).transpose()
        })
    }

    async fn history_since(&self, space: &Space) -> Result<Option<Timestamp>, Error> {
        Ok(self.read(|tables| tables.history_since.get(space).copied().flatten()))
    }
}
