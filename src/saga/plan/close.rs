//! From an overlay to a decision: what is different from the heads, and how the outcome tells it.
//!
//! Every effect is the *net* effect against the head, whatever happened in between:
//!
//! | before | after | |
//! |---|---|---|
//! | absent | there | `created` |
//! | there | absent | `deleted` |
//! | there | there, written whole | `replaced` |
//! | there | there, parts of it are different | `patched` |
//! | there | there, as it was | `unchanged`, at the head's version |
//! | absent | absent | `unchanged`, at no version |
//!
//! A put is always a new version, even of equal content; a patch that leaves every byte as it was
//! is none, so that nobody's `if_version` breaks over it.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Refusal,
    overlay::{Manner, Overlay, Record},
};
use crate::{
    ledger::{Decision, MemoryWrite, Plan, RelationWrite},
    model::{
        Code, Effect, Memory, MemoryId, RelationKey, Version,
        memory::tombstone_hash,
        outcome::{Ending, RecordName, RecordOutcome, Verdict},
    },
};

/// What the command comes to.
pub(super) fn close(overlay: &Overlay<'_>, quota: Option<u64>) -> Result<Decision, Refusal> {
    let memories = memories(overlay);
    let relations = relations(overlay);
    if let Some(quota) = quota {
        check_quota(overlay, quota, &memories)?;
    }
    let effects = Effects {
        memories: memories.iter().map(|(write, effect)| (&write.id, *effect)).collect(),
        relations: relations.iter().map(|(write, effect)| (&write.relation, *effect)).collect(),
    };
    let ending = Ending {
        verdict: Verdict::Committed,
        code: Code::Ok,
        errors: Vec::new(),
        records: overlay.named.iter().map(|record| outcome(overlay, &effects, record)).collect(),
        counts: counts(overlay, &effects),
    };
    let plan = Plan {
        memories: memories.into_iter().map(|(write, _)| write).collect(),
        relations: relations.into_iter().map(|(write, _)| write).collect(),
        touched: overlay.touched.iter().cloned().collect(),
        now: overlay.terms.now,
    };
    if plan.memories.is_empty() && plan.relations.is_empty() {
        Ok(Decision::Done(plan, ending))
    } else {
        Ok(Decision::Run(plan, ending))
    }
}

/// What is written, by record; a record that is missing here is unchanged.
struct Effects<'a> {
    memories: BTreeMap<&'a MemoryId, Effect>,
    relations: BTreeMap<&'a RelationKey, Effect>,
}

/// The memories that are different from their heads, in the order of their ids.
fn memories(overlay: &Overlay<'_>) -> Vec<(MemoryWrite, Effect)> {
    let mut writes = Vec::with_capacity(overlay.memories.len());
    for (id, draft) in &overlay.memories {
        let head = overlay.head(id);
        let hash = draft.after.as_ref().map_or_else(tombstone_hash, |memory| memory.hash());
        let is_same = head.is_some_and(|head| head.hash == hash);
        if let Some(effect) = net(head.is_some(), draft.after.is_some(), draft.manner, is_same) {
            let before = head.and_then(|head| head.memory.as_ref());
            let vector = in_vector_store(before) || in_vector_store(draft.after.as_ref());
            writes.push((MemoryWrite { id: id.clone(), after: draft.after.clone(), hash, vector }, effect));
        }
    }
    writes
}

/// The relations that are different from their heads, in the order of their keys.
fn relations(overlay: &Overlay<'_>) -> Vec<(RelationWrite, Effect)> {
    let mut writes = Vec::with_capacity(overlay.relations.len());
    for (relation, draft) in &overlay.relations {
        let before = overlay.relation_head(relation).and_then(|head| head.state.as_ref());
        let is_same = before == draft.after.as_ref();
        if let Some(effect) = net(before.is_some(), draft.after.is_some(), draft.manner, is_same) {
            let write = RelationWrite { relation: relation.clone(), after: draft.after.clone() };
            writes.push((write, effect));
        }
    }
    writes
}

/// The net effect on a record that was drafted; `None`: nothing is to be written.
fn net(is_before: bool, is_after: bool, manner: Manner, is_same: bool) -> Option<Effect> {
    match (is_before, is_after, manner) {
        (false, false, _) => None,
        (false, true, _) => Some(Effect::Created),
        (true, false, _) => Some(Effect::Deleted),
        (true, true, Manner::Whole) => Some(Effect::Replaced),
        (true, true, Manner::Parts) => (!is_same).then_some(Effect::Patched),
    }
}

/// Whether the vector store holds a point for this image. One that loses its vectors is told too,
/// so that the point becomes a tombstone.
fn in_vector_store(memory: Option<&Arc<Memory>>) -> bool {
    memory.is_some_and(|memory| memory.needs_vector_store())
}

fn outcome(overlay: &Overlay<'_>, effects: &Effects<'_>, record: &Record) -> RecordOutcome {
    let (effect, stands) = match record {
        Record::Memory(id) => (effects.memories.get(id), overlay.head(id).map(|head| head.version)),
        Record::Relation(relation) => {
            let stands = overlay.relation_head(relation).map(|head| head.version);
            (effects.relations.get(relation), stands)
        }
    };
    let version: Option<Version> = effect.map_or(stands, |_| Some(overlay.version));
    let vector = match record {
        Record::Memory(id) => effect.and_then(|_| overlay.fates.get(id).copied()),
        Record::Relation(_) => None,
    };
    let effect = effect.copied().unwrap_or(Effect::Unchanged);
    RecordOutcome { record: RecordName::from(record), version, effect, vector }
}

/// What happened to records that the command did not name. A count of nothing is left out.
fn counts(overlay: &Overlay<'_>, effects: &Effects<'_>) -> BTreeMap<String, u64> {
    let stubs = overlay
        .stubs
        .iter()
        .filter(|id| effects.memories.contains_key(id) && !overlay.is_named(&Record::Memory((*id).clone())));
    let cascaded = overlay.cascaded.iter().filter(|relation| {
        effects.relations.contains_key(relation) && !overlay.is_named(&Record::Relation((*relation).clone()))
    });
    let mut counts = overlay.counts.clone();
    for (name, count) in [("memories_created", stubs.count()), ("relations_deleted", cascaded.count())] {
        if count > 0 {
            counts.insert(name.to_owned(), count as u64);
        }
    }
    counts
}

/// The space's memories must not grow beyond its quota. What one command deletes makes room for
/// what it creates.
fn check_quota(overlay: &Overlay<'_>, quota: u64, memories: &[(MemoryWrite, Effect)]) -> Result<(), Refusal> {
    let count = |wanted| memories.iter().filter(|(_, effect)| *effect == wanted).count() as u64;
    let growth = count(Effect::Created).saturating_sub(count(Effect::Deleted));
    if growth == 0 {
        return Ok(());
    }
    let stands = overlay.count().expect("the count is read for every command that can create");
    if stands.saturating_add(growth) <= quota {
        return Ok(());
    }
    let detail =
        format!("the space has {stands} memories and may have {quota}; this command would add {growth}");
    Err(Refusal::new(Code::QuotaExceeded, "", detail))
}
