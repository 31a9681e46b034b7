//! What a memory was: its versions, and the one that stood at a time.
//!
//! ```text
//!            put            patch                delete     put
//!   ──────────┬───────────────┬───────────────────┬──────────┬──────────▶ the ledger's time
//!   (nothing) │ version 1     │ version 2         │ (none)   │ version 4
//! ```
//!
//! The time is that at which the ledger decided each write, the `updated_at` of the memory: a
//! version stood from its own until the next one's. It is not the validity that the memory claims
//! (`valid_from`, `valid_until`), which is content like any other.

use crate::{
    ledger::{
        Head, SagaRow,
        questions::{AsOf, Past},
    },
    model::{
        Effect, MemoryId, PartitionId, Phase, Position, Space, Timestamp, Version,
        conflict::memory_key,
        outcome::{CommandName, RecordName},
    },
};

use super::{Answer, Demand, Error, Provenance, Reader, Scope};

/// One version of a memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The memory as it stood, and until when.
    pub past: Past,
    /// What the command did to it.
    pub effect: Effect,
    /// Where the command stands in the log; `None`: that is not known any more.
    pub position: Option<Position>,
    /// The command; `None`: its row is not there any more.
    pub command: Option<CommandName>,
}

/// A part of a memory's history.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// Below which version the next part begins; `None`: this was the last.
    pub next: Option<Version>,
    /// Since when the space keeps every version; `None`: it keeps none.
    pub whole_since: Option<Timestamp>,
}

/// What a memory was at a time.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// It stood so.
    Was(Box<Head>),
    /// There was none.
    WasNot,
    /// What there was is not kept; the space's history is whole since then, if it keeps any.
    NotKept(Option<Timestamp>),
}

impl Reader {
    /// The versions of a memory below `before`, newest first, at most `limit`: what stands, and what
    /// stood where the space keeps its history. `None`: nothing is known of such a memory.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer or the demand is not met in time.
    pub async fn history(
        &self,
        space: &Space,
        id: &MemoryId,
        before: Option<Version>,
        limit: usize,
        demand: Demand,
    ) -> Result<Answer<Option<History>>, Error> {
        let scope = Scope::Memory(space, id);
        self.meet(demand, scope).await?;
        let pending = self.pending(scope).await?.count;
        let limit = limit.clamp(1, self.options.limit_max);
        let whole_since = self.ports.ledger.history_since(space).await?;
        // One more than asked for: whether there is a next part, and what the last one replaced.
        let pasts = self.ports.ledger.history(memory_key(space, id), before, limit + 1).await?;
        let provenance = Provenance::current(None, pending);
        let partition = self.partition_of(space).await?;
        let mut entries = Vec::with_capacity(limit);
        for (index, past) in pasts.iter().enumerate().take(limit) {
            let older = pasts.get(index + 1);
            if is_no_change(past, older) {
                continue;
            }
            entries.push(self.entry(past, older, partition).await?);
        }
        if entries.is_empty() && before.is_none() {
            return Ok(Answer { value: None, provenance });
        }
        let next = pasts.get(limit).and_then(|_| pasts.get(limit - 1)).map(|past| past.head.version);
        Ok(Answer { value: Some(History { entries, next, whole_since }), provenance })
    }

    /// What a memory was at a time.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer or the demand is not met in time.
    pub async fn as_of(
        &self,
        space: &Space,
        id: &MemoryId,
        at: Timestamp,
        demand: Demand,
    ) -> Result<Answer<Then>, Error> {
        let scope = Scope::Memory(space, id);
        self.meet(demand, scope).await?;
        let pending = self.pending(scope).await?.count;
        let AsOf { past, whole_since } = self.ports.ledger.as_of(space, memory_key(space, id), at).await?;
        let version = past.as_ref().filter(|past| past.head.memory.is_some()).map(|past| past.head.version);
        let value = match past {
            Some(past) if past.head.memory.is_some() => Then::Was(Box::new(past.head)),
            Some(_) => Then::WasNot,
            None if whole_since.is_some_and(|since| since <= at) => Then::WasNot,
            None => match self.ports.ledger.heads(&[(space.clone(), id.clone())]).await?.is_empty() {
                true => Then::WasNot,
                false => Then::NotKept(whole_since),
            },
        };
        Ok(Answer { value, provenance: Provenance::current(version, pending) })
    }

    async fn entry(
        &self,
        past: &Past,
        older: Option<&Past>,
        partition: Option<PartitionId>,
    ) -> Result<Entry, Error> {
        let position = past.written_by.or_else(|| deleted_at(past.head.version, partition));
        let row = match position {
            Some(position) => self.ports.ledger.saga(position).await?,
            None => None,
        };
        let told = row.as_ref().and_then(|row| told_effect(row, &past.head.id));
        let effect = told.unwrap_or_else(|| seen_effect(past, older));
        let command = row.and_then(|row| row.header).map(|header| CommandName {
            id: header.id,
            source: header.source,
            kind: header.kind,
        });
        Ok(Entry { past: past.clone(), effect, position, command })
    }
}

/// The undo of a creation leaves a tombstone of what never was.
fn is_no_change(past: &Past, older: Option<&Past>) -> bool {
    let undone = matches!(past.head.version.phase(), Phase::Undo | Phase::RecoveredUndo);
    past.head.memory.is_none() && older.is_none() && undone
}

/// A tombstone's command stands where its version says, unless an undo has raised that since.
fn deleted_at(version: Version, partition: Option<PartitionId>) -> Option<Position> {
    let partition = partition.filter(|partition| partition.epoch == version.epoch)?;
    (version.phase() == Phase::Forward).then(|| partition.at(version.offset()))
}

/// What the command's own outcome says that it did to this memory.
fn told_effect(row: &SagaRow, id: &MemoryId) -> Option<Effect> {
    let records = &row.ending.as_ref()?.records;
    let own = records.iter().rev().find(|one| matches!(&one.record, RecordName::Memory(name) if name == id));
    own.map(|one| one.effect)
}

/// What it did, as far as the versions beside it tell.
fn seen_effect(past: &Past, older: Option<&Past>) -> Effect {
    match (&past.head.memory, older.and_then(|older| older.head.memory.as_ref())) {
        (None, _) => Effect::Deleted,
        (Some(_), Some(_)) => Effect::Replaced,
        (Some(_), None) => Effect::Created,
    }
}
