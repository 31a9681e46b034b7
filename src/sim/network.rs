//! Between a node and a server: calls that are late, lost, doubled or done although nobody waits.
//!
//! ```text
//! node ──gate── boundary ── outage? lost? ──▶ server task ──▶ answer ── lost? ──gate──▶ node
//!                                              │ goes on when the node dies
//!                                              └─ later, again
//! ```
//!
//! A server's work runs in a task of the network, not of the node: killing the node drops the caller
//! and leaves the request in flight, as it is outside.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::{random::Random, tasks::Tasks};

use super::{
    boundary::{Action, Boundaries, Boundary},
    faults::{Fault, Faults},
    trace::Trace,
};

/// What a node tells the cluster about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It died.
    Killed(u32),
    /// It stands still.
    Paused(u32),
}

/// One incarnation of one process.
#[derive(Debug)]
pub(super) struct Node {
    /// Unique over the run: rises with every start.
    pub(super) id: u32,
    /// What it runs.
    pub(super) tasks: Tasks,
    paused: AtomicBool,
    /// Wakes what waits at the gate, first come first: a `watch` would wake it in a random order.
    resumed: Notify,
    dead: AtomicBool,
    fate: mpsc::Sender<Fate>,
}

impl Node {
    /// A live node.
    pub(super) fn new(id: u32, fate: mpsc::Sender<Fate>) -> Self {
        Self {
            id,
            tasks: Tasks::new(),
            paused: AtomicBool::new(false),
            resumed: Notify::new(),
            dead: AtomicBool::new(false),
            fate,
        }
    }

    /// Waits while the node is paused; for good, once it is dead.
    pub(super) async fn gate(&self) {
        if self.dead.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        while self.is_paused() {
            self.resumed.notified().await;
        }
        if self.dead.load(Ordering::Relaxed) {
            std::future::pending().await
        }
    }

    /// Ends it, as `kill -9` would. Requests that it has sent stay in flight.
    pub(super) fn kill(&self) {
        if !self.dead.swap(true, Ordering::Relaxed) {
            self.tasks.kill();
            self.resume();
            // A full channel means that the cluster is looking already.
            self.fate.try_send(Fate::Killed(self.id)).unwrap_or_default();
        }
    }

    /// Holds it at its next port call, as SIGSTOP would.
    pub(super) fn pause(&self) {
        if !self.is_dead() && !self.paused.swap(true, Ordering::Relaxed) {
            self.fate.try_send(Fate::Paused(self.id)).unwrap_or_default();
        }
    }

    /// Lets it go on.
    pub(super) fn resume(&self) {
        self.paused.store(false, Ordering::Relaxed);
        self.resumed.notify_waiters();
    }

    /// Whether it was killed.
    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Whether it stands still.
    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node-{}", self.id)
    }
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// The server surely did nothing.
    NotDone,
    /// It may or may not have.
    Unknown,
}

/// A server that can be away for a while.
#[derive(Debug)]
pub(super) struct Outage {
    fault: Fault,
    until_ms: AtomicU64,
}

impl Outage {
    /// Present, until `fault` fires.
    pub(super) fn new(fault: Fault) -> Self {
        Self { fault, until_ms: AtomicU64::new(0) }
    }
}

/// The faults of one kind of call.
#[derive(Debug, Clone, Default)]
pub(super) struct Route {
    /// The server's absence.
    pub(super) outage: Option<Arc<Outage>>,
    /// Refused for now.
    pub(super) transient: Option<Fault>,
    /// Never arrives.
    pub(super) lost_request: Option<Fault>,
    /// Done, and not answered.
    pub(super) lost_reply: Option<Fault>,
    /// Done after the caller gave up.
    pub(super) late: Option<Fault>,
    /// Done again.
    pub(super) double: Option<Fault>,
}

/// What all nodes of a run share of the network.
#[derive(Debug)]
pub(super) struct Network {
    /// The faults of the run.
    pub(super) faults: Faults,
    /// The crash boundaries.
    pub(super) boundaries: Boundaries,
    /// The run's events.
    pub(super) trace: Trace,
    /// How long calls take.
    latency: Random,
    /// Server work, which no node's death ends.
    tasks: Tasks,
    in_flight: Arc<AtomicU64>,
    /// Blows at a boundary that no node passes: they fall on whichever node there is.
    blows: Mutex<Vec<Action>>,
}

impl Network {
    /// A network without traffic.
    pub(super) fn new(faults: Faults, boundaries: Boundaries, trace: Trace, latency: Random) -> Self {
        Self {
            faults,
            boundaries,
            trace,
            latency,
            tasks: Tasks::new(),
            in_flight: Arc::default(),
            blows: Mutex::default(),
        }
    }

    /// Runs server work that survives whoever asked for it.
    pub(super) fn spawn<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let in_flight = Arc::clone(&self.in_flight);
        in_flight.fetch_add(1, Ordering::Relaxed);
        drop(self.tasks.spawn(async move {
            work.await;
            in_flight.fetch_sub(1, Ordering::Relaxed);
        }));
    }

    /// What befalls whoever passes `boundary` now: by plan, or by chance.
    pub(super) fn strike(&self, boundary: Boundary) -> Option<Action> {
        self.boundaries.pass(boundary).or_else(|| {
            let action = if self.faults.fires(Fault::KillAtBoundary) {
                Action::Kill
            } else if self.faults.fires(Fault::PauseAtBoundary) {
                Action::Zombie
            } else {
                return None;
            };
            self.boundaries.struck(boundary);
            Some(action)
        })
    }

    /// Asks for a blow on any node.
    pub(super) fn blow(&self, action: Action) {
        self.blows.lock().push(action);
    }

    /// The blows that were asked for.
    pub(super) fn take_blows(&self) -> Vec<Action> {
        std::mem::take(&mut *self.blows.lock())
    }

    /// How much server work is on its way.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Takes as long as a call takes.
    pub(super) async fn latency(&self) {
        let ms = self.latency.below(4) + if self.latency.chance(0.02) { 40 } else { 0 };
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// How long a caller waits before it gives up.
    pub(super) async fn give_up(&self) {
        tokio::time::sleep(Duration::from_millis(100 + self.latency.below(400))).await;
    }

    /// Whether the server is away now; its absence may begin now.
    pub(super) fn is_away(&self, outage: &Outage) -> bool {
        let now = self.trace.elapsed_ms();
        if self.faults.fires(outage.fault) {
            let until = now + self.faults.between(outage.fault, 100, 8_000);
            self.trace.event(&outage.fault.name(), format_args!("until {until} ms"));
            outage.until_ms.fetch_max(until, Ordering::Relaxed);
        }
        self.faults.is_active() && now < outage.until_ms.load(Ordering::Relaxed)
    }
}

/// One node's way to everything outside it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    /// Who calls.
    pub(super) node: Arc<Node>,
    /// What carries the calls.
    pub(super) network: Arc<Network>,
}

/// A piece of server work that can be done more than once.
pub(super) type Work<T> = Arc<dyn Fn() -> BoxFuture<'static, T> + Send + Sync>;

impl Link {
    /// One line in the trace.
    pub(super) fn event(&self, what: std::fmt::Arguments<'_>) {
        self.network.trace.event(&self.node, what);
    }

    /// Passes a crash boundary: returns what is to become of the call there, if the node lives on.
    pub(super) async fn pass(&self, boundary: Boundary) -> Option<Action> {
        self.node.gate().await;
        let action = self.network.strike(boundary);
        if let Some(action) = action {
            self.event(format_args!("{} at boundary `{}`", action.name(), boundary.name()));
        }
        match action {
            Some(Action::Kill) => self.node.kill(),
            Some(Action::Zombie) => self.node.pause(),
            Some(Action::Repeat | Action::Unknown) | None => return action,
        }
        self.node.gate().await;
        None
    }

    /// Calls a server, with the faults of `route`.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        route: &Route,
        boundary: Option<Boundary>,
        work: Work<T>,
    ) -> Result<T, Loss> {
        let struck = match boundary {
            Some(boundary) => self.pass(boundary).await,
            None => {
                self.node.gate().await;
                None
            }
        };
        let (network, faults) = (&self.network, &self.network.faults);
        network.latency().await;
        let fires = |fault: Option<Fault>| fault.filter(|fault| faults.fires(*fault));
        if route.outage.as_ref().is_some_and(|outage| network.is_away(outage))
            || fires(route.transient).is_some()
        {
            return self.lose(Loss::NotDone).await;
        }
        if fires(route.lost_request).is_some() {
            network.give_up().await;
            return self.lose(Loss::Unknown).await;
        }
        if let Some(fault) = fires(route.late) {
            // A server ends a session whose client is gone; a store may keep a request for long.
            let longest = if fault == Fault::LedgerLateCommit { 4_000 } else { 20_000 };
            network.spawn(later(faults.between(fault, 600, longest), &work));
            network.give_up().await;
            return self.lose(Loss::Unknown).await;
        }
        let (answer, answered) = oneshot::channel();
        let once = work();
        network.spawn(async move {
            // Nobody may be waiting any more: that is the point.
            answer.send(once.await).map_err(drop).unwrap_or_default();
        });
        if let Some(fault) = fires(route.double) {
            // An owner keeps its lease for a while: a late second request finds it still there.
            let longest = if fault == Fault::LeaseDouble { 3_000 } else { 20_000 };
            network.spawn(later(faults.between(fault, 0, longest), &work));
        }
        if struck == Some(Action::Repeat) {
            self.again(&work);
        }
        let answer = answered.await;
        if struck == Some(Action::Unknown) || fires(route.lost_reply).is_some() {
            network.give_up().await;
            return self.lose(Loss::Unknown).await;
        }
        self.node.gate().await;
        answer.map_err(|_| Loss::Unknown)
    }

    /// Has server work done once more, when its caller has long gone on.
    pub(super) fn again<T: Send + 'static>(&self, work: &Work<T>) {
        self.network.spawn(later(1_500, work));
    }

    async fn lose<T>(&self, loss: Loss) -> Result<T, Loss> {
        self.node.gate().await;
        Err(loss)
    }
}

/// Server work after so many milliseconds.
fn later<T: Send + 'static>(delay_ms: u64, work: &Work<T>) -> impl Future<Output = ()> + Send + use<T> {
    let work = Arc::clone(work);
    async move {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        drop(work().await);
    }
}
