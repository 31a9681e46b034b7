//! The default graph: the ledger's heads, read as nodes and edges.
//!
//! There is no second copy to keep in step: what finish wrote is what a walk sees. This file asks the
//! ledger and decides nothing; the order of a walk is [`super::walk`]'s.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;

use super::{
    Edge, Error, Neighbor, Read, Walk,
    walk::{self, Live},
};
use crate::{
    ledger::{self, Ledger},
    model::{MemoryId, Space},
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
        let live = heads.into_iter().filter_map(|head| {
            let state = head.state?;
            walk.step(id, &head.relation, &state)?;
            Some(Edge { relation: head.relation, version: head.version, state })
        });
        let mut edges: Vec<Edge> = live.collect();
        walk::sort(&mut edges);
        Ok(edges)
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
