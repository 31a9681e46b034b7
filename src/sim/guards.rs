//! The guards before the stores of a node, and a gauge behind each.
//!
//! ```text
//! worker ─▶ sender ─▶ guard ─▶ gauge ─▶ network ─▶ store
//! ```
//!
//! The guards are the product's own. A gauge sees what one lets through: never more calls at once than it
//! has places, never a call while its breaker is not closed, one probe at a time; and a breaker that opens
//! must have seen so many calls fail. That a guard turns calls away needs no check of its own: they are
//! tried again, and everything must end.

use std::sync::{Arc, OnceLock, Weak};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::{
    graph,
    guard::{self, Guard, Options, State},
    invariant::Invariant,
    model::{Answer, Digest, MemoryId, Space, Version, space::Layout},
    random::Random,
    vector,
};

use super::{
    faults::Fault,
    monitor::{Monitor, Store},
    network::Link,
};

/// What stands before the stores of one node.
pub(super) struct Guarded {
    /// The vector store as the worker sees it.
    pub(super) vectors: Arc<dyn vector::Project>,
    /// The graph store, where there is one.
    pub(super) graph: Option<Arc<dyn graph::Project>>,
    /// The guards.
    pub(super) guards: Vec<Arc<Guard>>,
}

impl Guarded {
    /// Puts guards before a node's stores, if `options` ask for any.
    pub(super) fn new(
        (link, monitor, random): (&Link, &Arc<Monitor>, &Random),
        options: Option<&Options>,
        vectors: Arc<dyn vector::Project>,
        graph: Option<Arc<dyn graph::Project>>,
    ) -> Self {
        let Some(options) = options else { return Self { vectors, graph, guards: Vec::new() } };
        let gauge = |store| Arc::new(Gauge::new(store, link.clone(), Arc::clone(monitor), options.clone()));
        let (of_vectors, of_graph) = (gauge(Store::Vector), gauge(Store::Graph));
        let gauged = Arc::new(Gauged { inner: vectors, gauge: Arc::clone(&of_vectors) });
        let (vectors, vector_guard) = guard::vectors(gauged, options.clone(), random.clone());
        of_vectors.watch(&vector_guard);
        let mut guards = vec![vector_guard];
        let graph = graph.map(|graph| {
            let gauged = Arc::new(Gauged { inner: graph, gauge: Arc::clone(&of_graph) });
            let (graph, graph_guard) = guard::graph(gauged, options.clone(), random.clone());
            of_graph.watch(&graph_guard);
            guards.push(graph_guard);
            graph
        });
        Self { vectors, graph, guards }
    }
}

/// What is counted behind one guard.
#[derive(Debug, Default)]
struct Counts {
    calls: usize,
    probes: usize,
    failures: u64,
    openings: u64,
}

/// Looks at what one guard lets through.
struct Gauge {
    store: Store,
    link: Link,
    monitor: Arc<Monitor>,
    options: Options,
    guard: OnceLock<Weak<Guard>>,
    counts: Mutex<Counts>,
}

impl Gauge {
    fn new(store: Store, link: Link, monitor: Arc<Monitor>, options: Options) -> Self {
        Self { store, link, monitor, options, guard: OnceLock::new(), counts: Mutex::default() }
    }

    fn violate(&self, invariant: Invariant, what: std::fmt::Arguments<'_>) {
        self.monitor.violate(invariant, format!("{}, {:?} store: {what}", self.link.node, self.store));
    }

    /// Looks at every move of the guard's breaker, for as long as the node lives.
    fn watch(self: &Arc<Self>, guard: &Arc<Guard>) {
        if self.guard.set(Arc::downgrade(guard)).is_err() {
            return;
        }
        let (gauge, mut states) = (Arc::clone(self), guard.states());
        drop(self.link.node.tasks.spawn(async move {
            let mut before = State::Closed;
            while states.changed().await.is_ok() {
                let now = *states.borrow_and_update();
                gauge.moved(before, now);
                before = now;
            }
        }));
    }

    fn moved(&self, before: State, now: State) {
        self.link.event(format_args!("{:?}: the breaker is {}", self.store, now.as_str()));
        match now {
            State::Closed => return,
            State::Open => self.link.network.faults.count(Fault::BreakerOpened),
            State::HalfOpen => self.link.network.faults.count(Fault::BreakerHalfOpen),
        }
        if before != State::Closed {
            return;
        }
        let half = self.options.recent_calls.div_ceil(2) as u64;
        let least = u64::from(self.options.failures_in_row).min(half);
        let (failures, openings) = {
            let mut counts = self.counts.lock();
            counts.openings += 1;
            (counts.failures, counts.openings)
        };
        if failures < openings * least {
            self.violate(
                Invariant::L2,
                format_args!("its breaker has opened {openings} times, and {failures} calls have failed"),
            );
        }
    }

    /// A call has come through the guard.
    fn call(&self) -> Passing<'_> {
        let at_once = {
            let mut counts = self.counts.lock();
            counts.calls += 1;
            counts.calls
        };
        if at_once > self.options.calls_max {
            self.violate(Invariant::I17, format_args!("{at_once} calls at once"));
        }
        let state = self.guard.get().and_then(Weak::upgrade).map_or(State::Closed, |guard| guard.state());
        if state != State::Closed {
            self.violate(
                Invariant::I17,
                format_args!("a call goes through while its breaker is {}", state.as_str()),
            );
        }
        Passing { gauge: self, failed: true }
    }

    /// Lets a call through to the store and looks at its answer.
    async fn passes<T>(&self, call: impl Future<Output = T>, failed: impl Fn(&T) -> bool) -> T {
        let passing = self.call();
        let answer = call.await;
        passing.answered(failed(&answer));
        answer
    }

    /// A probe has come through the guard.
    fn probe(&self) -> Probing<'_> {
        let at_once = {
            let mut counts = self.counts.lock();
            counts.probes += 1;
            counts.probes
        };
        if at_once > 1 {
            self.violate(Invariant::I17, format_args!("{at_once} probes at once"));
        }
        Probing(self)
    }
}

/// A call that is with the store; one that is dropped there has failed.
struct Passing<'a> {
    gauge: &'a Gauge,
    failed: bool,
}

impl Passing<'_> {
    fn answered(mut self, failed: bool) {
        self.failed = failed;
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        let mut counts = self.gauge.counts.lock();
        counts.calls -= 1;
        counts.failures += u64::from(self.failed);
    }
}

/// A probe that is with the store.
struct Probing<'a>(&'a Gauge);

impl Drop for Probing<'_> {
    fn drop(&mut self) {
        self.0.counts.lock().probes -= 1;
    }
}

/// Whether a bulk says that the store fails: nothing of it is held, and not all of it was refused.
fn failed(answers: &[Answer]) -> bool {
    let unclear = |answer: &Answer| matches!(answer, Answer::Transient(_) | Answer::Indeterminate(_));
    !answers.iter().any(Answer::is_held) && answers.iter().any(unclear)
}

/// A store behind its guard.
struct Gauged<T: ?Sized> {
    inner: Arc<T>,
    gauge: Arc<Gauge>,
}

#[async_trait]
impl vector::Project for Gauged<dyn vector::Project> {
    async fn write(&self, writes: &[vector::Write]) -> Vec<Answer> {
        self.gauge.passes(self.inner.write(writes), |answers| failed(answers)).await
    }

    async fn markers(
        &self,
        points: &[(Space, MemoryId, Layout)],
    ) -> Result<Vec<Option<(Version, Digest)>>, vector::Error> {
        self.gauge.passes(self.inner.markers(points), Result::is_err).await
    }

    async fn remove(&self, points: &[(Space, MemoryId, Version)]) -> Result<Vec<bool>, vector::Error> {
        self.gauge.passes(self.inner.remove(points), Result::is_err).await
    }

    fn durable_when_acknowledged(&self) -> bool {
        self.inner.durable_when_acknowledged()
    }

    async fn checkpoint(&self, checkpoint: &vector::Checkpoint) -> Result<(), vector::Error> {
        self.inner.checkpoint(checkpoint).await
    }

    async fn last_checkpoint(&self) -> Result<Option<vector::Checkpoint>, vector::Error> {
        self.inner.last_checkpoint().await
    }

    async fn clear(&self) -> Result<(), vector::Error> {
        self.inner.clear().await
    }

    async fn probe(&self) -> Result<(), vector::Error> {
        let _probing = self.gauge.probe();
        self.inner.probe().await
    }
}

#[async_trait]
impl graph::Project for Gauged<dyn graph::Project> {
    async fn write(&self, writes: &[graph::Write]) -> Vec<Answer> {
        self.gauge.passes(self.inner.write(writes), |answers| failed(answers)).await
    }

    async fn markers(
        &self,
        registers: &[graph::Register],
    ) -> Result<Vec<Option<(Version, Digest)>>, graph::Error> {
        self.gauge.passes(self.inner.markers(registers), Result::is_err).await
    }

    /// What a worker never asks: it is the probe of a store that has none of its own.
    async fn scan(
        &self,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<graph::Write>, Option<String>), graph::Error> {
        let _probing = self.gauge.probe();
        self.inner.scan(cursor, limit).await
    }
}
