//! What a command does to the records of one space, written down a second time.
//!
//! This is the reading of the contract that simulator and tests judge by: plain maps, no overlay, no plan, nothing of
//! the saga room. Where the two differ, one of them is wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    model::{
        Code, Command, Memory, MemoryId, Name, Relation, RelationKey, Sparse, Timestamp, Version,
        command::{
            DecayScope, MemoryPatch, MemoryPut, MemorySupersede, OnMissing, Patch, RelationDecay,
            RelationStrengthen,
        },
        memory::Properties,
    },
    vector::text,
};

/// The live records of one space, while a command works on them.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Live memories and their versions.
    pub memories: BTreeMap<MemoryId, (Version, Arc<Memory>)>,
    /// Live relations.
    pub relations: BTreeMap<RelationKey, Relation>,
}

/// Everything outside the records that a command's meaning hangs on.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The command's own "now".
    pub now: Timestamp,
    /// The version of everything that it writes.
    pub version: Version,
    /// Whether a sparse vector is derived from content.
    pub text: bool,
}

/// What a command comes to.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Memories that are written, each as it is from now on.
    pub memories: BTreeMap<MemoryId, Option<Arc<Memory>>>,
    /// Relations that are written.
    pub relations: BTreeMap<RelationKey, Option<Relation>>,
}

impl Changes {
    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memories.is_empty() && self.relations.is_empty()
    }
}

/// A command at work on a copy of the records.
struct Work {
    records: Records,
    terms: Terms,
    /// Written whole: a new version, even of equal content.
    whole_memories: BTreeSet<MemoryId>,
    whole_relations: BTreeSet<RelationKey>,
}

/// What `command` makes of `before`, or why it cannot be done.
///
/// # Errors
/// The code that its outcome must have.
pub fn changes(before: &Records, command: &Command, terms: Terms) -> Result<Changes, Code> {
    let mut work = Work {
        records: before.clone(),
        terms,
        whole_memories: BTreeSet::new(),
        whole_relations: BTreeSet::new(),
    };
    work.apply(command)?;
    let mut changes = Changes::default();
    let ids: BTreeSet<&MemoryId> = before.memories.keys().chain(work.records.memories.keys()).collect();
    for id in ids {
        let old = before.memories.get(id).map(|(_, memory)| memory);
        let new = work.records.memories.get(id).map(|(_, memory)| memory);
        if old != new || (new.is_some() && work.whole_memories.contains(id)) {
            changes.memories.insert(id.clone(), new.cloned());
        }
    }
    let keys: BTreeSet<&RelationKey> = before.relations.keys().chain(work.records.relations.keys()).collect();
    for key in keys {
        let (old, new) = (before.relations.get(key), work.records.relations.get(key));
        if old != new || (new.is_some() && work.whole_relations.contains(key)) {
            changes.relations.insert(key.clone(), new.cloned());
        }
    }
    Ok(changes)
}

impl Work {
    fn apply(&mut self, command: &Command) -> Result<(), Code> {
        match command {
            Command::MemoryPut(put) => self.put(put),
            Command::MemoryPatch(patch) => self.patch(patch),
            Command::MemoryTouch(touch) => self.memory(&touch.id).map(drop),
            Command::MemoryDelete(delete) => {
                self.check_version(&delete.id, delete.if_version)?;
                self.records.memories.remove(&delete.id);
                self.records.relations.retain(|relation, _| !relation.touches(&delete.id));
                Ok(())
            }
            Command::MemorySupersede(supersede) => self.supersede(supersede),
            Command::RelationPut(put) => {
                self.ends(&put.relation, put.on_missing)?;
                let relation = Relation {
                    weight: put.weight,
                    properties: put.properties.clone(),
                    valid_from: put.valid_from.unwrap_or(self.terms.now),
                    valid_until: put.valid_until,
                    used_at: self.terms.now,
                };
                self.relate(&put.relation, relation);
                Ok(())
            }
            Command::RelationDelete(relation) => {
                self.records.relations.remove(relation);
                Ok(())
            }
            Command::RelationStrengthen(strengthen) => self.strengthen(strengthen),
            Command::RelationInvalidate(invalidate) => {
                let until = invalidate.valid_until.unwrap_or(self.terms.now);
                let relation = self.records.relations.get_mut(&invalidate.relation).ok_or(Code::NotFound)?;
                relation.valid_until = Some(until);
                Ok(())
            }
            Command::RelationDecay(decay) => {
                self.decay(decay);
                Ok(())
            }
            Command::Batch(batch) => batch.items.iter().try_for_each(|item| self.apply(item)),
            Command::SpaceCreate(_) => Ok(()),
            Command::MemoryArchive(_) | Command::MemoryRestore(_) | Command::SpaceErase => {
                Err(Code::NotYetAvailable)
            }
        }
    }

    fn memory(&self, id: &MemoryId) -> Result<Memory, Code> {
        self.records.memories.get(id).map(|(_, memory)| (**memory).clone()).ok_or(Code::NotFound)
    }

    fn write(&mut self, id: &MemoryId, memory: Memory) {
        self.records.memories.insert(id.clone(), (self.terms.version, Arc::new(memory)));
    }

    fn relate(&mut self, key: &RelationKey, relation: Relation) {
        self.whole_relations.insert(key.clone());
        self.records.relations.insert(key.clone(), relation);
    }

    fn check_version(&self, id: &MemoryId, wanted: Option<Version>) -> Result<(), Code> {
        let stands = self.records.memories.get(id).map(|(version, _)| *version);
        if wanted.is_none() || wanted == stands { Ok(()) } else { Err(Code::IfVersion) }
    }

    fn derive(&self, content: &str) -> Option<Sparse> {
        let sparse = if self.terms.text { text::derive(content) } else { None };
        sparse.map(|sparse| Sparse { derived: true, ..sparse })
    }

    fn put(&mut self, put: &MemoryPut) -> Result<(), Code> {
        if put.if_absent && self.records.memories.contains_key(&put.id) {
            return Err(Code::IfAbsent);
        }
        self.check_version(&put.id, put.if_version)?;
        let brought = put.sparse.clone().map(|sparse| Sparse { derived: false, ..sparse });
        let memory = Memory {
            kind: put.kind.clone(),
            content: put.content.clone(),
            properties: put.properties.clone(),
            session: put.session.clone(),
            importance: put.importance,
            dense: put.vector.clone(),
            sparse: brought.or_else(|| self.derive(&put.content)),
            occurred_at: put.occurred_at.unwrap_or(self.terms.now),
            valid_from: put.valid_from.unwrap_or(self.terms.now),
            valid_until: put.valid_until,
        };
        self.whole_memories.insert(put.id.clone());
        self.write(&put.id, memory);
        Ok(())
    }

    fn patch(&mut self, patch: &MemoryPatch) -> Result<(), Code> {
        let mut memory = self.memory(&patch.id)?;
        self.check_version(&patch.id, patch.if_version)?;
        let now = self.terms.now;
        let content = field(&patch.content, &memory.content, String::new());
        let other_text = content != memory.content;
        memory.kind = field(&patch.kind, &memory.kind, name("Episode"));
        memory.session = optional(&patch.session, &memory.session);
        memory.importance = field(&patch.importance, &memory.importance, 0.5);
        memory.occurred_at = field(&patch.occurred_at, &memory.occurred_at, now);
        memory.valid_from = field(&patch.valid_from, &memory.valid_from, now);
        memory.valid_until = optional(&patch.valid_until, &memory.valid_until);
        memory.dense = match &patch.vector {
            Patch::Keep if other_text && !patch.keep_vector => None,
            named => optional(named, &memory.dense),
        };
        let brought = memory.sparse.as_ref().is_some_and(|sparse| !sparse.derived);
        memory.sparse = match &patch.sparse {
            Patch::Set(sparse) => Some(Sparse { derived: false, ..sparse.clone() }),
            Patch::Keep if !other_text || (brought && patch.keep_vector) => memory.sparse,
            Patch::Keep | Patch::Remove => self.derive(&content),
        };
        memory.content = content;
        match &patch.properties {
            Patch::Keep => {}
            Patch::Remove => memory.properties = Properties::new(),
            Patch::Set(change) => {
                let merged = merged(Value::Object(memory.properties), &Value::Object(change.clone()));
                memory.properties = match merged {
                    Value::Object(properties) => properties,
                    _ => Properties::new(),
                };
            }
        }
        self.write(&patch.id, memory);
        Ok(())
    }

    fn supersede(&mut self, supersede: &MemorySupersede) -> Result<(), Code> {
        if supersede.id == supersede.by.id {
            return Err(Code::SameEnds);
        }
        let mut old = self.memory(&supersede.id)?;
        self.put(&supersede.by)?;
        old.valid_until = Some(self.terms.now);
        self.write(&supersede.id, old);
        let relation = self.fresh(1.0);
        self.relate(&supersede.relation(), relation);
        Ok(())
    }

    fn fresh(&self, weight: f64) -> Relation {
        let now = self.terms.now;
        Relation { weight, properties: Properties::new(), valid_from: now, valid_until: None, used_at: now }
    }

    fn strengthen(&mut self, strengthen: &RelationStrengthen) -> Result<(), Code> {
        self.ends(&strengthen.relation, strengthen.on_missing)?;
        let now = self.terms.now;
        if let Some(relation) = self.records.relations.get_mut(&strengthen.relation) {
            relation.weight = (relation.weight + strengthen.rate * (1.0 - relation.weight)).clamp(0.0, 1.0);
            relation.used_at = now;
        } else {
            let relation = self.fresh(0.1);
            self.records.relations.insert(strengthen.relation.clone(), relation);
        }
        Ok(())
    }

    fn ends(&mut self, relation: &RelationKey, on_missing: OnMissing) -> Result<(), Code> {
        for id in [&relation.source, &relation.target] {
            if self.records.memories.contains_key(id) {
                continue;
            }
            if on_missing == OnMissing::Refuse {
                return Err(Code::EndpointMissing);
            }
            let now = self.terms.now;
            let stub = Memory {
                kind: name("Episode"),
                content: String::new(),
                properties: Properties::new(),
                session: None,
                importance: 0.5,
                dense: None,
                sparse: self.derive(""),
                occurred_at: now,
                valid_from: now,
                valid_until: None,
            };
            self.whole_memories.insert(id.clone());
            self.write(id, stub);
        }
        Ok(())
    }

    fn decay(&mut self, decay: &RelationDecay) {
        let unused = i64::from(decay.older_than_days) * 86_400_000_000;
        let now = self.terms.now.as_micros();
        let memories = &self.records.memories;
        let in_scope = |relation: &RelationKey| match &decay.scope {
            DecayScope::Memory(id) => relation.touches(id),
            DecayScope::Session(session) => memories
                .get(&relation.source)
                .is_some_and(|(_, memory)| memory.session.as_ref() == Some(session)),
        };
        self.records.relations.retain(|key, relation| {
            if !in_scope(key) || now - relation.used_at.as_micros() <= unused {
                return true;
            }
            let weaker = (relation.weight * (1.0 - decay.rate)).clamp(0.0, 1.0);
            relation.weight = weaker;
            weaker >= decay.prune_below
        });
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a constant name")
}

fn field<T: Clone>(patch: &Patch<T>, stands: &T, default: T) -> T {
    match patch {
        Patch::Keep => stands.clone(),
        Patch::Remove => default,
        Patch::Set(value) => value.clone(),
    }
}

fn optional<T: Clone>(patch: &Patch<T>, stands: &Option<T>) -> Option<T> {
    match patch {
        Patch::Keep => stands.clone(),
        Patch::Remove => None,
        Patch::Set(value) => Some(value.clone()),
    }
}

/// RFC 7396, as its pseudocode says it.
fn merged(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return patch.clone() };
    let Value::Object(mut target) = target else {
        return merged(Value::Object(Properties::new()), &Value::Object(patch.clone()));
    };
    for (name, change) in patch {
        if change.is_null() {
            target.remove(name);
        } else {
            let stands = target.remove(name).unwrap_or_default();
            target.insert(name.clone(), merged(stands, change));
        }
    }
    Value::Object(target)
}
