//! `kill -9`, again and again, while clients write: nothing is lost, half written or done twice.
//!
//! Half of the kills come at any instant. The other half come when the process has stopped itself
//! between the vector store's acknowledgement and the ledger's finish, so that sagas are surely half
//! done. After each, what is on disk is audited; in the end the history of what clients were told is
//! checked against every outcome and every record.

use std::{fs, process::Stdio, sync::Arc, thread, time::Duration};

use crate::support::{
    client::{Client, History, Running, Told},
    server::Home,
    setting,
};
use engraft::{audit::history::Command, model::Code, random::Random};
use serde_json::Value;

/// Commands in flight, one a client.
const CLIENTS: u32 = 32;
/// How many kills where nobody says otherwise; `ENGRAFT_TEST_KILLS` says otherwise.
const KILLS: u64 = 100;
/// How long a server may live before it is killed, in milliseconds, where no failpoint says when.
const LIFE_MS_MAX: u64 = 250;
/// At most so many passes of the failpoint before the process stops itself there.
const PASSES_MAX: u64 = 12;

/// What `engraft audit` says of a folder that no server has open.
struct Audited {
    exit_code: i32,
    report: Value,
}

fn audit(home: &Home, arguments: &[&str]) -> Audited {
    let mut command = home.engraft(&["audit", "-o", "json"]);
    let output = command.args(arguments).stderr(Stdio::inherit()).output().expect("the audit runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: `{text}`"));
    Audited { exit_code: output.status.code().expect("it ends by itself"), report }
}

impl Audited {
    fn in_flight(&self) -> u64 {
        self.report["in_flight"].as_u64().expect("a count")
    }
}

#[test]
fn kill_9_loses_nothing_halves_nothing_and_doubles_nothing() {
    let (kills, seed) = (setting("ENGRAFT_TEST_KILLS", KILLS), setting("ENGRAFT_TEST_SEED", 1));
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::new(folder.path());
    let random = Random::from_seed(seed, u64::MAX);
    let history = Arc::new(History::create(&folder.path().join("history.jsonl")));
    let client = Client::new(home.port);
    let running = Running::start(&client, &history, seed, CLIENTS);
    let mut half_done = 0;
    for kill in 0..kills {
        let at_failpoint = kill % 2 == 1;
        if at_failpoint {
            let passes = 1 + random.below(PASSES_MAX);
            let mut server = home.serve(&format!("vector.acknowledged=stall@{passes}"));
            server.reaches_failpoint();
            server.kill();
        } else {
            let server = home.serve("");
            thread::sleep(Duration::from_millis(random.below(LIFE_MS_MAX)));
            server.kill();
        }
        let audited = audit(&home, &[]);
        assert_eq!(audited.exit_code, 0, "after kill {kill} of seed {seed}: {}", audited.report);
        if at_failpoint {
            assert!(audited.in_flight() > 0, "kill {kill} of seed {seed} found no saga half done");
            half_done += 1;
        }
    }
    let server = home.serve("");
    running.end();
    let events = history.read();
    let positions: Vec<_> = events.iter().filter_map(|event| event.position).collect();
    let outcomes = client.outcomes(&positions);
    let findings = engraft::audit::history::check::check(&events, &outcomes, &client.finals());
    server.stop();
    let audited = audit(&home, &["--deep"]);
    println!(
        "{kills} kills, {half_done} of them half-way; {} commands acknowledged, {} acknowledgements repeated, \
         {} set aside because their workers were killed three times over them",
        findings.acknowledged,
        findings.repeated,
        findings.set_aside.len()
    );
    if !findings.is_clean() || audited.exit_code != 0 {
        let kept = std::env::temp_dir().join(format!("engraft-kill-{seed}.jsonl"));
        fs::copy(folder.path().join("history.jsonl"), &kept).expect("the history is kept");
        panic!("seed {seed}, history in {}: {findings:#?}\n{}", kept.display(), audited.report);
    }
    assert_eq!(audited.in_flight(), 0, "at rest: {}", audited.report);
    assert!(findings.acknowledged as u64 >= kills, "the load hardly ran: {findings:?}");
}

/// How often a worker may die over one command before the test gives up on it.
const DEATHS_MAX: u32 = 12;

#[test]
fn a_command_that_kills_its_worker_again_and_again_is_set_aside_and_the_next_one_is_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::new(folder.path());
    let client = Client::new(home.port);
    let put = |id: &str| Command {
        id: format!("c-{id}"),
        space: "acme".to_owned(),
        kind: "memory.put".to_owned(),
        data: serde_json::json!({"id": id, "content": id, "vector": [1.0, 2.0]}).as_object().unwrap().clone(),
    };
    let server = home.serve("");
    let Told::Accepted(before) = client.send(&put("before")) else { panic!("not accepted") };
    assert_eq!(client.outcome(before).map(|outcome| outcome.code), Some(Code::Ok));
    server.stop();

    let mut deaths = 0;
    let mut poisoned = None;
    let server = loop {
        // Whoever sends this command to the vector store dies of it.
        let mut server = home.start("vector.sent=abort@1");
        while !server.has_ended() && client.get("/readyz").is_none_or(|(status, _)| status != 200) {
            thread::sleep(Duration::from_millis(5));
        }
        if poisoned.is_none()
            && let Told::Accepted(position) = client.send(&put("poison"))
        {
            poisoned = Some(position);
        }
        let outcome = loop {
            let outcome = poisoned.and_then(|position| client.get(&format!("/v1/commands/{position}")));
            let outcome = outcome.filter(|(_, body)| body["outcome"].is_object());
            if outcome.is_some() || server.has_ended() {
                break outcome;
            }
            thread::sleep(Duration::from_millis(5));
        };
        if let Some((_, body)) = outcome {
            assert_eq!(body["outcome"]["code"], "poison", "{body}");
            break server;
        }
        deaths += 1;
        assert!(deaths < DEATHS_MAX, "{poisoned:?} was never set aside");
    };
    println!("set aside after {deaths} deaths");
    assert!(deaths >= 3, "set aside after {deaths} deaths");
    server.kill();

    let server = home.serve("");
    let Told::Accepted(after) = client.send(&put("after")) else { panic!("not accepted") };
    assert_eq!(client.outcome(after).map(|outcome| outcome.code), Some(Code::Ok));
    let (status, _) = client.get("/v1/memories/acme/poison").expect("an answer");
    assert_eq!(status, 404, "what was set aside is nowhere to be seen");
    server.stop();
    let audited = audit(&home, &["--deep"]);
    assert_eq!((audited.exit_code, audited.in_flight()), (0, 0), "{}", audited.report);
}
