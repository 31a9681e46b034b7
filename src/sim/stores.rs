//! The vector and the graph store behind a network: the real in-memory stores, called unkindly.
//!
//! Both wrappers do the same: draw a fault, refuse some items for good, send the rest (or a part of
//! it) to the server, and after each write show the monitor what the server holds now.
//!
//! Refusals are drawn by the item's version, at phase 0 alone: an undo that is refused would need a
//! person. A refusal can follow an attempt that landed and whose answer was lost.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;

use crate::{
    fault::{self, Bug},
    graph,
    log::Partitioner,
    model::{Answer, Digest, MemoryId, PartitionId, Phase, Space, Version, answer::Reason, space::Layout},
    vector,
};

use super::{
    boundary::{Action, Boundary},
    faults::Fault,
    monitor::{Monitor, Store},
    network::{Link, Loss, Outage, Route, Work},
    shape::{Script, Shape},
};

/// What of a memory's content makes a store refuse it for good.
pub(super) const REFUSED_BY_VECTOR: &str = "the vector store never takes this";
/// Likewise.
pub(super) const REFUSED_BY_GRAPH: &str = "the graph store never takes this";

/// How positions follow from what a store is told: the space names the partition.
#[derive(Clone)]
pub(super) struct Placing {
    /// How many partitions each epoch has.
    pub(super) shape: Arc<Shape>,
    /// How keys become partitions.
    pub(super) partitioner: Partitioner,
}

impl Placing {
    /// The partition of what a store is told of this space at this version.
    pub(super) fn partition(&self, space: &Space, version: Version) -> PartitionId {
        let partitions = self.shape.partitions_in(version.epoch);
        let partition = self.partitioner.partition(space.as_str().as_bytes(), partitions);
        PartitionId { epoch: version.epoch, partition }
    }
}

/// One kind of store, whatever it holds.
struct Traits {
    store: Store,
    route: Route,
    partial: Fault,
    chance: Fault,
    by_content: Fault,
    sent: Boundary,
    undo_sent: Boundary,
    acknowledged: Boundary,
}

impl Traits {
    fn vector(outage: Arc<Outage>) -> Self {
        Self {
            store: Store::Vector,
            route: Route {
                outage: Some(outage),
                transient: Some(Fault::VectorTransient),
                lost_request: Some(Fault::VectorLostRequest),
                lost_reply: Some(Fault::VectorLostReply),
                late: Some(Fault::VectorLate),
                double: Some(Fault::VectorDouble),
            },
            partial: Fault::VectorPartial,
            chance: Fault::VectorRefusal,
            by_content: Fault::VectorRefusalByContent,
            sent: Boundary::VectorSent,
            undo_sent: Boundary::VectorUndoSent,
            acknowledged: Boundary::VectorAcknowledged,
        }
    }

    fn graph(outage: Arc<Outage>) -> Self {
        Self {
            store: Store::Graph,
            route: Route {
                outage: Some(outage),
                transient: Some(Fault::GraphTransient),
                lost_request: Some(Fault::GraphLostRequest),
                lost_reply: Some(Fault::GraphLostReply),
                late: Some(Fault::GraphLate),
                double: Some(Fault::GraphDouble),
            },
            partial: Fault::GraphPartial,
            chance: Fault::GraphRefusal,
            by_content: Fault::GraphRefusalByContent,
            sent: Boundary::GraphSent,
            undo_sent: Boundary::GraphUndoSent,
            acknowledged: Boundary::GraphAcknowledged,
        }
    }
}

/// What a store is told, as far as the wrapper must understand it.
pub(super) trait Item: Clone + Send + Sync + 'static {
    /// Its version.
    fn version(&self) -> Version;
    /// Its space.
    fn space(&self) -> &Space;
    /// What the monitor calls it.
    fn name(&self) -> String;
    /// The text in it, if it is a live memory.
    fn content(&self) -> Option<&str>;
}

impl Item for vector::Write {
    fn version(&self) -> Version {
        self.version
    }
    fn space(&self) -> &Space {
        &self.space
    }
    fn name(&self) -> String {
        memory_name(&self.space, &self.id)
    }
    fn content(&self) -> Option<&str> {
        self.after.as_ref().map(|memory| memory.content.as_str())
    }
}

impl Item for graph::Write {
    fn version(&self) -> Version {
        self.version
    }
    fn space(&self) -> &Space {
        match &self.target {
            graph::Target::Memory { space, .. } => space,
            graph::Target::Relation { relation, .. } => &relation.space,
        }
    }
    fn name(&self) -> String {
        match &self.target {
            graph::Target::Memory { space, id, .. } => memory_name(space, id),
            graph::Target::Relation { relation, .. } => format!("relation {}: {relation}", relation.space),
        }
    }
    fn content(&self) -> Option<&str> {
        match &self.target {
            graph::Target::Memory { after, .. } => after.as_ref().map(|memory| memory.content.as_str()),
            graph::Target::Relation { .. } => None,
        }
    }
}

fn memory_name(space: &Space, id: &MemoryId) -> String {
    format!("memory {space}/{id}")
}

/// What one store's wrapper shares between nodes.
pub(super) struct Shared {
    traits: Traits,
    monitor: Arc<Monitor>,
    placing: Placing,
    /// Every write of this offset is refused, for the crash matrix.
    refuse: Option<u64>,
}

impl Shared {
    /// For the vector store.
    pub(super) fn vector(monitor: Arc<Monitor>, placing: Placing) -> Self {
        let outage = Arc::new(Outage::new(Fault::VectorOutage));
        let refuse = refused(placing.shape.script.as_ref(), Store::Vector);
        Self { traits: Traits::vector(outage), monitor, placing, refuse }
    }

    /// For the graph store.
    pub(super) fn graph(monitor: Arc<Monitor>, placing: Placing) -> Self {
        let outage = Arc::new(Outage::new(Fault::GraphOutage));
        let refuse = refused(placing.shape.script.as_ref(), Store::Graph);
        Self { traits: Traits::graph(outage), monitor, placing, refuse }
    }

    /// How positions follow from what the store is told.
    pub(super) fn placing(&self) -> Placing {
        self.placing.clone()
    }

    /// Whether this item is refused for good.
    fn refusal<I: Item>(&self, link: &Link, item: &I) -> Option<Reason> {
        if item.version().phase() != Phase::Forward {
            return None;
        }
        if self.refuse == Some(item.version().offset()) {
            return Some(Reason::new("planned", "this command is refused by plan"));
        }
        let faults = &link.network.faults;
        let text = match self.traits.store {
            Store::Vector => REFUSED_BY_VECTOR,
            Store::Graph => REFUSED_BY_GRAPH,
        };
        if item.content() == Some(text) {
            faults.count(self.traits.by_content);
            return Some(Reason::new("never", "this content is never taken"));
        }
        faults.fires(self.traits.chance).then(|| Reason::new("chance", "this item was refused by chance"))
    }

    /// One bulk write, with everything that can befall it.
    async fn write<I: Item>(
        &self,
        link: &Link,
        items: &[I],
        apply: impl Fn(Vec<I>) -> Work<Vec<Answer>>,
    ) -> Vec<Answer> {
        let undo = items.first().is_some_and(|item| item.version().phase() != Phase::Forward);
        let boundary = if undo { self.traits.undo_sent } else { self.traits.sent };
        link.event(format_args!("{:?}: write {} from {}", self.traits.store, items.len(), first(items)));
        let mut answers: BTreeMap<usize, Answer> = BTreeMap::new();
        let mut sent = Vec::new();
        // An answer that is lost tells nobody of a refusal, so it is drawn for what is answered.
        let partial = items.len() > 1 && link.network.faults.fires(self.traits.partial);
        for (index, item) in items.iter().enumerate() {
            if let Some(reason) = self.refusal(link, item) {
                let position =
                    self.placing.partition(item.space(), item.version()).at(item.version().offset());
                self.monitor.refused(self.traits.store, position);
                answers.insert(index, Answer::Rejected(reason));
            } else if partial && link.network.faults.between(self.traits.partial, 0, 1) == 1 {
                answers.insert(index, part_not_taken(index));
            } else {
                sent.push((index, item.clone()));
            }
        }
        let work = apply(sent.iter().map(|(_, item)| item.clone()).collect());
        let again = Arc::clone(&work);
        let called = link.call(&self.traits.route, Some(boundary), work).await;
        let answers = match called {
            Ok(applied) => {
                answers.extend(sent.iter().map(|(index, _)| *index).zip(applied));
                answers.into_values().collect()
            }
            Err(loss) => items.iter().map(|_| lost(loss)).collect::<Vec<_>>(),
        };
        link.event(format_args!("{:?}: answers {}", self.traits.store, summary(&answers)));
        match link.pass(self.traits.acknowledged).await {
            Some(Action::Unknown) => items.iter().map(|_| lost(Loss::Unknown)).collect(),
            Some(Action::Repeat) => {
                link.again(&again);
                answers
            }
            _ => answers,
        }
    }
}

fn refused(script: Option<&Script>, store: Store) -> Option<u64> {
    script.and_then(|script| script.refuse).filter(|(of, _)| *of == store).map(|(_, offset)| offset)
}

fn first<I: Item>(items: &[I]) -> String {
    items.first().map_or_else(String::new, |item| format!("{} at {}", item.name(), item.version()))
}

fn summary(answers: &[Answer]) -> String {
    let letter = |answer: &Answer| match answer {
        Answer::Applied => 'A',
        Answer::Same => '=',
        Answer::Superseded(_) => '<',
        Answer::Rejected(_) => 'R',
        Answer::Transient(_) => 't',
        Answer::Indeterminate(_) => '?',
    };
    answers.iter().map(letter).collect()
}

/// What a part of a bulk that was not taken is answered.
fn part_not_taken(index: usize) -> Answer {
    if fault::planted(Bug::PartialBatchIsWhole) {
        // Planted here, since it is what a careless backend would do.
        return Answer::Applied;
    }
    if index.is_multiple_of(2) {
        Answer::Transient(Reason::new("partial", "this part was not taken"))
    } else {
        Answer::Indeterminate(Reason::new("partial", "this part was not answered"))
    }
}

fn lost(loss: Loss) -> Answer {
    match loss {
        Loss::NotDone => Answer::Transient(Reason::new("away", "the store did not take the write")),
        Loss::Unknown => Answer::Indeterminate(Reason::new("timeout", "the store did not answer in time")),
    }
}

/// One node's vector store.
pub(super) struct Vectors {
    /// The node's way to it.
    pub(super) link: Link,
    /// What nodes share.
    pub(super) shared: Arc<Shared>,
    /// The server.
    pub(super) server: Arc<VectorServer>,
}

/// The vector store's server; or, embedded, the part of the process that the disk keeps.
pub(super) struct VectorServer {
    store: Arc<dyn vector::Project>,
    monitor: Arc<Monitor>,
    /// Embedded: acknowledged writes are durable only once a checkpoint covers them.
    embedded: bool,
    held: Mutex<Embedded>,
}

#[derive(Default)]
struct Embedded {
    /// Rises with every death of the process: writes of an earlier one are gone with it.
    life: u64,
    current: BTreeMap<(Space, MemoryId), vector::Write>,
    durable: BTreeMap<(Space, MemoryId), vector::Write>,
    checkpoint: Option<vector::Checkpoint>,
}

impl VectorServer {
    /// A server over `store`.
    pub(super) fn new(store: Arc<dyn vector::Project>, monitor: Arc<Monitor>, embedded: bool) -> Self {
        Self { store, monitor, embedded, held: Mutex::default() }
    }

    async fn write(&self, life: u64, writes: &[vector::Write]) -> Vec<Answer> {
        if self.embedded && self.held.lock().life != life {
            let gone = || Answer::Indeterminate(Reason::new("gone", "the process is gone"));
            return writes.iter().map(|_| gone()).collect();
        }
        let answers = self.store.write(writes).await;
        if self.embedded {
            let mut held = self.held.lock();
            for (write, _) in writes.iter().zip(&answers).filter(|(_, answer)| **answer == Answer::Applied) {
                held.current.insert((write.space.clone(), write.id.clone()), write.clone());
            }
        }
        let points: Vec<_> =
            writes.iter().map(|write| (write.space.clone(), write.id.clone(), write.layout)).collect();
        let markers = self.store.markers(&points).await.unwrap_or_default();
        for (write, marker) in writes.iter().zip(markers) {
            self.monitor.register(Store::Vector, write.name(), marker);
        }
        answers
    }

    fn life(&self) -> u64 {
        self.held.lock().life
    }

    /// The process that embeds it dies: what no checkpoint covers is lost. Whether anything was.
    pub(super) async fn crash(&self) -> bool {
        if !self.embedded {
            return false;
        }
        let (durable, lost) = {
            let mut held = self.held.lock();
            held.life += 1;
            let lost = held.current.len() != held.durable.len()
                || held.current.iter().zip(&held.durable).any(|(a, b)| a.1.version != b.1.version);
            held.current = held.durable.clone();
            (held.durable.values().cloned().collect::<Vec<_>>(), lost)
        };
        self.monitor.forget(Store::Vector);
        let cleared = self.store.clear().await;
        debug_assert!(cleared.is_ok(), "the store in memory always clears");
        drop(self.store.write(&durable).await);
        lost
    }
}

#[async_trait]
impl vector::Project for Vectors {
    async fn write(&self, writes: &[vector::Write]) -> Vec<Answer> {
        let life = self.server.life();
        let apply = |items: Vec<vector::Write>| -> Work<Vec<Answer>> {
            let server = Arc::clone(&self.server);
            let items = Arc::new(items);
            Arc::new(move || {
                let (server, items) = (Arc::clone(&server), Arc::clone(&items));
                async move { server.write(life, &items).await }.boxed()
            })
        };
        self.shared.write(&self.link, writes, apply).await
    }

    async fn markers(
        &self,
        points: &[(Space, MemoryId, Layout)],
    ) -> Result<Vec<Option<(Version, Digest)>>, vector::Error> {
        read(&self.link, &self.shared).await.map_err(vector::Error::Unavailable)?;
        self.server.store.markers(points).await
    }

    async fn remove(&self, points: &[(Space, MemoryId, Version)]) -> Result<Vec<bool>, vector::Error> {
        read(&self.link, &self.shared).await.map_err(vector::Error::Unavailable)?;
        self.server.store.remove(points).await
    }

    fn durable_when_acknowledged(&self) -> bool {
        !self.server.embedded
    }

    async fn checkpoint(&self, checkpoint: &vector::Checkpoint) -> Result<(), vector::Error> {
        read(&self.link, &self.shared).await.map_err(vector::Error::Unavailable)?;
        let mut held = self.server.held.lock();
        held.durable = held.current.clone();
        held.checkpoint = Some(checkpoint.clone());
        self.link.event(format_args!("Vector: checkpoint {:?}", checkpoint.finishes));
        Ok(())
    }

    async fn last_checkpoint(&self) -> Result<Option<vector::Checkpoint>, vector::Error> {
        read(&self.link, &self.shared).await.map_err(vector::Error::Unavailable)?;
        Ok(self.server.held.lock().checkpoint.clone())
    }

    async fn clear(&self) -> Result<(), vector::Error> {
        read(&self.link, &self.shared).await.map_err(vector::Error::Unavailable)?;
        {
            let mut held = self.server.held.lock();
            *held = Embedded { life: held.life, ..Embedded::default() };
        }
        self.server.monitor.forget(Store::Vector);
        self.server.store.clear().await
    }
}

/// One node's graph store.
pub(super) struct Graph {
    /// The node's way to it.
    pub(super) link: Link,
    /// What nodes share.
    pub(super) shared: Arc<Shared>,
    /// The server.
    pub(super) store: Arc<dyn graph::Project>,
}

#[async_trait]
impl graph::Project for Graph {
    async fn write(&self, writes: &[graph::Write]) -> Vec<Answer> {
        let apply = |items: Vec<graph::Write>| -> Work<Vec<Answer>> {
            let (store, monitor) = (Arc::clone(&self.store), Arc::clone(&self.shared.monitor));
            let items = Arc::new(items);
            Arc::new(move || {
                let (store, monitor, items) = (Arc::clone(&store), Arc::clone(&monitor), Arc::clone(&items));
                async move {
                    let answers = store.write(&items).await;
                    let registers: Vec<_> = items.iter().map(graph::Write::register).collect();
                    let markers = store.markers(&registers).await.unwrap_or_default();
                    for (item, marker) in items.iter().zip(markers) {
                        monitor.register(Store::Graph, item.name(), marker);
                    }
                    answers
                }
                .boxed()
            })
        };
        self.shared.write(&self.link, writes, apply).await
    }

    async fn markers(
        &self,
        registers: &[graph::Register],
    ) -> Result<Vec<Option<(Version, Digest)>>, graph::Error> {
        read(&self.link, &self.shared).await.map_err(graph::Error::Unavailable)?;
        self.store.markers(registers).await
    }

    async fn scan(
        &self,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<graph::Write>, Option<String>), graph::Error> {
        read(&self.link, &self.shared).await.map_err(graph::Error::Unavailable)?;
        self.store.scan(cursor, limit).await
    }
}

/// A read's way to a store and back: lost, late or fine.
async fn read(link: &Link, shared: &Shared) -> Result<(), String> {
    let route = Route {
        outage: shared.traits.route.outage.clone(),
        lost_request: Some(Fault::StoreReadLost),
        ..Route::default()
    };
    let nothing: Work<()> = Arc::new(|| async {}.boxed());
    link.call(&route, None, nothing).await.map_err(|_| "the store did not answer".to_owned())
}
