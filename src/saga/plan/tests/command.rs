//! Commands, with the defaults that decoding fills in; a closure changes what a test is about.

use super::world::{id, name, relation, space};
use crate::model::{
    Command, Timestamp, Version,
    command::{
        Batch, DecayScope, MemoryDelete, MemoryPatch, MemoryPut, MemorySupersede, MemoryTouch, OnMissing,
        Patch, RelationDecay, RelationInvalidate, RelationPut, RelationStrengthen,
    },
    memory::Properties,
};

pub(super) fn put_of(text: &str, change: impl FnOnce(&mut MemoryPut)) -> MemoryPut {
    let mut put = MemoryPut {
        id: id(text),
        kind: name("Episode"),
        content: "new".to_owned(),
        properties: Properties::new(),
        session: None,
        importance: 0.5,
        vector: None,
        sparse: None,
        occurred_at: None,
        valid_from: None,
        valid_until: None,
        if_absent: false,
        if_version: None,
    };
    change(&mut put);
    put
}

pub(super) fn put(text: &str) -> Command {
    put_with(text, |_| {})
}

pub(super) fn put_with(text: &str, change: impl FnOnce(&mut MemoryPut)) -> Command {
    Command::MemoryPut(put_of(text, change))
}

pub(super) fn patch(text: &str, change: impl FnOnce(&mut MemoryPatch)) -> Command {
    use Patch::Keep;
    let mut patch = MemoryPatch {
        id: id(text),
        kind: Keep,
        content: Keep,
        properties: Keep,
        session: Keep,
        importance: Keep,
        vector: Keep,
        sparse: Keep,
        occurred_at: Keep,
        valid_from: Keep,
        valid_until: Keep,
        keep_vector: false,
        if_version: None,
    };
    change(&mut patch);
    Command::MemoryPatch(patch)
}

pub(super) fn touch(text: &str) -> Command {
    Command::MemoryTouch(MemoryTouch { id: id(text) })
}

pub(super) fn delete(text: &str) -> Command {
    Command::MemoryDelete(MemoryDelete { id: id(text), if_version: None })
}

pub(super) fn delete_at(text: &str, version: Version) -> Command {
    Command::MemoryDelete(MemoryDelete { id: id(text), if_version: Some(version) })
}

pub(super) fn supersede(text: &str, by: MemoryPut) -> Command {
    Command::MemorySupersede(MemorySupersede { space: space(), id: id(text), by })
}

pub(super) fn relate(text: &str, change: impl FnOnce(&mut RelationPut)) -> Command {
    let mut put = RelationPut {
        relation: relation(text),
        weight: 1.0,
        properties: Properties::new(),
        valid_from: None,
        valid_until: None,
        on_missing: OnMissing::Refuse,
    };
    change(&mut put);
    Command::RelationPut(put)
}

pub(super) fn strengthen(text: &str, rate: f64, on_missing: OnMissing) -> Command {
    Command::RelationStrengthen(RelationStrengthen { relation: relation(text), rate, on_missing })
}

pub(super) fn unrelate(text: &str) -> Command {
    Command::RelationDelete(relation(text))
}

pub(super) fn invalidate(text: &str, valid_until: Option<Timestamp>) -> Command {
    Command::RelationInvalidate(RelationInvalidate { relation: relation(text), valid_until })
}

pub(super) fn decay(scope: DecayScope, change: impl FnOnce(&mut RelationDecay)) -> Command {
    let mut decay = RelationDecay { scope, older_than_days: 30, rate: 0.01, prune_below: 0.01 };
    change(&mut decay);
    Command::RelationDecay(decay)
}

pub(super) fn batch(items: impl Into<Vec<Command>>) -> Command {
    Command::Batch(Batch { items: items.into() })
}
