//! The ledger against itself: every image against the hash that its head was given, every relation
//! against its hash and its ends; and, since the heads are read anyway, each head's point with it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;

use super::{
    CHUNK, NOT_ABORTED,
    judge::{Judge, Layouts, Seen, Suspect},
    points,
    report::{Finding, Mend, Record, Stop, Store},
};
use crate::{
    invariant::Invariant,
    ledger::{Head, RelationHead},
    model::{Digest, Key, MemoryId, Relation, Space, Version, conflict::memory_key, memory::tombstone_hash},
    vector::point_id,
};

/// Pages that are judged at once, while the next one is read.
const PAGES: usize = 2;

/// What a pass over the heads has come by.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// The points that heads may have.
    pub(super) points: Vec<Uuid>,
    /// Live memories: each needs a node, where there is a projected graph.
    pub(super) nodes: Vec<Key>,
    /// Why points were not judged.
    pub(super) stop: Option<Stop>,
}

impl Passed {
    fn add(mut self, page: Self) -> Self {
        self.points.extend(page.points);
        self.nodes.extend(page.nodes);
        self.stop = self.stop.or(page.stop);
        self
    }
}

/// What a projected edge must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EdgeDemand {
    pub(super) version: Version,
    /// The hash of its content, recomputed; `None`: a tombstone.
    pub(super) hash: Option<Digest>,
}

/// Every head with its content and its point, in the ledger's own order.
pub(super) async fn pass(judge: &Arc<Judge>) -> Result<Passed, Stop> {
    let layouts = Arc::new(Layouts::default());
    let pages = stream::try_unfold(Some(None), |from| async move {
        let Some(from) = from else { return Ok::<_, Stop>(None) };
        let (heads, next) = judge.ports.ledger.scan_heads(from, CHUNK).await?;
        Ok(Some((heads, next.filter(|_| !judge.tasks.is_stopping()).map(Some))))
    });
    let judged = pages.map_ok(|heads| {
        let (of_page, layouts) = (Arc::clone(judge), Arc::clone(&layouts));
        let page = judge.tasks.spawn(async move { judge_heads(&of_page, &layouts, &heads).await });
        async move { page.await.expect(NOT_ABORTED) }
    });
    let passed = judged.try_buffer_unordered(PAGES).boxed();
    passed.try_fold(Passed::default(), |all, page| async move { Ok(all.add(page)) }).await
}

async fn judge_heads(judge: &Judge, layouts: &Layouts, heads: &[Head]) -> Result<Passed, Stop> {
    judge.count_read("heads", heads.len());
    let mut passed = Passed::default();
    let mut admitted = Vec::with_capacity(heads.len());
    for head in heads {
        let (key, point) = (memory_key(&head.space, &head.id), point_id(&head.space, &head.id));
        passed.points.push(point);
        if judge.admits(&head.space, key) {
            if head.memory.is_some() && judge.ports.graph.is_some() {
                passed.nodes.push(key);
            }
            admitted.push((key, point, head));
        }
    }
    // The heads are judged even when the vector store does not answer.
    let mut suspects = contents(judge, &admitted);
    match points::of_heads(judge, layouts, &admitted).await {
        Ok(of_points) => suspects.extend(of_points),
        Err(stop) => passed.stop = Some(stop),
    }
    judge.confirm(suspects).await?;
    Ok(passed)
}

/// Heads whose image is not what was hashed when it was written.
fn contents(judge: &Judge, heads: &[(Key, Uuid, &Head)]) -> Vec<Suspect> {
    judge.count_checked(Invariant::I11, heads.len() as u64);
    heads.iter().filter_map(|(key, _, head)| suspect_head(judge, *key, head)).collect()
}

fn suspect_head(judge: &Judge, key: Key, head: &Head) -> Option<Suspect> {
    let hash = head.memory.as_ref().map_or_else(tombstone_hash, |memory| memory.hash());
    let (invariant, expected, found, mend) = if judge.is_undone(&head.space, head.version) {
        let found = format!("version {}", head.version);
        (Invariant::I12, "an undone version in no head".to_owned(), found, Mend::Report)
    } else if hash == head.hash {
        return None;
    } else {
        let [expected, found] = [head.hash, hash].map(|hash| format!("content with hash {hash}"));
        (Invariant::I11, expected, found, Mend::RestoreLedger)
    };
    let record = Record::memory(&head.space, &head.id);
    Some(Suspect {
        key,
        space: head.space.clone(),
        finding: Finding { invariant, record, store: Store::Ledger, expected, found, mend },
        seen: Seen {
            heads: vec![(head.space.clone(), head.id.clone(), Some(head.version))],
            ..Seen::default()
        },
    })
}

/// Every relation head, in key order. Answers what a projected graph must hold; empty without one.
pub(super) async fn relations(judge: &Judge) -> Result<HashMap<Key, EdgeDemand>, Stop> {
    let mut demand = HashMap::new();
    let mut after = None;
    loop {
        let heads = judge.ports.ledger.scan_relations(after, CHUNK).await?;
        let Some(last) = heads.last() else { return Ok(demand) };
        after = Some(last.relation.key());
        judge.count_read("relations", heads.len());
        let admitted: Vec<_> = heads
            .iter()
            .map(|head| (head.relation.key(), head))
            .filter(|(key, head)| judge.admits(&head.relation.space, *key))
            .collect();
        if judge.ports.graph.is_some() {
            demand.extend(admitted.iter().map(|(key, head)| {
                let hash = head.state.as_ref().map(Relation::hash);
                (*key, EdgeDemand { version: head.version, hash })
            }));
        }
        judge_relations(judge, &admitted).await?;
        if judge.tasks.is_stopping() {
            return Ok(demand);
        }
    }
}

async fn judge_relations(judge: &Judge, relations: &[(Key, &RelationHead)]) -> Result<(), Stop> {
    let live: Vec<_> = relations.iter().filter(|(_, head)| head.state.is_some()).collect();
    let ends: BTreeSet<(Space, MemoryId)> = live
        .iter()
        .flat_map(|(_, RelationHead { relation, .. })| {
            [&relation.source, &relation.target].map(|id| (relation, id))
        })
        .map(|(relation, id)| (relation.space.clone(), id.clone()))
        .collect();
    let ends: Vec<_> = ends.into_iter().collect();
    let ends = judge.ports.ledger.heads(&ends).await?;
    let versions: HashMap<Key, (Version, bool)> = ends
        .iter()
        .map(|head| (memory_key(&head.space, &head.id), (head.version, head.memory.is_some())))
        .collect();
    let mut suspects = Vec::new();
    for (key, head) in relations {
        suspects.extend(suspect_relation(judge, *key, head));
    }
    let mut judged = 0;
    for (key, head) in live {
        let space = &head.relation.space;
        let ends = [&head.relation.source, &head.relation.target];
        // An end that is about to be deleted takes the relation with it.
        if !ends.into_iter().all(|id| judge.admits_end(space, memory_key(space, id))) {
            continue;
        }
        judged += 1;
        suspects.extend(suspect_ends(*key, head, &versions));
    }
    judge.count_checked(Invariant::I11, relations.len() as u64);
    judge.count_checked(Invariant::I8, judged);
    judge.confirm(dedupe(suspects)).await
}

fn suspect_relation(judge: &Judge, key: Key, head: &RelationHead) -> Option<Suspect> {
    let RelationHead { relation, version, state, hash: marker } = head;
    let hash = state.as_ref().map_or_else(tombstone_hash, Relation::hash);
    let (invariant, expected, found, mend) = if judge.is_undone(&relation.space, *version) {
        let expected = "an undone version in no head".to_owned();
        (Invariant::I12, expected, format!("version {version}"), Mend::Report)
    } else if hash == *marker {
        return None;
    } else {
        let [expected, found] = [*marker, hash].map(|hash| format!("content with hash {hash}"));
        (Invariant::I11, expected, found, Mend::RestoreLedger)
    };
    let record = Record::relation(relation);
    Some(Suspect {
        key,
        space: relation.space.clone(),
        finding: Finding { invariant, record, store: Store::Ledger, expected, found, mend },
        seen: Seen { relation: Some((key, Some(*version))), ..Seen::default() },
    })
}

fn suspect_ends(key: Key, head: &RelationHead, versions: &HashMap<Key, (Version, bool)>) -> Option<Suspect> {
    let RelationHead { relation, version, .. } = head;
    let ends = [("source", &relation.source), ("target", &relation.target)]
        .map(|(name, id)| (name, id, versions.get(&memory_key(&relation.space, id)).copied()));
    let (name, _, dead) = ends.iter().find(|(_, _, end)| !end.is_some_and(|(_, live)| live))?;
    let found = match dead {
        Some((version, _)) => format!("a {name} that was deleted at version {version}"),
        None => format!("a {name} that is not there"),
    };
    Some(Suspect {
        key,
        space: relation.space.clone(),
        finding: Finding {
            invariant: Invariant::I8,
            record: Record::relation(relation),
            store: Store::Ledger,
            expected: "two live ends".to_owned(),
            found,
            mend: Mend::Report,
        },
        seen: Seen {
            heads: ends
                .map(|(_, id, end)| (relation.space.clone(), id.clone(), end.map(|(version, _)| version)))
                .into(),
            relation: Some((key, Some(*version))),
            ..Seen::default()
        },
    })
}

/// One suspicion a record: the first.
fn dedupe(suspects: Vec<Suspect>) -> Vec<Suspect> {
    let mut seen = HashSet::new();
    suspects.into_iter().filter(|suspect| seen.insert(suspect.key)).collect()
}
