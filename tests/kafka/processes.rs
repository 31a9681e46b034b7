//! Several processes over one topic and one ledger, which are killed, stopped for too long, told to leave and
//! started again while clients write: nothing is lost, doubled or reordered.
//!
//! Commands come over HTTP through a process that works on nothing, and outcomes are asked of it: whoever
//! finishes a command, it can tell. The ledger is on the Postgres of `ENGRAFT_TEST_POSTGRES`, vectors are on a
//! stand-in for a Qdrant server, which outlives every worker.

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use engraft::{
    audit::history::check,
    random::Random,
    vector::qdrant::standin::{self, Standin},
};
use rdkafka::Message;

use crate::{
    broker::{Broker, PARTITIONS, headers, world},
    support::{
        client::{Client, History, Running},
        server::{Home, Server},
        setting, told,
    },
};

/// Commands in flight, one a client.
const CLIENTS: u32 = 4;
/// Workers at the start.
const WORKERS: usize = 3;
/// Longer than the group's session and than a lease is relied on.
const TOO_LONG: Duration = Duration::from_secs(13);

/// The stores that every process of a test shares, and where the next process lives.
struct Cluster {
    broker: Broker,
    vectors: Standin,
    folder: tempfile::TempDir,
    settings: Vec<(&'static str, String)>,
    homes: usize,
}

impl Cluster {
    async fn new(test: &str) -> Option<Self> {
        let postgres = told("ENGRAFT_TEST_POSTGRES", test)?;
        let broker = world(test).await?;
        let folder = tempfile::tempdir().unwrap();
        let vectors = standin::Options::on_loopback(&folder.path().join("standin"));
        let vectors = Standin::start(vectors).await.unwrap();
        let schema = broker.options.topic_prefix.replace(['.', '-'], "_");
        let settings = vec![
            ("ENGRAFT_LOG__KIND", "kafka".to_owned()),
            ("ENGRAFT_KAFKA__BROKERS", broker.options.brokers.clone()),
            ("ENGRAFT_KAFKA__TOPIC_PREFIX", broker.options.topic_prefix.clone()),
            ("ENGRAFT_LEDGER__URL", postgres),
            ("ENGRAFT_LEDGER__POSTGRES__SCHEMA", schema),
            ("ENGRAFT_VECTOR__KIND", "qdrant".to_owned()),
            ("ENGRAFT_QDRANT__URL", vectors.url()),
        ];
        Some(Self { broker, vectors, folder, settings, homes: 0 })
    }

    /// Where one more process of this role lives.
    fn home(&mut self, role: &str) -> Home {
        self.homes += 1;
        let mut home = Home::new(&self.folder.path().join(self.homes.to_string()));
        home.settings.clone_from(&self.settings);
        home.settings.push(("ENGRAFT_ROLE", role.to_owned()));
        home
    }

    fn worker(&mut self) -> Server {
        self.home("worker").serve("")
    }

    /// Every copy of every outcome is the same, and there is one for each of so many positions.
    async fn judge_copies(&self, positions: usize) {
        let mut copies: BTreeMap<Bytes, Bytes> = BTreeMap::new();
        for message in self.broker.everything(self.broker.options.outcomes_topic()).await {
            let headers: BTreeMap<String, Bytes> = headers(&message).into_iter().collect();
            let body = Bytes::copy_from_slice(message.payload().unwrap());
            assert_eq!(copies.entry(headers["ce_id"].clone()).or_insert(body.clone()), &body);
        }
        let mut records = 0;
        for partition in 0..PARTITIONS {
            let bounds = engraft::log::CommandLog::bounds(&self.broker.log, partition).await.unwrap();
            records += usize::try_from(bounds.end - bounds.start).unwrap();
        }
        assert_eq!(copies.len(), records, "one outcome a record");
        assert!(copies.len() >= positions);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_killed_stopped_and_replaced_lose_nothing_and_double_nothing() {
    let test = "processes_that_are_killed_stopped_and_replaced_lose_nothing_and_double_nothing";
    let Some(mut cluster) = Cluster::new(test).await else { return };
    let seconds = setting("ENGRAFT_TEST_WORKERS_SECONDS", 30);
    let seed = setting("ENGRAFT_TEST_SEED", 1);
    let random = Random::from_seed(seed, u64::MAX);
    let mut workers: Vec<Server> = (0..WORKERS).map(|_| cluster.worker()).collect();
    let api_home = cluster.home("api");
    let api = api_home.serve("");
    let client = Client::new(api_home.port);
    let history = Arc::new(History::create(&cluster.folder.path().join("history.jsonl")));
    let running = Running::start(&client, &history, seed, CLIENTS);
    let (begun, mut changes) = (Instant::now(), [0; 3]);
    while begun.elapsed() < Duration::from_secs(seconds) {
        thread::sleep(Duration::from_millis(1_000 + random.below(1_500)));
        let chosen = usize::try_from(random.below(workers.len() as u64)).unwrap();
        // Each kind comes in turn, so that none is missing from a short run.
        let change = changes.iter().sum::<u64>() % 3;
        match change {
            0 => {
                workers.remove(chosen).kill();
                workers.push(cluster.worker());
            }
            1 => {
                workers.remove(chosen).stop();
                workers.push(cluster.worker());
            }
            _ => {
                let stopped = &workers[chosen];
                stopped.signal("STOP");
                thread::sleep(TOO_LONG);
                stopped.signal("CONT");
            }
        }
        changes[usize::try_from(change).unwrap()] += 1;
    }
    running.end();
    let events = history.read();
    let positions: Vec<_> = events.iter().filter_map(|event| event.position).collect();
    let outcomes = client.outcomes(&positions);
    let findings = check::check(&events, &outcomes, &client.finals());
    workers.into_iter().for_each(Server::stop);
    api.stop();
    println!("killed, told to leave, stopped too long: {changes:?}; {} acknowledged", findings.acknowledged);
    assert!(findings.is_clean(), "seed {seed}: {findings:#?}");
    let home = cluster.home("all");
    std::fs::create_dir_all(&home.folder).unwrap();
    let audit = home.engraft(&["audit", "--deep", "-o", "json"]).output().unwrap();
    let (said, words) = (String::from_utf8_lossy(&audit.stdout), String::from_utf8_lossy(&audit.stderr));
    assert_eq!(audit.status.code(), Some(0), "{said} {words}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(
        report["read"]["points"].as_u64() > Some(0),
        "no point that a worker wrote was looked at: {said}"
    );
    cluster.judge_copies(findings.acknowledged).await;
    cluster.vectors.stop().await;
}
