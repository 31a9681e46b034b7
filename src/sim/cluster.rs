//! The nodes of a run: started, killed, paused, replaced.
//!
//! A node is one [`worker::run`](crate::worker::run) with its own handles on the shared servers. What
//! it knows dies with it; what the servers know stays. A paused node is taken for dead by the group
//! after a while, and goes on as a zombie.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    guard::Guard,
    ledger::{
        Ledger,
        memory::{self, MemoryLedger},
    },
    log::CommandLog,
    model::PartitionId,
    random::Random,
    saga::plan::Planner,
    worker::{
        self, Ports,
        board::{Board, PartitionStatus},
    },
};

use super::{
    boundary::Action,
    clock::SimulatedClock,
    contradiction::Contradiction,
    faults::Fault,
    guards::Guarded,
    ledger::{Sessions, SimulatedLedger},
    log::{SharedLog, SimulatedLog},
    monitor::Monitor,
    network::{Fate, Link, Network, Node, Outage},
    senders::{Rights, Sender},
    shape::Shape,
    stores::{Graph, Shared, VectorServer, Vectors},
};

/// Everything that outlives nodes.
pub(super) struct Servers {
    /// The network between nodes and servers.
    pub(super) network: Arc<Network>,
    /// What is watched.
    pub(super) monitor: Arc<Monitor>,
    /// Wall time.
    pub(super) clock: Arc<SimulatedClock>,
    /// The log, the outcomes and the dead letters.
    pub(super) log: Arc<SharedLog>,
    /// The log through a server's guard, for producers that are its clients; and the guard.
    pub(super) server: Option<(Arc<dyn CommandLog>, Arc<Guard>)>,
    /// Numbers the attempts of producers.
    pub(super) attempts: Arc<AtomicU64>,
    /// The ledger itself.
    pub(super) ledger: Arc<dyn Ledger>,
    /// What it keeps, to be copied and restored.
    pub(super) tables: MemoryLedger,
    /// The last copy of it in this epoch.
    pub(super) copy: Mutex<Option<memory::Backup>>,
    /// Its absence.
    pub(super) ledger_outage: Arc<Outage>,
    /// The vector store.
    pub(super) vectors: Arc<VectorServer>,
    /// What vector wrappers share.
    pub(super) vector_shared: Arc<Shared>,
    /// The projected graph, where there is one.
    pub(super) graph: Option<Arc<dyn crate::graph::Project>>,
    /// What graph wrappers share.
    pub(super) graph_shared: Arc<Shared>,
    /// The shape of the run.
    pub(super) shape: Arc<Shape>,
    /// The seed.
    pub(super) seed: u64,
}

struct Running {
    node: Arc<Node>,
    sessions: Arc<Sessions>,
    guards: Vec<Arc<Guard>>,
    board: Board,
}

/// The nodes.
pub(super) struct Cluster {
    servers: Arc<Servers>,
    running: Mutex<BTreeMap<u32, Running>>,
    started: Mutex<u32>,
    /// Rises when every node is ended: what was to start before then does not.
    generation: AtomicU32,
    fate: mpsc::Sender<Fate>,
}

/// How often something may befall a node by itself.
const HARASS_MS: u64 = 20;
/// One of so many looks at the nodes comes with a copy of the ledger.
const COPY_ONE_IN: u64 = 30;
/// Fates that can wait to be looked at: more than nodes that can die between two looks.
const FATES_MAX: usize = 64;

impl Cluster {
    /// No nodes yet, and what becomes of them.
    pub(super) fn new(servers: Arc<Servers>) -> (Arc<Self>, mpsc::Receiver<Fate>) {
        let (fate, fates) = mpsc::channel(FATES_MAX);
        let cluster = Self {
            servers,
            running: Mutex::default(),
            started: Mutex::new(0),
            generation: AtomicU32::new(0),
            fate,
        };
        (Arc::new(cluster), fates)
    }

    /// Starts a node.
    pub(super) fn start(self: &Arc<Self>) {
        let id = {
            let mut started = self.started.lock();
            *started += 1;
            *started
        };
        let servers = &self.servers;
        let node = Arc::new(Node::new(id, self.fate.clone()));
        let link = Link { node: Arc::clone(&node), network: Arc::clone(&servers.network) };
        let sessions = Arc::new(Sessions::default());
        link.event(format_args!("starts"));
        let (ports, guards) = self.ports(&link, &sessions);
        let board = ports.board.clone();
        let options = servers.shape.options.clone();
        let tasks = node.tasks.clone();
        self.running.lock().insert(id, Running { node: Arc::clone(&node), sessions, guards, board });
        let cluster = Arc::clone(self);
        let run = worker::run(ports, options, tasks.clone());
        drop(tasks.spawn(async move {
            let ended = run.await;
            link.event(format_args!("ends by itself: {}", if ended.is_ok() { "ok" } else { "error" }));
            // A process that gives up at its start is started again by whoever runs it.
            if !node.tasks.is_stopping() {
                node.kill();
            }
            drop(cluster);
        }));
    }

    fn ports(&self, link: &Link, sessions: &Arc<Sessions>) -> (Ports, Vec<Arc<Guard>>) {
        let servers = &self.servers;
        let term = servers.shape.options.lease_term;
        let rights = Arc::new(Rights::new(link.clone(), term, Arc::clone(&servers.monitor)));
        let shared = Arc::clone(&servers.log);
        let log = Arc::new(SimulatedLog { link: link.clone(), shared, rights: Arc::clone(&rights) });
        let ledger = SimulatedLedger::new(
            link.clone(),
            Arc::clone(&servers.ledger),
            Arc::clone(&servers.monitor),
            Arc::clone(&servers.ledger_outage),
            Arc::clone(sessions),
            Arc::clone(&rights),
        );
        let Guarded { vectors, graph, guards } = self.stores(link);
        let placing = servers.vector_shared.placing();
        let graph = graph.map(|inner| {
            Arc::new(Sender { inner, rights: Arc::clone(&rights), placing: placing.clone() }) as Arc<_>
        });
        let ports = Ports {
            board: Board::default(),
            log: Arc::clone(&log) as Arc<_>,
            outcomes: Arc::clone(&log) as Arc<_>,
            dead_letters: log,
            ledger: Arc::new(ledger),
            vectors: Arc::new(Sender { inner: vectors, rights, placing }),
            graph,
            decide: Arc::new(Planner::default()),
            clock: Arc::clone(&servers.clock) as Arc<dyn Clock>,
            // Each incarnation has a stream of its own, far from those of the faults.
            random: Random::from_seed(servers.seed, 10_000 + u64::from(link.node.id)),
        };
        (ports, guards)
    }

    /// A node's stores, each behind its guard.
    fn stores(&self, link: &Link) -> Guarded {
        let servers = &self.servers;
        let vectors = Arc::new(Vectors {
            link: link.clone(),
            shared: Arc::clone(&servers.vector_shared),
            server: Arc::clone(&servers.vectors),
        });
        let graph = servers.graph.as_ref().map(|store| {
            Arc::new(Graph {
                link: link.clone(),
                shared: Arc::clone(&servers.graph_shared),
                store: Arc::clone(store),
            }) as Arc<_>
        });
        let random = Random::from_seed(servers.seed, 20_000 + u64::from(link.node.id));
        let around = (link, &servers.monitor, &random);
        Guarded::new(around, servers.shape.guard.as_ref(), vectors, graph)
    }

    /// Sees to nodes whose fate has changed, until the run is over.
    pub(super) fn watch(self: Arc<Self>, mut fates: mpsc::Receiver<Fate>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            while let Some(fate) = fates.recv().await {
                match fate {
                    Fate::Killed(id) => self.replace(id).await,
                    Fate::Paused(id) => self.take_for_dead(id),
                }
            }
        })
    }

    /// A node has died: what it held is freed after a while, and another is started.
    async fn replace(self: &Arc<Self>, id: u32) {
        let Some(gone) = self.running.lock().remove(&id) else { return };
        let faults = &self.servers.network.faults;
        if self.servers.vectors.crash().await {
            faults.count(Fault::VectorTailLost);
        }
        let (session, restart) =
            (faults.between(Fault::Kill, 5, 1_500), faults.between(Fault::Kill, 10, 3_000));
        let cluster = Arc::clone(self);
        self.servers.network.spawn(async move {
            tokio::time::sleep(Duration::from_millis(session)).await;
            gone.sessions.end_all();
            cluster.servers.log.lose(id, true);
        });
        let (cluster, generation) = (Arc::clone(self), self.generation.load(Ordering::Relaxed));
        self.servers.network.spawn(async move {
            tokio::time::sleep(Duration::from_millis(restart)).await;
            if cluster.generation.load(Ordering::Relaxed) == generation {
                cluster.start();
            }
        });
    }

    /// A node stands still: others take over, and later it goes on.
    fn take_for_dead(self: &Arc<Self>, id: u32) {
        let found =
            self.running.lock().get(&id).map(|run| (Arc::clone(&run.node), Arc::clone(&run.sessions)));
        let Some((node, sessions)) = found else { return };
        let faults = &self.servers.network.faults;
        let (session, wakes) =
            (faults.between(Fault::Pause, 20, 1_500), faults.between(Fault::Pause, 1, 4_000));
        self.servers.network.trace.event(&node, format_args!("is paused for {wakes} ms"));
        let cluster = Arc::clone(self);
        self.servers.network.spawn(async move {
            tokio::time::sleep(Duration::from_millis(session.min(wakes))).await;
            if session < wakes {
                sessions.end_all();
                cluster.servers.log.lose(id, false);
                tokio::time::sleep(Duration::from_millis(wakes - session)).await;
            }
            if !node.is_dead() {
                cluster.servers.network.trace.event(&node, format_args!("goes on"));
                node.resume();
                cluster.servers.log.heard(id);
            }
        });
    }

    /// Kills, pauses, moves and jumps by chance while faults are on.
    pub(super) async fn harass(self: Arc<Self>) {
        let faults = &self.servers.network.faults;
        while faults.is_active() {
            tokio::time::sleep(Duration::from_millis(HARASS_MS)).await;
            for action in self.servers.network.take_blows() {
                self.pick(Fault::Kill, if action == Action::Kill { Node::kill } else { Node::pause });
            }
            if faults.fires(Fault::Kill) {
                self.pick(Fault::Kill, Node::kill);
            }
            if faults.fires(Fault::Pause) {
                self.pick(Fault::Pause, Node::pause);
            }
            if faults.fires(Fault::Rebalance) {
                self.servers.log.rotate();
            }
            self.copy_ledger();
            if faults.fires(Fault::GroupLost) {
                let lose = |node: &Node| self.servers.log.lose_for_a_while(node.id);
                self.pick(Fault::GroupLost, lose);
            }
            if faults.fires(Fault::LeaseMoved) {
                self.move_lease();
            }
            if faults.fires(Fault::ClockJump) {
                let hours = i64::try_from(faults.between(Fault::ClockJump, 0, 4)).unwrap_or(0) - 2;
                self.servers.clock.jump(hours * 3_600_000_000);
            }
        }
    }

    /// Takes a copy of the ledger now and then, where it is to be restored.
    fn copy_ledger(&self) {
        let servers = &self.servers;
        if servers.shape.contradiction == Some(Contradiction::LedgerRestored)
            && servers.network.faults.between(Fault::LedgerRestored, 0, COPY_ONE_IN) == 0
        {
            *servers.copy.lock() = Some(servers.tables.back_up());
        }
    }

    /// Takes a lease in the name of nobody, whatever its owner does now.
    fn move_lease(&self) {
        let servers = &self.servers;
        let between = |high| servers.network.faults.between(Fault::LeaseMoved, 0, high);
        let epoch = servers.log.epoch();
        let last = u64::from(servers.shape.partitions_in(epoch).saturating_sub(1));
        let partition = PartitionId { epoch, partition: u32::try_from(between(last)).unwrap_or(0) };
        let nonce = (u128::from(u64::MAX) << 64) | u128::from(between(u64::MAX - 1));
        let (ledger, monitor) = (Arc::clone(&servers.ledger), Arc::clone(&servers.monitor));
        servers.network.trace.event(&"world", format_args!("{} of {partition}", Fault::LeaseMoved.name()));
        servers.network.spawn(async move {
            if let Ok(lease) = ledger.acquire(partition, nonce).await {
                monitor.leased(&lease);
            }
        });
    }

    fn pick(&self, fault: Fault, strike: impl Fn(&Node)) {
        let running = self.running.lock();
        let count = running.len() as u64;
        if count > 0 {
            let index =
                usize::try_from(self.servers.network.faults.between(fault, 0, count - 1)).unwrap_or(0);
            if let Some(run) = running.values().nth(index) {
                self.servers.network.trace.event(&run.node, format_args!("{}", fault.name()));
                strike(&run.node);
            }
        }
    }

    /// Lets every paused node go on.
    pub(super) fn resume_all(&self) {
        for run in self.running.lock().values().filter(|run| run.node.is_paused()) {
            run.node.resume();
            self.servers.log.heard(run.node.id);
        }
    }

    /// What living nodes say of their partitions.
    pub(super) fn statuses(&self) -> Vec<PartitionStatus> {
        self.running.lock().values().flat_map(|run| run.board.partitions()).collect()
    }

    /// The guards of living nodes, each with its node.
    pub(super) fn guards(&self) -> Vec<(Arc<Node>, Arc<Guard>)> {
        let running = self.running.lock();
        let all = running.values();
        all.flat_map(|run| run.guards.iter().map(|guard| (Arc::clone(&run.node), Arc::clone(guard))))
            .collect()
    }

    /// Kills every node, and none is started in its place.
    pub(super) async fn end_all(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
        let gone = std::mem::take(&mut *self.running.lock());
        for run in gone.values() {
            run.node.kill();
            run.sessions.end_all();
        }
        if self.servers.vectors.crash().await {
            self.servers.network.faults.count(Fault::VectorTailLost);
        }
    }

    /// Ends every node with the run.
    pub(super) fn stop_all(&self) {
        self.running.lock().values().for_each(|run| run.node.tasks.kill());
    }
}
