//! Vectors in memory, searched exactly: for tests, the simulator and spaces of a few thousand points.
//!
//! One map a space, so that isolation is a lookup rather than a filter. Everything is ordered: the
//! same calls give the same answers, byte for byte. Clones share the points. An acknowledged write
//! is as durable as the process.
//!
//! It injects no faults but refusals; whoever wants lost calls wraps it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::RwLock;
use uuid::Uuid;

use super::{
    Checkpoint, Error, Hit, Layout, Payload, Point, Project, Query, Read, Search, Stored, Write, exact,
    point_id,
};
use crate::{
    fault::{Bug, compared, planted},
    model::{Answer, Digest, MemoryId, Space, Sparse, Version, answer::Reason},
};

/// Says why this store refuses a write for good; `None`: it takes it.
pub type Refuse = dyn Fn(&Write) -> Option<Reason> + Send + Sync;

/// The vector store in memory.
#[derive(Clone, Default)]
pub struct MemoryVectors {
    held: Arc<RwLock<Held>>,
    refuse: Option<Arc<Refuse>>,
}

#[derive(Default)]
struct Held {
    spaces: BTreeMap<Space, BTreeMap<MemoryId, Stored>>,
    checkpoint: Option<Checkpoint>,
}

impl MemoryVectors {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that also refuses, for good, whatever `refuse` names.
    #[must_use]
    pub fn refusing(refuse: impl Fn(&Write) -> Option<Reason> + Send + Sync + 'static) -> Self {
        Self { refuse: Some(Arc::new(refuse)), ..Self::default() }
    }

    fn refusal(&self, write: &Write) -> Option<Reason> {
        write.refusal().or_else(|| self.refuse.as_ref().and_then(|refuse| refuse(write)))
    }
}

impl std::fmt::Debug for MemoryVectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let points: usize = self.held.read().spaces.values().map(BTreeMap::len).sum();
        f.debug_struct("MemoryVectors").field("points", &points).finish_non_exhaustive()
    }
}

impl Held {
    fn get(&self, space: &Space, id: &MemoryId) -> Option<&Stored> {
        self.spaces.get(space)?.get(id)
    }

    fn apply(&mut self, write: &Write) -> Answer {
        let points = self.spaces.entry(write.space.clone()).or_default();
        let (held, offered) = compared(points.get(&write.id).map(|stored| stored.version), write.version);
        if let Some(answer) = Answer::fenced(held, offered) {
            return answer;
        }
        let stored = stored(write);
        if planted(Bug::HardDelete) && stored.point.is_none() {
            points.remove(&write.id);
        } else {
            points.insert(write.id.clone(), stored);
        }
        Answer::Applied
    }

    fn collect_tombstones(&mut self) {
        for points in self.spaces.values_mut() {
            points.retain(|_, stored| stored.point.is_some());
        }
    }
}

/// What a store holds once it has applied `write`.
fn stored(write: &Write) -> Stored {
    Stored {
        space: write.space.clone(),
        id: write.id.clone(),
        version: write.version,
        hash: write.hash,
        point: write.live().map(|memory| Point {
            dense: memory.dense.clone(),
            sparse: memory.sparse.clone().map(|sparse| Sparse { derived: false, ..sparse }),
            payload: Payload::of(memory),
        }),
    }
}

#[async_trait]
impl Project for MemoryVectors {
    async fn write(&self, writes: &[Write]) -> Vec<Answer> {
        let mut held = self.held.write();
        if planted(Bug::TombstoneCollectedEarly) {
            held.collect_tombstones();
        }
        let mut one = |write| self.refusal(write).map_or_else(|| held.apply(write), Answer::Rejected);
        writes.iter().map(&mut one).collect()
    }

    async fn markers(
        &self,
        points: &[(Space, MemoryId, Layout)],
    ) -> Result<Vec<Option<(Version, Digest)>>, Error> {
        let held = self.held.read();
        let marker = |stored: &Stored| (stored.version, stored.hash);
        Ok(points.iter().map(|(space, id, _)| held.get(space, id).map(marker)).collect())
    }

    async fn remove(&self, points: &[(Space, MemoryId, Version)]) -> Result<Vec<bool>, Error> {
        let mut held = self.held.write();
        let mut remove = |space: &Space, id: &MemoryId, version: &Version| {
            let other = held.get(space, id).is_some_and(|stored| stored.version != *version);
            if !other && let Some(points) = held.spaces.get_mut(space) {
                points.remove(id);
            }
            !other
        };
        Ok(points.iter().map(|(space, id, version)| remove(space, id, version)).collect())
    }

    fn durable_when_acknowledged(&self) -> bool {
        true
    }

    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.held.write().checkpoint = Some(checkpoint.clone());
        Ok(())
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        Ok(self.held.read().checkpoint.clone())
    }

    async fn clear(&self) -> Result<(), Error> {
        *self.held.write() = Held::default();
        Ok(())
    }
}

#[async_trait]
impl Read for MemoryVectors {
    async fn search(&self, search: &Search) -> Result<Vec<Hit>, Error> {
        search.check()?;
        let held = self.held.read();
        let distance = exact::is_distance(&search.query, search.layout);
        let hit = |stored: &Stored| {
            let point = stored.point.as_ref().filter(|point| search.filter.matches(&point.payload))?;
            let score = exact::score(&search.query, search.layout, point)?;
            exact::reaches(score, search.min_score, distance).then(|| Hit {
                id: stored.id.clone(),
                version: stored.version,
                score,
            })
        };
        let points = held.spaces.get(&search.space).into_iter().flat_map(BTreeMap::values);
        let mut hits: Vec<Hit> = points.filter_map(hit).collect();
        hits.sort_by(exact::best_first(distance));
        hits.truncate(search.limit);
        Ok(hits)
    }

    async fn ids(&self, cursor: Option<String>, limit: usize) -> Result<(Vec<Uuid>, Option<String>), Error> {
        let (points, next) = self.scan(cursor, limit).await?;
        Ok((points.iter().map(|point| point_id(&point.space, &point.id)).collect(), next))
    }

    async fn points(&self, ids: &[Uuid]) -> Result<Vec<Stored>, Error> {
        let wanted: HashSet<&Uuid> = ids.iter().collect();
        let held = self.held.read();
        let points = held.spaces.values().flat_map(BTreeMap::values);
        Ok(points.filter(|point| wanted.contains(&point_id(&point.space, &point.id))).cloned().collect())
    }

    async fn scan(
        &self,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Stored>, Option<String>), Error> {
        let after: Option<(Space, MemoryId)> = cursor
            .map(|cursor| serde_json::from_str(&cursor))
            .transpose()
            .map_err(|_| Error::Unsupported("this is not a cursor of this store".to_owned()))?;
        let held = self.held.read();
        let is_later = |stored: &&Stored| {
            after.as_ref().is_none_or(|(space, id)| (&stored.space, &stored.id) > (space, id))
        };
        let spaces = held.spaces.iter();
        let from_space =
            spaces.skip_while(|(space, _)| after.as_ref().is_some_and(|after| **space < after.0));
        let mut rest = from_space.flat_map(|(_, points)| points.values()).filter(is_later);
        let found: Vec<Stored> = rest.by_ref().take(limit.max(1)).cloned().collect();
        let next = found.last().filter(|_| rest.next().is_some()).map(|last| {
            serde_json::to_string(&(&last.space, &last.id)).expect("two strings always serialise")
        });
        Ok((found, next))
    }
}

impl Search {
    /// Refuses a query vector that no point of its space can be compared with.
    ///
    /// # Errors
    /// [`Error::Unsupported`], with the reason.
    pub fn check(&self) -> Result<(), Error> {
        let refusal = match &self.query {
            Query::Dense(dense) => super::refused_dense(dense, self.layout),
            Query::Sparse(sparse) => super::refused_sparse(sparse),
        };
        refusal.map_or(Ok(()), |reason| Err(Error::Unsupported(reason.detail)))
    }
}
