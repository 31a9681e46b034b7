//! `engraft serve` on a ledger in Postgres, both of them killed while clients write.

use std::{
    env,
    fs::OpenOptions,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use engraft::random::Random;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, History, Running},
    server::Home,
    setting,
};

/// Commands in flight, one a client: few, since after deaths in a row an owner runs what was left one by one.
const CLIENTS: u32 = 2;
/// How many kills where nobody says otherwise; `ENGRAFT_TEST_KILLS` says otherwise.
const KILLS: u64 = 9;
/// How long a server may live before one of the two is killed, in milliseconds.
const LIFE_MS_MAX: u64 = 400;
/// At most so many passes of the failpoint before the process stops itself there.
const PASSES_MAX: u64 = 8;

/// How long an index may take to be whole again.
const PATIENCE: Duration = Duration::from_secs(20);

/// A Postgres server of this test's own, which goes with it.
struct Database {
    folder: tempfile::TempDir,
    url: String,
}

impl Database {
    /// It, or `None` after saying that `test` was skipped.
    fn start(test: &str) -> Option<Self> {
        if env::var("ENGRAFT_TEST_POSTGRES").is_err() {
            eprintln!("skipped {test}: ENGRAFT_TEST_POSTGRES is not set");
            if let Ok(path) = env::var("ENGRAFT_TEST_SKIP_LOG") {
                let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
                writeln!(file, "{test}: no Postgres server").unwrap();
            }
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let url = stack(folder.path(), &["start"]);
        Some(Self { folder, url })
    }

    /// Dies without a goodbye, and comes back on the same data.
    fn crash(&self) {
        assert_eq!(stack(self.folder.path(), &["restart", "--kill"]), self.url);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        stack(self.folder.path(), &["stop", "--kill"]);
    }
}

/// What `tests/stack/postgres` prints.
fn stack(folder: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stack/postgres");
    let (verb, rest) = arguments.split_first().unwrap();
    let mut command = Command::new(script);
    command.arg(verb).arg("--data").arg(folder).args(rest).stdin(Stdio::null());
    let output = command.output().expect("bash is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What `engraft audit` says, and its exit code.
fn audit(home: &Home, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = home.engraft(&["audit", "-o", "json"]);
    let output = command.args(arguments).stderr(Stdio::inherit()).output().expect("the audit runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: `{text}`"));
    (output.status.code(), report)
}

#[test]
fn a_killed_server_and_a_killed_database_lose_nothing() {
    let Some(database) = Database::start("a_killed_server_and_a_killed_database_lose_nothing") else {
        return;
    };
    let (kills, seed) = (setting("ENGRAFT_TEST_KILLS", KILLS), setting("ENGRAFT_TEST_SEED", 1));
    let folder = tempfile::tempdir().unwrap();
    let mut home = Home::new(folder.path());
    home.settings.push(("ENGRAFT_LEDGER__URL", database.url.clone()));
    let random = Random::from_seed(seed, u64::MAX);
    let history = Arc::new(History::create(&folder.path().join("history.jsonl")));
    let client = Client::new(home.port);
    let running = Running::start(&client, &history, seed, CLIENTS);
    let life = || thread::sleep(Duration::from_millis(random.below(LIFE_MS_MAX)));
    for kill in 0..kills {
        match kill % 3 {
            // The database goes, and the server goes on.
            0 => {
                let mut server = home.serve("");
                life();
                database.crash();
                life();
                assert!(!server.has_ended(), "kill {kill} of seed {seed}: it outlives its database");
                server.kill();
            }
            1 => {
                let server = home.serve("");
                life();
                server.kill();
            }
            // Half-way: the vector store has it, the ledger does not know.
            _ => {
                let passes = 1 + random.below(PASSES_MAX);
                let mut server = home.serve(&format!("vector.acknowledged=stall@{passes}"));
                server.reaches_failpoint();
                server.kill();
            }
        }
        let (code, report) = audit(&home, &[]);
        assert_eq!(code, Some(0), "after kill {kill} of seed {seed}: {report}");
    }
    let server = home.serve("");
    running.end();
    let events = history.read();
    let positions: Vec<_> = events.iter().filter_map(|event| event.position).collect();
    let outcomes = client.outcomes(&positions);
    let findings = engraft::audit::history::check::check(&events, &outcomes, &client.finals());
    let (_, guarantees) = client.get("/v1/guarantees").unwrap();
    assert_eq!(guarantees["backends"]["ledger"], json!("postgres"), "{guarantees}");
    server.stop();
    let (code, report) = audit(&home, &["--deep"]);
    println!("{kills} kills, {} commands acknowledged", findings.acknowledged);
    assert!(findings.is_clean(), "seed {seed}: {findings:#?}");
    assert_eq!((code, &report["in_flight"]), (Some(0), &json!(0)), "{report}");
    assert!(findings.acknowledged as u64 >= kills, "the load hardly ran: {findings:?}");
    assert!(!folder.path().join("data/ledger.db").exists(), "all of it is in the database");
}

#[test]
fn what_was_put_is_found_again_after_a_restart() {
    let Some(database) = Database::start("what_was_put_is_found_again_after_a_restart") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut home = Home::new(folder.path());
    // By the name that other programs use.
    home.settings.push(("DATABASE_URL", database.url.clone()));
    let client = Client::new(home.port);
    let server = home.serve("");
    let put = |id: &str, content: &str| {
        let data = json!({"id": id, "content": content, "session": "s", "properties": {"k": 1}});
        let command = json!({"type": "memory.put", "id": format!("c-{id}"), "space": "acme", "data": data});
        let (status, body) = client.post("/v1/commands", &command, true).unwrap();
        assert_eq!((status, &body["outcome"]), (200, &json!("committed")), "{body}");
    };
    put("m-1", "Ada likes tea");
    put("m-2", "Grace likes ships");
    server.kill();
    database.crash();
    let mut server = home.serve("");
    // A connection that the client kept may be one to the server that was killed.
    let begun = std::time::Instant::now();
    let (status, memory) = loop {
        if let Some(answer) = client.get("/v1/memories/acme/m-1") {
            break answer;
        }
        assert!(!server.has_ended(), "the server has ended by itself");
        assert!(begun.elapsed() < PATIENCE, "no answer");
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((status, &memory["memory"]["content"]), (200, &json!("Ada likes tea")), "{memory}");
    let question = json!({"space": "acme", "text": "tea", "limit": 1});
    // The index applies what it had not made durable while the server is up already.
    let begun = std::time::Instant::now();
    loop {
        let (status, found) = client.post("/v1/search", &question, false).unwrap();
        assert_eq!(status, 200, "{found}");
        if found.to_string().contains("m-1") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{found}");
        thread::sleep(Duration::from_millis(20));
    }
    let (_, listed) = client.get("/v1/memories/acme?session=s").unwrap();
    assert_eq!(listed["memories"].as_array().unwrap().len(), 2, "{listed}");
    let (_, stats) = client.get("/v1/spaces/acme/stats").unwrap();
    assert!(stats.to_string().contains("Episode"), "{stats}");
    server.stop();
    assert_eq!(audit(&home, &["--deep"]).0, Some(0));
}

#[test]
fn a_database_that_is_not_there_is_said_so_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let mut home = Home::new(folder.path());
    home.settings.push(("ENGRAFT_LEDGER__URL", "postgres://ada:hunter2@127.0.0.1:9/x".to_owned()));
    let output = home.engraft(&["serve"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("open the ledger") && said.contains("refuses connections"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    let output = home.engraft(&["config", "show"]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("postgres://ada:***@127.0.0.1:9/x") && !shown.contains("hunter2"), "{shown}");
}
