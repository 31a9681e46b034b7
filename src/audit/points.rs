//! The vector store against the heads, both ways: every point against its head, then every head
//! that needs a point against the points that there are.

use super::{
    CHUNK, compare,
    compare::Difference,
    heads,
    judge::{Judge, Layouts, Seen, Suspect},
    report::{Finding, Mend, Record, Stop, Store},
    stored::{self, Holds},
};
use crate::{
    invariant::Invariant,
    ledger::Head,
    model::{Key, Memory, Space, conflict::memory_key, space::Metric},
    vector::Stored,
};

/// What a pass over the points has come by; both rise.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The points that there are.
    points: Vec<Key>,
    /// The heads that were read for them, and judged by their hash as well.
    heads: Vec<Key>,
}

/// Every point, in the store's own order. The next points are read while these are judged.
pub(super) async fn pass(judge: &Judge) -> Result<Held, Stop> {
    let layouts = Layouts::default();
    let mut held = Held::default();
    let (mut points, mut cursor) = judge.ports.points.scan(None, 2 * CHUNK).await?;
    loop {
        judge.count_read("points", points.len());
        let next = async {
            match cursor.take() {
                Some(cursor) => judge.ports.points.scan(Some(cursor), 2 * CHUNK).await.map(Some),
                None => Ok(None),
            }
        };
        // In two halves, so that the heads of one are read while those of the other are compared.
        let (one, other) = points.split_at(points.len().min(CHUNK));
        let judged =
            futures::join!(judge_points(judge, &layouts, one), judge_points(judge, &layouts, other), next);
        held.add(judged.0?);
        held.add(judged.1?);
        match judged.2? {
            Some((next, rest)) if !judge.tasks.is_stopping() => (points, cursor) = (next, rest),
            _ => break,
        }
    }
    held.points.sort_unstable();
    held.heads.sort_unstable();
    Ok(held)
}

impl Held {
    fn add(&mut self, part: Self) {
        self.points.extend(part.points);
        self.heads.extend(part.heads);
    }
}

async fn judge_points(judge: &Judge, layouts: &Layouts, points: &[Stored]) -> Result<Held, Stop> {
    let keys: Vec<Key> = points.iter().map(|point| memory_key(&point.space, &point.id)).collect();
    let admitted: Vec<(Key, &Stored)> =
        keys.iter().copied().zip(points).filter(|(key, point)| judge.admits(&point.space, *key)).collect();
    let ids: Vec<_> = admitted.iter().map(|(_, point)| (point.space.clone(), point.id.clone())).collect();
    let heads = judge.ports.ledger.heads(&ids).await?;
    // Heads come in the order asked, and those that are not there are left out.
    let mut suspects = heads::contents(judge, heads.iter());
    let read = heads.iter().map(|head| memory_key(&head.space, &head.id)).collect();
    let mut heads = heads.iter().peekable();
    let mut undone = 0;
    for (key, point) in &admitted {
        let head = heads.next_if(|head| head.id == point.id && head.space == point.space);
        let metric = layouts.of(judge, &point.space).await?.metric;
        undone += u64::from(head.is_some_and(|head| head.version.phase() != crate::model::Phase::Forward));
        suspects.extend(suspect_point(judge, *key, point, head, metric));
    }
    for invariant in [Invariant::I4, Invariant::I6, Invariant::I9] {
        judge.count_checked(invariant, admitted.len() as u64);
    }
    judge.count_checked(Invariant::I12, undone);
    judge.confirm(suspects).await?;
    Ok(Held { points: keys, heads: read })
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

/// Heads that need a point, and there is none; and their content, which no point has led to. `needed` rises;
/// `held`: `None` when the store could not be read, which says nothing about what it holds.
pub(super) async fn missing(judge: &Judge, needed: &[Key], held: Option<&Held>) -> Result<(), Stop> {
    for key in without(needed, held.map_or(&[], |held| &held.heads)) {
        let Some(head) = judge.head(key).await? else { continue };
        judge.confirm(heads::contents(judge, std::iter::once(&head))).await?;
    }
    let Some(held) = held else { return Ok(()) };
    judge.count_checked(Invariant::I7, needed.len() as u64);
    let mut suspects = Vec::new();
    for key in without(needed, &held.points) {
        // Gone or changed since: then it is another pass's to judge.
        let Some(head) = judge.head(key).await? else { continue };
        if !head.memory.as_ref().is_some_and(|memory| memory.needs_vector_store()) {
            continue;
        }
        suspects.push(absent(key, &head, &head.space));
        if suspects.len() >= CHUNK {
            judge.confirm(std::mem::take(&mut suspects)).await?;
        }
    }
    judge.confirm(suspects).await
}

fn absent(key: Key, head: &Head, space: &Space) -> Suspect {
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

/// What is in `needed` and not in `held`; both rise.
pub(super) fn without<'a>(needed: &'a [Key], held: &'a [Key]) -> impl Iterator<Item = Key> + 'a {
    let mut held = held.iter().peekable();
    needed.iter().copied().filter(move |key| {
        while held.next_if(|other| *other < key).is_some() {}
        held.peek() != Some(&key)
    })
}
