//! One seed: a world is drawn, lives through its faults, must come to rest, and is judged.
//!
//! ```text
//! producers ─▶ log ─▶ nodes ─▶ ledger, stores        faults on
//!                                                    faults off: everything must end (L1)
//! another epoch, in some seeds: nodes end, the log is made anew, and the same once more
//! fold of the log ── compared with ── ledger, stores at rest
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    graph::memory::MemoryGraph,
    guard,
    invariant::Invariant,
    ledger::{EpochRow, memory::MemoryLedger},
    log::{CommandLog, Partitioner, Record, Topology, envelope::Routing, memory::MemoryLog},
    model::{Code, PartitionId},
    random::Random,
    tasks::Tasks,
    vector::memory::MemoryVectors,
};

use super::{
    Options, SeedReport, Violation,
    appends::Appends,
    boundary::Boundaries,
    check::{self, Rest},
    clock::SimulatedClock,
    cluster::{Cluster, Servers},
    contradiction,
    faults::{Fault, Faults},
    history,
    log::{SharedLog, SimulatedLog},
    monitor::Monitor,
    network::{Link, Network, Node, Outage},
    senders::Rights,
    shape::Shape,
    stores::{Placing, Shared, VectorServer},
    trace::Trace,
    workload::{Kind, Producer},
};

/// Virtual time after the last fault within which everything must have ended.
const REST_MS_MAX: u64 = 180_000;
/// How long producers may take: a run that drags on is cut, not failed.
const LOAD_MS_MAX: u64 = 60_000;

/// How many commands of each type ended with each code.
type Endings = BTreeMap<(String, Code), u64>;

/// Streams of a seed that are not faults'.
#[derive(Debug, Clone, Copy)]
enum Stream {
    Swarm = 1,
    Shape = 2,
    Latency = 3,
    Guards = 4,
    ServerGuard = 5,
    Producer = 10,
}

/// What only the run itself can see of its stores: the read sides.
struct Reads {
    vectors: Arc<MemoryVectors>,
    graph: Option<Arc<MemoryGraph>>,
}

/// Runs one seed on a runtime of its own.
pub(super) fn run(seed: u64, options: &Options) -> SeedReport {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing from the system");
    runtime.block_on(live(seed, options))
}

async fn live(seed: u64, options: &Options) -> SeedReport {
    let (servers, reads) = world(seed, options);
    let (cluster, fates) = Cluster::new(Arc::clone(&servers));
    let network = Arc::clone(&servers.network);
    // The loops of the world; they end with the runtime.
    let world = Tasks::new();
    drop(world.spawn_until_stopped(Arc::clone(&cluster).watch(fates)));
    let mut resting = None;
    for epoch in 1..=servers.shape.epochs() {
        if epoch > 1 {
            renew(&servers, &cluster).await;
        }
        load(&servers, &cluster, &world).await;
        let is_last = epoch == servers.shape.epochs();
        resting = rest(&servers, &cluster, is_last).await;
        if resting.is_some() {
            break;
        }
    }
    let (judged, endings) = judge(&servers, &reads, options).await;
    let mut ended = Vec::from_iter(resting);
    if ended.is_empty() && judged.is_empty() {
        ended.extend(close_breakers(&servers, &cluster).await);
        ended.extend(contradiction::play(&servers, &cluster).await);
    }
    world.stop();
    cluster.stop_all();
    let mut violations = servers.monitor.violations();
    violations.extend(ended.into_iter().chain(judged));
    for violation in &violations {
        let what = format_args!("{}: {}", violation.invariant, violation.sentence);
        network.trace.event(&"violation", what);
    }
    let (hash, events) = network.trace.digest();
    SeedReport {
        seed,
        violations,
        hash,
        events,
        virtual_ms: network.trace.elapsed_ms(),
        fired: network.faults.counts(),
        boundaries: network.boundaries.counts(),
        endings,
        lines: network.trace.lines(),
    }
}

/// Nodes work, producers send, things go wrong; then nothing goes wrong any more.
async fn load(servers: &Arc<Servers>, cluster: &Arc<Cluster>, world: &Tasks) {
    (0..servers.shape.nodes).for_each(|_| cluster.start());
    let harass = world.spawn(Arc::clone(cluster).harass());
    let mut producers: Vec<_> =
        (0..servers.shape.producers).map(|n| world.spawn(producer(servers, n).run())).collect();
    let all = async {
        for producer in &mut producers {
            // A producer neither panics nor is cancelled before its time is over.
            producer.await.unwrap_or_default();
        }
    };
    let cut = tokio::time::timeout(Duration::from_millis(LOAD_MS_MAX), all).await.is_err();
    producers.iter().filter(|_| cut).for_each(JoinHandle::abort);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let network = &servers.network;
    network.faults.stop();
    harass.abort();
    network.trace.event(&"world", format_args!("faults stop{}", if cut { ", load cut" } else { "" }));
    cluster.resume_all();
}

/// Every node ends, the log is made anew, and the next epoch is opened over it. What is on its way to
/// the stores stays on its way.
async fn renew(servers: &Servers, cluster: &Cluster) {
    cluster.end_all().await;
    let epoch = servers.log.epoch() + 1;
    let log = new_log(&servers.shape, epoch, &servers.clock);
    servers.log.renew(log.clone());
    *servers.copy.lock() = None;
    let Topology { identity, partitions, partitioner } = log.topology();
    let row = EpochRow { epoch, identity, partitions, partitioner: partitioner.to_string() };
    let opened = servers.ledger.open_epoch(&row).await;
    servers.network.trace.event(&"world", format_args!("epoch {epoch} is opened: {}", opened.is_ok()));
    servers.network.faults.count(Fault::NewEpoch);
    servers.network.faults.go_on();
}

fn new_log(shape: &Shape, epoch: u32, clock: &Arc<SimulatedClock>) -> MemoryLog {
    let (partitions, partitioner) = (shape.partitions_in(epoch), Partitioner::default());
    MemoryLog::new(format!("simulated {epoch}"), partitions, partitioner, Arc::clone(clock) as Arc<_>)
}

fn world(seed: u64, options: &Options) -> (Arc<Servers>, Reads) {
    let stream = |stream: Stream| Random::from_seed(seed, stream as u64);
    let shape = Arc::new(options.shape(&stream(Stream::Shape), &stream(Stream::Guards), Kind::SHARES));
    let faults = if options.faults { Faults::draw(seed, &stream(Stream::Swarm)) } else { Faults::none(seed) };
    // What is embedded dies with its process: nothing of it is done once the process is gone.
    let in_process = [
        Fault::LedgerLateCommit,
        Fault::LedgerAgain,
        Fault::LeaseDouble,
        Fault::LeaseMoved,
        Fault::VectorLate,
        Fault::VectorDouble,
    ];
    let faults = if shape.embedded { faults.without(&in_process) } else { faults };
    let trace = Trace::new(options.keep_trace);
    let boundaries = Boundaries::new(options.strike);
    let network = Arc::new(Network::new(faults, boundaries, trace, stream(Stream::Latency)));
    let clock = Arc::new(SimulatedClock::new());
    let monitor = Arc::new(Monitor::default());
    let placing = Placing { shape: Arc::clone(&shape), partitioner: Partitioner::default() };
    let first = new_log(&shape, 1, &clock);
    let log = Arc::new(SharedLog::new(first, Arc::clone(&monitor), Arc::clone(&network)));
    let front = shape.guard.clone().map(|options| {
        let inner = server_log(&network, &log, &monitor, shape.options.lease_term);
        guard::log(inner, options, stream(Stream::ServerGuard))
    });
    let vectors = Arc::new(MemoryVectors::new());
    let graph = shape.graph.then(|| Arc::new(MemoryGraph::new()));
    let tables = MemoryLedger::new("simulated");
    let embedded = shape.embedded;
    let server = VectorServer::new(Arc::clone(&vectors) as Arc<_>, Arc::clone(&monitor), embedded);
    let servers = Servers {
        network,
        monitor: Arc::clone(&monitor),
        clock,
        log,
        server: front,
        attempts: Arc::default(),
        ledger: Arc::new(tables.clone()),
        tables,
        copy: Mutex::default(),
        ledger_outage: Arc::new(Outage::new(Fault::LedgerOutage)),
        vectors: Arc::new(server),
        vector_shared: Arc::new(Shared::vector(Arc::clone(&monitor), placing.clone())),
        graph: graph.clone().map(|graph| graph as Arc<_>),
        graph_shared: Arc::new(Shared::graph(monitor, placing)),
        shape,
        seed,
    };
    (Arc::new(servers), Reads { vectors, graph })
}

/// The log as a process sees it that only appends, and that nothing befalls.
fn server_log(
    network: &Arc<Network>,
    log: &Arc<SharedLog>,
    monitor: &Arc<Monitor>,
    term: Duration,
) -> Arc<dyn CommandLog> {
    // Nobody listens for its fate.
    let node = Arc::new(Node::new(0, mpsc::channel(1).0));
    let link = Link { node, network: Arc::clone(network) };
    let rights = Arc::new(Rights::new(link.clone(), term, Arc::clone(monitor)));
    Arc::new(SimulatedLog { link, shared: Arc::clone(log), rights })
}

fn producer(servers: &Servers, number: u64) -> Producer {
    let epoch = servers.log.epoch();
    Producer {
        number,
        random: Random::from_seed(servers.seed, u64::from(epoch) * Stream::Producer as u64 + number),
        shape: Arc::clone(&servers.shape),
        partitions: servers.shape.partitions_in(epoch),
        appends: Appends {
            log: Arc::clone(&servers.log),
            // Every second one is a client of a server.
            server: servers.server.as_ref().filter(|_| number % 2 == 1).map(|(log, _)| Arc::clone(log)),
            monitor: Arc::clone(&servers.monitor),
            attempts: Arc::clone(&servers.attempts),
        },
        monitor: Arc::clone(&servers.monitor),
        clock: Arc::clone(&servers.clock),
    }
}

/// Every partition of every epoch so far, with its log.
fn partitions(servers: &Servers) -> Vec<(PartitionId, MemoryLog)> {
    let mut partitions = Vec::new();
    for (epoch, log) in (1..).zip(servers.log.logs()) {
        let all = (0..log.topology().partitions).map(|partition| PartitionId { epoch, partition });
        partitions.extend(all.map(|partition| (partition, log.clone())));
    }
    partitions
}

/// Waits until everything has ended; what has not is a violation of L1. At the last rest, nothing is
/// on its way any more either.
async fn rest(servers: &Servers, cluster: &Cluster, is_last: bool) -> Option<Violation> {
    let began = servers.network.trace.elapsed_ms();
    loop {
        // A strike that was on its way may still have held one.
        cluster.resume_all();
        let unrest = unrest(servers, &BTreeSet::new()).await;
        let waited = servers.network.trace.elapsed_ms() - began;
        match unrest {
            None if !is_last || servers.network.in_flight() == 0 => return None,
            Some(unrest) if waited > REST_MS_MAX => {
                let sentence = format!("{unrest}, {waited} ms after the last fault");
                return Some(Violation { invariant: Invariant::L1, sentence });
            }
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Nothing goes wrong any more: whatever breaker is still open must close for whoever comes.
async fn close_breakers(servers: &Servers, cluster: &Cluster) -> Option<Violation> {
    let mut guards: Vec<_> =
        cluster.guards().into_iter().map(|(node, guard)| (node.to_string(), guard)).collect();
    guards.extend(servers.server.iter().map(|(_, guard)| ("the server".to_owned(), Arc::clone(guard))));
    let began = servers.network.trace.elapsed_ms();
    for (whose, guard) in guards {
        while guard.state() != guard::State::Closed {
            // Whether this one is let through does not matter.
            guard.call("rest", async {}, |()| guard::Evidence::Healthy).await.unwrap_or_default();
            if servers.network.trace.elapsed_ms() - began > REST_MS_MAX {
                let sentence =
                    format!("the breaker of {whose} before its {} store stays open", guard.store());
                return Some(Violation { invariant: Invariant::L1, sentence });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    None
}

/// What has not ended yet, if anything, but for partitions that were made to stop.
pub(super) async fn unrest(servers: &Servers, stopped: &BTreeSet<PartitionId>) -> Option<String> {
    for (partition, log) in partitions(servers).into_iter().filter(|(of, _)| !stopped.contains(of)) {
        let end = log.bounds(partition.partition).await.map_or(0, |bounds| bounds.end);
        let last = last_record(&log, partition, end).await;
        let Ok(row) = servers.ledger.partition(partition).await else {
            return Some("no node has opened the epoch".to_owned());
        };
        if last.is_some_and(|last| row.watermark <= last) {
            return Some(format!(
                "the watermark of {partition} is {}, and the log ends at {end}",
                row.watermark
            ));
        }
        if let Some(row) =
            servers.ledger.unfinished(partition, 0, 1).await.ok().and_then(|rows| rows.into_iter().next())
        {
            return Some(format!("saga {} is still {:?}", partition.at(row.offset), row.state));
        }
        if row.published < row.finishes {
            return Some(format!("{partition} has published {} of {} finishes", row.published, row.finishes));
        }
    }
    None
}

/// The offset of the last record; what follows it are gaps, which nobody can read.
async fn last_record(log: &MemoryLog, partition: PartitionId, end: u64) -> Option<u64> {
    let mut offset = end;
    while offset > 0 {
        offset -= 1;
        if let Ok(Some(_)) = log.record(partition.partition, offset).await {
            return Some(offset);
        }
    }
    None
}

async fn judge(servers: &Servers, reads: &Reads, options: &Options) -> (Vec<Violation>, Endings) {
    let mut violations = Vec::new();
    let mut endings = Endings::new();
    let (records, ends) = read_log(servers).await;
    let partitions: Vec<PartitionId> =
        partitions(servers).into_iter().map(|(partition, _)| partition).collect();
    match check::read_ledger(&*servers.ledger, &records, &partitions).await {
        Ok((rows, watermarks, heads, relations)) => {
            for row in rows.values() {
                let kind = row.header.as_ref().map_or("unreadable", |header| header.kind.as_str());
                let code = row.ending.as_ref().map_or(Code::Malformed, |ending| ending.code);
                *endings.entry((kind.to_owned(), code)).or_default() += 1;
            }
            let registers = match &reads.graph {
                Some(graph) => Some(check::read_registers(&**graph).await),
                None => None,
            };
            let histories = history::read(&*servers.ledger, &heads).await;
            let histories = histories.unwrap_or_else(|violation| {
                violations.push(violation);
                Vec::new()
            });
            let letters = servers.log.logs().into_iter().flat_map(|log| log.letters());
            let mut rest = Rest {
                records,
                ends,
                rows,
                watermarks,
                heads,
                relations,
                histories,
                points: check::read_points(&*reads.vectors).await,
                registers,
                letters: letters.map(|letter| letter.record.position).collect(),
            };
            if options.canary {
                // Told that the last record was never there, the fold must contradict the stores.
                rest.rows.clear();
            }
            let routing = |epoch| Routing {
                partitions: servers.shape.partitions_in(epoch),
                partitioner: Partitioner::default(),
            };
            violations.extend(check::check(&rest, &servers.monitor, &routing));
        }
        Err(error) => violations.push(Violation { invariant: Invariant::I4, sentence: error }),
    }
    (violations, endings)
}

async fn read_log(servers: &Servers) -> (Vec<Record>, BTreeMap<PartitionId, u64>) {
    let mut records = Vec::new();
    let mut ends = BTreeMap::new();
    for (partition, log) in partitions(servers) {
        let end = log.bounds(partition.partition).await.map_or(0, |bounds| bounds.end);
        ends.insert(partition, end);
        for offset in 0..end {
            if let Ok(Some(record)) = log.record(partition.partition, offset).await {
                records.push(record);
            }
        }
    }
    (records, ends)
}
