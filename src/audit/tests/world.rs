//! A small world for the audit's tests: ten memories and nine relations, committed as sagas, and a
//! vector store that holds what the heads say.

use std::sync::Arc;

use serde_json::json;

use crate::{
    audit::{Options, Ports, Report, run},
    ledger::{
        EpochRow, HeadWrite, ImagePointer, Lease, Ledger, MemoryWrite, Plan, RelationHeadWrite,
        RelationState, RelationWrite, SagaRow, Transition,
    },
    log::CommandLog,
    model::{
        Code, Declaration, Digest, Header, Memory, MemoryId, Name, PartitionId, Phase, Relation, RelationKey,
        Space, Sparse, State, Timestamp, Version,
        command::Trace,
        conflict::{Access, ConflictKey},
        memory::{Properties, tombstone_hash},
        outcome::{Ending, Verdict},
        space::Judgement,
    },
    vector,
};

/// How many memories there are.
pub(super) const MEMORIES: usize = 10;
/// The one partition.
pub(super) const PARTITION: PartitionId = PartitionId { epoch: 1, partition: 0 };

/// A ledger and a vector store, with what was committed to them.
pub(super) struct World<V> {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) vectors: Arc<V>,
    lease: Lease,
    offset: u64,
    finishes: u64,
}

pub(super) fn space() -> Space {
    Space::new("acme").expect("a space")
}

pub(super) fn id(number: usize) -> MemoryId {
    MemoryId::new(format!("m-{number}")).expect("an id")
}

pub(super) fn memory(number: usize) -> Memory {
    let properties = json!({"turn": number, "score": 0.1, "whole": {"kept": [1]}, "tags": ["a", "b"]});
    #[expect(clippy::cast_precision_loss, reason = "numbers below a hundred")]
    let n = number as f32;
    Memory {
        kind: Name::new("Episode").expect("a name"),
        content: format!("the content of memory {number}"),
        properties: properties.as_object().cloned().unwrap_or_else(Properties::new),
        session: Some("s-1".to_owned()),
        importance: 0.5,
        dense: Some(Arc::from([1.0 + n, 2.0, 3.0, -4.0])),
        sparse: Some(Sparse { indices: [3, 70].into(), values: [0.5, 1.0 + n].into(), derived: true }),
        occurred_at: Timestamp::from_micros(1),
        valid_from: Timestamp::from_micros(2),
        valid_until: None,
    }
}

pub(super) fn relation_key(number: usize) -> RelationKey {
    RelationKey {
        space: space(),
        source: id(number),
        kind: Name::new("CAUSES").expect("a name"),
        target: id(number + 1),
        discriminator: String::new(),
    }
}

pub(super) fn relation() -> Relation {
    Relation {
        weight: 0.25,
        properties: Properties::new(),
        valid_from: Timestamp::from_micros(2),
        valid_until: None,
        used_at: Timestamp::from_micros(3),
    }
}

/// A plan that writes this memory; `None`: deletes it.
pub(super) fn writes(number: usize, after: Option<Memory>) -> Plan {
    let hash = after.as_ref().map_or_else(tombstone_hash, Memory::hash);
    let write = MemoryWrite { id: id(number), after: after.map(Arc::new), hash, vector: true };
    Plan { memories: vec![write], ..Plan::default() }
}

fn relates(number: usize) -> Plan {
    let write = RelationWrite { relation: relation_key(number), after: Some(relation()) };
    Plan { relations: vec![write], ..Plan::default() }
}

fn ending(verdict: Verdict) -> Ending {
    let (records, counts) = (Vec::new(), std::collections::BTreeMap::new());
    Ending { verdict, code: Code::Ok, errors: Vec::new(), records, counts }
}

fn row(offset: u64, plan: &Plan) -> SagaRow {
    let memories = plan.memories.iter().map(|w| ConflictKey::memory(&space(), &w.id, Access::Exclusive));
    let relations = plan.relations.iter().map(|w| ConflictKey::relation(&w.relation, Access::Exclusive));
    SagaRow {
        offset,
        header: Some(Header {
            id: format!("c-{offset}"),
            claims: true,
            source: String::new(),
            space: space(),
            kind: "engraft.memory.put.v1".to_owned(),
            time: Timestamp::from_micros(1),
            expires_at: None,
            trace: Trace::default(),
        }),
        claims: true,
        body_hash: Digest::of(b"body"),
        duplicate_of: None,
        accepted_at: Timestamp::from_micros(1),
        judgement: Judgement::default(),
        keys: memories.chain(relations).collect(),
        body: None,
        state: State::Running,
        plan: Some(plan.clone()),
        ending: Some(ending(Verdict::Committed)),
        finish: 0,
        finished_at: None,
        dead_letter: false,
        attempts: 0,
    }
}

impl<V: vector::Project + vector::Read + 'static> World<V> {
    /// Ten memories, each related to the next, in both stores.
    pub(super) async fn new(ledger: Arc<dyn Ledger>, vectors: V) -> Self {
        let epoch = EpochRow {
            epoch: 1,
            identity: "log".to_owned(),
            partitions: 1,
            partitioner: "murmur2_random".to_owned(),
        };
        ledger.open_epoch(&epoch).await.expect("opened");
        let lease = ledger.acquire(PARTITION, 7).await.expect("acquired");
        let mut transaction = ledger.transaction(&lease).await.expect("begun");
        let declaration = Declaration { dimension: Some(4), ..Declaration::default() };
        transaction.declare(&[(space(), declaration)]).await.expect("declared");
        transaction.commit().await.expect("committed");
        let mut world = Self { ledger, vectors: Arc::new(vectors), lease, offset: 0, finishes: 0 };
        for number in 0..MEMORIES {
            world.commit(&writes(number, Some(memory(number)))).await;
        }
        for number in 0..MEMORIES - 1 {
            world.commit(&relates(number)).await;
        }
        world
    }

    /// Begins a saga and tells the vector store nothing; answers its forward version.
    pub(super) async fn begin(&mut self, plan: &Plan) -> Version {
        let offset = self.offset;
        self.offset += 1;
        let mut transaction = self.ledger.transaction(&self.lease).await.expect("begun");
        transaction.insert_sagas(&[row(offset, plan)]).await.expect("inserted");
        transaction.advance(self.offset, None).await.expect("advanced");
        transaction.commit().await.expect("committed");
        PARTITION.at(offset).version(Phase::Forward)
    }

    /// Ends a saga that began, at this version: forward, or as the undo of it.
    pub(super) async fn finish(&mut self, plan: &Plan, version: Version) {
        let undo = version.phase() == Phase::Undo;
        self.finishes += 1;
        let (finish, at) = (self.finishes, Timestamp::from_micros(5));
        let mut transaction = self.ledger.transaction(&self.lease).await.expect("begun");
        let (to, verdict) = if undo {
            (State::Compensated, Verdict::Compensated)
        } else {
            (State::Committed, Verdict::Committed)
        };
        let step = Transition {
            offset: version.offset(),
            from: State::Running,
            to,
            plan: None,
            ending: Some(ending(verdict)),
            finish,
            finished_at: Some(at),
        };
        assert_eq!(transaction.transition(&[step]).await.expect("moved"), [version.offset()]);
        let head = |write: &MemoryWrite| HeadWrite {
            space: space(),
            id: write.id.clone(),
            version,
            image: if undo {
                ImagePointer::Untouched
            } else {
                ImagePointer::Forward { after: write.after.clone() }
            },
            finish,
            at,
        };
        let heads: Vec<_> = plan.memories.iter().map(head).collect();
        transaction.write_heads(&heads).await.expect("heads");
        let relation = |write: &RelationWrite| RelationHeadWrite {
            relation: write.relation.clone(),
            version,
            state: RelationState::Forward(write.after.clone()),
            finish,
            at,
        };
        let relations: Vec<_> = plan.relations.iter().map(relation).collect();
        transaction.write_relations(&relations).await.expect("relations");
        transaction.finished(finish, &[version.offset()], at).await.expect("finished");
        transaction.commit().await.expect("committed");
    }

    /// A saga from begin to finish, with the vector store told.
    pub(super) async fn commit(&mut self, plan: &Plan) -> Version {
        let version = self.begin(plan).await;
        for write in &plan.memories {
            self.point(&write.id, version, write.hash, write.after.as_deref()).await;
        }
        self.finish(plan, version).await;
        version
    }

    /// Writes a point as it is told, whatever the heads say.
    pub(super) async fn point(&self, id: &MemoryId, version: Version, hash: Digest, after: Option<&Memory>) {
        let layout = vector::Layout { dimension: Some(4), ..vector::Layout::default() };
        let after = after.cloned().map(Arc::new);
        let write = vector::Write { space: space(), id: id.clone(), version, hash, layout, after };
        let answers = self.vectors.write(&[write]).await;
        assert!(answers.iter().all(crate::model::Answer::is_held), "{answers:?}");
    }

    /// The ports of an audit over this world.
    pub(super) fn ports(&self) -> Ports {
        let log: Option<Arc<dyn CommandLog>> = None;
        let (points, vector) = (Arc::clone(&self.vectors) as _, Arc::clone(&self.vectors) as _);
        Ports { ledger: Arc::clone(&self.ledger), points, vector, graph: None, log }
    }

    /// Audits, deeply.
    pub(super) async fn audit(&self) -> Report {
        run(&self.ports(), &Options { deep: true, ..Options::default() }).await
    }
}

/// The version that the memory with this number was committed at.
pub(super) fn version_of(number: usize) -> Version {
    PARTITION.at(number as u64).version(Phase::Forward)
}
