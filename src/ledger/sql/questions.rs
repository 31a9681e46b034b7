//! Readers' questions: each a statement over an index that it names.
//!
//! The indexes are named in the texts where the database lets us, so that no statistics that it
//! gathers can turn a bounded question into a walk over a table.

use async_trait::async_trait;

use super::{
    SqlLedger,
    cells::Cells,
    driver::Database,
    rows, sagas, statements as sql,
    values::{Binds, binds, integer, integers, texts, words},
};
use crate::{
    ledger::{
        Error, Head, RelationHead, SagaRow,
        questions::{
            AsOf, CommandsQuestion, Counts, LOOKED_AT_MAX, Part, Past, Questions, REACHED_MAX, Selection,
            Steps,
        },
    },
    model::{Key, MemoryId, Name, PartitionId, Space, State, Timestamp, Version},
};

/// Rows that one part of a list looks at: so few in tests that every list of theirs goes on over several.
const WINDOW: usize = if cfg!(test) { 2 } else { LOOKED_AT_MAX };

/// Memories that are reached at once: so few in tests that some walks of theirs must go hop by hop.
const REACHED: usize = if cfg!(test) { 12 } else { REACHED_MAX };

/// Every state's number.
const STATES: [State; 6] = [
    State::Pending,
    State::Running,
    State::Compensating,
    State::Committed,
    State::Compensated,
    State::Failed,
];

/// What a row of the counts is about.
const KINDS: i64 = 0;
const RELATION_TYPES: i64 = 1;
const DEAD_RELATION_TYPES: i64 = 2;

#[expect(private_bounds, reason = "a ledger is public, how it reaches its database is not")]
impl<D: Database> SqlLedger<D> {
    async fn heads_by(&self, statement: &'static str, binds: Binds) -> Result<Vec<Head>, Error> {
        let rows = self.rows(statement, binds).await?;
        rows.iter().map(|row| Ok(rows::head(row)?.1)).collect()
    }

    /// Those of one kind among the next so many heads.
    async fn list_kind(
        &self,
        space: &Space,
        kind: &Name,
        after: &str,
        limit: usize,
    ) -> Result<Part<Head, MemoryId>, Error> {
        let window = integer(WINDOW as u64 - 1);
        let until = self.row(sql::LIST_KIND_UNTIL, binds!(space.as_str(), after, window)).await?;
        let until: Option<MemoryId> = until.map(|row| Cells::of(&row, "head").name()).transpose()?;
        let binds = binds!(
            space.as_str(),
            kind.as_str(),
            after,
            until.as_ref().map(MemoryId::as_str),
            integer(limit as u64 + 1),
        );
        let mut found = self.heads_by(sql::LIST_KIND, binds).await?;
        let next = cut(&mut found, limit).or(until);
        Ok(Part { found, next })
    }

    /// How far a list of commands looks, beyond `after`; `None`: to the end.
    async fn looks_until(
        &self,
        statement: &'static str,
        partition: PartitionId,
        after: i64,
    ) -> Result<Option<u64>, Error> {
        let window = integer(WINDOW as u64 - 1);
        let binds = binds!(partition.epoch, partition.partition, after, window);
        let row = self.row(statement, binds).await?;
        row.map(|row| Cells::of(&row, "saga").number()).transpose()
    }
}

/// Leaves `limit` of a list that was asked for one more; where the next part begins, if it had one.
fn cut(found: &mut Vec<Head>, limit: usize) -> Option<MemoryId> {
    let more = found.len() > limit;
    found.truncate(limit);
    found.last().filter(|_| more).map(|head| head.id.clone())
}

#[async_trait]
impl<D: Database> Questions for SqlLedger<D> {
    async fn list_of(
        &self,
        space: &Space,
        of: &Selection,
        after: Option<&MemoryId>,
        limit: usize,
    ) -> Result<Part<Head, MemoryId>, Error> {
        let (limit, after) = (limit.max(1), after.map_or("", MemoryId::as_str));
        let one_more = integer(limit as u64 + 1);
        let mut found = match (&of.session, &of.kind) {
            (Some(session), kind) => {
                let kind = kind.as_ref().map(Name::as_str);
                let binds = binds!(space.as_str(), words(session), kind, after, one_more);
                self.heads_by(sql::LIST_SESSION, binds).await?
            }
            (None, Some(kind)) => return self.list_kind(space, kind, after, limit).await,
            (None, None) => self.heads_by(sql::LIST_HEADS, binds!(space.as_str(), after, one_more)).await?,
        };
        let next = cut(&mut found, limit);
        Ok(Part { found, next })
    }

    async fn count_of(&self, space: &Space, of: &Selection) -> Result<u64, Error> {
        let kind = of.kind.as_ref().map(Name::as_str);
        let row = match (&of.session, kind) {
            (Some(session), kind) => {
                self.row(sql::COUNT_SESSION, binds!(space.as_str(), words(session), kind)).await?
            }
            (None, Some(kind)) => self.row(sql::COUNT_KIND, binds!(space.as_str(), kind)).await?,
            (None, None) => self.row(sql::COUNT_ALL, binds!(space.as_str())).await?,
        };
        row.map_or(Ok(0), |row| Cells::of(&row, "head").number())
    }

    async fn commands(&self, question: &CommandsQuestion) -> Result<Part<SagaRow, u64>, Error> {
        let CommandsQuestion { space, partition, states, newest_first, after, limit } = question;
        let limit = (*limit).max(1);
        let states = if states.is_empty() { STATES.as_slice() } else { states };
        let states = integers(states.iter().map(|state| i64::from(*state as u8)));
        let after = after.map_or(if *newest_first { i64::MAX } else { -1 }, integer);
        let (statement, until) = match (question.is_unfinished(), newest_first) {
            (true, false) => (sql::UNFINISHED_RISING, None),
            (true, true) => (sql::UNFINISHED_FALLING, None),
            (false, false) => (sql::COMMANDS_RISING, Some(sql::COMMANDS_RISING_UNTIL)),
            (false, true) => (sql::COMMANDS_FALLING, Some(sql::COMMANDS_FALLING_UNTIL)),
        };
        let until = match until {
            Some(until) => self.looks_until(until, *partition, after).await?,
            None => None,
        };
        let binds = binds!(
            partition.epoch,
            partition.partition,
            space.as_str(),
            states,
            after,
            integer(limit as u64 + 1),
            until.map(integer),
        );
        let rows = self.rows(statement, binds).await?;
        let offsets = rows.iter().map(|row| Cells::of(row, "saga").number());
        let mut wanted = offsets.collect::<Result<Vec<u64>, Error>>()?;
        let more = wanted.len() > limit;
        wanted.truncate(limit);
        let next = wanted.last().copied().filter(|_| more).or(until);
        let mut found = sagas::sagas(&mut self.reader().await?, *partition, &wanted).await?;
        found.sort_by_key(|saga| saga.offset);
        if *newest_first {
            found.reverse();
        }
        Ok(Part { found, next })
    }

    async fn counts(&self, space: &Space) -> Result<Counts, Error> {
        let mut counts = Counts::default();
        for row in self.rows(sql::COUNTS, binds!(space.as_str())).await? {
            let mut cells = Cells::of(&row, "head, relation, saga");
            let about: i64 = cells.get()?;
            let name: Option<&str> = cells.get()?;
            let unreadable = |_| Error::Corrupt("a kind or type is no name".to_owned());
            let name = name.map(Name::new).transpose().map_err(unreadable)?;
            let count = cells.number()?;
            match (about, name) {
                (KINDS, Some(kind)) => drop(counts.kinds.insert(kind, count)),
                (KINDS, None) => counts.tombstones = count,
                (RELATION_TYPES, Some(kind)) => drop(counts.relation_types.insert(kind, count)),
                // Each type comes with all of its relations before it comes with the dead ones.
                (DEAD_RELATION_TYPES, Some(kind)) => {
                    counts.relation_types.entry(kind).and_modify(|all| *all -= count);
                }
                _ => counts.unfinished = count,
            }
        }
        counts.relation_types.retain(|_, live| *live > 0);
        Ok(counts)
    }

    async fn history(&self, memory: Key, before: Option<Version>, limit: usize) -> Result<Vec<Past>, Error> {
        let (epoch, sequence) = before
            .map_or((i64::MAX, i64::MAX), |version| (i64::from(version.epoch), integer(version.sequence)));
        let binds = binds!(memory.0.as_slice(), epoch, sequence, integer(limit as u64));
        self.rows(sql::HISTORY, binds).await?.iter().map(rows::past).collect()
    }

    async fn as_of(&self, space: &Space, memory: Key, at: Timestamp) -> Result<AsOf, Error> {
        // The mark first: it moves only when history is switched off, and then what was kept stays.
        let whole_since = self.history_since(space).await?;
        let row = self.row(sql::AS_OF, binds!(memory.0.as_slice(), at.as_micros())).await?;
        Ok(AsOf { past: row.as_ref().map(rows::past).transpose()?, whole_since })
    }

    async fn head_at_rest(&self, memory: Key) -> Result<Option<Head>, Error> {
        let row = self.row(sql::HEAD_AT_REST, binds!(memory.0.as_slice())).await?;
        row.map(|row| Ok(rows::head(&row)?.1)).transpose()
    }

    async fn reach(
        &self,
        memory: Key,
        steps: &Steps,
        depth: u32,
    ) -> Result<Option<Vec<RelationHead>>, Error> {
        // Whether any step leads a way, and over which types; to the statement an empty list is any.
        let leads = |types: &Option<Vec<Name>>| types.as_ref().is_none_or(|types| !types.is_empty());
        let list = |types: &Option<Vec<Name>>| texts(types.iter().flatten().map(Name::as_str));
        let (most, Steps { out, back }) = (integer(REACHED as u64 + 1), steps);
        let key = memory.0.as_slice();
        let binds = binds!(key, depth, most, leads(out), list(out), leads(back), list(back));
        let rows = self.rows(sql::REACH, binds).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let (_, relation, reached) = rows::relation(row)?;
            if reached.and_then(|count| count.parse::<usize>().ok()).is_none_or(|count| count > REACHED) {
                return Ok(None);
            }
            found.push(relation);
        }
        found.dedup_by(|a, b| a.relation == b.relation);
        Ok(Some(found))
    }

    async fn history_since(&self, space: &Space) -> Result<Option<Timestamp>, Error> {
        let Some(row) = self.row(sql::HISTORY_SINCE, binds!(space.as_str())).await? else { return Ok(None) };
        let since: Option<i64> = Cells::of(&row, "space").get()?;
        Ok(since.map(Timestamp::from_micros))
    }
}
