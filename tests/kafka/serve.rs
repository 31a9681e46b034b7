//! What any Kafka client sees of a worker: a record goes in by kcat, its one answer comes out.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::Write,
    os::unix::ffi::OsStrExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use engraft::{
    log::{CommandLog, Partitioner},
    model::{Outcome, PartitionId, Position, outcome::Verdict},
};
use rdkafka::{Message, message::OwnedMessage};
use serde_json::{Value, json};

use crate::{
    broker::{Broker, PARTITIONS, headers, world},
    support::{
        client::Client,
        server::{Home, Server},
        told,
    },
};

/// The space that every record is meant for.
const SPACE: &str = "acme";
/// A record larger than this is refused.
const RECORD_BYTES_MAX: usize = 65_536;
/// How long an answer may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// `engraft serve` on a broker, and kcat beside it.
struct Stack {
    broker: Broker,
    kcat: String,
    home: Home,
    server: Option<Server>,
    client: Client,
    _folder: tempfile::TempDir,
}

/// One record as kcat sends it.
#[derive(Clone, Copy)]
struct Sent<'a> {
    key: Option<&'a [u8]>,
    headers: &'a [&'a str],
    value: Option<&'a str>,
}

impl Sent<'_> {
    const BARE: Sent<'static> = Sent { key: Some(SPACE.as_bytes()), headers: &[], value: None };
}

fn bare(value: &str) -> Sent<'_> {
    Sent { value: Some(value), ..Sent::BARE }
}

/// The partition that [`SPACE`] belongs to.
fn home_partition() -> u32 {
    Partitioner::default().partition(SPACE.as_bytes(), PARTITIONS)
}

impl Stack {
    async fn new(test: &str) -> Option<Self> {
        let kcat = told("ENGRAFT_TEST_KCAT", test)?;
        let broker = world(test).await?;
        let folder = tempfile::tempdir().unwrap();
        let mut home = Home::new(folder.path());
        home.settings = vec![
            ("ENGRAFT_LOG__KIND", "kafka".to_owned()),
            ("ENGRAFT_KAFKA__BROKERS", broker.options.brokers.clone()),
            ("ENGRAFT_KAFKA__TOPIC_PREFIX", broker.options.topic_prefix.clone()),
            ("ENGRAFT_LIMITS__RECORD_BYTES_MAX", RECORD_BYTES_MAX.to_string()),
        ];
        let server = Some(home.serve(""));
        let client = Client::new(home.port);
        Some(Self { broker, kcat, home, server, client, _folder: folder })
    }

    /// Sends one record into the partition of [`SPACE`]; returns its position.
    async fn send(&self, sent: &Sent<'_>) -> Position {
        let partition = home_partition();
        let before = self.broker.log.bounds(partition).await.unwrap().end;
        let mut command = Command::new(&self.kcat);
        command.args(["-P", "-b", &self.broker.options.brokers, "-t", &self.broker.options.commands_topic()]);
        command.args(["-p", &partition.to_string()]);
        sent.headers.iter().for_each(|header| {
            command.args(["-H", header]);
        });
        let mut line = sent.value.unwrap_or_default().as_bytes().to_vec();
        match sent {
            // kcat passes over an empty line, but not over a key without a value.
            Sent { key: Some(key), value: None, .. } => {
                command.args(["-Z", "-K", "|"]);
                line = [key, &b"|"[..]].concat();
            }
            Sent { key: Some(key), .. } => {
                command.arg("-k").arg(OsStr::from_bytes(key));
            }
            Sent { key: None, .. } => {}
        }
        line.push(b'\n');
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&line).unwrap();
        assert!(child.wait().unwrap().success());
        PartitionId { epoch: 1, partition }.at(before)
    }

    /// The outcome event of a position, once it is there, and its headers.
    async fn outcome(&self, position: Position) -> (Outcome, BTreeMap<String, Bytes>) {
        let id = position.to_string();
        let message = self
            .awaited(position, self.broker.options.outcomes_topic(), |headers| {
                headers.get("ce_id") == Some(&id[..].to_owned().into())
            })
            .await;
        let body = serde_json::from_slice(message.payload().unwrap()).unwrap();
        (body, headers(&message).into_iter().collect())
    }

    /// The dead letter of a position, once it is there.
    async fn letter(&self, position: Position) -> (OwnedMessage, BTreeMap<String, Bytes>) {
        let offset = position.offset.to_string();
        let is_it = |headers: &BTreeMap<String, Bytes>| {
            headers.get("__connect.errors.offset") == Some(&offset.clone().into())
        };
        let message = self.awaited(position, self.broker.options.dead_letters_topic(), is_it).await;
        let headers = headers(&message).into_iter().collect();
        (message, headers)
    }

    async fn awaited(
        &self,
        what: Position,
        topic: String,
        is_it: impl Fn(&BTreeMap<String, Bytes>) -> bool,
    ) -> OwnedMessage {
        let begun = Instant::now();
        loop {
            for message in self.broker.everything(topic.clone()).await {
                if is_it(&headers(&message).into_iter().collect()) {
                    return message;
                }
            }
            assert!(begun.elapsed() < PATIENCE, "{what} has no answer on {topic}");
        }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let (client, path) = (self.client.clone(), path.to_owned());
        tokio::task::spawn_blocking(move || client.get(&path)).await.unwrap().expect("the server answers")
    }

    /// Ends the server and audits what it left behind.
    fn end(mut self) {
        self.server.take().expect("it runs").stop();
        let audit = self.home.engraft(&["audit", "--deep", "-o", "json"]).output().unwrap();
        assert_eq!(audit.status.code(), Some(0), "{}", String::from_utf8_lossy(&audit.stdout));
    }
}

/// What becomes of a record.
enum Answer {
    /// An outcome `failed`.
    Outcome(&'static str),
    /// A dead letter, and no outcome.
    Letter(&'static str),
    /// Both: it can be read, and may be sent again to where it belongs.
    Both(&'static str),
}

#[tokio::test]
async fn a_record_of_each_wire_form_is_applied_and_its_outcome_read_back() {
    let test = "a_record_of_each_wire_form_is_applied_and_its_outcome_read_back";
    let Some(stack) = Stack::new(test).await else { return };
    let put = |id: &str| json!({ "id": id, "content": "Ada likes tea", "vector": [0.1, 0.2, 0.3] });
    let plain = json!({ "type": "memory.put", "id": "c-1", "space": SPACE, "data": put("m-1") }).to_string();
    let data = put("m-2").to_string();
    let structured = json!({
        "specversion": "1.0", "id": "c-3", "source": "/agents/ada", "type": "engraft.memory.put.v1",
        "space": SPACE, "correlationid": "r-3", "data": put("m-3"),
    })
    .to_string();
    let binary_headers = [
        "ce_specversion=1.0",
        "ce_id=c-2",
        "ce_source=/agents/ada",
        "ce_type=engraft.memory.put.v1",
        "ce_correlationid=r-2",
        "content-type=application/json",
    ];
    let forms = [
        ("c-1", "", "m-1", bare(&plain)),
        ("c-2", "/agents/ada", "m-2", Sent { headers: &binary_headers, ..bare(&data) }),
        (
            "c-3",
            "/agents/ada",
            "m-3",
            Sent { headers: &["content-type=application/cloudevents+json"], ..bare(&structured) },
        ),
    ];
    for (id, source, memory, sent) in &forms {
        let position = stack.send(sent).await;
        let (outcome, headers) = stack.outcome(position).await;
        assert_eq!(outcome.verdict, Verdict::Committed, "{id}: {outcome:?}");
        assert_eq!((outcome.command.id.as_str(), outcome.command.source.as_str()), (*id, *source));
        assert_eq!(headers["ce_type"], "engraft.outcome.committed.v1");
        assert_eq!(headers["ce_causationid"], *id);
        let (status, shown) = stack.get(&format!("/v1/commands/{position}")).await;
        assert_eq!((status, &shown["state"]), (200, &json!("committed")), "{shown}");
        assert_eq!(shown["outcome"], serde_json::to_value(&outcome).unwrap());
        let (status, read) = stack.get(&format!("/v1/memories/{SPACE}/{memory}")).await;
        assert_eq!((status, &read["memory"]["content"]), (200, &json!("Ada likes tea")), "{read}");
    }
    // Sent again, as a producer that was not answered does: done once, answered twice.
    let again = stack.send(&forms[0].3).await;
    let (outcome, _) = stack.outcome(again).await;
    assert_eq!((outcome.verdict, outcome.duplicate_of.is_some()), (Verdict::Committed, true));
    stack.end();
}

/// The space's first command: it has vectors of three.
const FIRST: &str = r#"{"type":"memory.put","id":"first","data":{"id":"m","vector":[0.1,0.2,0.3]}}"#;

/// What it is, as kcat sends it, and what must become of it.
type Wrong<'a> = (&'static str, Sent<'a>, Answer);

/// Records that are wrong, each in its own way. `large`: one with too many bytes.
fn wrong(large: &str) -> [Wrong<'_>; 13] {
    use Answer::{Both, Letter, Outcome};
    let other = r#"{"type":"memory.put","id":"other","space":"elsewhere","data":{}}"#;
    let no_key = r#"{"type":"memory.put","id":"no-key","space":"acme","data":{}}"#;
    [
        ("no JSON", bare(r#"{"type":"memory.put","data":"#), Letter("malformed")),
        ("NaN", bare(r#"{"type":"memory.put","id":"n","data":{"vector":[NaN,1,1]}}"#), Letter("malformed")),
        (
            "a key twice at the top",
            bare(r#"{"type":"memory.put","id":"a","id":"b","data":{}}"#),
            Letter("duplicate_key"),
        ),
        ("no value", Sent { value: None, ..Sent::BARE }, Letter("null_value")),
        ("a key that is no text", Sent { key: Some(b"ac\xffme"), ..bare(FIRST) }, Letter("key_not_utf8")),
        ("no key", Sent { key: None, ..bare(no_key) }, Both("misrouted")),
        ("another space than the key", bare(other), Both("misrouted")),
        ("a key of another partition", Sent { key: Some(b"elsewhere"), ..bare(FIRST) }, Both("misrouted")),
        (
            "a key twice in the data",
            bare(r#"{"type":"memory.put","id":"twice","data":{"content":"a","content":"b"}}"#),
            Outcome("duplicate_key"),
        ),
        ("too large", bare(large), Outcome("too_large")),
        (
            "another dimension",
            bare(r#"{"type":"memory.put","id":"short","data":{"vector":[1,2]}}"#),
            Outcome("dimension_mismatch"),
        ),
        (
            "infinite as a 32-bit float",
            bare(r#"{"type":"memory.put","id":"inf","data":{"vector":[1e39,1,1]}}"#),
            Outcome("invalid_field"),
        ),
        (
            "no such command",
            bare(r#"{"type":"memory.forget","id":"what","data":{}}"#),
            Outcome("unknown_type"),
        ),
    ]
}

impl Stack {
    /// Sends it, and sees that it gets the answer that it must.
    async fn refuses(&self, (what, sent, answer): &Wrong<'_>) {
        use Answer::{Both, Letter, Outcome};
        let position = self.send(sent).await;
        let (outcome, letter) = match answer {
            Outcome(code) => (Some(*code), None),
            Letter(code) => (None, Some(*code)),
            Both(code) => (Some(*code), Some(*code)),
        };
        if let Some(code) = outcome {
            let (outcome, headers) = self.outcome(position).await;
            assert_eq!(
                (outcome.verdict, outcome.code.as_str()),
                (Verdict::Failed, code),
                "{what}: {outcome:?}"
            );
            assert!(!outcome.errors.is_empty(), "{what}: {outcome:?}");
            assert_eq!(headers["ce_type"], "engraft.outcome.failed.v1");
        }
        if let Some(code) = letter {
            let (message, headers) = self.letter(position).await;
            assert_eq!(headers["engraft-error-code"], code, "{what}");
            assert_eq!(message.key(), sent.key, "{what}");
            assert_eq!(message.payload(), sent.value.map(str::as_bytes), "{what}");
        }
        let (status, shown) = self.get(&format!("/v1/commands/{position}")).await;
        assert_eq!((status, &shown["state"]), (200, &json!("failed")), "{what}: {shown}");
    }
}

#[tokio::test]
async fn a_record_that_is_wrong_ends_as_the_contract_says_and_the_next_one_is_done() {
    let test = "a_record_that_is_wrong_ends_as_the_contract_says_and_the_next_one_is_done";
    let Some(stack) = Stack::new(test).await else { return };
    let good = stack.send(&bare(FIRST)).await;
    assert_eq!(stack.outcome(good).await.0.verdict, Verdict::Committed);

    let large = format!(
        r#"{{"type":"memory.put","id":"large","data":{{"content":"{}"}}}}"#,
        "x".repeat(RECORD_BYTES_MAX)
    );
    let wrong = wrong(&large);
    for one in &wrong {
        stack.refuses(one).await;
    }
    let last =
        stack.send(&bare(r#"{"type":"memory.put","id":"last","data":{"id":"m","vector":[1,1,1]}}"#)).await;
    assert_eq!(stack.outcome(last).await.0.verdict, Verdict::Committed);
    let answered = stack.broker.everything(stack.broker.options.outcomes_topic()).await.len();
    let with_outcome = wrong.iter().filter(|(_, _, answer)| !matches!(answer, Answer::Letter(_))).count() + 2;
    assert_eq!(answered, with_outcome, "a record that cannot be read has no outcome event");
    stack.end();
}

/// The trace that every command below belongs to.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// The header that structured events are known by.
const STRUCTURED: &str = "content-type=application/cloudevents+json";

/// A put as a CloudEvent of both forms, with these attributes more: headers and value.
fn events(id: &str, memory: &str, attributes: &[(&str, &str)]) -> [(Vec<String>, String); 2] {
    let data = json!({ "id": memory, "content": "Ada likes tea" });
    let ids = [format!("{id}-binary"), format!("{id}-structured")];
    let fixed = [("specversion", "1.0"), ("source", "/agents/ada"), ("type", "memory.put")];
    let all = |id| [&fixed[..], &[("id", id)], attributes].concat();
    let headers = all(&ids[0]).iter().map(|(name, value)| format!("ce_{name}={value}")).collect();
    let mut event = json!({ "space": SPACE, "data": data });
    all(&ids[1]).iter().for_each(|(name, value)| event[*name] = json!(value));
    [(headers, data.to_string()), (vec![STRUCTURED.to_owned()], event.to_string())]
}

impl Stack {
    /// Sends it, and waits for its outcome event.
    async fn answer(&self, headers: &[String], value: &str) -> (Outcome, BTreeMap<String, Bytes>) {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let position = self.send(&Sent { headers: &headers, ..bare(value) }).await;
        self.outcome(position).await
    }
}

#[tokio::test]
async fn a_command_that_expired_before_it_could_start_fails_and_is_never_applied() {
    let test = "a_command_that_expired_before_it_could_start_fails_and_is_never_applied";
    let Some(stack) = Stack::new(test).await else { return };
    for (headers, value) in events("late", "late", &[("expirytime", "2001-01-01T00:00:00Z")]) {
        let (outcome, headers) = stack.answer(&headers, &value).await;
        assert_eq!((outcome.verdict, outcome.code.as_str()), (Verdict::Failed, "expired"), "{outcome:?}");
        assert_eq!(outcome.errors[0].pointer, "/expirytime");
        assert!(outcome.records.is_empty(), "{outcome:?}");
        assert_eq!(headers["ce_type"], "engraft.outcome.failed.v1");
    }
    for (headers, value) in events("timely", "timely", &[("expirytime", "2999-01-01T00:00:00Z")]) {
        let (outcome, _) = stack.answer(&headers, &value).await;
        assert_eq!(outcome.verdict, Verdict::Committed, "{outcome:?}");
    }
    assert_eq!(stack.get("/v1/memories/acme/late").await.0, 404);
    assert_eq!(stack.get("/v1/memories/acme/timely").await.0, 200);
    stack.end();
}

#[tokio::test]
async fn what_a_command_is_traced_by_is_carried_to_its_outcome() {
    let test = "what_a_command_is_traced_by_is_carried_to_its_outcome";
    let Some(stack) = Stack::new(test).await else { return };
    let traced = [
        ("correlationid", "flow-7"),
        ("causationid", "what-came-before"),
        ("traceparent", TRACEPARENT),
        ("tracestate", "vendor=1"),
    ];
    let expired = [&traced[..], &[("expirytime", "2001-01-01T00:00:00Z")]].concat();
    for (id, attributes) in [("done", &traced[..]), ("refused", &expired)] {
        for (headers, value) in events(id, id, attributes) {
            let (outcome, headers) = stack.answer(&headers, &value).await;
            assert_eq!(outcome.verdict == Verdict::Committed, id == "done", "{outcome:?}");
            assert_eq!(headers["ce_correlationid"], "flow-7");
            assert_eq!(headers["ce_traceparent"], TRACEPARENT);
            assert_eq!(headers["ce_tracestate"], "vendor=1");
            // What caused an outcome is its command.
            assert_eq!(headers["ce_causationid"], outcome.command.id.as_bytes());
        }
    }
    // A library that traces knows nothing of CloudEvents: it sets a header of its own.
    for (mut headers, value) in events("by-header", "by-header", &[]) {
        headers.push(format!("traceparent={TRACEPARENT}"));
        let (_, headers) = stack.answer(&headers, &value).await;
        assert_eq!(headers["ce_traceparent"], TRACEPARENT);
        assert!(!headers.contains_key("ce_correlationid") && !headers.contains_key("ce_tracestate"));
    }
    stack.end();
}
