//! What happens, chapter by chapter.

use std::{
    io::{self, BufRead, IsTerminal},
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    audit,
    cli::{self, Exit, Failure},
    config::Config,
};

use super::{
    crash,
    sample::{self, SPACE},
    server::{self, Server},
    stage::Stage,
};

/// Memories that are put while the server is about to be killed.
const CRASH_COUNT: usize = 40;
/// Commands of one request.
const LINES_MAX: usize = 100;
/// How long a request waits for outcomes, in seconds.
const WAIT_SECONDS: u64 = 30;

/// The whole of it.
pub(super) fn play(stage: &mut Stage, folder: &Path) -> Result<(), Failure> {
    let server = begin(stage, folder)?;
    search(stage, &server)?;
    walk(stage, &server)?;
    let server = stall(stage, folder, server)?;
    kill(stage, folder, server)?;
    let server = recover(stage, folder)?;
    let server = check(stage, folder, server)?;
    ask(stage, server.as_ref())?;
    stage.say("")?;
    stage.say("That was all. `engraft serve` starts a server that stays.")
}

/// Tallies of outcomes.
#[derive(Default)]
struct Outcomes {
    committed: usize,
    duplicates: usize,
    other: Vec<String>,
}

fn begin(stage: &mut Stage, folder: &Path) -> Result<Server, Failure> {
    stage.chapter("Commands go into a log, and each gets one outcome")?;
    stage.say(
        "A server starts on an empty folder. It gets what an assistant learned in seven weeks beside a team of \
         seven: 297 commands that put and delete memories, then 49 that relate them. Each is durable in the log \
         before it is acknowledged; then it is applied to the ledger and to the vector store, in both or in \
         neither.",
    )?;
    let server = Server::start(folder, None)?;
    stage.by_hand("engraft serve")?;
    stage.by_hand("engraft produce examples/demo/commands.jsonl --wait")?;
    for (what, lines) in [("memories", sample::COMMANDS), ("relations", sample::RELATIONS)] {
        let outcomes = ingest(&server, lines)?;
        let Outcomes { committed, duplicates, other } = &outcomes;
        stage.good(&format!(
            "{what}: {committed} committed, of these {duplicates} sent before and done once"
        ))?;
        for line in other {
            stage.show(line)?;
        }
        if !other.is_empty() {
            return Err(Failure::new(Exit::Failed, "a command of the sample did not commit"));
        }
    }
    Ok(server)
}

fn ingest(server: &Server, lines: &str) -> Result<Outcomes, Failure> {
    let lines: Vec<&str> = lines.lines().collect();
    let mut outcomes = Outcomes::default();
    for chunk in lines.chunks(LINES_MAX) {
        let body = chunk.join("\n");
        let answer = server.client.post(
            "/v1/commands",
            "application/x-ndjson",
            Some(WAIT_SECONDS),
            body.as_bytes(),
        )?;
        let answer = answer.success()?;
        for item in answer.get("items").and_then(Value::as_array).into_iter().flatten() {
            if text(item, "/outcome") == "committed" {
                outcomes.committed += 1;
                outcomes.duplicates += usize::from(!text(item, "/duplicate_of").is_empty());
            } else {
                outcomes.other.push(item.to_string());
            }
        }
    }
    Ok(outcomes)
}

fn search(stage: &mut Stage, server: &Server) -> Result<(), Failure> {
    stage.chapter("Search, by meaning and by words")?;
    stage
        .say("The sample brought vectors along, so it can be searched by meaning without any model here:")?;
    for query in sample::queries().iter().filter(|query| query.expect.len() < 3).take(3) {
        stage.say("")?;
        stage.show(&format!("? {}", query.text))?;
        let hits = found(server, &json!({"space": SPACE, "vector": query.vector, "limit": 3}))?;
        show_hits(stage, &hits)?;
    }
    stage.say("")?;
    stage.say("And by words, which needs no vectors at all:")?;
    let hits = found(server, &json!({"space": SPACE, "text": "battery of a sensor", "limit": 3}))?;
    show_hits(stage, &hits)?;
    stage.by_hand(&format!("engraft memory search {SPACE} \"battery of a sensor\" --url {}", server.url))
}

fn walk(stage: &mut Stage, server: &Server) -> Result<(), Failure> {
    stage.chapter("Walk the graph")?;
    stage.say(
        "Asked why a farm was warned of frost too late, a search finds what happened. The cause stands two hops \
         away in the graph:",
    )?;
    let from = "inc-frost-late";
    let near = server.client.get(&format!("/v1/memories/{SPACE}/{from}/neighbors?depth=2"))?;
    for neighbor in near.get("neighbors").and_then(Value::as_array).into_iter().flatten().take(6) {
        let hops = neighbor.pointer("/depth").and_then(Value::as_u64).unwrap_or_default();
        let via = format!(
            "{} {} {}",
            text(neighbor, "/via/source"),
            text(neighbor, "/via/type"),
            text(neighbor, "/via/target")
        );
        stage.show(&format!("{hops} hop{}  {via}", if hops == 1 { " " } else { "s" }))?;
    }
    stage.by_hand(&format!("engraft memory neighbors {SPACE} {from} --depth 2 --url {}", server.url))
}

fn stall(stage: &mut Stage, folder: &Path, server: Server) -> Result<Server, Failure> {
    stage.chapter("Stop the server between two stores")?;
    stage.say(
        "Now the bad day. The server starts again with a failpoint: once the vector store has taken a write, the \
         server stops dead before it tells the ledger. Then 40 memories are put.",
    )?;
    server.stop()?;
    let mut server = Server::start(folder, Some("vector.acknowledged=stall@1"))?;
    stage.by_hand("ENGRAFT_FAILPOINTS=vector.acknowledged=stall@1 engraft serve")?;
    let lines = sample::batch(CRASH_COUNT);
    let sent = server.client.post("/v1/commands", "application/x-ndjson", None, lines.as_bytes())?;
    let accepted = sent.success()?.get("items").and_then(Value::as_array).map_or(0, Vec::len);
    server.wait_until("reach the failpoint", |server| server.has_said("failpoint reached"))?;
    stage.good(&format!("{accepted} commands accepted: they are in the log, whatever comes"))?;
    let answer = server.client.ask(&format!("/v1/memories/{SPACE}/crash-01"))?;
    let pending = answer.body.get("pending").and_then(Value::as_bool).unwrap_or_default();
    stage.good(&format!("a read of the first one says {}, pending: {pending}", answer.status))?;
    Ok(server)
}

fn kill(stage: &mut Stage, folder: &Path, server: Server) -> Result<(), Failure> {
    stage.chapter("kill -9")?;
    server.kill()?;
    stage.say("No warning and no clean-up. This is what lies on the disk:")?;
    stage.by_hand("kill -9 $(pidof engraft)")?;
    let half_done = cli::block_on(crash::look(&server::data(folder)))??;
    let crash::HalfDone { running, pending, points_without_head, example } = half_done;
    stage.show(&format!("{running} commands are running, {pending} have not started"))?;
    if points_without_head == 0 {
        stage.show("the vector store had them in memory alone: what it had taken went with the process")?;
    } else {
        stage.show(&format!(
            "{points_without_head} memories are in the vector store, and not in the ledger"
        ))?;
    }
    if let Some(example) = example {
        stage.show(&format!("one of them: `{example}`; no search would show it, since it has no head"))?;
    }
    Ok(())
}

fn recover(stage: &mut Stage, folder: &Path) -> Result<Server, Failure> {
    stage.chapter("Start it again")?;
    stage.say(
        "The server reads its unfinished commands in the order of the log and sends every step again. What had \
         landed is recognised by its version, so that nothing is done twice.",
    )?;
    let mut server = Server::start(folder, None)?;
    stage.by_hand("engraft serve")?;
    server.wait_until("finish what was begun", |server| {
        let status = server.client.get("/v1/status")?;
        let zero = |name: &str| status.get(name).and_then(Value::as_u64) == Some(0);
        Ok(zero("unfinished") && zero("lag"))
    })?;
    let mut there = 0;
    for number in 1..=CRASH_COUNT {
        let answer = server.client.ask(&format!("/v1/memories/{SPACE}/crash-{number:02}"))?;
        there += usize::from(answer.status == 200);
    }
    if there != CRASH_COUNT {
        let message = format!("only {there} of {CRASH_COUNT} accepted memories are there");
        return Err(Failure::new(Exit::Findings, message));
    }
    stage.good(&format!("all {there} are there, and nothing is under way any more"))?;
    Ok(server)
}

fn check(stage: &mut Stage, folder: &Path, server: Server) -> Result<Option<Server>, Failure> {
    stage.chapter("Audit")?;
    stage.say("Every record of every store is compared with the ledger, in both directions:")?;
    server.stop()?;
    let config = Config { data: server::data(folder), ..Config::default() };
    let options = audit::Options { deep: true, ..audit::Options::default() };
    let report = cli::block_on(cli::audit_of(&config, &options))??;
    for line in report.to_string().lines() {
        stage.show(line)?;
    }
    stage.by_hand("engraft audit --deep")?;
    match report.verdict {
        audit::Verdict::Clean => {}
        _ => return Err(Failure::new(Exit::Findings, "the audit is not clean")),
    }
    stage.good("nothing lost, nothing doubled, nothing left over")?;
    if io::stdin().is_terminal() { Server::start(folder, None).map(Some) } else { Ok(None) }
}

/// Lets the reader search, when there is one.
fn ask(stage: &mut Stage, server: Option<&Server>) -> Result<(), Failure> {
    let Some(server) = server else { return Ok(()) };
    stage.chapter("Your turn")?;
    stage.say("Type some words to search by, such as `frost` or `who is allergic`; an empty line ends.")?;
    loop {
        stage.prompt("search> ")?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(());
        }
        let hits = found(server, &json!({"space": SPACE, "text": line.trim(), "limit": 5}))?;
        show_hits(stage, &hits)?;
    }
}

fn found(server: &Server, question: &Value) -> Result<Vec<Value>, Failure> {
    let body = question.to_string();
    let mut answer =
        server.client.post("/v1/search", "application/json", None, body.as_bytes())?.success()?;
    match answer.get_mut("hits").map(Value::take) {
        Some(Value::Array(hits)) => Ok(hits),
        _ => Err(Failure::new(Exit::Failed, "the server's answer has no hits")),
    }
}

fn show_hits(stage: &Stage, hits: &[Value]) -> Result<(), Failure> {
    if hits.is_empty() {
        return stage.show("nothing");
    }
    hits.iter().try_for_each(|hit| {
        let score = hit.get("score").and_then(Value::as_f64).unwrap_or_default();
        let content: String = text(hit, "/memory/content").chars().take(56).collect();
        stage.show(&format!("{score:6.3}  {:<24} {content}…", text(hit, "/memory/id")))
    })
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
