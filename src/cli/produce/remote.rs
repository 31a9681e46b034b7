//! Lines to a running server, over HTTP.

use std::time::Duration;

use serde_json::Value;

use crate::cli::{Client, Exit, Failure, client, problem, write::rest};

use super::{Sent, Sink, lines::Batch};

/// How often a batch is sent before giving up; with the pauses below, about a minute.
const ATTEMPTS_MAX: u32 = 15;
/// Pauses double from here …
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// … up to here.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long one request waits for outcomes, in seconds.
const WAIT_SECONDS: u64 = 10;
/// How often an outcome is asked for: with the wait above, a minute a command.
const ASKED_MAX: u32 = 6;

pub(super) struct Remote {
    client: Client,
    wait: bool,
}

impl Remote {
    pub(super) fn new(client: Client, wait: bool) -> Self {
        Self { client, wait }
    }

    /// Sends until the server answers. Every line has an id, so a batch that arrived twice has one
    /// effect.
    fn post(&self, body: &[u8]) -> Result<Value, Failure> {
        let wait = self.wait.then_some(WAIT_SECONDS);
        let mut pause = PAUSE_MIN;
        for attempt in 1.. {
            let sent = self.client.post("/v1/commands", "application/x-ndjson", wait, body);
            match sent.and_then(client::Answer::success) {
                Err(failure) if failure.exit == Exit::Unreachable && attempt < ATTEMPTS_MAX => {
                    rest(pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                other => return other,
            }
        }
        unreachable!("the last attempt returns")
    }

    fn sent(&self, item: Value) -> Result<Sent, Failure> {
        if item.get("outcome").is_some_and(Value::is_string) {
            return Ok(Sent::Ended(item));
        }
        if item.get("position").is_none() {
            return Ok(Sent::Refused(problem::explain(&item)));
        }
        if !self.wait {
            return Ok(Sent::Accepted);
        }
        let position = item.get("position").and_then(Value::as_str).unwrap_or_default();
        let path = client::path(&["v1", "commands", position]);
        for _ in 0..ASKED_MAX {
            let mut command = self.client.get_waiting(&path, WAIT_SECONDS)?;
            if let Some(outcome) = command.get_mut("outcome").map(Value::take).filter(Value::is_object) {
                return Ok(Sent::Ended(outcome));
            }
        }
        Ok(Sent::Accepted)
    }
}

impl Sink for Remote {
    fn send(&mut self, batch: &Batch) -> Result<Vec<Sent>, Failure> {
        if batch.lines.is_empty() {
            return Ok(Vec::new());
        }
        let mut todo: Vec<usize> = (0..batch.lines.len()).collect();
        let mut answers: Vec<Option<Sent>> = batch.lines.iter().map(|_| None).collect();
        for _ in 0..ATTEMPTS_MAX {
            let lines = todo.iter().filter_map(|index| batch.lines.get(*index));
            let body: Vec<u8> = lines.flat_map(|line| line.json.iter().copied().chain([b'\n'])).collect();
            let mut answer = self.post(&body)?;
            let Some(Value::Array(items)) = answer.get_mut("items").map(Value::take) else {
                return Err(Failure::new(Exit::Unreachable, "the server's answer cannot be read"));
            };
            let mut again = Vec::new();
            for (index, item) in todo.into_iter().zip(items) {
                // An append that failed, or whose answer was lost, is sent again under the same id.
                if item.get("retryable") == Some(&Value::Bool(true)) {
                    again.push(index);
                } else if let Some(answer) = answers.get_mut(index) {
                    *answer = Some(self.sent(item)?);
                }
            }
            todo = again;
            if todo.is_empty() {
                return Ok(answers.into_iter().flatten().collect());
            }
            rest(PAUSE_MAX.min(PAUSE_MIN * 10));
        }
        Err(Failure::new(Exit::Unreachable, "the server does not take these commands"))
    }
}
