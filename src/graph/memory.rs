//! A graph in memory: for tests and the simulator.
//!
//! One ordered map of registers, each the last write that it took, and an index from a memory to the
//! relations that end there. Clones share it. The same calls give the same answers.
//!
//! It injects no faults but refusals; whoever wants lost calls wraps it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::RwLock;

use super::{
    Edge, Error, Neighbor, Project, Read, Register, Target, Walk, Write,
    walk::{self, Live},
};
use crate::{
    fault::{Bug, compared, planted},
    model::{
        Answer, Digest, MemoryId, Name, RelationKey, Space, Version, answer::Reason, memory::tombstone_hash,
    },
};

/// Says why this store refuses a write for good; `None`: it takes it.
pub type Refuse = dyn Fn(&Write) -> Option<Reason> + Send + Sync;

/// The graph store in memory.
#[derive(Clone, Default)]
pub struct MemoryGraph {
    held: Arc<RwLock<Held>>,
    refuse: Option<Arc<Refuse>>,
}

#[derive(Default)]
struct Held {
    registers: BTreeMap<Register, Write>,
    /// Every relation register under each of its ends, tombstones included.
    ends: BTreeMap<(Space, MemoryId), BTreeSet<RelationKey>>,
}

impl MemoryGraph {
    /// An empty graph.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty graph that refuses, for good, whatever `refuse` names.
    #[must_use]
    pub fn refusing(refuse: impl Fn(&Write) -> Option<Reason> + Send + Sync + 'static) -> Self {
        Self { refuse: Some(Arc::new(refuse)), ..Self::default() }
    }
}

impl std::fmt::Debug for MemoryGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let registers = self.held.read().registers.len();
        f.debug_struct("MemoryGraph").field("registers", &registers).finish_non_exhaustive()
    }
}

impl Held {
    fn apply(&mut self, write: &Write) -> Answer {
        let register = write.register();
        let held = self.registers.get(&register).map(|held| held.version);
        let (held, offered) = compared(held, write.version);
        if let Some(answer) = Answer::fenced(held, offered) {
            return answer;
        }
        if planted(Bug::HardDelete) && write.is_tombstone() {
            self.remove(&register);
            return Answer::Applied;
        }
        if let Register::Relation(relation) = &register {
            for end in [&relation.source, &relation.target] {
                let end = (relation.space.clone(), end.clone());
                self.ends.entry(end).or_default().insert(relation.clone());
            }
        }
        self.registers.insert(register, write.clone());
        Answer::Applied
    }

    fn remove(&mut self, register: &Register) {
        self.registers.remove(register);
        let Register::Relation(relation) = register else { return };
        for end in [&relation.source, &relation.target] {
            if let Some(relations) = self.ends.get_mut(&(relation.space.clone(), end.clone())) {
                relations.remove(relation);
            }
        }
    }

    fn collect_tombstones(&mut self) {
        let registers = self.registers.iter();
        let dead = registers.filter(|(_, write)| write.is_tombstone()).map(|(register, _)| register.clone());
        for register in dead.collect::<Vec<_>>() {
            self.remove(&register);
        }
    }

    fn edge(&self, relation: &RelationKey) -> Option<Edge> {
        let write = self.registers.get(&Register::Relation(relation.clone()))?;
        let Target::Relation { after: Some(state), .. } = &write.target else { return None };
        Some(Edge { relation: relation.clone(), version: write.version, state: state.clone() })
    }
}

impl Write {
    /// Whether it removes its register's content.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        match &self.target {
            Target::Memory { after, .. } => after.is_none(),
            Target::Relation { after, .. } => after.is_none(),
        }
    }

    /// The hash of what it writes: of a memory's image as its writer said, of a relation's content.
    #[must_use]
    pub fn hash(&self) -> Digest {
        match &self.target {
            Target::Memory { hash, .. } => *hash,
            Target::Relation { after, .. } => {
                after.as_ref().map_or_else(tombstone_hash, |state| state.hash())
            }
        }
    }
}

#[async_trait]
impl Project for MemoryGraph {
    async fn write(&self, writes: &[Write]) -> Vec<Answer> {
        let mut held = self.held.write();
        if planted(Bug::TombstoneCollectedEarly) {
            held.collect_tombstones();
        }
        let refusal = |write: &Write| self.refuse.as_ref().and_then(|refuse| refuse(write));
        let mut one = |write| refusal(write).map_or_else(|| held.apply(write), Answer::Rejected);
        writes.iter().map(&mut one).collect()
    }

    async fn markers(&self, registers: &[Register]) -> Result<Vec<Option<(Version, Digest)>>, Error> {
        let held = self.held.read();
        let marker = |write: &Write| (write.version, write.hash());
        Ok(registers.iter().map(|register| held.registers.get(register).map(marker)).collect())
    }

    async fn scan(
        &self,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Write>, Option<String>), Error> {
        let after = match &cursor {
            Some(cursor) => Bound::Excluded(
                from_cursor(cursor)
                    .ok_or_else(|| Error::Unavailable("this is not a cursor of this store".to_owned()))?,
            ),
            None => Bound::Unbounded,
        };
        let held = self.held.read();
        let mut rest = held.registers.range((after, Bound::Unbounded)).map(|(_, write)| write);
        let found: Vec<Write> = rest.by_ref().take(limit.max(1)).cloned().collect();
        let next = found.last().filter(|_| rest.next().is_some()).map(|last| to_cursor(&last.register()));
        Ok((found, next))
    }
}

/// A register's name as a JSON array: two parts for a memory, five for a relation.
fn to_cursor(register: &Register) -> String {
    let parts = match register {
        Register::Memory(space, id) => vec![space.as_str(), id.as_str()],
        Register::Relation(relation) => vec![
            relation.space.as_str(),
            relation.source.as_str(),
            relation.kind.as_str(),
            relation.target.as_str(),
            &relation.discriminator,
        ],
    };
    serde_json::to_string(&parts).expect("strings always serialise")
}

fn from_cursor(cursor: &str) -> Option<Register> {
    let parts: Vec<String> = serde_json::from_str(cursor).ok()?;
    match parts.as_slice() {
        [space, id] => Some(Register::Memory(Space::new(space).ok()?, MemoryId::new(id).ok()?)),
        [space, source, kind, target, discriminator] => Some(Register::Relation(RelationKey {
            space: Space::new(space).ok()?,
            source: MemoryId::new(source).ok()?,
            kind: Name::new(kind).ok()?,
            target: MemoryId::new(target).ok()?,
            discriminator: discriminator.clone(),
        })),
        _ => None,
    }
}

#[async_trait]
impl Read for MemoryGraph {
    async fn relations(&self, space: &Space, id: &MemoryId, walk: &Walk) -> Result<Vec<Edge>, Error> {
        let held = self.held.read();
        let relations = held.ends.get(&(space.clone(), id.clone())).into_iter().flatten();
        let mut edges: Vec<Edge> = relations
            .filter_map(|relation| held.edge(relation))
            .filter(|edge| walk.step(id, &edge.relation, &edge.state).is_some())
            .collect();
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
impl Live for MemoryGraph {
    async fn live(&self, space: &Space, ids: &[MemoryId]) -> Result<BTreeSet<MemoryId>, Error> {
        let held = self.held.read();
        let is_live = |id: &&MemoryId| {
            let register = Register::Memory(space.clone(), (*id).clone());
            held.registers.get(&register).is_some_and(|write| !write.is_tombstone())
        };
        Ok(ids.iter().filter(is_live).cloned().collect())
    }
}
