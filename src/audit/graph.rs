//! A projected graph against the heads, both ways: every node and edge, then every head that has none.

use std::collections::{HashMap, HashSet};

use super::{
    CHUNK,
    compare::Difference,
    heads::EdgeDemand,
    judge::{Judge, Seen, Suspect, undo_left_it},
    report::{Finding, Mend, Record, Stop, Store},
    stored::{self, Holds},
};
use crate::{
    graph::{Project, Register, Target},
    invariant::Invariant,
    ledger::Head,
    model::{Key, Memory, MemoryId, Phase, Relation, RelationKey, Space, Version, conflict::memory_key},
};

/// Every register of the graph, then what the heads need and it has not.
pub(super) async fn pass(
    judge: &Judge,
    graph: &dyn Project,
    mut nodes_needed: Vec<Key>,
    mut edges_needed: HashMap<Key, EdgeDemand>,
) -> Result<(), Stop> {
    let mut nodes_held = Vec::new();
    let mut cursor = None;
    loop {
        let (registers, next) = graph.scan(cursor, CHUNK).await?;
        let mut nodes = Vec::new();
        let mut suspects = Vec::new();
        for write in &registers {
            match &write.target {
                Target::Memory { space, id, after, .. } => {
                    let key = memory_key(space, id);
                    nodes_held.push(key);
                    if judge.admits(space, key) {
                        nodes.push(Node { key, space, id, version: write.version, after: after.as_deref() });
                    }
                }
                Target::Relation { relation, after } => {
                    let key = relation.key();
                    let demand = edges_needed.remove(&key);
                    if judge.admits(&relation.space, key) {
                        suspects.extend(suspect_edge(
                            judge,
                            key,
                            relation,
                            write.version,
                            after.as_ref(),
                            demand,
                        ));
                    }
                }
            }
        }
        judge.count_read("nodes", nodes.len());
        judge.count_read("edges", registers.len() - nodes.len());
        suspects.extend(suspect_nodes(judge, &nodes).await?);
        judge.count_checked(Invariant::I4, registers.len() as u64);
        judge.confirm(suspects).await?;
        cursor = next;
        if cursor.is_none() || judge.tasks.is_stopping() {
            break;
        }
    }
    nodes_held.sort_unstable();
    judge.count_checked(Invariant::I7, nodes_needed.len() as u64);
    nodes_needed.retain(|key| nodes_held.binary_search(key).is_err());
    missing_nodes(judge, nodes_needed.into_iter().collect()).await?;
    missing_edges(judge, edges_needed).await
}

/// A node as the graph gave it.
struct Node<'a> {
    key: Key,
    space: &'a Space,
    id: &'a MemoryId,
    version: Version,
    after: Option<&'a Memory>,
}

async fn suspect_nodes(judge: &Judge, nodes: &[Node<'_>]) -> Result<Vec<Suspect>, Stop> {
    let ids: Vec<_> = nodes.iter().map(|node| (node.space.clone(), node.id.clone())).collect();
    let heads = judge.ports.ledger.heads(&ids).await?;
    let mut heads = heads.iter().peekable();
    let mut suspects = Vec::new();
    for node in nodes {
        let head = heads.next_if(|head| head.id == *node.id && head.space == *node.space);
        suspects.extend(suspect_node(judge, node, head));
    }
    Ok(suspects)
}

fn suspect_node(judge: &Judge, node: &Node<'_>, head: Option<&Head>) -> Option<Suspect> {
    let Node { key, space, id, version, after } = node;
    let holds = Holds { version: *version, live: after.is_some(), undone: judge.is_undone(space, *version) };
    let wrong = stored::judge(
        head,
        holds,
        |_| true,
        |memory| {
            let differs = after.is_some_and(|after| !same_node(memory, after));
            differs.then(|| (Invariant::I4, Difference::new("the memory of the head", "another content")))
        },
    )?;
    Some(Suspect {
        key: *key,
        space: (*space).clone(),
        finding: Finding {
            invariant: wrong.invariant,
            record: Record::memory(space, id),
            store: Store::Graph,
            expected: wrong.difference.expected,
            found: wrong.difference.found,
            mend: wrong.mend,
        },
        seen: Seen {
            heads: vec![((*space).clone(), (*id).clone(), head.map(|head| head.version))],
            register: Some((Register::Memory((*space).clone(), (*id).clone()), Some(*version))),
            ..Seen::default()
        },
    })
}

/// A graph may leave the vectors to the vector store; whatever it keeps must be the head's.
fn same_node(expected: &Memory, found: &Memory) -> bool {
    if found.dense.is_some() || found.sparse.is_some() {
        return expected == found;
    }
    Memory { dense: None, sparse: None, ..expected.clone() } == *found
}

fn suspect_edge(
    judge: &Judge,
    key: Key,
    relation: &RelationKey,
    version: Version,
    after: Option<&Relation>,
    demand: Option<EdgeDemand>,
) -> Option<Suspect> {
    let live = after.is_some();
    let shown =
        if live { format!("live at version {version}") } else { format!("deleted at version {version}") };
    let (invariant, expected, found, mend) = match demand {
        None => {
            let invariant = if live { Invariant::I7 } else { Invariant::I4 };
            (invariant, "nothing: there is no head".to_owned(), shown, Mend::RemoveFromStore)
        }
        Some(_) if live && judge.is_undone(&relation.space, version) => {
            (Invariant::I12, "an undone version nowhere".to_owned(), shown, Mend::ReapplyHead)
        }
        Some(demand) => {
            let expected = |what: &str| format!("{what} at version {}", demand.version);
            let undone = live
                && demand.version.phase() == Phase::Undo
                && (version.epoch, version.sequence) == (demand.version.epoch, demand.version.sequence - 1);
            let current = version == demand.version || undo_left_it(demand.version, version);
            match demand.hash {
                _ if undone => (Invariant::I12, expected("what stood before"), shown, Mend::ReapplyHead),
                _ if version > demand.version => (Invariant::I6, expected("it"), shown, Mend::ReapplyHead),
                None if live => (Invariant::I8, expected("deleted"), shown, Mend::RemoveFromStore),
                None => return None,
                Some(_) if !live => (Invariant::I7, expected("live"), shown, Mend::ReapplyHead),
                Some(_) if !current => (Invariant::I4, expected("live"), shown, Mend::ReapplyHead),
                Some(hash) => {
                    let found = after.map(Relation::hash).filter(|found| *found != hash)?;
                    let says = |hash| format!("content with hash {hash}");
                    (Invariant::I4, says(hash), says(found), Mend::ReapplyHead)
                }
            }
        }
    };
    let record = Record::relation(relation);
    Some(Suspect {
        key,
        space: relation.space.clone(),
        finding: Finding { invariant, record, store: Store::Graph, expected, found, mend },
        seen: Seen {
            relation: Some((key, demand.map(|demand| demand.version))),
            register: Some((Register::Relation(relation.clone()), Some(version))),
            ..Seen::default()
        },
    })
}

/// Nodes that the graph has not. There are few, if any: only then the heads are read once more, for them.
async fn missing_nodes(judge: &Judge, mut missing: HashSet<Key>) -> Result<(), Stop> {
    let mut cursor = None;
    while !missing.is_empty() {
        let (heads, next) = judge.ports.ledger.scan_heads(cursor, CHUNK).await?;
        let mut suspects = Vec::new();
        for head in heads.iter().filter(|head| head.memory.is_some()) {
            let key = memory_key(&head.space, &head.id);
            if missing.remove(&key) {
                let seen = Seen {
                    heads: vec![(head.space.clone(), head.id.clone(), Some(head.version))],
                    ..Seen::default()
                };
                let register = Register::Memory(head.space.clone(), head.id.clone());
                let record = Record::memory(&head.space, &head.id);
                suspects.push(absent(key, &head.space, record, register, head.version, seen));
            }
        }
        judge.confirm(suspects).await?;
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}

async fn missing_edges(judge: &Judge, needed: HashMap<Key, EdgeDemand>) -> Result<(), Stop> {
    let mut needed: Vec<Key> =
        needed.into_iter().filter(|(_, demand)| demand.hash.is_some()).map(|(key, _)| key).collect();
    needed.sort_unstable();
    for key in needed {
        let Some(head) = judge.relation(key).await?.filter(|head| head.state.is_some()) else { continue };
        let seen = Seen { relation: Some((key, Some(head.version))), ..Seen::default() };
        let (space, record) = (head.relation.space.clone(), Record::relation(&head.relation));
        let register = Register::Relation(head.relation);
        judge.confirm(vec![absent(key, &space, record, register, head.version, seen)]).await?;
    }
    Ok(())
}

fn absent(
    key: Key,
    space: &Space,
    record: Record,
    register: Register,
    version: Version,
    seen: Seen,
) -> Suspect {
    Suspect {
        key,
        space: space.clone(),
        finding: Finding {
            invariant: Invariant::I7,
            record,
            store: Store::Graph,
            expected: format!("live at version {version}"),
            found: "nothing".to_owned(),
            mend: Mend::ReapplyHead,
        },
        seen: Seen { register: Some((register, None)), ..seen },
    }
}
