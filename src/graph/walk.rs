//! The one walk that every backend's reads share: which relations count, and breadth first from one
//! memory over them.
//!
//! A backend says which relations a memory has and which memories are live; this file decides the
//! order, so that the same question gives the same answer everywhere.

use std::collections::{BTreeSet, VecDeque};

use async_trait::async_trait;

use super::{Direction, Edge, Error, Neighbor, Read, Walk};
use crate::{
    ledger::questions::Steps,
    model::{MemoryId, Name, Relation, RelationKey, Space},
};

/// What a walk needs of a backend beside its relations.
#[async_trait]
pub(super) trait Live: Read {
    /// Those of `ids` that are live memories.
    async fn live(&self, space: &Space, ids: &[MemoryId]) -> Result<BTreeSet<MemoryId>, Error>;
}

impl Walk {
    /// Where a step over this relation leads from `id`; `None` when it does not count.
    #[must_use]
    pub fn step<'a>(
        &self,
        id: &MemoryId,
        relation: &'a RelationKey,
        state: &Relation,
    ) -> Option<&'a MemoryId> {
        let holds = |at| state.valid_from <= at && state.valid_until.is_none_or(|until| at < until);
        if !(self.types.is_empty() || self.types.contains(&relation.kind)) || !self.as_of.is_none_or(holds) {
            return None;
        }
        let against = self.against.contains(&relation.kind);
        let direction = if against { self.direction.reversed() } else { self.direction };
        let out = (relation.source == *id && direction != Direction::In).then_some(&relation.target);
        let back = (relation.target == *id && direction != Direction::Out).then_some(&relation.source);
        out.or(back)
    }

    /// The steps that count, as far as types and directions tell.
    pub(super) fn steps(&self) -> Steps {
        let of = |direction| match (self.direction, self.types.as_slice()) {
            (Direction::Both, []) => None,
            (Direction::Both, types) => Some(types.to_vec()),
            (own, []) if own == direction => None,
            (_, []) => Some(self.against.clone()),
            (own, types) => {
                let leads = |kind: &&Name| (own == direction) != self.against.contains(kind);
                Some(types.iter().filter(leads).cloned().collect())
            }
        };
        Steps { out: of(Direction::Out), back: of(Direction::In) }
    }
}

/// Puts edges into the order that [`Read::relations`] promises.
pub(super) fn sort(edges: &mut [Edge]) {
    fn order(edge: &Edge) -> (&str, &MemoryId, &MemoryId, &str) {
        let key = &edge.relation;
        (key.kind.as_str(), &key.source, &key.target, &key.discriminator)
    }
    edges.sort_by(|a, b| order(a).cmp(&order(b)));
}

/// Live memories within `depth` hops in the order in which they are reached: memory by memory of the
/// depth before, relation by relation in their order. No step leads through a memory that is not live.
pub(super) async fn neighbors<B: Live + ?Sized>(
    backend: &B,
    space: &Space,
    start: &MemoryId,
    walk: &Walk,
    depth: u32,
    limit: usize,
) -> Result<Vec<Neighbor>, Error> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([start.clone()]);
    let mut waiting = VecDeque::from([(start.clone(), 0)]);
    while let Some((id, reached_at)) = waiting.pop_front() {
        if reached_at == depth || found.len() >= limit {
            break;
        }
        let edges = backend.relations(space, &id, walk).await?;
        let mut steps: Vec<(MemoryId, RelationKey)> = Vec::new();
        for edge in edges {
            let Some(next) = walk.step(&id, &edge.relation, &edge.state) else { continue };
            if seen.insert(next.clone()) {
                steps.push((next.clone(), edge.relation));
            }
        }
        let reached: Vec<MemoryId> = steps.iter().map(|(id, _)| id.clone()).collect();
        let live = backend.live(space, &reached).await?;
        for (id, via) in steps.into_iter().filter(|(id, _)| live.contains(id)) {
            waiting.push_back((id.clone(), reached_at + 1));
            found.push(Neighbor { id, depth: reached_at + 1, via });
        }
    }
    found.truncate(limit);
    Ok(found)
}
