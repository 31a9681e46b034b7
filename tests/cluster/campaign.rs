//! A campaign: everything in the cluster is killed in turn under a load that does not wait, and afterwards every
//! command has had one effect, in order, and one answer.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use engraft::{
    audit::history::{
        Event,
        check::{self, Findings},
    },
    model::{Outcome, PartitionId, Position},
    random::Random,
    vector::qdrant::standin::{self, Standin},
};

use crate::{
    faults::{Faults, Fleet, serve},
    outcomes::Outcomes,
    servers::{Brokers, Database},
    stream::{Plan, Sent, Stream},
    support::{
        client::{Client, History, Running},
        server::Home,
        setting, told,
    },
};

const COMMANDS: &str = "engraft.commands.v1";
const OUTCOMES: &str = "engraft.outcomes.v1";
/// Commands a second where nobody says otherwise. Two cores that carry three brokers, three workers and Postgres
/// besides fall behind while these are killed, and catch up afterwards. `ENGRAFT_TEST_CLUSTER_RATE` says otherwise,
/// and `ENGRAFT_TEST_CLUSTER_TIMES` how often all faults are done.
const RATE: u64 = 1_000;
/// Partitions of the topics.
const PARTITIONS: u32 = 32;
/// Spaces that the load is spread over: two a partition, so that some are never alone.
const SPACES: u64 = 64;
/// Clients over HTTP beside the stream, each with one command in flight.
const HTTP_CLIENTS: u32 = 2;
/// Of so many outcomes one is asked for over HTTP too.
const ASKED_ONE_OF: usize = 100;

/// How a campaign went, for whoever reads its output.
struct Report {
    faults: Faults,
    rate: u64,
    sent: Sent,
    findings: Findings,
    records: usize,
    copies: usize,
    behind: usize,
    drained: Duration,
    ended: Vec<String>,
    hung: Vec<String>,
    /// From accepted to finished, in milliseconds, ascending.
    latencies: Vec<i64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.sent.lasted.as_secs_f64();
        let streamed = self.sent.events.iter().filter(|event| event.position.is_some()).count();
        let per_second = streamed as f64 / seconds;
        let Findings { acknowledged, lost, doubled, wrong, unresolved, set_aside, .. } = &self.findings;
        writeln!(f, "{}", self.faults)?;
        writeln!(f, "{} commands a second asked for, {per_second:.0} sent, over {seconds:.0} s", self.rate)?;
        writeln!(
            f,
            "{acknowledged} commands in {} records; {} sent again, {} outcomes published again",
            self.records, self.sent.again, self.copies
        )?;
        let drained = self.drained.as_secs_f64();
        let (behind, rate) = (self.behind, self.behind as f64 / drained);
        writeln!(f, "{behind} behind when the load ended, done {drained:.1} s later ({rate:.0} a second)")?;
        let at = |percent: usize| self.latencies[(self.latencies.len() - 1) * percent / 100];
        writeln!(
            f,
            "accepted to finished: half in {} ms, 99% in {} ms, all in {} ms",
            at(50),
            at(99),
            at(100)
        )?;
        let [set_aside, ended, hung] = [set_aside, &self.ended, &self.hung].map(Vec::len);
        writeln!(
            f,
            "{set_aside} commands set aside; {ended} workers ended by themselves, {hung} did not when told to"
        )?;
        let [lost, doubled, wrong, unresolved] = [lost, doubled, wrong, unresolved].map(Vec::len);
        write!(
            f,
            "{lost} lost, {doubled} doubled, {wrong} wrong, {unresolved} unresolved; audit --deep is clean"
        )
    }
}

/// What every process is told.
fn settings(brokers: &Brokers, database: &Database, vectors: &Standin) -> Vec<(&'static str, String)> {
    vec![
        ("ENGRAFT_LOG__KIND", "kafka".to_owned()),
        ("ENGRAFT_KAFKA__BROKERS", brokers.addresses.clone()),
        ("ENGRAFT_LEDGER__URL", database.url.clone()),
        ("ENGRAFT_VECTOR__KIND", "qdrant".to_owned()),
        ("ENGRAFT_QDRANT__URL", vectors.url()),
    ]
}

fn make_topics(home: &Home) {
    let partitions = PARTITIONS.to_string();
    let made = home
        .engraft(&["topics", "apply", "--replication", "3", "--partitions", &partitions])
        .output()
        .expect("the program runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn audit(home: &Home) {
    std::fs::create_dir_all(&home.folder).expect("a folder");
    let audit = home.engraft(&["audit", "--deep", "-o", "json"]).output().expect("the program runs");
    let (said, words) = (String::from_utf8_lossy(&audit.stdout), String::from_utf8_lossy(&audit.stderr));
    assert_eq!(audit.status.code(), Some(0), "{said} {words}");
    let report: serde_json::Value = serde_json::from_str(&said).expect("a report");
    assert!(report["read"]["points"].as_u64() > Some(0), "no point was looked at: {said}");
}

fn latency_ms(outcome: &Outcome) -> i64 {
    outcome.finished_at.as_millis() - outcome.accepted_at.as_millis()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_in_which_everything_is_killed_loses_nothing_doubles_nothing_and_keeps_the_order() {
    let test = "a_cluster_in_which_everything_is_killed_loses_nothing_doubles_nothing_and_keeps_the_order";
    if told("ENGRAFT_TEST_KAFKA", test).is_none() || told("ENGRAFT_TEST_POSTGRES", test).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let vectors = standin::Options::on_loopback(&folder.path().join("standin"));
    let vectors = Standin::start(vectors).await.unwrap();
    // The campaign blocks; the stand-in goes on beside it.
    let report = tokio::task::block_in_place(|| run(folder.path(), &vectors));
    println!("{report}\n{:#?}", report.ended);
    if let Some(path) = std::env::var_os("ENGRAFT_TEST_CLUSTER_REPORT") {
        std::fs::write(path, format!("{report}\n")).unwrap();
    }
    assert!(report.findings.is_clean(), "{:#?}", report.findings);
    assert!(report.hung.is_empty(), "{}", report.hung.join("\n\n"));
    vectors.stop().await;
}

fn run(folder: &Path, vectors: &Standin) -> Report {
    let times = setting("ENGRAFT_TEST_CLUSTER_TIMES", 1);
    let (rate, seed) = (setting("ENGRAFT_TEST_CLUSTER_RATE", RATE), setting("ENGRAFT_TEST_SEED", 1));
    let faults = Faults {
        kills: 20 * times,
        stops: 5 * times,
        brokers: 5 * times,
        databases: 5 * times,
        replacements: 20 * times,
    };
    let random = Random::from_seed(seed, u64::MAX);
    let mut brokers = Brokers::start(folder.join("kafka"));
    let database = Database::start(folder.join("postgres"));
    let settings = settings(&brokers, &database, vectors);
    let mut fleet = Fleet::new(folder, settings);
    let api_home = fleet.home("api");
    make_topics(&api_home);
    let outcomes = Outcomes::follow(&brokers.addresses, OUTCOMES, PARTITIONS);
    fleet.start();
    let mut api = serve(&api_home);

    let plan =
        Plan { brokers: brokers.addresses.clone(), topic: COMMANDS.to_owned(), rate, spaces: SPACES, seed };
    let client = Client::new(api_home.port);
    let history = Arc::new(History::create(&folder.join("history.jsonl")));
    let (stream, running) = (Stream::start(plan), Running::start(&client, &history, seed, HTTP_CLIENTS));
    for (number, fault) in faults.shuffled(&random).into_iter().enumerate() {
        println!("{number}: {fault:?}, {} outcomes", outcomes.count());
        fleet.suffer(fault, &mut brokers, &database, &random);
        assert!(!api.has_ended(), "the api process ended: {}", api.words());
    }
    brokers.are_all_there();
    let sent = stream.end();
    running.end();

    let drain = Instant::now();
    let ends = outcomes.ends_of(COMMANDS);
    let records = ends.iter().sum();
    let behind = records - outcomes.count().min(records);
    fleet.settle();
    let read = outcomes.all(records);
    let drained = drain.elapsed();
    let mut events = history.read();
    events.extend(sent.events.iter().cloned());
    let by_position = read.outcomes();
    let mut findings = judge(&events, &by_position, &ends, &client);
    findings.wrong.extend(read.wrong);

    let (ended, hung) = (std::mem::take(&mut fleet.ended), std::mem::take(&mut fleet.hung));
    let audit_home = fleet.home("all");
    fleet.stop();
    api.stop();
    audit(&audit_home);
    let mut latencies: Vec<i64> = by_position.values().map(latency_ms).collect();
    latencies.sort_unstable();
    Report {
        faults,
        rate,
        sent,
        findings,
        records,
        copies: read.copies,
        behind,
        drained,
        ended,
        hung,
        latencies,
    }
}

/// What was asked for, against the outcomes on the topic, the records of each partition of the log, and what is shown
/// over HTTP.
fn judge(
    events: &[Event],
    outcomes: &BTreeMap<Position, Outcome>,
    ends: &[usize],
    client: &Client,
) -> Findings {
    let mut findings = check::check(events, outcomes, &client.finals_of(SPACES));
    for (partition, end) in (0..).zip(ends) {
        let all = (0..*end as u64).map(|offset| PartitionId { epoch: 1, partition }.at(offset));
        let without = all.filter(|position| !outcomes.contains_key(position));
        findings.lost.extend(without.map(|position| format!("the record at {position} has no outcome")));
    }
    let sample: Vec<Position> = outcomes.keys().copied().step_by(ASKED_ONE_OF).collect();
    let shown = client.outcomes(&sample);
    for position in sample {
        if shown.get(&position) != outcomes.get(&position) {
            findings.wrong.push(format!("the outcome of {position} is another one over HTTP"));
        }
    }
    findings
}
