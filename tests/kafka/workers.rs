//! Several workers over one topic: whoever comes and goes, every command is done once, in order.
//!
//! The workers are one process's here, over a ledger that they share in memory; each has clients, a place in
//! the group and tasks of its own.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use engraft::{
    audit::{self, Verdict},
    clock::SystemClock,
    ledger::{Ledger, memory::MemoryLedger},
    log::{CommandLog, NewRecord, kafka::KafkaLog},
    model::{MemoryId, PartitionId, Space},
    random::Random,
    saga::plan::Planner,
    tasks::Tasks,
    vector::memory::MemoryVectors,
    worker::{self, board::Board},
};
use rdkafka::Message;
use serde_json::json;

use crate::{
    broker::{Broker, PARTITIONS, headers, world},
    support::setting,
};

/// How long everything may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(60);
/// Spaces that the load is spread over.
const SPACES: u64 = 12;

/// A worker that runs.
pub(crate) struct Worker {
    log: KafkaLog,
    pub(crate) board: Board,
    tasks: Tasks,
    run: tokio::task::JoinHandle<Result<(), worker::Error>>,
}

impl Worker {
    /// As SIGTERM does it.
    pub(crate) async fn stop(self) {
        self.tasks.shut_down().await;
        self.run.await.unwrap().unwrap();
        self.log.close().await;
    }

    /// Waits until it ends by itself; how it did.
    pub(crate) async fn ended(self) -> Result<(), worker::Error> {
        let ended = self.run.await.unwrap();
        self.tasks.shut_down().await;
        self.log.close().await;
        ended
    }

    /// Its tasks stop where they are. What it had sent may arrive or not.
    async fn kill(self) {
        self.tasks.kill();
        self.log.close().await;
    }
}

/// What the workers share.
pub(crate) struct Cluster {
    pub(crate) broker: Broker,
    pub(crate) ledger: MemoryLedger,
    vectors: MemoryVectors,
    random: Random,
}

impl Cluster {
    pub(crate) async fn new(test: &str) -> Option<Self> {
        let broker = world(test).await?;
        let (ledger, vectors) = (MemoryLedger::new("tests"), MemoryVectors::new());
        Some(Self { broker, ledger, vectors, random: Random::from_system() })
    }

    /// What a worker touches, over this log.
    pub(crate) fn ports(&self, log: &KafkaLog, board: Board) -> worker::Ports {
        worker::Ports {
            log: Arc::new(log.clone()),
            outcomes: Arc::new(log.clone()),
            dead_letters: Arc::new(log.clone()),
            ledger: Arc::new(self.ledger.clone()),
            vectors: Arc::new(self.vectors.clone()),
            graph: None,
            decide: Arc::new(Planner::default()),
            clock: Arc::new(SystemClock),
            random: Random::from_seed(self.random.next_u64(), 0),
            board,
        }
    }

    pub(crate) async fn start(&self) -> Worker {
        let log = KafkaLog::connect(&self.broker.options).await.unwrap();
        if let Some(epoch) = self.ledger.epoch().await.unwrap() {
            log.set_epoch(epoch.epoch);
        }
        let (tasks, board) = (Tasks::new(), Board::default());
        let ports = self.ports(&log, board.clone());
        let run = tasks.spawn(worker::run(ports, worker::Options::default(), tasks.clone()));
        Worker { log, board, tasks, run }
    }

    /// Appends the `number`th command of a space: a put of one memory, and a strengthening of one relation.
    pub(crate) async fn append(&self, space: &str, number: u64) {
        let put = json!({ "type": "memory.put", "id": format!("p-{number}"),
            "data": { "id": "counter", "content": format!("number {number}"), "vector": [1.0, 0.5] } });
        let strengthen = json!({ "type": "relation.strengthen", "id": format!("s-{number}"),
            "data": { "source": "a", "type": "CAUSES", "target": "b", "on_missing": "stub" } });
        let record = |value: serde_json::Value| NewRecord {
            key: Bytes::from(space.to_owned()),
            value: value.to_string().into(),
            headers: vec![],
        };
        // In one call, so that they keep their order.
        for answer in self.broker.log.append(vec![record(put), record(strengthen)]).await {
            answer.unwrap();
        }
    }

    /// Waits until everything in the log has ended and is published.
    pub(crate) async fn rest(&self) {
        let begun = Instant::now();
        let epoch = self.ledger.epoch().await.unwrap().map_or(1, |epoch| epoch.epoch);
        for partition in 0..self.broker.log.topology().partitions {
            let end = self.broker.log.bounds(partition).await.unwrap().end;
            let id = PartitionId { epoch, partition };
            loop {
                let row = self.ledger.partition(id).await.unwrap_or_default();
                let unfinished = self.ledger.unfinished(id, 0, 1).await.unwrap();
                if row.watermark == end && unfinished.is_empty() && row.published == row.finishes {
                    break;
                }
                assert!(begun.elapsed() < PATIENCE, "partition {partition} of end {end}: {row:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// So many commands of each space were done, each once and in order.
    pub(crate) async fn stands(&self, sent: &BTreeMap<String, u64>) {
        for (space, count) in sent {
            let space = Space::new(space.as_str()).unwrap();
            let counter = (space.clone(), MemoryId::new("counter").unwrap());
            let heads = Ledger::heads(&self.ledger, &[counter]).await.unwrap();
            let content = heads[0].memory.as_ref().map(|memory| memory.content.to_string());
            assert_eq!(content, Some(format!("number {}", count - 1)), "the last put of {space} stands");
            let relations =
                Ledger::relations_of(&self.ledger, &space, &MemoryId::new("a").unwrap()).await.unwrap();
            let weight = relations[0].state.as_ref().unwrap().weight;
            let expected = 1.0 - 0.9_f64.powi(i32::try_from(*count).unwrap());
            assert!((weight - expected).abs() < 1e-9, "{space}: {weight} after {count}, not {expected}");
        }
    }

    /// Nothing was lost, doubled or reordered, and every copy of an outcome is the same.
    async fn judge(&self, sent: &BTreeMap<String, u64>) {
        self.stands(sent).await;
        let mut copies: BTreeMap<Bytes, Bytes> = BTreeMap::new();
        for message in self.broker.everything(self.broker.options.outcomes_topic()).await {
            let headers: BTreeMap<String, Bytes> = headers(&message).into_iter().collect();
            let body = Bytes::copy_from_slice(message.payload().unwrap());
            let text = String::from_utf8_lossy(&body).into_owned();
            assert!(text.contains(r#""outcome":"committed""#), "{text}");
            assert_eq!(copies.entry(headers["ce_id"].clone()).or_insert(body.clone()), &body);
        }
        assert_eq!(copies.len() as u64, 2 * sent.values().sum::<u64>(), "one outcome a command");
        self.is_clean().await;
    }

    /// Every store holds what the heads say, and every record of the log has its row.
    pub(crate) async fn is_clean(&self) {
        let ports = audit::Ports {
            ledger: Arc::new(self.ledger.clone()),
            points: Arc::new(self.vectors.clone()),
            vector: Arc::new(self.vectors.clone()),
            graph: None,
            log: Some(Arc::new(self.broker.log.clone())),
        };
        let report = audit::run(&ports, &audit::Options { deep: true, ..audit::Options::default() }).await;
        assert_eq!(report.verdict, Verdict::Clean, "{report:?}");
    }
}

/// The partitions that a worker says it works on.
fn working(worker: &Worker) -> usize {
    let partitions = worker.board.partitions();
    partitions.iter().filter(|status| status.state == worker::board::PartitionState::Working).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_come_and_go_lose_nothing_double_nothing_and_keep_the_order() {
    let test = "workers_that_come_and_go_lose_nothing_double_nothing_and_keep_the_order";
    let Some(cluster) = Cluster::new(test).await else { return };
    let seconds = setting("ENGRAFT_TEST_WORKERS_SECONDS", 15);
    let random = Random::from_seed(setting("ENGRAFT_TEST_SEED", 1), 0);
    let mut workers = vec![cluster.start().await, cluster.start().await];
    let mut sent: BTreeMap<String, u64> = BTreeMap::new();
    let (begun, mut next_change) = (Instant::now(), Instant::now() + Duration::from_secs(1));
    let mut changes = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..10 {
            let space = format!("space-{}", random.below(SPACES));
            let number = sent.entry(space.clone()).or_default();
            cluster.append(&space, *number).await;
            *number += 1;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        if Instant::now() < next_change {
            continue;
        }
        changes += 1;
        next_change = Instant::now() + Duration::from_millis(700 + random.below(800));
        let chosen = usize::try_from(random.below(workers.len() as u64)).unwrap();
        match random.below(3) {
            0 if workers.len() > 1 => workers.remove(chosen).stop().await,
            1 if workers.len() > 1 => workers.remove(chosen).kill().await,
            _ if workers.len() < 4 => workers.push(cluster.start().await),
            _ => {}
        }
    }
    cluster.rest().await;
    println!("{changes} changes, {} commands", 2 * sent.values().sum::<u64>());
    for worker in workers {
        worker.stop().await;
    }
    cluster.judge(&sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_worker_takes_its_share_while_commands_arrive() {
    let test = "a_second_worker_takes_its_share_while_commands_arrive";
    let Some(cluster) = Cluster::new(test).await else { return };
    let first = cluster.start().await;
    let mut sent: BTreeMap<String, u64> = BTreeMap::new();
    let begun = Instant::now();
    let mut second = None;
    loop {
        for space in ["acme", "ada", "bo", "cy", "di", "ed"] {
            let number = sent.entry(space.to_owned()).or_default();
            cluster.append(space, *number).await;
            *number += 1;
        }
        match &second {
            None if working(&first) == PARTITIONS as usize => second = Some(cluster.start().await),
            Some(second) if working(second) == 2 && working(&first) == 2 => break,
            _ => {}
        }
        assert!(begun.elapsed() < PATIENCE, "{} work at the first", working(&first));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cluster.rest().await;
    first.stop().await;
    second.unwrap().stop().await;
    cluster.judge(&sent).await;
}
