//! A history: what a client asked for, and what it was told, one JSON object a line.
//!
//! ```text
//! {"index":7,"process":3,"type":"invoke","id":"c-9","space":"load-1","command":"memory.put","data":{…}}
//! {"index":9,"process":3,"type":"ok",    "id":"c-9","space":"load-1","position":"1.4.120", …}
//! ```
//!
//! A client writes `invoke` before it sends, and the answer before it sends anything else: what is
//! not in the history was never promised. `ok` is an acknowledgement with a position; `fail` means
//! that nothing happened; `info` that it may have. [`check`] compares a history with the outcomes
//! and with what the stores hold in the end, by a model ([`fold`]) that shares no code with the
//! ledger or the sagas.

pub mod check;
pub mod fold;

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::Position;

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is about to be sent.
    Invoke,
    /// It was acknowledged, with a position.
    Ok,
    /// It was refused: nothing happened.
    Fail,
    /// There was no answer: it may have been taken.
    Info,
}

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Rises by one with every line.
    pub index: u64,
    /// Which client: it does one thing at a time.
    pub process: u32,
    /// What the event says.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The command that it is about.
    #[serde(flatten)]
    pub command: Command,
    /// Where it stands in the log, when it was acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A command as a client sends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The idempotency key.
    pub id: String,
    /// The space.
    pub space: String,
    /// The type, in its short form.
    #[serde(rename = "command")]
    pub kind: String,
    /// The data.
    pub data: Map<String, Value>,
}

impl Command {
    /// The command as bare JSON, ready to be sent.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::json!({ "type": self.kind, "id": self.id, "space": self.space, "data": self.data })
    }
}

/// Writes one line and hands it to the operating system, which keeps it when this process is killed.
///
/// # Errors
/// Whatever `to` answers.
pub fn write_event(to: &mut impl Write, event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Reads a history.
///
/// # Errors
/// Whatever `from` answers; `InvalidData` for a line that is no event.
pub fn read_events(from: impl BufRead) -> io::Result<Vec<Event>> {
    from.lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}
