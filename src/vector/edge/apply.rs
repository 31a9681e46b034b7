//! The fence, and the fewest calls that carry out what passes it.
//!
//! Versions are asked of the engine, not kept in memory: a look-up of absent points costs next to
//! nothing, and a million points would cost their ids twice. Every shard is asked, because a write of
//! long ago may believe in another layout than the one that stands.

use std::collections::{BTreeMap, HashMap};

use qdrant_edge::{JsonPath, PayloadSelector, PayloadSelectorInclude, PointId, WithPayloadInterface};

use super::{
    super::{Error, Layout, Write},
    engine::{Engine, Failure},
    point,
    shards::{Place, Shards, Slot, unavailable},
};
use crate::model::{Answer, Digest, MemoryId, Space, Version, answer::Reason};

/// One copy of a point, as its marker tells. After a crash there may be one in two places.
struct Copy {
    place: Place,
    version: Version,
    hash: Digest,
}

/// A write that passed the fence.
struct Passed<'a> {
    /// Its place in the call.
    index: usize,
    write: &'a Write,
    id: PointId,
    rewrites: bool,
}

/// Applies `writes`, each only over a lower version; one answer a write, in order.
pub(super) fn apply(shards: &Shards, writes: &[Write]) -> Vec<Answer> {
    let ids: Vec<PointId> = writes.iter().map(|write| point::point_id(&write.space, &write.id)).collect();
    let held = match shards.mend().and_then(|()| copies(shards, &ids)) {
        Ok(held) => held,
        Err(error) => {
            let reason = Reason::new("index_unavailable", error.to_string());
            return vec![Answer::Transient(reason); writes.len()];
        }
    };
    let mut answers = Vec::with_capacity(writes.len());
    let mut passed: BTreeMap<Place, Vec<Passed<'_>>> = BTreeMap::new();
    for (index, (write, id)) in writes.iter().zip(&ids).enumerate() {
        let (place, copies) = (place_of(write), held.get(id));
        let version = copies.and_then(|copies| copies.iter().map(|copy| copy.version).max());
        let fenced = write.refusal().map(Answer::Rejected).or_else(|| Answer::fenced(version, write.version));
        if fenced.is_none() {
            let rewrites = copies.is_some_and(|copies| copies.iter().any(|copy| copy.place == place));
            passed.entry(place).or_default().push(Passed { index, write, id: *id, rewrites });
        }
        answers.push(fenced.unwrap_or(Answer::Applied));
    }
    for (place, passed) in passed {
        match shards.at(place) {
            Ok(slot) => upsert(&slot, &passed, &mut answers),
            Err(_) => passed.iter().for_each(|one| answer(&mut answers, one, unknown())),
        }
    }
    remove_strays(shards, writes, &ids, &held, &mut answers);
    answers
}

/// Version and hash of points, wherever they lie.
pub(super) fn markers(
    shards: &Shards,
    points: &[(Space, MemoryId, Layout)],
) -> Result<Vec<Option<(Version, Digest)>>, Error> {
    let ids: Vec<PointId> = points.iter().map(|(space, id, _)| point::point_id(space, id)).collect();
    let held = copies(shards, &ids)?;
    let newest = |id| held.get(id)?.iter().max_by_key(|copy| copy.version);
    Ok(ids.iter().map(|id| newest(id).map(|copy| (copy.version, copy.hash))).collect())
}

/// Removes points from wherever they lie, each only while its newest copy has this version; whether each
/// is gone.
pub(super) fn remove(shards: &Shards, points: &[(Space, MemoryId, Version)]) -> Result<Vec<bool>, Error> {
    shards.mend()?;
    let ids: Vec<PointId> = points.iter().map(|(space, id, _)| point::point_id(space, id)).collect();
    let held = copies(shards, &ids)?;
    let newest =
        |id| held.get(id).and_then(|copies: &Vec<Copy>| copies.iter().map(|copy| copy.version).max());
    let gone: Vec<bool> = ids
        .iter()
        .zip(points)
        .map(|(id, (_, _, version))| newest(id).is_none_or(|newest| newest == *version))
        .collect();
    let removed: Vec<PointId> = ids.iter().zip(&gone).filter(|(_, gone)| **gone).map(|(id, _)| *id).collect();
    for slot in shards.all()? {
        slot.change(|engine| engine.remove(removed.clone())).map_err(unavailable)?;
    }
    Ok(gone)
}

/// Where a write's point belongs.
fn place_of(write: &Write) -> Place {
    let dense = write.live().and_then(|memory| memory.dense.as_deref());
    // Lengths are bounded far below 2^32 by the record limit.
    let dimension = dense.map(|dense| u32::try_from(dense.len()).unwrap_or(u32::MAX));
    dimension.map_or(Place::Plain, |dimension| Place::Dense(dimension, write.layout.metric))
}

fn copies(shards: &Shards, ids: &[PointId]) -> Result<HashMap<PointId, Vec<Copy>>, Error> {
    let paths = [point::EPOCH, point::SEQUENCE, point::HASH]
        .map(|name| -> JsonPath { name.parse().expect("a plain name is a path") });
    let marker = PayloadSelector::Include(PayloadSelectorInclude::new(paths.to_vec()));
    let marker = WithPayloadInterface::Selector(marker);
    let mut held: HashMap<PointId, Vec<Copy>> = HashMap::new();
    for slot in shards.all()? {
        for record in slot.ask(|engine| engine.retrieve(ids, &marker)).map_err(unavailable)? {
            // A point without a readable marker is overwritten, as if it were not there.
            let Some(payload) = record.payload else { continue };
            if let (Some(version), Some(hash)) = (point::version(&payload.0), point::hash(&payload.0)) {
                held.entry(record.id).or_default().push(Copy { place: slot.place, version, hash });
            }
        }
    }
    Ok(held)
}

/// Sends points in one call; a refusal is halved until it names one.
fn upsert(slot: &Slot, passed: &[Passed<'_>], answers: &mut [Answer]) {
    let points = passed.iter().map(|one| point::to_engine(one.write, one.id, one.rewrites)).collect();
    match slot.change(|engine: &Engine| engine.upsert(points)) {
        Ok(()) => {}
        Err(Failure::Refused) => match passed {
            [one] => {
                let reason = Reason::new("refused_by_index", "the vector index refuses this point");
                answer(answers, one, Answer::Rejected(reason));
            }
            _ => {
                let (left, right) = passed.split_at(passed.len() / 2);
                upsert(slot, left, answers);
                upsert(slot, right, answers);
            }
        },
        Err(Failure::Broken) => passed.iter().for_each(|one| answer(answers, one, unknown())),
    }
}

/// Removes the copies that a point has anywhere but in its place: it moved there now, or a crash came
/// between the two halves of an earlier move.
fn remove_strays(
    shards: &Shards,
    writes: &[Write],
    ids: &[PointId],
    held: &HashMap<PointId, Vec<Copy>>,
    answers: &mut [Answer],
) {
    let mut strays: BTreeMap<Place, Vec<(usize, PointId)>> = BTreeMap::new();
    for (index, (write, id)) in writes.iter().zip(ids).enumerate() {
        let Some(copies) = held.get(id) else { continue };
        let newest = copies.iter().max_by_key(|copy| copy.version).map(|copy| copy.place);
        let stays = match answers.get(index) {
            Some(Answer::Applied) => Some(place_of(write)),
            Some(Answer::Same | Answer::Superseded(_)) => newest,
            _ => continue,
        };
        for copy in copies.iter().filter(|copy| Some(copy.place) != stays) {
            strays.entry(copy.place).or_default().push((index, *id));
        }
    }
    for (place, strays) in strays {
        let ids = strays.iter().map(|(_, id)| *id).collect();
        if shards.at(place).and_then(|slot| slot.change(|engine| engine.remove(ids))).is_err() {
            for (index, _) in strays {
                if let Some(answer) = answers.get_mut(index) {
                    *answer = unknown();
                }
            }
        }
    }
}

fn answer(answers: &mut [Answer], one: &Passed<'_>, with: Answer) {
    if let Some(answer) = answers.get_mut(one.index) {
        *answer = with;
    }
}

fn unknown() -> Answer {
    Answer::Indeterminate(Reason::new("engine_failed", "the vector engine failed on the way"))
}
