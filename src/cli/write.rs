//! What every write does: send one command under an id, wait for its outcome, and tell it.
//!
//! The id is chosen before the command is sent. So a send whose answer was lost can be repeated, and is
//! repeated here where the server says that this may help; the command is done once all the same.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{clock::SystemClock, http::ingest, random::Random};

use super::{Client, Exit, Failure, Format, client::Answer, output, problem, server::Server};

/// How long a write waits for its outcome, in seconds.
const WAIT_SECONDS: u64 = 10;
/// How often a command is sent that the log did not take, or may have taken.
const ATTEMPTS_MAX: u32 = 4;
/// The first pause between two of them; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(250);

/// How [`records`] are shown.
pub(super) const RECORD_COLUMNS: [(&str, &str); 3] =
    [("RECORD", "/record"), ("EFFECT", "/effect"), ("VERSION", "/version")];

/// What every write takes.
#[derive(Debug, clap::Args)]
pub(super) struct Writing {
    /// Return as soon as the command is durable, with where to ask for its outcome
    #[arg(long)]
    no_wait: bool,
    /// The command's id: sent twice, it is done once [default: a new one]
    #[arg(long, value_name = "ID")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    show: output::Show,
    #[command(flatten)]
    server: Server,
}

/// One write.
#[derive(Debug)]
pub(super) struct Write {
    /// What it is about, in words.
    pub(super) about: String,
    /// `PUT`, `PATCH` or `DELETE`.
    pub(super) method: &'static str,
    /// The resource, encoded.
    pub(super) path: String,
    /// The fields to write, if the method takes any.
    pub(super) body: Option<Value>,
    /// `if-match` and the like.
    pub(super) preconditions: Vec<(&'static str, String)>,
}

/// Sends it, and shows what became of it.
pub(super) fn run(options: &Writing, write: &Write) -> Result<(), Failure> {
    let key = options.idempotency_key.clone();
    let key = key.unwrap_or_else(|| ingest::new_id(&SystemClock, &Random::from_system()));
    let bar = output::spinner("waiting for the outcome");
    let sent = send(&options.server.client(), write, &key, !options.no_wait);
    bar.finish_and_clear();
    let answer = sent.map_err(|failure| repeatable(failure, &key))?;
    match answer.status {
        202 => accepted(options, &answer.body),
        200..300 => ended(options.show.output, &answer.body),
        _ => {
            if let Some(outcome) = answer.body.get("outcome").filter(|outcome| outcome.is_object()) {
                let mut out = output::Out::new();
                out.json(options.show.output, outcome)?;
                out.finish()?;
            }
            let failure = problem::failure(&answer).about(&write.about);
            Err(if failure.exit == Exit::Unreachable { repeatable(failure, &key) } else { failure })
        }
    }
}

fn send(client: &Client, write: &Write, key: &str, wait: bool) -> Result<Answer, Failure> {
    let mut headers = vec![("idempotency-key", key.to_owned())];
    headers.extend(write.preconditions.iter().cloned());
    headers.extend(wait.then(|| ("prefer", format!("wait={WAIT_SECONDS}"))));
    let body = write.body.as_ref().map(Value::to_string);
    headers.extend(body.as_ref().map(|_| ("content-type", "application/json".to_owned())));
    let mut pause = PAUSE;
    for _ in 1..ATTEMPTS_MAX {
        let answer = client.send(write.method, &write.path, &headers, body.as_deref().map(str::as_bytes))?;
        if answer.status != 503 || answer.body.get("retryable") != Some(&Value::Bool(true)) {
            return Ok(answer);
        }
        rest(pause);
        pause *= 2;
    }
    client.send(write.method, &write.path, &headers, body.as_deref().map(str::as_bytes))
}

/// Nobody can tell whether it was done: how to find out without doing it twice.
fn repeatable(failure: Failure, key: &str) -> Failure {
    if failure.exit != Exit::Unreachable {
        return failure;
    }
    let message = failure.to_string();
    let message = message.strip_prefix("engraft: ").unwrap_or(&message);
    let fix = format!("to send it again without doing it twice, add `--idempotency-key {key}`");
    Failure::new(failure.exit, format!("{message}\n{fix}"))
}

/// It is in the log. That is all that was asked for, or all that could be had in time.
fn accepted(options: &Writing, body: &Value) -> Result<(), Failure> {
    let mut out = output::Out::new();
    if !out.json(options.show.output, body)? {
        let columns =
            [("POSITION", "/position"), ("STATE", "/state"), ("COMMAND", "/command_id"), ("TOKEN", "/token")];
        out.table(std::slice::from_ref(body), &columns)?;
    }
    out.finish()?;
    let position = body.get("position").and_then(Value::as_str).unwrap_or_default();
    let ask = format!("`engraft sagas get {position}` tells what became of it");
    if options.no_wait {
        output::say(&format!("the command is durable; {ask}"));
        return Ok(());
    }
    let message = format!("the command is durable, but had no outcome after {WAIT_SECONDS} s; {ask}");
    Err(Failure::new(Exit::Unreachable, message))
}

/// It was committed.
fn ended(format: Format, outcome: &Value) -> Result<(), Failure> {
    let mut out = output::Out::new();
    if out.json(format, outcome)? {
        return out.finish();
    }
    let rows = records(outcome);
    if !rows.is_empty() {
        out.table(&rows, &RECORD_COLUMNS)?;
    }
    out.finish()?;
    let text = |name: &str| outcome.get(name).and_then(Value::as_str);
    output::say(&match text("duplicate_of") {
        Some(first) => format!("done before, at {first}; nothing was done again"),
        None => {
            let (verdict, position) = (text("outcome"), text("position"));
            format!("{} at {}{}", verdict.unwrap_or_default(), position.unwrap_or_default(), others(outcome))
        }
    });
    Ok(())
}

/// What it changed without listing it: `; relations deleted: 2`.
fn others(outcome: &Value) -> String {
    let counts = outcome.get("counts").and_then(Value::as_object).into_iter().flatten();
    counts.map(|(what, count)| format!("; {}: {count}", what.replace('_', " "))).collect()
}

/// What an outcome lists, a row each: a relation is named by its ends.
pub(super) fn records(outcome: &Value) -> Vec<Value> {
    let records = outcome.get("records").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let row = |record: &Value| {
        let name = record.get("memory").cloned().unwrap_or_else(|| {
            let part = |name: &str| record.get("relation")?.get(name)?.as_str();
            let ends: Vec<&str> =
                ["source", "type", "target", "discriminator"].into_iter().filter_map(part).collect();
            ends.join(" ").trim_end().into()
        });
        json!({"record": name, "effect": record.get("effect"), "version": record.get("version")})
    };
    records.iter().map(row).collect()
}

/// A field that was given, as a member of a body.
pub(super) fn given(body: &mut serde_json::Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body.insert(name.to_owned(), value.into());
    }
}

#[expect(clippy::disallowed_methods, reason = "a program of one thread, and nothing else to do")]
pub(super) fn rest(pause: Duration) {
    std::thread::sleep(pause);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_in_an_outcome_is_named_by_its_ends() {
        let outcome = json!({"records": [
            {"memory": "m-1", "version": "1.4", "effect": "created"},
            {"relation": {"source": "m-1", "type": "CAUSES", "target": "m-2", "discriminator": ""},
             "version": "1.8", "effect": "deleted"}]});
        let names: Vec<_> = records(&outcome).iter().map(|row| row["record"].clone()).collect();
        assert_eq!(names, ["m-1", "m-1 CAUSES m-2"]);
        assert_eq!(others(&outcome), "");
        assert_eq!(others(&json!({"counts": {"relations_deleted": 2}})), "; relations deleted: 2");
    }
}
