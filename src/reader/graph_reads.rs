//! Walks: relations of a memory, and what lies within some hops.

use std::collections::HashMap;

use crate::{
    graph::{Edge, Walk},
    ledger::Head,
    model::{MemoryId, RelationKey, Space, conflict::memory_key},
};

use super::{Answer, Demand, Error, Provenance, Reader, Scope, get::live};

/// A memory that a walk reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbor {
    /// The memory.
    pub head: Head,
    /// Hops from the start, from 1.
    pub depth: u32,
    /// The relation that it was first reached by.
    pub via: RelationKey,
}

impl Reader {
    /// The live relations of a live memory; `None`: there is no such memory.
    ///
    /// # Errors
    /// [`Error`] when a store does not answer or the demand is not met in time.
    pub async fn relations(
        &self,
        space: &Space,
        id: &MemoryId,
        walk: &Walk,
        demand: Demand,
    ) -> Result<Answer<Option<Vec<Edge>>>, Error> {
        let (is_there, provenance) = self.beginning(space, id, demand).await?;
        let edges = match is_there {
            true => Some(self.ports.graph.relations(space, id, walk).await?),
            false => None,
        };
        Ok(Answer { value: edges, provenance })
    }

    /// Whether a walk can begin at this memory, and what its answer says of itself. What a walk reads is changed
    /// by commands on any memory of the space, whose deletion takes its relations with it: so all of them count.
    async fn beginning(
        &self,
        space: &Space,
        id: &MemoryId,
        demand: Demand,
    ) -> Result<(bool, Provenance), Error> {
        let scope = Scope::Space(space);
        self.meet(demand, scope).await?;
        let (pending, head) = match self.ports.ledger.head_at_rest(memory_key(space, id)).await? {
            Some(head) => (0, Some(head)),
            None => {
                let pending = self.pending(scope).await?.count;
                (pending, self.ports.ledger.heads(&[(space.clone(), id.clone())]).await?.pop())
            }
        };
        let head = head.filter(live);
        let provenance = Provenance::current(head.as_ref().map(|head| head.version), pending);
        Ok((head.is_some(), provenance))
    }

    /// One live relation.
    ///
    /// # Errors
    /// [`Error`] when a store does not answer or the demand is not met in time.
    pub async fn relation(
        &self,
        relation: &RelationKey,
        demand: Demand,
    ) -> Result<Answer<Option<Edge>>, Error> {
        let (_, provenance) = self.beginning(&relation.space, &relation.source, demand).await?;
        let walk = Walk { types: vec![relation.kind.clone()], ..Walk::default() };
        let edges = self.ports.graph.relations(&relation.space, &relation.source, &walk).await?;
        let edge = edges.into_iter().find(|edge| edge.relation == *relation);
        let provenance = Provenance { version: edge.as_ref().map(|edge| edge.version), ..provenance };
        Ok(Answer { value: edge, provenance })
    }

    /// Live memories within `depth` hops of a live memory, nearest first, at most `limit`; `None`:
    /// there is no such memory.
    ///
    /// # Errors
    /// [`Error`] when a store does not answer or the demand is not met in time.
    pub async fn neighbors(
        &self,
        space: &Space,
        id: &MemoryId,
        walk: &Walk,
        bounds: (u32, usize),
        demand: Demand,
    ) -> Result<Answer<Option<Vec<Neighbor>>>, Error> {
        let (is_there, provenance) = self.beginning(space, id, demand).await?;
        if !is_there {
            return Ok(Answer { value: None, provenance });
        }
        let depth = bounds.0.clamp(1, self.options.depth_max);
        let limit = bounds.1.clamp(1, self.options.limit_max);
        let reached = self.ports.graph.neighbors(space, id, walk, depth, limit).await?;
        let ids: Vec<_> = reached.iter().map(|one| (space.clone(), one.id.clone())).collect();
        let heads = self.ports.ledger.heads(&ids).await?;
        let mut heads: HashMap<_, _> = heads.into_iter().map(|head| (head.id.clone(), head)).collect();
        // The walk and the heads are two reads: a memory that was deleted in between is left out.
        let neighbors = reached.into_iter().filter_map(|one| {
            let head = heads.remove(&one.id).filter(live)?;
            Some(Neighbor { head, depth: one.depth, via: one.via })
        });
        Ok(Answer { value: Some(neighbors.collect()), provenance })
    }
}
