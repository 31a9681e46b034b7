//! A small world for the promises: one space, one partition, memories and the sagas that write them.

use std::sync::Arc;

use crate::{
    ledger::{
        EpochRow, HeadWrite, ImagePointer, Lease, Ledger, MemoryWrite, Plan, RelationHeadWrite,
        RelationState, RelationWrite, SagaRow, Transaction, Transition,
    },
    model::{
        Code, ConflictKey, Digest, Header, Key, Memory, MemoryId, Name, PartitionId, Phase, Relation,
        RelationKey, Space, Sparse, State, Timestamp, Version,
        command::Trace,
        conflict::{Access, space_key},
        memory::{Properties, tombstone_hash},
        outcome::{Ending, Verdict},
        space::Judgement,
    },
};

pub(crate) const PARTITION: PartitionId = PartitionId { epoch: 1, partition: 3 };
pub(crate) const OWNER: u128 = u128::MAX - 6;

pub(crate) fn epoch() -> EpochRow {
    EpochRow { epoch: 1, identity: "topic-1".to_owned(), partitions: 4, partitioner: "murmur2".to_owned() }
}

/// Opens the epoch and takes the partition.
pub(crate) async fn own(ledger: &dyn Ledger) -> Lease {
    ledger.open_epoch(&epoch()).await.unwrap();
    ledger.acquire(PARTITION, OWNER).await.unwrap()
}

pub(crate) async fn begin(ledger: &dyn Ledger) -> Box<dyn Transaction> {
    let lease = own(ledger).await;
    ledger.transaction(&lease).await.unwrap()
}

pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + micros)
}

pub(crate) fn space() -> Space {
    Space::new("acme").unwrap()
}

pub(crate) fn id(text: &str) -> MemoryId {
    MemoryId::new(text).unwrap()
}

pub(crate) fn version(offset: u64, phase: Phase) -> Version {
    PARTITION.at(offset).version(phase)
}

/// A memory with something in every field.
pub(crate) fn memory(content: &str) -> Arc<Memory> {
    let sparse =
        Sparse { indices: Arc::from([7, 4_000_000_000]), values: Arc::from([0.5, 0.1]), derived: true };
    let nested = serde_json::json!({"z": [0.1, 1e300, -7], "a": "ü"});
    Arc::new(Memory {
        kind: Name::new("Episode").unwrap(),
        content: content.to_owned(),
        properties: Properties::from_iter([("n".to_owned(), nested), ("x".to_owned(), 0.3.into())]),
        session: Some("s-42".to_owned()),
        importance: 0.1 + 0.2,
        dense: Some(Arc::from([0.1, -2.5, f32::MIN_POSITIVE])),
        sparse: Some(sparse),
        occurred_at: at(1),
        valid_from: at(2),
        valid_until: Some(at(3)),
    })
}

pub(crate) fn relation_key(source: &str, target: &str) -> RelationKey {
    RelationKey {
        space: space(),
        source: id(source),
        kind: Name::new("CAUSES").unwrap(),
        target: id(target),
        discriminator: "d".to_owned(),
    }
}

pub(crate) fn relation(weight: f64) -> Relation {
    Relation {
        weight,
        properties: Properties::from_iter([("why".to_owned(), "because".into())]),
        valid_from: at(4),
        valid_until: None,
        used_at: at(5),
    }
}

pub(crate) fn ending(verdict: Verdict, code: Code) -> Ending {
    Ending { verdict, code, errors: Vec::new(), records: Vec::new(), counts: [("n".to_owned(), 2)].into() }
}

pub(crate) fn claim(name: &str) -> Key {
    Key::of(&["acme", "/agents/ada", name])
}

/// A saga that waits.
pub(crate) fn pending(offset: u64) -> SagaRow {
    let header = Header {
        id: format!("c-{offset}"),
        claims: true,
        source: "/agents/ada".to_owned(),
        space: space(),
        kind: "engraft.memory.put.v1".to_owned(),
        time: at(6),
        expires_at: Some(at(7)),
        trace: Trace { correlation_id: Some("run-1".to_owned()), ..Trace::default() },
    };
    SagaRow {
        offset,
        header: Some(header),
        claims: true,
        body_hash: Digest::of(&offset.to_le_bytes()),
        duplicate_of: None,
        accepted_at: at(8),
        judgement: Judgement { quota: Some(10), text: true, ..Judgement::default() },
        keys: vec![ConflictKey { key: space_key(&space()), access: Access::Shared }],
        body: Some(Arc::from(*b"{}")),
        state: State::Pending,
        plan: None,
        ending: None,
        finish: 0,
        finished_at: None,
        dead_letter: false,
        attempts: 0,
    }
}

pub(crate) fn write(name: &str, after: Option<Arc<Memory>>) -> MemoryWrite {
    let hash = after.as_ref().map_or_else(tombstone_hash, |memory| memory.hash());
    MemoryWrite { id: id(name), hash, vector: after.is_some(), after }
}

pub(crate) fn plan(memories: Vec<MemoryWrite>) -> Plan {
    let relations = vec![
        RelationWrite { relation: relation_key("a", "b"), after: Some(relation(0.1 + 0.7)) },
        RelationWrite { relation: relation_key("b", "a"), after: None },
    ];
    Plan { memories, relations, touched: vec![id("t")], now: at(9) }
}

/// A saga that runs with this plan.
pub(crate) fn running(offset: u64, plan: Plan) -> SagaRow {
    let ending = Some(ending(Verdict::Committed, Code::Ok));
    SagaRow { state: State::Running, plan: Some(plan), ending, body: None, ..pending(offset) }
}

/// A saga that runs and writes one memory, or deletes it.
pub(crate) fn put(offset: u64, name: &str, content: Option<&str>) -> SagaRow {
    running(offset, plan(vec![write(name, content.map(memory))]))
}

/// A move without news.
pub(crate) fn step(offset: u64, from: State, to: State) -> Transition {
    Transition { offset, from, to, plan: None, ending: None, finish: 0, finished_at: None }
}

/// The head that a saga's forward write makes.
pub(crate) fn forward(offset: u64, name: &str, content: Option<&str>) -> HeadWrite {
    HeadWrite {
        space: space(),
        id: id(name),
        version: version(offset, Phase::Forward),
        image: ImagePointer::Forward { after: content.map(memory) },
        finish: 1,
        at: at(i64::try_from(offset).unwrap()),
    }
}

/// The head that a saga's undo makes.
pub(crate) fn undo(offset: u64, name: &str) -> HeadWrite {
    let version = version(offset, Phase::Undo);
    HeadWrite { version, image: ImagePointer::Untouched, ..forward(offset, name, None) }
}

pub(crate) fn relation_head(offset: u64, relation: RelationKey, state: RelationState) -> RelationHeadWrite {
    let version = version(offset, Phase::Forward);
    RelationHeadWrite { relation, version, state, finish: 1, at: at(10) }
}

/// Begins and finishes, in two transactions, sagas that each write (or delete) one memory.
pub(crate) async fn commit(ledger: &dyn Ledger, puts: &[(u64, &str, Option<&str>)]) {
    let mut begin_ = begin(ledger).await;
    let rows: Vec<SagaRow> =
        puts.iter().map(|(offset, name, content)| put(*offset, name, *content)).collect();
    begin_.insert_sagas(&rows).await.unwrap();
    begin_.commit().await.unwrap();
    let mut finish = begin(ledger).await;
    let number = finish.partition().finishes + 1;
    let offsets: Vec<u64> = puts.iter().map(|(offset, ..)| *offset).collect();
    let end = |offset: &u64| Transition {
        finish: number,
        finished_at: Some(at(20)),
        ..step(*offset, State::Running, State::Committed)
    };
    let moved = finish.transition(&offsets.iter().map(end).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(moved, offsets);
    let heads: Vec<HeadWrite> =
        puts.iter().map(|(offset, name, content)| forward(*offset, name, *content)).collect();
    finish.write_heads(&heads).await.unwrap();
    finish.finished(number, &offsets, at(20)).await.unwrap();
    finish.commit().await.unwrap();
}

/// One head, if it is there.
pub(crate) async fn head(ledger: &dyn Ledger, name: &str) -> Option<crate::ledger::Head> {
    ledger.heads(&[(space(), id(name))]).await.unwrap().pop()
}
