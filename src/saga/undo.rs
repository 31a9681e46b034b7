//! Back: what stood before a saga is written to every store that may have seen it.
//!
//! An undo carries the saga's own offset at a later phase, so it is newer than everything that the
//! saga has sent, and than everything of it that is still on its way. The store that refused is told
//! as well: an earlier attempt may have landed there.

use std::sync::Arc;

use super::{
    execute::{Executor, Report},
    step::{Item, Store, Writes, nothing, send},
};
use crate::{
    fault::{self, Bug, planted},
    graph,
    ledger::{
        SagaRow,
        compensate::{Before, Undo},
    },
    model::{PartitionId, Phase, Version, memory::tombstone_hash},
    vector,
};

impl Executor {
    /// Writes back what stood before these sagas. They are Compensating in the ledger.
    pub fn undo(&self, undos: Vec<Undo>) {
        if undos.is_empty() {
            return;
        }
        let executor = self.clone();
        let undos = undos.into_iter().map(Arc::new).collect();
        self.tasks.spawn(async move { executor.undo_all(undos).await });
    }

    async fn undo_all(self, undos: Vec<Arc<Undo>>) {
        fault::point("undo.decided").await;
        let mut backoff = self.new_backoff();
        for store in [Store::Graph, Store::Vector] {
            let mut items: Vec<Item<Arc<Undo>>> = undos
                .iter()
                .map(|undo| Item { writes: undo_writes(undo, self.partition, store), work: undo.clone() })
                .collect();
            let version = |undo: &Arc<Undo>| undo_version(self.partition, undo.saga.offset);
            while !items.is_empty() {
                if !self.may_send(&mut backoff).await {
                    return;
                }
                let sorted = send(&self.stores, store, version, items).await;
                for (item, answer) in &sorted.refused {
                    // An undo has nowhere to turn back to: its keys stay held until a person helps.
                    tracing::error!(
                        saga.offset = item.work.saga.offset,
                        store.name = store.as_str(),
                        ?answer,
                        "the store refuses an undo; later commands on these records wait"
                    );
                }
                items = sorted.again;
                items.extend(sorted.refused.into_iter().map(|(item, _)| item));
                if !items.is_empty() {
                    self.pause(&mut backoff).await;
                }
            }
        }
        fault::point("undo.acknowledged").await;
        self.report(Report::Undone(undos.iter().map(|undo| undo.saga.offset).collect())).await;
    }
}

fn undo_version(partition: PartitionId, offset: u64) -> Version {
    let phase = if planted(Bug::UndoAtPhaseZero) { Phase::Forward } else { Phase::Undo };
    partition.at(offset).version(phase)
}

fn undo_writes(undo: &Undo, partition: PartitionId, store: Store) -> Writes {
    let refuser = undo.saga.ending.iter().flat_map(|ending| &ending.errors).any(|error| {
        let named = format!("the {} store", store.as_str());
        error.detail.starts_with(&named)
    });
    if refuser && planted(Bug::UndoSkipsRefuser) {
        return nothing(store);
    }
    before_writes(&undo.saga, &undo.before, undo_version(partition, undo.saga.offset), store)
}

/// What stood before a saga, as writes to one store.
pub(super) fn before_writes(saga: &SagaRow, stood: &Before, version: Version, store: Store) -> Writes {
    let (Some(header), Some(plan)) = (&saga.header, &saga.plan) else { return nothing(store) };
    let before = |id| stood.memories.get(id);
    match store {
        Store::Vector => Writes::Vectors(
            plan.memories
                .iter()
                .filter(|write| write.vector)
                .map(|write| vector::Write {
                    space: header.space.clone(),
                    id: write.id.clone(),
                    version,
                    hash: before(&write.id).map_or_else(tombstone_hash, |head| head.hash),
                    layout: saga.judgement.layout,
                    after: before(&write.id).and_then(|head| head.memory.clone()),
                })
                .collect(),
        ),
        Store::Graph => {
            let memories = plan.memories.iter().map(|write| graph::Target::Memory {
                space: header.space.clone(),
                id: write.id.clone(),
                hash: before(&write.id).map_or_else(tombstone_hash, |head| head.hash),
                after: before(&write.id).and_then(|head| head.memory.clone()),
            });
            let relations = plan.relations.iter().map(|write| graph::Target::Relation {
                relation: write.relation.clone(),
                after: stood.relations.get(&write.relation).and_then(|head| head.state.clone()),
            });
            Writes::Graph(memories.chain(relations).map(|target| graph::Write { version, target }).collect())
        }
    }
}
