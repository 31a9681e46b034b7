//! A client over HTTP that writes down what it asks and what it is told, before it goes on.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use engraft::{
    audit::history::{self, Command, Event, Kind, fold::State},
    model::{Outcome, Position},
};
use serde_json::Value;

use super::load::{Load, SPACES};

/// How often an outcome is asked for before it counts as missing.
const OUTCOME_TRIES: u32 = 200;
/// How long to wait before sending again what was not answered.
const RETRY: Duration = Duration::from_millis(10);
/// How long an answer may take: longer than a server that stalls at a failpoint lives.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A history file that many clients write to.
pub(crate) struct History {
    path: PathBuf,
    file: Mutex<(File, u64)>,
}

impl History {
    /// A new history.
    pub(crate) fn create(path: &Path) -> Self {
        let file = File::create(path).expect("the history can be created");
        Self { path: path.to_owned(), file: Mutex::new((file, 0)) }
    }

    fn write(&self, process: u32, kind: Kind, command: &Command, answer: Result<Option<Position>, String>) {
        let mut file = self.file.lock().expect("no writer panicked");
        let (position, error) = match answer {
            Ok(position) => (position, None),
            Err(error) => (None, Some(error)),
        };
        let event = Event { index: file.1, process, kind, command: command.clone(), position, error };
        file.1 += 1;
        history::write_event(&mut file.0, &event).expect("the history can be written");
    }

    /// What was written so far.
    pub(crate) fn read(&self) -> Vec<Event> {
        let file = File::open(&self.path).expect("the history is there");
        history::read_events(BufReader::new(file)).expect("the history can be read")
    }
}

/// What a request came to.
pub(crate) enum Told {
    /// It is in the log.
    Accepted(Position),
    /// It is not, and will never be.
    Refused(String),
    /// It may be: send it again under the same id.
    Unknown(String),
}

/// Speaks to one server.
#[derive(Clone)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
}

impl Client {
    /// A client of the server on this port of the loopback.
    pub(crate) fn new(port: u16) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_WITHIN))
            .build();
        Self { agent: config.into(), base: format!("http://127.0.0.1:{port}") }
    }

    /// Status and body of a read; `None`: no answer.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, Value)> {
        let answer = self.agent.get(format!("{}{path}", self.base)).header("prefer", "wait=10").call();
        let mut answer = answer.ok()?;
        let body = answer.body_mut().read_to_string().ok()?;
        Some((answer.status().as_u16(), serde_json::from_str(&body).unwrap_or(Value::Null)))
    }

    /// A read that must show what the command with this token did.
    pub(crate) fn get_after(&self, path: &str, token: &str) -> Option<(u16, Value)> {
        let ask = self.agent.get(format!("{}{path}", self.base)).header("prefer", "wait=10");
        Some(answered(ask.header("consistency-token", token).call().ok()?))
    }

    /// A question in a body that must show what the command with this token did.
    pub(crate) fn post_after(&self, path: &str, body: &Value, token: &str) -> Option<(u16, Value)> {
        let ask = self.agent.post(format!("{}{path}", self.base)).header("prefer", "wait=10");
        Some(answered(ask.header("consistency-token", token).send_json(body).ok()?))
    }

    /// Sends a body, waiting for outcomes or not.
    pub(crate) fn post(&self, path: &str, body: &Value, wait: bool) -> Option<(u16, Value)> {
        let mut ask = self.agent.post(format!("{}{path}", self.base));
        if wait {
            ask = ask.header("prefer", "wait=10");
        }
        Some(answered(ask.send_json(body).ok()?))
    }

    /// Sends a command once.
    pub(crate) fn send(&self, command: &Command) -> Told {
        let answer = self.agent.post(format!("{}/v1/commands", self.base)).send_json(command.to_json());
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Told::Unknown(error.to_string()),
        };
        let status = answer.status().as_u16();
        let body = match answer.body_mut().read_json::<Value>() {
            Ok(body) => body,
            Err(error) => return Told::Unknown(error.to_string()),
        };
        match (status, body["position"].as_str().and_then(|text| text.parse().ok())) {
            (200 | 202, Some(position)) => Told::Accepted(position),
            (400..=499, _) if status != 429 => Told::Refused(body.to_string()),
            _ => Told::Unknown(format!("status {status}")),
        }
    }

    /// Sends until it is acknowledged or refused, writing everything down.
    fn insist(&self, history: &History, process: u32, command: &Command) {
        loop {
            history.write(process, Kind::Invoke, command, Ok(None));
            match self.send(command) {
                Told::Accepted(position) => {
                    return history.write(process, Kind::Ok, command, Ok(Some(position)));
                }
                Told::Refused(why) => return history.write(process, Kind::Fail, command, Err(why)),
                Told::Unknown(why) => history.write(process, Kind::Info, command, Err(why)),
            }
            thread::sleep(RETRY);
        }
    }

    /// The outcome of an acknowledged command, waiting for it.
    pub(crate) fn outcome(&self, position: Position) -> Option<Outcome> {
        let mut last = None;
        for _ in 0..OUTCOME_TRIES {
            last = self.get(&format!("/v1/commands/{position}"));
            if let Some((_, body)) = &last
                && body["outcome"].is_object()
            {
                let outcome = serde_json::from_value(body["outcome"].clone());
                return Some(outcome.expect("the outcome of the contract"));
            }
            thread::sleep(RETRY);
        }
        println!("{position} has no outcome: {last:?}");
        None
    }

    /// The outcomes of all these, as far as there are any.
    pub(crate) fn outcomes(&self, positions: &[Position]) -> BTreeMap<Position, Outcome> {
        let outcomes = Mutex::new(BTreeMap::new());
        thread::scope(|scope| {
            for part in positions.chunks(positions.len().div_ceil(8).max(1)) {
                let outcomes = &outcomes;
                scope.spawn(move || {
                    for position in part {
                        if let Some(outcome) = self.outcome(*position) {
                            outcomes.lock().expect("no reader panicked").insert(*position, outcome);
                        }
                    }
                });
            }
        });
        outcomes.into_inner().expect("no reader panicked")
    }

    /// Everything that the server shows of every space of the load.
    pub(crate) fn finals(&self) -> BTreeMap<String, State> {
        self.finals_of(SPACES)
    }

    /// The same where the load is over so many spaces.
    pub(crate) fn finals_of(&self, spaces: u64) -> BTreeMap<String, State> {
        (0..spaces)
            .map(|number| format!("load-{number}"))
            .map(|space| (space.clone(), self.state(&space).expect("the server answers")))
            .collect()
    }

    /// What a read shows; it may be told to come again.
    fn shown(&self, path: &str) -> io::Result<Value> {
        let mut last = None;
        for _ in 0..OUTCOME_TRIES {
            last = self.get(path);
            match &mut last {
                Some((200, shown)) => return Ok(shown.take()),
                Some((..500, _)) => break,
                _ => thread::sleep(RETRY),
            }
        }
        Err(io::Error::other(format!("{path}: {last:?}")))
    }

    fn state(&self, space: &str) -> io::Result<State> {
        let missing = || io::Error::other("an answer without what was asked for");
        let listed = self.shown(&format!("/v1/memories/{space}?limit=1000"))?;
        let mut state = State::default();
        for memory in listed["memories"].as_array().ok_or_else(missing)? {
            let text = |name: &str| memory[name].as_str().map(str::to_owned).ok_or_else(missing);
            state.memories.insert(text("id")?, text("content")?);
        }
        for id in state.memories.keys().cloned().collect::<Vec<_>>() {
            let related =
                self.shown(&format!("/v1/memories/{space}/{id}/relations?direction=out&limit=1000"))?;
            for relation in related["relations"].as_array().ok_or_else(missing)? {
                let text = |name: &str| relation[name].as_str().map(str::to_owned).ok_or_else(missing);
                let edge = (text("source")?, text("type")?, text("target")?);
                state.relations.insert(edge, relation["weight"].as_f64().ok_or_else(missing)?);
            }
        }
        Ok(state)
    }
}

fn answered(mut answer: ureq::http::Response<ureq::Body>) -> (u16, Value) {
    let body = answer.body_mut().read_to_string().unwrap_or_default();
    (answer.status().as_u16(), serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// Clients that keep so many commands in flight until they are told to end.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Running {
    /// Starts `clients` clients, each with one command in flight.
    pub(crate) fn start(client: &Client, history: &Arc<History>, seed: u64, clients: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..clients).map(|process| {
            let (client, history, stop) = (client.clone(), Arc::clone(history), Arc::clone(&stop));
            thread::spawn(move || {
                let mut load = Load::new(seed, process);
                while !stop.load(Ordering::Acquire) {
                    client.insist(&history, process, &load.next());
                }
            })
        });
        Self { threads: threads.collect(), stop }
    }

    /// Lets every client see its last command acknowledged, then ends it. The server must be up.
    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().expect("a client ends by itself");
        }
    }
}
