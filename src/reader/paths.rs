//! Paths between two memories: breadth first, each without a memory twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    graph::{Edge, Walk},
    model::{MemoryId, RelationKey, Space},
};

use super::{Answer, Demand, Error, Provenance, Reader, Scope};

/// Most beginnings of paths that one question follows; beyond it the answer says that it is cut.
const BEGINNINGS_MAX: usize = 10_000;

/// A question for paths.
#[derive(Debug, Clone, PartialEq)]
pub struct PathsQuestion {
    /// The space.
    pub space: Space,
    /// Where they begin.
    pub from: MemoryId,
    /// Where they end.
    pub to: MemoryId,
    /// Which relations count.
    pub walk: Walk,
    /// Most relations of a path.
    pub depth: u32,
    /// Most paths.
    pub limit: usize,
    /// Whether only those count that no other is shorter than.
    pub shortest: bool,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paths {
    /// Each as its relations in order, shorter ones first.
    pub paths: Vec<Vec<RelationKey>>,
    /// Whether the search was ended by its bounds, so that there may be more.
    pub truncated: bool,
}

/// A path that may still lead there.
struct Beginning {
    relations: Vec<RelationKey>,
    memories: Vec<MemoryId>,
}

impl Reader {
    /// Paths between two live memories; the inner error names the one (`from`, `to`) that is not there.
    ///
    /// # Errors
    /// [`Error`] when a store does not answer or the demand is not met in time.
    pub async fn paths(
        &self,
        question: &PathsQuestion,
        demand: Demand,
    ) -> Result<Answer<Result<Paths, &'static str>>, Error> {
        let space = &question.space;
        self.meet(demand, Scope::Space(space)).await?;
        let pending = self.pending(Scope::Space(space)).await?.count;
        let provenance = Provenance::current(None, pending);
        for (which, id) in [("from", &question.from), ("to", &question.to)] {
            if self.get(space, id, Demand::default()).await?.value.is_none() {
                return Ok(Answer { value: Err(which), provenance });
            }
        }
        let paths = self.search_paths(question).await?;
        Ok(Answer { value: Ok(paths), provenance })
    }

    async fn search_paths(&self, question: &PathsQuestion) -> Result<Paths, Error> {
        let mut answer = Paths::default();
        let mut edges: BTreeMap<MemoryId, Vec<Edge>> = BTreeMap::new();
        let mut level = vec![Beginning { relations: Vec::new(), memories: vec![question.from.clone()] }];
        let mut followed = 0;
        for _ in 0..question.depth {
            self.fetch(question, &level, &mut edges).await?;
            let mut next = Vec::new();
            for beginning in &level {
                let last = beginning.memories.last().expect("it begins somewhere");
                for (relation, id) in steps(question, last, edges.get(last).map_or(&[][..], Vec::as_slice)) {
                    if beginning.memories.contains(id) {
                        continue;
                    }
                    let relations = [beginning.relations.as_slice(), std::slice::from_ref(relation)].concat();
                    if *id == question.to {
                        if answer.paths.len() == question.limit {
                            answer.truncated = true;
                            return Ok(answer);
                        }
                        answer.paths.push(relations);
                        continue;
                    }
                    followed += 1;
                    if followed > BEGINNINGS_MAX {
                        answer.truncated = true;
                        return Ok(answer);
                    }
                    let memories = [beginning.memories.as_slice(), std::slice::from_ref(id)].concat();
                    next.push(Beginning { relations, memories });
                }
            }
            if next.is_empty() || (question.shortest && !answer.paths.is_empty()) {
                break;
            }
            level = next;
        }
        Ok(answer)
    }

    /// Reads the relations of every memory that the level has come to, each once.
    async fn fetch(
        &self,
        question: &PathsQuestion,
        level: &[Beginning],
        edges: &mut BTreeMap<MemoryId, Vec<Edge>>,
    ) -> Result<(), Error> {
        let ends: BTreeSet<&MemoryId> = level.iter().filter_map(|one| one.memories.last()).collect();
        for id in ends {
            if !edges.contains_key(id) {
                let found = self.ports.graph.relations(&question.space, id, &question.walk).await?;
                edges.insert(id.clone(), found);
            }
        }
        Ok(())
    }
}

/// Where one more step leads: by each relation that counts.
fn steps<'a>(
    question: &'a PathsQuestion,
    from: &'a MemoryId,
    edges: &'a [Edge],
) -> impl Iterator<Item = (&'a RelationKey, &'a MemoryId)> {
    edges.iter().filter_map(move |edge| {
        let next = question.walk.step(from, &edge.relation, &edge.state)?;
        Some((&edge.relation, next))
    })
}
