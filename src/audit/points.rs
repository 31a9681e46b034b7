//! The vector store against the heads, both ways: the point of every head, then every point that no
//! head has led to.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    CHUNK, compare,
    compare::Difference,
    judge::{Judge, Layouts, Seen, Suspect},
    report::{Finding, Mend, Record, Stop, Store},
    stored::{self, Holds},
};
use crate::{
    invariant::Invariant,
    ledger::Head,
    model::{Key, Memory, MemoryId, Phase, Space, conflict::memory_key, space::Metric},
    vector::Stored,
};

/// Ids that are read at once: they are small.
const IDS: usize = 10_000;

/// Asks the store for the points of these heads, and suspects what is there and should not be so, or should
/// be there and is not. The heads were read before: a point is written before its head.
pub(super) async fn of_heads(
    judge: &Judge,
    layouts: &Layouts,
    heads: &[(Key, Uuid, &Head)],
) -> Result<Vec<Suspect>, Stop> {
    let ids: Vec<Uuid> = heads.iter().map(|(_, point, _)| *point).collect();
    let mut held: HashMap<Key, Vec<Stored>> = HashMap::with_capacity(ids.len());
    for point in judge.ports.points.points(&ids).await? {
        held.entry(memory_key(&point.space, &point.id)).or_default().push(point);
    }
    let (mut suspects, mut judged, mut needed, mut undone) = (Vec::new(), 0, 0, 0);
    for (key, _, head) in heads {
        needed += u64::from(needs_point(head));
        let points = held.remove(key).unwrap_or_default();
        judged += points.len() as u64;
        if points.is_empty() {
            suspects.extend(needs_point(head).then(|| absent(*key, head)));
            continue;
        }
        undone += u64::from(head.version.phase() != Phase::Forward);
        let metric = layouts.of(judge, &head.space).await?.metric;
        suspects
            .extend(points.iter().filter_map(|point| suspect_point(judge, *key, point, Some(head), metric)));
    }
    count(judge, judged);
    judge.count_checked(Invariant::I7, needed);
    judge.count_checked(Invariant::I12, undone);
    // What came under an id of a head and names another memory.
    let misnamed: Vec<Stored> = held.into_values().flatten().collect();
    suspects.extend(without_head(judge, layouts, &misnamed).await?);
    Ok(suspects)
}

/// Every point whose id is not in `known`, which rises.
pub(super) async fn strays(judge: &Judge, known: &[Uuid]) -> Result<(), Stop> {
    let layouts = Layouts::default();
    let mut cursor = None;
    loop {
        let (ids, next) = judge.ports.points.ids(cursor, IDS).await?;
        judge.count_read("points", ids.len());
        let unknown: Vec<Uuid> = ids.into_iter().filter(|id| known.binary_search(id).is_err()).collect();
        for ids in unknown.chunks(CHUNK) {
            let points = judge.ports.points.points(ids).await?;
            let suspects = without_head(judge, &layouts, &points).await?;
            judge.confirm(suspects).await?;
        }
        cursor = next;
        if cursor.is_none() || judge.tasks.is_stopping() {
            return Ok(());
        }
    }
}

/// Judges points that no head has led to. They may have one by now.
async fn without_head(judge: &Judge, layouts: &Layouts, points: &[Stored]) -> Result<Vec<Suspect>, Stop> {
    let admitted: Vec<(Key, &Stored)> = points
        .iter()
        .map(|point| (memory_key(&point.space, &point.id), point))
        .filter(|(key, point)| judge.admits(&point.space, *key))
        .collect();
    let ids: Vec<(Space, MemoryId)> =
        admitted.iter().map(|(_, point)| (point.space.clone(), point.id.clone())).collect();
    let heads = if ids.is_empty() { Vec::new() } else { judge.ports.ledger.heads(&ids).await? };
    let heads: HashMap<Key, &Head> =
        heads.iter().map(|head| (memory_key(&head.space, &head.id), head)).collect();
    let mut suspects = Vec::new();
    for (key, point) in &admitted {
        let metric = layouts.of(judge, &point.space).await?.metric;
        suspects.extend(suspect_point(judge, *key, point, heads.get(key).copied(), metric));
    }
    count(judge, admitted.len() as u64);
    Ok(suspects)
}

fn count(judge: &Judge, points: u64) {
    for invariant in [Invariant::I4, Invariant::I6, Invariant::I9] {
        judge.count_checked(invariant, points);
    }
}

fn needs_point(head: &Head) -> bool {
    head.memory.as_ref().is_some_and(|memory| memory.needs_vector_store())
}

fn suspect_point(
    judge: &Judge,
    key: Key,
    point: &Stored,
    head: Option<&Head>,
    metric: Metric,
) -> Option<Suspect> {
    let Stored { space, id, version, .. } = point;
    let holds =
        Holds { version: *version, live: point.point.is_some(), undone: judge.is_undone(space, *version) };
    let wrong = stored::judge(head, holds, Memory::needs_vector_store, |memory| {
        let marker = head.filter(|head| head.hash != point.hash).map(|head| {
            let says = |hash| format!("marker {hash}");
            (Invariant::I11, Difference::new(says(head.hash), says(point.hash)))
        });
        let content = || {
            let content = point.point.as_ref()?;
            Some((Invariant::I4, compare::of_point(memory, metric, content)?))
        };
        content().or(marker)
    })?;
    Some(Suspect {
        key,
        space: space.clone(),
        finding: Finding {
            invariant: wrong.invariant,
            record: Record::memory(space, id),
            store: Store::Vector,
            expected: wrong.difference.expected,
            found: wrong.difference.found,
            mend: wrong.mend,
        },
        seen: Seen {
            heads: vec![(space.clone(), id.clone(), head.map(|head| head.version))],
            point: Some((space.clone(), id.clone(), Some(*version))),
            ..Seen::default()
        },
    })
}

fn absent(key: Key, head: &Head) -> Suspect {
    let Head { space, .. } = head;
    Suspect {
        key,
        space: space.clone(),
        finding: Finding {
            invariant: Invariant::I7,
            record: Record::memory(space, &head.id),
            store: Store::Vector,
            expected: format!("live at version {}", head.version),
            found: "nothing".to_owned(),
            mend: Mend::ReapplyHead,
        },
        seen: Seen {
            heads: vec![(space.clone(), head.id.clone(), Some(head.version))],
            point: Some((space.clone(), head.id.clone(), None)),
            ..Seen::default()
        },
    }
}
