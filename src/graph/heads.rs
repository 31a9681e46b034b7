//! The default graph: the ledger's heads, read as nodes and edges.
//!
//! There is no second copy to keep in step: what finish wrote is what a walk sees. This file asks the
//! ledger and decides nothing; the order of a walk is [`super::walk`]'s.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;

use super::{
    Edge, Error, Neighbor, Read, Walk,
    walk::{self, Live},
};
use crate::{
    ledger::{self, Ledger, RelationHead},
    model::{MemoryId, RelationKey, Space, conflict::memory_key},
};

/// Graph reads over a ledger.
#[derive(Clone)]
pub struct Heads(Arc<dyn Ledger>);

impl Heads {
    /// The graph that `ledger` holds.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self(ledger)
    }
}

impl std::fmt::Debug for Heads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Heads")
    }
}

#[async_trait]
impl Read for Heads {
    async fn relations(&self, space: &Space, id: &MemoryId, walk: &Walk) -> Result<Vec<Edge>, Error> {
        let heads = self.0.relations_of(space, id).await.map_err(unavailable)?;
        Ok(edges(id, walk, heads.into_iter()))
    }

    async fn neighbors(
        &self,
        space: &Space,
        id: &MemoryId,
        walk: &Walk,
        depth: u32,
        limit: usize,
    ) -> Result<Vec<Neighbor>, Error> {
        let around = self.0.reach(memory_key(space, id), &walk.steps(), depth).await.map_err(unavailable)?;
        match around {
            Some(relations) => walk::neighbors(&Around::of(relations), space, id, walk, depth, limit).await,
            None => walk::neighbors(self, space, id, walk, depth, limit).await,
        }
    }
}

/// What lies around one memory, read at once: all relations that a walk from it may follow, as they stood
/// together. Only what is live is in it.
struct Around(HashMap<MemoryId, Vec<RelationHead>>);

impl Around {
    fn of(relations: Vec<RelationHead>) -> Self {
        let mut around: HashMap<MemoryId, Vec<RelationHead>> = HashMap::new();
        for head in relations {
            let RelationKey { source, target, .. } = &head.relation;
            if source != target {
                around.entry(source.clone()).or_default().push(head.clone());
            }
            around.entry(target.clone()).or_default().push(head);
        }
        Self(around)
    }
}

#[async_trait]
impl Read for Around {
    async fn relations(&self, _: &Space, id: &MemoryId, walk: &Walk) -> Result<Vec<Edge>, Error> {
        Ok(edges(id, walk, self.0.get(id).into_iter().flatten().cloned()))
    }

    async fn neighbors(
        &self,
        space: &Space,
        id: &MemoryId,
        walk: &Walk,
        depth: u32,
        limit: usize,
    ) -> Result<Vec<Neighbor>, Error> {
        walk::neighbors(self, space, id, walk, depth, limit).await
    }
}

#[async_trait]
impl Live for Around {
    async fn live(&self, _: &Space, ids: &[MemoryId]) -> Result<BTreeSet<MemoryId>, Error> {
        Ok(ids.iter().cloned().collect())
    }
}

/// Those of these relations that a walk follows from `id`, in their order.
fn edges(id: &MemoryId, walk: &Walk, heads: impl Iterator<Item = RelationHead>) -> Vec<Edge> {
    let live = heads.filter_map(|head| {
        let state = head.state?;
        walk.step(id, &head.relation, &state)?;
        Some(Edge { relation: head.relation, version: head.version, state })
    });
    let mut edges: Vec<Edge> = live.collect();
    walk::sort(&mut edges);
    edges
}

#[async_trait]
impl Live for Heads {
    async fn live(&self, space: &Space, ids: &[MemoryId]) -> Result<BTreeSet<MemoryId>, Error> {
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let asked: Vec<_> = ids.iter().map(|id| (space.clone(), id.clone())).collect();
        let heads = self.0.heads(&asked).await.map_err(unavailable)?;
        Ok(heads.into_iter().filter(|head| head.memory.is_some()).map(|head| head.id).collect())
    }
}

/// A read that failed has changed nothing, whatever the ledger calls it: it may work later.
fn unavailable(error: ledger::Error) -> Error {
    Error::Unavailable(error.to_string())
}
