//! The heads as a command has left them so far.
//!
//! An overlay reads like the heads, except where the command (or an earlier item of its batch) has
//! written: there it shows what was written. Nothing is compared with the heads here; that is
//! [`super::close`]'s part, once everything is applied.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Derive;
use crate::{
    ledger::{Facts, Head, RelationHead, RelationsOf},
    log::envelope::Limits,
    model::{
        Memory, MemoryId, Phase, Position, Relation, RelationKey, Space, Sparse, Timestamp, Version,
        outcome::{RecordName, VectorFate},
    },
};

/// Under which terms a command is applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    /// The command's space.
    pub(super) space: &'a Space,
    /// The command's time: every "now" inside it.
    pub(super) now: Timestamp,
    /// How a sparse vector comes from content; `None`: in this space it does not.
    pub(super) derive: Option<Derive>,
    /// What a memory may be at most.
    pub(super) limits: &'a Limits,
}

impl Terms<'_> {
    /// The sparse vector that stands for `content`, where the space derives one.
    pub(super) fn derived(&self, content: &str) -> Option<Sparse> {
        let derive = self.derive?;
        derive(content).map(|sparse| Sparse { derived: true, ..sparse })
    }
}

/// How a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// The whole of it, whatever it was: always a new version.
    Whole,
    /// Parts of it: a new version only if that changes the record.
    Parts,
}

/// What a record is to become; `after: None`: it is deleted.
#[derive(Debug, Clone)]
pub(super) struct Draft<T> {
    pub(super) after: Option<T>,
    pub(super) manner: Manner,
}

impl<T> Draft<T> {
    fn write(&mut self, after: Option<T>, manner: Manner) {
        self.after = after;
        if manner == Manner::Whole {
            self.manner = Manner::Whole;
        }
    }
}

/// A record that the command names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Record {
    Memory(MemoryId),
    Relation(RelationKey),
}

impl From<&Record> for RecordName {
    fn from(record: &Record) -> Self {
        match record {
            Record::Memory(id) => Self::Memory(id.clone()),
            Record::Relation(relation) => Self::Relation(relation.into()),
        }
    }
}

/// The heads as a command has left them so far.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    pub(super) terms: Terms<'a>,
    /// The version that everything written gets.
    pub(super) version: Version,
    /// Written memories.
    pub(super) memories: BTreeMap<MemoryId, Draft<Arc<Memory>>>,
    /// Written relations.
    pub(super) relations: BTreeMap<RelationKey, Draft<Relation>>,
    /// Touched memories.
    pub(super) touched: BTreeSet<MemoryId>,
    /// What became of the vectors of patched memories.
    pub(super) fates: BTreeMap<MemoryId, VectorFate>,
    /// What the command named, in the order of first naming, each once.
    pub(super) named: Vec<Record>,
    /// Memories that were made only because a relation needed them.
    pub(super) stubs: BTreeSet<MemoryId>,
    /// Relations that went with a memory.
    pub(super) cascaded: BTreeSet<RelationKey>,
    /// What a decay counted.
    pub(super) counts: BTreeMap<String, u64>,
    facts: &'a Facts,
    known: BTreeSet<Record>,
    /// Relations that were written live: a deletion must find those that no head shows yet.
    made: BTreeSet<RelationKey>,
}

impl<'a> Overlay<'a> {
    /// Nothing written yet.
    pub(super) fn over(facts: &'a Facts, position: Position, terms: Terms<'a>) -> Self {
        Self {
            terms,
            version: position.version(Phase::Forward),
            memories: BTreeMap::new(),
            relations: BTreeMap::new(),
            touched: BTreeSet::new(),
            fates: BTreeMap::new(),
            named: Vec::new(),
            stubs: BTreeSet::new(),
            cascaded: BTreeSet::new(),
            counts: BTreeMap::new(),
            facts,
            known: BTreeSet::new(),
            made: BTreeSet::new(),
        }
    }

    /// The command names this record.
    pub(super) fn name(&mut self, record: Record) {
        if self.known.insert(record.clone()) {
            self.named.push(record);
        }
    }

    /// Whether the command named this record.
    pub(super) fn is_named(&self, record: &Record) -> bool {
        self.known.contains(record)
    }

    /// How many memories the space had before the command, where it was read.
    pub(super) fn count(&self) -> Option<u64> {
        self.facts.counts.get(self.terms.space).copied()
    }

    /// The head of a memory that was there before the command.
    pub(super) fn head(&self, id: &MemoryId) -> Option<&'a Head> {
        let head = self.facts.memories.get(&(self.terms.space.clone(), id.clone()));
        head.filter(|head| head.memory.is_some())
    }

    /// The head of a relation that was there before the command.
    pub(super) fn relation_head(&self, relation: &RelationKey) -> Option<&'a RelationHead> {
        self.facts.relations.get(relation).filter(|head| head.state.is_some())
    }

    /// A memory as it is now; `None`: it is not there.
    pub(super) fn memory(&self, id: &MemoryId) -> Option<&Arc<Memory>> {
        match self.memories.get(id) {
            Some(draft) => draft.after.as_ref(),
            None => self.head(id).and_then(|head| head.memory.as_ref()),
        }
    }

    /// The version of a memory as it is now; `None`: it is not there.
    ///
    /// What an earlier item of the batch has written is at the batch's own version already.
    pub(super) fn memory_version(&self, id: &MemoryId) -> Option<Version> {
        match self.memories.get(id) {
            Some(draft) => draft.after.as_ref().map(|_| self.version),
            None => self.head(id).map(|head| head.version),
        }
    }

    /// A relation as it is now; `None`: it is not there.
    pub(super) fn relation(&self, relation: &RelationKey) -> Option<&Relation> {
        match self.relations.get(relation) {
            Some(draft) => draft.after.as_ref(),
            None => self.relation_head(relation).and_then(|head| head.state.as_ref()),
        }
    }

    /// The relations that hang on something now.
    pub(super) fn relations_of(&self, of: &RelationsOf) -> Vec<RelationKey> {
        let read = self.facts.relations_of.get(of).into_iter().flatten().map(|head| &head.relation);
        let made = self.made.iter().filter(|relation| match of {
            RelationsOf::Memory(_, id) => relation.touches(id),
            // Only a decay asks by session, and it stands alone in its command.
            RelationsOf::Session(..) => false,
        });
        let all: BTreeSet<&RelationKey> = read.chain(made).collect();
        all.into_iter().filter(|relation| self.relation(relation).is_some()).cloned().collect()
    }

    /// Writes a memory.
    pub(super) fn write_memory(&mut self, id: &MemoryId, after: Option<Memory>, manner: Manner) {
        let after = after.map(Arc::new);
        if after.is_none() {
            self.touched.remove(id);
        }
        if manner == Manner::Whole {
            self.fates.remove(id);
        }
        let draft = self.memories.entry(id.clone());
        draft.or_insert(Draft { after: None, manner: Manner::Parts }).write(after, manner);
    }

    /// Writes a relation.
    pub(super) fn write_relation(&mut self, relation: &RelationKey, after: Option<Relation>, manner: Manner) {
        if after.is_some() {
            self.made.insert(relation.clone());
        }
        let draft = self.relations.entry(relation.clone());
        draft.or_insert(Draft { after: None, manner: Manner::Parts }).write(after, manner);
    }
}
