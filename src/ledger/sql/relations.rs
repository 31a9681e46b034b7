//! Relation heads, which hold their content themselves.

use std::collections::{BTreeSet, HashMap};

use super::{
    codec,
    driver::{Database, Session},
    rows, statements as sql,
    transaction::{SqlTransaction, number_of},
    values::{Put, binds, integer, key_list, texts, word_list},
};
use crate::{
    ledger::{Error, RelationHead, RelationHeadWrite, RelationState, RelationsOf},
    model::{Key, Relation, RelationKey, Space, Timestamp, conflict::memory_key, memory::tombstone_hash},
};

/// Relation heads, tombstones included, in the order asked.
pub(super) async fn relations(
    session: &mut impl Session,
    relations: &[RelationKey],
) -> Result<Vec<RelationHead>, Error> {
    let keys: Vec<Key> = relations.iter().map(RelationKey::key).collect();
    let mut found = HashMap::new();
    for row in session.rows(sql::RELATIONS, binds!(key_list(keys.iter()))).await? {
        let (key, head, _) = rows::relation(&row)?;
        found.insert(key, head);
    }
    Ok(keys.iter().filter_map(|key| found.get(key)).cloned().collect())
}

/// Live relations by what they hang on: one list a question, by rising key.
pub(super) async fn relations_of(
    session: &mut impl Session,
    questions: &[RelationsOf],
) -> Result<Vec<Vec<RelationHead>>, Error> {
    let of_memories = of_memories(session, questions).await?;
    let of_sessions = of_sessions(session, questions).await?;
    let answer = |question: &RelationsOf| -> Vec<RelationHead> {
        match question {
            RelationsOf::Memory(space, id) => {
                let hangs = |head: &&RelationHead| head.relation.space == *space && head.relation.touches(id);
                of_memories.iter().filter(hangs).cloned().collect()
            }
            RelationsOf::Session(space, name) => {
                let hangs = |(head, of): &&(RelationHead, Option<String>)| {
                    head.relation.space == *space && of.as_ref() == Some(name)
                };
                of_sessions.iter().filter(hangs).map(|(head, _)| head.clone()).collect()
            }
        }
    };
    Ok(questions.iter().map(answer).collect())
}

async fn of_memories(
    session: &mut impl Session,
    questions: &[RelationsOf],
) -> Result<Vec<RelationHead>, Error> {
    let memory = |question: &RelationsOf| match question {
        RelationsOf::Memory(space, id) => Some(memory_key(space, id)),
        RelationsOf::Session(..) => None,
    };
    let keys: Vec<Key> = questions.iter().filter_map(memory).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let found = session.rows(sql::RELATIONS_OF_MEMORIES, binds!(key_list(keys.iter()))).await?;
    found.iter().map(|row| Ok(rows::relation(row)?.1)).collect()
}

async fn of_sessions(
    session: &mut impl Session,
    questions: &[RelationsOf],
) -> Result<Vec<(RelationHead, Option<String>)>, Error> {
    let (mut spaces, mut sessions) = (BTreeSet::new(), BTreeSet::new());
    for question in questions {
        if let RelationsOf::Session(space, name) = question {
            spaces.insert(space.as_str());
            sessions.insert(name.as_str());
        }
    }
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let binds = binds!(texts(spaces.into_iter()), word_list(sessions.into_iter()));
    let found = session.rows(sql::RELATIONS_OF_SESSIONS, binds).await?;
    found.iter().map(|row| rows::relation(row).map(|(_, head, session)| (head, session))).collect()
}

impl<D: Database> SqlTransaction<D> {
    pub(super) async fn write_all_relations(&mut self, writes: &[RelationHeadWrite]) -> Result<(), Error> {
        let numbers = self.space_numbers(writes.iter().map(|write| &write.relation.space)).await?;
        let (mut forward, mut raised) = (Vec::with_capacity(writes.len()), Vec::new());
        for write in writes {
            match &write.state {
                RelationState::Forward(after) => forward.push((write, after.as_ref())),
                RelationState::Untouched => raised.push(write),
            }
        }
        let session = &mut self.writer;
        let bind = |binds: &mut _, (write, after): &(&RelationHeadWrite, Option<&Relation>)| {
            bind_key(binds, write, &numbers);
            bind_hash(binds, *after);
            bind_state(binds, *after);
        };
        session.write(sql::WRITE_RELATIONS, &forward, bind).await?;
        let bind = |binds: &mut _, write: &&RelationHeadWrite| {
            bind_key(binds, write, &numbers);
            bind_hash(binds, None);
        };
        session.write(sql::RAISE_RELATIONS, &raised, bind).await
    }
}

fn bind_key(binds: &mut impl Put, write: &RelationHeadWrite, spaces: &HashMap<Space, i64>) {
    let relation = &write.relation;
    binds
        .add(relation.key().0.as_slice())
        .add(number_of(spaces, &relation.space))
        .add(relation.source.as_str())
        .add(relation.kind.as_str())
        .add(relation.target.as_str())
        .add(relation.discriminator.as_str())
        .add(memory_key(&relation.space, &relation.source).0.as_slice())
        .add(memory_key(&relation.space, &relation.target).0.as_slice())
        .add(write.version.epoch)
        .add(integer(write.version.sequence));
}

fn bind_hash(binds: &mut impl Put, state: Option<&Relation>) {
    binds.add(state.map_or_else(tombstone_hash, Relation::hash).0.as_slice());
}

fn bind_state(binds: &mut impl Put, state: Option<&Relation>) {
    binds
        .add(state.map(|relation| relation.weight))
        .add(state.map(|relation| codec::json(&relation.properties)))
        .add(state.map(|relation| relation.valid_from.as_micros()))
        .add(state.and_then(|relation| relation.valid_until).map(Timestamp::as_micros))
        .add(state.map(|relation| relation.used_at.as_micros()));
}
