//! What the commands on memories do.
//!
//! A precondition is judged against the record as it is at that point of the command: in a batch,
//! after the items before it.

use super::{
    Refusal,
    overlay::{Manner, Overlay, Record, Terms},
    patch, relation,
};
use crate::{
    ledger::RelationsOf,
    model::{
        Code, Memory, MemoryId, Name, Sparse, Version,
        command::{MemoryDelete, MemoryPatch, MemoryPut, MemorySupersede, MemoryTouch},
        memory::Properties,
    },
};

/// The importance of a memory whose command gives none.
pub(super) const IMPORTANCE: f64 = 0.5;

/// The kind of a memory whose command gives none.
pub(super) fn default_kind() -> Name {
    Name::new("Episode").expect("a constant name")
}

/// `memory.put`: writes the whole memory, whatever was there.
pub(super) fn put(overlay: &mut Overlay<'_>, put: &MemoryPut, at: &str) -> Result<(), Refusal> {
    overlay.name(Record::Memory(put.id.clone()));
    let current = overlay.memory_version(&put.id);
    if let Some(version) = current
        && put.if_absent
    {
        let detail = format!("`{}` is there already, at version {version}", put.id);
        return Err(Refusal::new(Code::IfAbsent, format!("{at}/if_absent"), detail));
    }
    check_version(&put.id, put.if_version, current, at)?;
    let memory = whole(put, &overlay.terms);
    overlay.write_memory(&put.id, Some(memory), Manner::Whole);
    Ok(())
}

/// `memory.patch`: changes parts of a memory. One that changes nothing makes no new version.
pub(super) fn patch(overlay: &mut Overlay<'_>, patch: &MemoryPatch, at: &str) -> Result<(), Refusal> {
    overlay.name(Record::Memory(patch.id.clone()));
    let memory = present(overlay, &patch.id, at)?;
    check_version(&patch.id, patch.if_version, overlay.memory_version(&patch.id), at)?;
    let patched = patch::apply(memory, patch, &overlay.terms, at)?;
    overlay.write_memory(&patch.id, Some(patched.memory), Manner::Parts);
    match patched.fate {
        Some(fate) => {
            overlay.fates.insert(patch.id.clone(), fate);
        }
        // A vector that this patch brings or removes is no longer the one that an item before it
        // dropped or kept.
        None if patch.vector.is_named() => {
            overlay.fates.remove(&patch.id);
        }
        None => {}
    }
    Ok(())
}

/// `memory.touch`: the memory was used. No image, no version, no store is told.
pub(super) fn touch(overlay: &mut Overlay<'_>, touch: &MemoryTouch, at: &str) -> Result<(), Refusal> {
    overlay.name(Record::Memory(touch.id.clone()));
    present(overlay, &touch.id, at)?;
    overlay.touched.insert(touch.id.clone());
    Ok(())
}

/// `memory.delete`: the memory goes, and with it every relation that has it as an end. Deleting
/// what is absent changes nothing; only an `if_version` can then be wrong.
pub(super) fn delete(overlay: &mut Overlay<'_>, delete: &MemoryDelete, at: &str) -> Result<(), Refusal> {
    overlay.name(Record::Memory(delete.id.clone()));
    check_version(&delete.id, delete.if_version, overlay.memory_version(&delete.id), at)?;
    if overlay.memory(&delete.id).is_none() {
        return Ok(());
    }
    let hanging = RelationsOf::Memory(overlay.terms.space.clone(), delete.id.clone());
    for relation in overlay.relations_of(&hanging) {
        overlay.write_relation(&relation, None, Manner::Whole);
        overlay.cascaded.insert(relation);
    }
    overlay.write_memory(&delete.id, None, Manner::Whole);
    Ok(())
}

/// `memory.supersede`: puts the new memory, ends the old one's validity, relates new to old.
///
/// The outcome lists all three: the old memory, the new one, the relation.
pub(super) fn supersede(
    overlay: &mut Overlay<'_>,
    supersede: &MemorySupersede,
    at: &str,
) -> Result<(), Refusal> {
    let by = &supersede.by;
    if by.id == supersede.id {
        let detail = format!("`{}` cannot supersede itself; give the new memory another id", by.id);
        return Err(Refusal::new(Code::SameEnds, format!("{at}/by/id"), detail));
    }
    overlay.name(Record::Memory(supersede.id.clone()));
    let mut old = present(overlay, &supersede.id, at)?.clone();
    put(overlay, by, &format!("{at}/by"))?;
    old.valid_until = Some(overlay.terms.now);
    overlay.write_memory(&supersede.id, Some(old), Manner::Parts);
    relation::supersedes(overlay, supersede.relation());
    Ok(())
}

/// An empty memory of the default kind, for a relation whose end is not there.
pub(super) fn stub(overlay: &mut Overlay<'_>, id: &MemoryId) {
    let memory = Memory {
        kind: default_kind(),
        content: String::new(),
        properties: Properties::new(),
        session: None,
        importance: IMPORTANCE,
        dense: None,
        sparse: overlay.terms.derived(""),
        occurred_at: overlay.terms.now,
        valid_from: overlay.terms.now,
        valid_until: None,
    };
    overlay.write_memory(id, Some(memory), Manner::Whole);
    overlay.stubs.insert(id.clone());
}

/// The memory that a put asks for, its defaults filled in.
fn whole(put: &MemoryPut, terms: &Terms<'_>) -> Memory {
    let brought = put.sparse.clone().map(|sparse| Sparse { derived: false, ..sparse });
    Memory {
        kind: put.kind.clone(),
        content: put.content.clone(),
        properties: put.properties.clone(),
        session: put.session.clone(),
        importance: put.importance,
        dense: put.vector.clone(),
        sparse: brought.or_else(|| terms.derived(&put.content)),
        occurred_at: put.occurred_at.unwrap_or(terms.now),
        valid_from: put.valid_from.unwrap_or(terms.now),
        valid_until: put.valid_until,
    }
}

fn present<'o>(overlay: &'o Overlay<'_>, id: &MemoryId, at: &str) -> Result<&'o Memory, Refusal> {
    let memory = overlay.memory(id).map(|memory| &**memory);
    memory.ok_or_else(|| {
        Refusal::new(Code::NotFound, format!("{at}/id"), format!("there is no memory `{id}` in this space"))
    })
}

/// `if_version`: the record must be there, at exactly this version.
fn check_version(
    id: &MemoryId,
    wanted: Option<Version>,
    current: Option<Version>,
    at: &str,
) -> Result<(), Refusal> {
    let Some(wanted) = wanted.filter(|wanted| current != Some(*wanted)) else { return Ok(()) };
    let detail = match current {
        Some(current) => format!("`{id}` is at version {current}, not {wanted}"),
        None => format!("`{id}` is not there, so it is at no version, not {wanted} either"),
    };
    Err(Refusal::new(Code::IfVersion, format!("{at}/if_version"), detail))
}
