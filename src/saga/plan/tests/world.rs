//! The words that the tests are written in: heads, and what came of them as short text.
//!
//! A record is written as `a` (a memory) or `a-CAUSES->b` (a relation), an answer as
//! `a created 1.400`, a write as `+a` (an image), `+a*` (one that the vector store is told of),
//! `-a` (a tombstone). Commands stand at offset 100 unless told otherwise, heads at offset 1.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ledger::{Decide, Decision, Facts, Head, Plan, RelationHead, RelationsOf, Request},
    log::envelope::Limits,
    model::{
        Code, Command, FieldError, Header, Memory, MemoryId, Name, PartitionId, Phase, Position, Relation,
        RelationKey, Space, Sparse, Timestamp, Version,
        memory::{Properties, tombstone_hash},
        outcome::{Ending, RecordName, RecordOutcome, VectorFate, Verdict},
        space::Judgement,
    },
    saga::plan::Planner,
};

/// The time of every command.
pub(super) const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
/// When every head was written: well before.
pub(super) const BEFORE: Timestamp = Timestamp::from_micros(1_600_000_000_000_000);
/// One day.
pub(super) const DAY_MICROS: i64 = 86_400_000_000;

/// A head's version.
pub(super) fn old() -> Version {
    at(1).version(Phase::Forward)
}

/// The version of what the command under test writes.
pub(super) fn new() -> Version {
    at(100).version(Phase::Forward)
}

pub(super) fn at(offset: u64) -> Position {
    PartitionId { epoch: 1, partition: 0 }.at(offset)
}

pub(super) fn space() -> Space {
    Space::new("acme").expect("a space")
}

pub(super) fn id(text: &str) -> MemoryId {
    MemoryId::new(text).expect("an id")
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// `a-CAUSES->b`.
pub(super) fn relation(text: &str) -> RelationKey {
    let (source, rest) = text.split_once('-').expect("a source");
    let (kind, target) = rest.split_once("->").expect("a type and a target");
    RelationKey {
        space: space(),
        source: id(source),
        kind: name(kind),
        target: id(target),
        discriminator: String::new(),
    }
}

/// A derivation that can be told from any other: the length of the content is its one term.
pub(super) fn length_of(content: &str) -> Option<Sparse> {
    let length = u32::try_from(content.len()).expect("a short text");
    (length > 0).then(|| sparse(length))
}

/// A client's sparse vector of one term.
pub(super) fn sparse(term: u32) -> Sparse {
    Sparse { indices: Arc::from([term]), values: Arc::from([1.0_f32]), derived: false }
}

/// The same, as if it had been derived.
pub(super) fn derived(term: u32) -> Sparse {
    Sparse { derived: true, ..sparse(term) }
}

pub(super) fn vector(value: f32) -> Arc<[f32]> {
    Arc::from([value, 1.0])
}

pub(super) fn properties(value: serde_json::Value) -> Properties {
    value.as_object().expect("an object").clone()
}

/// A memory without vectors.
pub(super) fn plain() -> Memory {
    Memory {
        kind: name("Entity"),
        content: "old".to_owned(),
        properties: properties(serde_json::json!({"topic": "tea"})),
        session: Some("s-1".to_owned()),
        importance: 0.7,
        dense: None,
        sparse: None,
        occurred_at: BEFORE,
        valid_from: BEFORE,
        valid_until: None,
    }
}

pub(super) fn edge(weight: f64) -> Relation {
    Relation { weight, properties: Properties::new(), valid_from: BEFORE, valid_until: None, used_at: BEFORE }
}

/// The heads of a space, and what is around a command in it.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) memories: BTreeMap<MemoryId, Head>,
    pub(super) relations: BTreeMap<RelationKey, RelationHead>,
    pub(super) judgement: Judgement,
    pub(super) limits: Limits,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) started_at: Timestamp,
}

/// An empty space that derives nothing from text.
pub(super) fn given() -> Given {
    Given {
        memories: BTreeMap::new(),
        relations: BTreeMap::new(),
        judgement: Judgement::default(),
        limits: Limits::default(),
        expires_at: None,
        started_at: NOW,
    }
}

impl Given {
    /// A memory is there, without vectors.
    pub(super) fn memory(self, text: &str) -> Self {
        self.memory_with(text, |_| {})
    }

    pub(super) fn memory_with(mut self, text: &str, change: impl FnOnce(&mut Memory)) -> Self {
        let mut memory = plain();
        change(&mut memory);
        self.set_memory(id(text), old(), Some(Arc::new(memory)));
        self
    }

    /// A memory was there and is deleted.
    pub(super) fn tombstone(mut self, text: &str) -> Self {
        self.set_memory(id(text), old(), None);
        self
    }

    pub(super) fn relation(self, text: &str, weight: f64) -> Self {
        self.relation_with(text, |state| state.weight = weight)
    }

    pub(super) fn relation_with(mut self, text: &str, change: impl FnOnce(&mut Relation)) -> Self {
        let mut state = edge(1.0);
        change(&mut state);
        let key = relation(text);
        let head =
            RelationHead { relation: key.clone(), version: old(), hash: state.hash(), state: Some(state) };
        self.relations.insert(key, head);
        self
    }

    /// The space derives sparse vectors from content.
    pub(super) fn text(mut self) -> Self {
        self.judgement.text = true;
        self
    }

    pub(super) fn quota(mut self, quota: u64) -> Self {
        self.judgement.quota = Some(quota);
        self
    }

    fn set_memory(&mut self, id: MemoryId, version: Version, memory: Option<Arc<Memory>>) {
        let hash = memory.as_ref().map_or_else(tombstone_hash, |memory| memory.hash());
        let head = Head {
            space: space(),
            id: id.clone(),
            version,
            memory,
            hash,
            created_at: BEFORE,
            updated_at: BEFORE,
            accessed_at: None,
        };
        self.memories.insert(id, head);
    }

    /// What the ledger reads for a command: what it needs and nothing else.
    pub(super) fn facts(&self, command: &Command) -> Facts {
        let needs = self.planner().needs(&space(), command);
        let memories = needs.memories.iter().filter_map(|id| self.memories.get(id));
        let hanging: BTreeMap<RelationsOf, Vec<RelationHead>> =
            needs.relations_of.iter().map(|of| (of.clone(), self.hanging(of))).collect();
        let named = needs.relations.iter().filter_map(|key| self.relations.get(key));
        let relations = named.chain(hanging.values().flatten());
        let live = self.memories.values().filter(|head| head.memory.is_some()).count();
        Facts {
            memories: memories.map(|head| ((space(), head.id.clone()), head.clone())).collect(),
            relations: relations.map(|head| (head.relation.clone(), head.clone())).collect(),
            relations_of: hanging,
            counts: needs.count.then(|| (space(), live as u64)).into_iter().collect(),
        }
    }

    fn hanging(&self, of: &RelationsOf) -> Vec<RelationHead> {
        let lies_in = |id: &MemoryId, session: &str| {
            let memory = self.memories.get(id).and_then(|head| head.memory.as_ref());
            memory.is_some_and(|memory| memory.session.as_deref() == Some(session))
        };
        let hangs = |key: &RelationKey| match of {
            RelationsOf::Memory(_, id) => key.touches(id),
            RelationsOf::Session(_, session) => lies_in(&key.source, session),
        };
        let live = self.relations.values().filter(|head| head.state.is_some());
        live.filter(|head| hangs(&head.relation)).cloned().collect()
    }

    fn planner(&self) -> Planner {
        Planner { limits: self.limits, derive: length_of }
    }

    pub(super) fn when(&self, command: Command) -> Then {
        let decision = self.decide(&command, at(100));
        Then { decision }
    }

    pub(super) fn decide(&self, command: &Command, position: Position) -> Decision {
        let header = Header {
            id: "c-1".to_owned(),
            claims: true,
            source: String::new(),
            space: space(),
            kind: "engraft.memory.put.v1".to_owned(),
            time: NOW,
            expires_at: self.expires_at,
            trace: crate::model::command::Trace::default(),
        };
        let request =
            Request { position, header: &header, command, judgement: &self.judgement, now: self.started_at };
        self.planner().decide(&request, &self.facts(command))
    }

    /// What finish does with a plan.
    pub(super) fn apply(&mut self, plan: &Plan, version: Version) {
        for write in &plan.memories {
            self.set_memory(write.id.clone(), version, write.after.clone());
        }
        for write in &plan.relations {
            let key = write.relation.clone();
            let hash = write.after.as_ref().map_or_else(tombstone_hash, Relation::hash);
            let head = RelationHead { relation: key.clone(), version, hash, state: write.after.clone() };
            self.relations.insert(key, head);
        }
    }
}

/// What was decided, and the promises about it.
#[derive(Debug, Clone)]
pub(super) struct Then {
    pub(super) decision: Decision,
}

impl Then {
    /// It runs, and this is its answer and what it writes: records and writes in the module's words.
    #[track_caller]
    pub(super) fn runs(self, answers: &[&str], writes: &[&str]) -> Self {
        let Decision::Run(plan, ending) = &self.decision else { panic!("{:#?}", self.decision) };
        assert_eq!(describe(ending), answers, "the answer");
        assert_eq!(written(plan), writes, "the writes");
        assert_eq!(plan.now, NOW);
        self
    }

    /// There is nothing for any store, and this is its answer.
    #[track_caller]
    pub(super) fn ends_at_once(self, answers: &[&str]) -> Self {
        let Decision::Done(plan, ending) = &self.decision else { panic!("{:#?}", self.decision) };
        assert_eq!(describe(ending), answers, "the answer");
        assert!(written(plan).is_empty(), "nothing is written");
        self
    }

    /// It is refused with this code, everywhere that is named.
    #[track_caller]
    pub(super) fn refused(self, code: Code, pointers: &[&str]) {
        let Decision::Refuse(ending) = &self.decision else { panic!("{:#?}", self.decision) };
        assert_eq!((ending.verdict, ending.code), (Verdict::Failed, code));
        let told: Vec<&str> = ending.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(told, pointers);
        assert!(ending.errors.iter().all(|error: &FieldError| error.code == code && error.detail.len() > 10));
        assert!(ending.records.is_empty() && ending.counts.is_empty());
    }

    #[track_caller]
    pub(super) fn touches(self, touched: &[&str]) -> Self {
        let told: Vec<&str> = self.plan().touched.iter().map(MemoryId::as_str).collect();
        assert_eq!(told, touched);
        self
    }

    #[track_caller]
    pub(super) fn counts(self, counts: &[(&str, u64)]) -> Self {
        let told: Vec<(&str, u64)> =
            self.ending().counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(told, counts);
        self
    }

    /// The image that it writes of a memory.
    #[track_caller]
    pub(super) fn image(&self, text: &str) -> Memory {
        let write = self.plan().memories.iter().find(|write| write.id == id(text)).expect("it is written");
        let memory = write.after.as_ref().expect("it is not deleted");
        assert_eq!(write.hash, memory.hash());
        Memory::clone(memory)
    }

    /// The image that it writes of a relation.
    #[track_caller]
    pub(super) fn edge(&self, text: &str) -> Relation {
        let key = relation(text);
        let write = self.plan().relations.iter().find(|write| write.relation == key).expect("it is written");
        write.after.clone().expect("it is not deleted")
    }

    #[track_caller]
    pub(super) fn fate(&self, text: &str) -> Option<VectorFate> {
        let name = RecordName::Memory(id(text));
        let record = self.ending().records.iter().find(|record| record.record == name);
        record.expect("it is listed").vector
    }

    #[track_caller]
    pub(super) fn plan(&self) -> &Plan {
        match &self.decision {
            Decision::Run(plan, _) | Decision::Done(plan, _) => plan,
            Decision::Refuse(ending) => panic!("it was refused: {ending:#?}"),
        }
    }

    #[track_caller]
    fn ending(&self) -> &Ending {
        match &self.decision {
            Decision::Run(_, ending) | Decision::Done(_, ending) | Decision::Refuse(ending) => ending,
        }
    }
}

fn describe(ending: &Ending) -> Vec<String> {
    assert_eq!((ending.verdict, ending.code), (Verdict::Committed, Code::Ok));
    assert!(ending.errors.is_empty());
    ending.records.iter().map(describe_record).collect()
}

fn describe_record(record: &RecordOutcome) -> String {
    let name = match &record.record {
        RecordName::Memory(id) => id.to_string(),
        RecordName::Relation(name) => format!("{}-{}->{}", name.source, name.kind, name.target),
    };
    let effect = format!("{:?}", record.effect).to_lowercase();
    let version = record.version.map(|version| format!(" {version}")).unwrap_or_default();
    format!("{name} {effect}{version}")
}

fn written(plan: &Plan) -> Vec<String> {
    let sign = |is_live| if is_live { '+' } else { '-' };
    let memories = plan.memories.iter().map(|write| {
        let star = if write.vector { "*" } else { "" };
        format!("{}{}{star}", sign(write.after.is_some()), write.id)
    });
    let relations = plan.relations.iter().map(|write| {
        let key = &write.relation;
        format!("{}{}-{}->{}", sign(write.after.is_some()), key.source, key.kind, key.target)
    });
    memories.chain(relations).collect()
}
