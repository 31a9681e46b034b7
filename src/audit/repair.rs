//! Putting the vector store right, record by record, from the heads.
//!
//! ```text
//! report ─▶ plan ─▶ (a person agrees) ─▶ carry out ─▶ audit again
//! ```
//!
//! A point that is wrong may carry the version that it should have, or a higher one, so no fenced write
//! would mend it: it is removed, only while it still is what was seen, and its head is written anew. What
//! no head knows is removed and nothing else. Commands may run meanwhile: the point is looked at first,
//! then what is in flight, then the head; so a point that a saga has moved since is left to that saga.
//!
//! What the ledger itself has lost, and what a mistake of the coordinator left behind, is not mended here.

use std::collections::{BTreeSet, HashMap};

use super::{
    CHUNK, Ports,
    in_flight::InFlight,
    report::{Finding, Mend, Record, Report, Stop, Store, Unreachable},
};
use crate::{
    ledger::Head,
    model::{Answer, Digest, Key, MemoryId, Space, Version, conflict::memory_key, space::Layout},
    vector::Write,
};

/// What can be done about a report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Records whose points are written anew from their heads, or removed where there is none.
    pub records: BTreeSet<(Space, MemoryId)>,
    /// Findings that are not mended here.
    pub left: Vec<Finding>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Done {
    /// Points written anew, or removed.
    pub repaired: u64,
    /// Records that a command is about to change, or has changed since: to be looked at again.
    pub moved: u64,
}

impl Plan {
    /// What can be done about the findings of `report`.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let mut plan = Self::default();
        for finding in &report.findings {
            match (&finding.record, finding.store, finding.mend) {
                (Record::Memory { space, id }, Store::Vector, Mend::ReapplyHead | Mend::RemoveFromStore) => {
                    plan.records.insert((space.clone(), id.clone()));
                }
                _ => plan.left.push(finding.clone()),
            }
        }
        plan
    }
}

/// Carries a plan out; `progress` hears how many records were looked at.
///
/// # Errors
/// [`Unreachable`] when a store does not answer; what was done stands, and it may be begun again.
pub async fn carry_out(
    ports: &Ports,
    plan: &Plan,
    mut progress: impl FnMut(usize),
) -> Result<Done, Unreachable> {
    let records: Vec<_> = plan.records.iter().cloned().collect();
    let mut done = Done::default();
    for records in records.chunks(CHUNK) {
        repair(ports, records, &mut done).await.map_err(|stop| match stop {
            Stop::Unreachable(store) => store,
            Stop::Corrupt(reason) => Unreachable { store: Store::Ledger, reason },
        })?;
        progress(records.len());
    }
    Ok(done)
}

async fn repair(ports: &Ports, records: &[(Space, MemoryId)], done: &mut Done) -> Result<(), Stop> {
    let spaces: BTreeSet<&Space> = records.iter().map(|(space, _)| space).collect();
    let layouts = layouts(ports, &spaces).await?;
    let layout = |space: &Space| layouts.get(space).copied().unwrap_or_default();
    let asked: Vec<_> =
        records.iter().map(|(space, id)| (space.clone(), id.clone(), layout(space))).collect();
    // This order is what makes it safe beside commands; see the module.
    let seen = ports.vector.markers(&asked).await?;
    let in_flight = InFlight::load(&*ports.ledger, spaces).await?;
    let heads = ports.ledger.heads(records).await?;
    let heads: HashMap<Key, Head> =
        heads.into_iter().map(|head| (memory_key(&head.space, &head.id), head)).collect();
    let (at_rest, held): (Vec<_>, Vec<_>) = records
        .iter()
        .zip(seen)
        .partition(|((space, id), _)| !in_flight.holds(space, &memory_key(space, id)));
    done.moved += held.len() as u64;
    let gone = remove(ports, &at_rest).await?;
    let mut writes = Vec::new();
    for (((space, id), seen), gone) in at_rest.into_iter().zip(gone) {
        match heads.get(&memory_key(space, id)) {
            _ if !gone => done.moved += 1,
            Some(head) if seen.is_some() || needs_point(head) => writes.push(write(head, layout(space))),
            Some(_) | None => done.repaired += 1,
        }
    }
    let answers = ports.vector.write(&writes).await;
    done.repaired += answers.iter().filter(|answer| answer.is_held()).count() as u64;
    match answers.into_iter().find(|answer| !answer.is_held()) {
        Some(Answer::Rejected(why) | Answer::Transient(why) | Answer::Indeterminate(why)) => {
            Err(Stop::Unreachable(Unreachable { store: Store::Vector, reason: why.detail }))
        }
        _ => Ok(()),
    }
}

type Marked<'a> = (&'a (Space, MemoryId), Option<(Version, Digest)>);

/// Removes the points that there are; for each, whether nothing stands in the way of its head any more.
async fn remove(ports: &Ports, records: &[Marked<'_>]) -> Result<Vec<bool>, Stop> {
    let held: Vec<_> = records
        .iter()
        .filter_map(|((space, id), seen)| seen.map(|(version, _)| (space.clone(), id.clone(), version)))
        .collect();
    let mut removed = ports.vector.remove(&held).await?.into_iter();
    Ok(records.iter().map(|(_, seen)| seen.is_none() || removed.next().unwrap_or(false)).collect())
}

async fn layouts(ports: &Ports, spaces: &BTreeSet<&Space>) -> Result<HashMap<Space, Layout>, Stop> {
    let mut layouts = HashMap::new();
    for space in spaces {
        let declaration = ports.ledger.declaration(space).await?.unwrap_or_default();
        layouts.insert((*space).clone(), declaration.layout());
    }
    Ok(layouts)
}

fn needs_point(head: &Head) -> bool {
    head.memory.as_ref().is_some_and(|memory| memory.needs_vector_store())
}

/// The head as the store must hold it; a tombstone where it holds nothing.
fn write(head: &Head, layout: Layout) -> Write {
    Write {
        space: head.space.clone(),
        id: head.id.clone(),
        version: head.version,
        hash: head.hash,
        layout,
        after: head.memory.clone(),
    }
}
