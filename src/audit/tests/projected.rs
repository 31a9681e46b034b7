//! A projected graph: nodes and edges that are not what the heads say.

use std::sync::Arc;

use super::{
    VICTIM, found_alone, of_memory,
    world::{MEMORIES, World, id, memory, relation, relation_key, version_of},
};
use crate::{
    audit::{
        Options, Ports, Report, Verdict,
        report::{Record, Store},
        run,
    },
    graph::{Project, Register, Target, Write, memory::MemoryGraph},
    invariant::Invariant,
    ledger::memory::MemoryLedger,
    vector::memory::MemoryVectors,
};

/// Audits a world whose graph holds what the heads say, but for what `change` makes of each register.
async fn with_graph(change: impl Fn(Write) -> Option<Write>) -> Report {
    let world = World::new(Arc::new(MemoryLedger::new("ledger")), MemoryVectors::new()).await;
    let ports = world.ports();
    let (heads, _) = ports.ledger.scan_heads(None, 100).await.expect("heads");
    let heads = heads.into_iter().map(|head| Write {
        version: head.version,
        target: Target::Memory { space: head.space, id: head.id, hash: head.hash, after: head.memory },
    });
    let relations = ports.ledger.scan_relations(None, 100).await.expect("relations").into_iter();
    let relations = relations.map(|head| Write {
        version: head.version,
        target: Target::Relation { relation: head.relation, after: head.state },
    });
    let writes: Vec<Write> = heads.chain(relations).filter_map(change).collect();
    let graph = MemoryGraph::new();
    assert!(graph.write(&writes).await.iter().all(crate::model::Answer::is_held));
    run(&Ports { graph: Some(Arc::new(graph)), ..ports }, &Options::default()).await
}

fn is_node(write: &Write) -> bool {
    write.register() == Register::Memory(super::world::space(), id(VICTIM))
}

fn is_edge(write: &Write) -> bool {
    write.register() == Register::Relation(relation_key(VICTIM))
}

#[tokio::test]
async fn a_graph_that_mirrors_the_heads_is_clean() {
    let report = with_graph(Some).await;
    assert_eq!((report.verdict, report.findings.len()), (Verdict::Clean, 0), "{report}");
    assert_eq!((report.read["nodes"], report.read["edges"]), (MEMORIES as u64, MEMORIES as u64 - 1));
}

#[tokio::test]
async fn a_node_that_changed_or_is_missing_is_found() {
    let changed = with_graph(|write| match write.target {
        Target::Memory { space, id, hash, .. } if id == super::world::id(VICTIM) => {
            let after = Some(Arc::new(memory(77)));
            Some(Write { version: write.version, target: Target::Memory { space, id, hash, after } })
        }
        target => Some(Write { target, ..write }),
    });
    found_alone(&changed.await, Invariant::I4, &of_memory(&id(VICTIM)), Store::Graph);
    let missing = with_graph(|write| (!is_node(&write)).then_some(write)).await;
    found_alone(&missing, Invariant::I7, &of_memory(&id(VICTIM)), Store::Graph);
}

#[tokio::test]
async fn an_edge_that_changed_or_is_missing_or_is_old_is_found() {
    let record = Record::relation(&relation_key(VICTIM));
    let changed = with_graph(|write| {
        let after = is_edge(&write).then(|| crate::model::Relation { weight: 0.26, ..relation() });
        let Some(after) = after else { return Some(write) };
        let target = Target::Relation { relation: relation_key(VICTIM), after: Some(after) };
        Some(Write { version: write.version, target })
    });
    found_alone(&changed.await, Invariant::I4, &record, Store::Graph);
    let missing = with_graph(|write| (!is_edge(&write)).then_some(write)).await;
    found_alone(&missing, Invariant::I7, &record, Store::Graph);
    let old = with_graph(|write| {
        let version = if is_edge(&write) { version_of(0) } else { write.version };
        Some(Write { version, ..write })
    });
    found_alone(&old.await, Invariant::I4, &record, Store::Graph);
}
