//! What must be read before a command can be decided, from its bytes alone.
//!
//! Each record is asked for once, in the order of its name, however often a batch names it. Every
//! record here is one that the command holds a conflict key on: reading more would be unsound.

use std::collections::BTreeSet;

use crate::{
    ledger::{Needs, RelationsOf},
    model::{
        Command, MemoryId, RelationKey, Space,
        command::{DecayScope, OnMissing},
    },
};

/// What `command` needs.
pub(super) fn of(space: &Space, command: &Command) -> Needs {
    let mut wanted = Wanted::default();
    wanted.add(space, command);
    Needs {
        memories: wanted.memories.into_iter().collect(),
        relations: wanted.relations.into_iter().collect(),
        relations_of: wanted.relations_of.into_iter().collect(),
        count: wanted.count,
    }
}

#[derive(Default)]
struct Wanted {
    memories: BTreeSet<MemoryId>,
    relations: BTreeSet<RelationKey>,
    relations_of: BTreeSet<RelationsOf>,
    count: bool,
}

impl Wanted {
    fn add(&mut self, space: &Space, command: &Command) {
        match command {
            Command::MemoryPut(put) => self.creatable(&put.id),
            Command::MemoryPatch(patch) => self.memory(&patch.id),
            Command::MemoryTouch(touch) => self.memory(&touch.id),
            Command::MemoryDelete(delete) => {
                self.memory(&delete.id);
                self.relations_of.insert(RelationsOf::Memory(space.clone(), delete.id.clone()));
            }
            Command::MemorySupersede(supersede) => {
                self.memory(&supersede.id);
                self.creatable(&supersede.by.id);
                self.relations.insert(supersede.relation());
            }
            Command::RelationPut(put) => self.with_ends(&put.relation, put.on_missing),
            Command::RelationStrengthen(strengthen) => {
                self.with_ends(&strengthen.relation, strengthen.on_missing);
            }
            Command::RelationDelete(relation) => {
                self.relations.insert(relation.clone());
            }
            Command::RelationInvalidate(invalidate) => {
                self.relations.insert(invalidate.relation.clone());
            }
            Command::RelationDecay(decay) => {
                self.relations_of.insert(match &decay.scope {
                    DecayScope::Memory(id) => RelationsOf::Memory(space.clone(), id.clone()),
                    DecayScope::Session(session) => RelationsOf::Session(space.clone(), session.clone()),
                });
            }
            Command::Batch(batch) => batch.items.iter().for_each(|item| self.add(space, item)),
            Command::MemoryArchive(_)
            | Command::MemoryRestore(_)
            | Command::SpaceCreate(_)
            | Command::SpaceErase => {}
        }
    }

    fn memory(&mut self, id: &MemoryId) {
        self.memories.insert(id.clone());
    }

    fn creatable(&mut self, id: &MemoryId) {
        self.memory(id);
        self.count = true;
    }

    fn with_ends(&mut self, relation: &RelationKey, on_missing: OnMissing) {
        self.memory(&relation.source);
        self.memory(&relation.target);
        self.relations.insert(relation.clone());
        self.count |= on_missing == OnMissing::Stub;
    }
}
