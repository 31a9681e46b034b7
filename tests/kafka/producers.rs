//! The producers of `examples/producers/`, each as a reader would run it: one record of its own goes in, its outcome
//! comes out, and the memory can be read.
//!
//! `tests/stack/clients` gets each language's client; a language that cannot be had is skipped by name, with the
//! reason.

use std::{
    fs, os,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use engraft::{
    log::Partitioner,
    model::{Outcome, outcome::Verdict},
};
use rdkafka::Message;
use serde_json::json;

use crate::{
    broker::{Broker, PARTITIONS, headers, world},
    support::{
        client::Client,
        server::{Home, Server},
        skip, told,
    },
};

/// The space that every example writes to.
const SPACE: &str = "acme";

/// A broker, a worker on it, and a folder to run programs in.
struct Stack {
    broker: Broker,
    home: Home,
    server: Server,
    folder: tempfile::TempDir,
}

impl Stack {
    async fn new(test: &str) -> Option<Self> {
        let broker = world(test).await?;
        let folder = tempfile::tempdir().unwrap();
        let mut home = Home::new(folder.path());
        home.settings = vec![
            ("ENGRAFT_LOG__KIND", "kafka".to_owned()),
            ("ENGRAFT_KAFKA__BROKERS", broker.options.brokers.clone()),
            ("ENGRAFT_KAFKA__TOPIC_PREFIX", broker.options.topic_prefix.clone()),
        ];
        let server = home.serve("");
        Some(Self { broker, home, server, folder })
    }

    /// Runs a producer, and holds what it said against what is there.
    async fn produces(self, producer: &mut Command, memory: &str, wire_form: &str) {
        let ran = producer
            .envs(self.home.settings.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("runs");
        let (data, talk) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert!(ran.status.success(), "{data}\n{talk}");
        let outcome: Outcome = serde_json::from_str(&data).expect("an outcome and nothing else");
        assert_eq!(outcome.verdict, Verdict::Committed, "{data}");
        assert!(!outcome.command.id.is_empty() && !outcome.command.source.is_empty());

        let (status, read) =
            Client::new(self.home.port).get(&format!("/v1/memories/{SPACE}/{memory}")).unwrap();
        assert_eq!(status, 200, "{read}");
        assert_eq!(read["memory"]["version"], json!(outcome.records[0].version), "{read}");

        let records = self.broker.everything(self.broker.options.commands_topic()).await;
        assert_eq!(records.len(), 1, "one command of its own");
        assert_eq!(form(&headers(&records[0]), records[0].payload().unwrap()), wire_form);
        self.server.stop();
    }
}

/// Which wire form a record has.
fn form(headers: &engraft::log::Headers, value: &[u8]) -> &'static str {
    let value: serde_json::Value = serde_json::from_slice(value).unwrap();
    match (headers.iter().any(|(name, _)| name == "ce_specversion"), value.get("specversion")) {
        (true, _) => "CloudEvent, binary",
        (false, Some(_)) => "CloudEvent, structured",
        (false, None) => "JSON",
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/producers")
}

/// What `tests/stack/clients` has for a language; otherwise says why `test` is skipped.
fn client(language: &str, test: &str) -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stack/clients");
    let asked = Command::new(script).arg(language).stdin(Stdio::null()).output().expect("the script runs");
    if asked.status.success() {
        return Some(String::from_utf8(asked.stdout).unwrap().trim().to_owned());
    }
    let talk = String::from_utf8_lossy(&asked.stderr);
    skip(test, talk.trim_end().lines().next_back().unwrap_or("no client"));
    None
}

#[tokio::test]
async fn the_producer_with_kcat_does_what_it_says() {
    let test = "the_producer_with_kcat_does_what_it_says";
    let Some(kcat) = told("ENGRAFT_TEST_KCAT", test) else { return };
    let Some(stack) = Stack::new(test).await else { return };
    let mut path = vec![Path::new(&kcat).parent().expect("a path with a folder").to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let mut bash = Command::new("bash");
    bash.arg(examples().join("kcat.sh")).env("PATH", std::env::join_paths(path).unwrap());
    stack.produces(&mut bash, "from-kcat", "JSON").await;
}

#[tokio::test]
async fn the_producer_in_python_does_what_it_says() {
    let test = "the_producer_in_python_does_what_it_says";
    let Some(stack) = Stack::new(test).await else { return };
    let Some(python) = client("python", test) else { return };
    let mut python = Command::new(python);
    stack.produces(python.arg(examples().join("produce.py")), "from-python", "CloudEvent, binary").await;
}

#[tokio::test]
async fn the_producer_in_java_does_what_it_says() {
    let test = "the_producer_in_java_does_what_it_says";
    let Some(stack) = Stack::new(test).await else { return };
    let Some(class_path) = client("java", test) else { return };
    let mut java = Command::new("java");
    java.args(["-cp", &class_path]).arg(examples().join("Produce.java"));
    stack.produces(&mut java, "from-java", "CloudEvent, structured").await;
}

#[tokio::test]
async fn the_producer_in_node_does_what_it_says() {
    let test = "the_producer_in_node_does_what_it_says";
    let Some(stack) = Stack::new(test).await else { return };
    let Some(modules) = client("node", test) else { return };
    // Node looks for packages beside the program, as they are after `npm install`.
    let program = stack.folder.path().join("produce.mjs");
    fs::copy(examples().join("produce.mjs"), &program).unwrap();
    os::unix::fs::symlink(modules, stack.folder.path().join("node_modules")).unwrap();
    stack.produces(Command::new("node").arg(program), "from-node", "JSON").await;
}

#[tokio::test]
async fn a_producer_that_places_keys_by_crc32_is_told_that_it_is_misrouted() {
    let test = "a_producer_that_places_keys_by_crc32_is_told_that_it_is_misrouted";
    let Some(python) = client("python", test) else { return };
    let Some(stack) = Stack::new(test).await else { return };
    let place = |partitioner: Partitioner| partitioner.partition(SPACE.as_bytes(), PARTITIONS);
    assert_ne!(
        place(Partitioner::Murmur2Random),
        place(Partitioner::ConsistentRandom),
        "choose another space"
    );
    let program = fs::read_to_string(examples().join("produce.py")).unwrap();
    let default = program.replace(r#""partitioner": "murmur2_random", "#, "");
    assert_ne!(default, program);
    let ran = Command::new(python)
        .args(["-c", &default])
        .envs(stack.home.settings.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    let (data, talk) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert_eq!(ran.status.code(), Some(1), "{data}\n{talk}");
    let outcome: Outcome = serde_json::from_str(&data).expect("an outcome");
    assert_eq!((outcome.verdict, outcome.code.as_str()), (Verdict::Failed, "misrouted"), "{data}");
    stack.server.stop();
}
