//! What the load consists of: commands whose effects tell a lost one from a doubled one.
//!
//! Puts alone would hide a doubled effect. So there are strengthenings, whose weights add up; puts
//! that refuse to overwrite; deletes and puts again; and ids that are sent twice, or under another
//! body. A few records of a few spaces are shared by all clients, so that commands conflict.

use engraft::{audit::history::Command, random::Random};
use serde_json::{Map, Value, json};

/// How many spaces the load is spread over.
pub(crate) const SPACES: u64 = 8;
/// How many memories of a space it fights over.
const MEMORIES: u64 = 16;
/// The length of every vector.
const DIMENSION: usize = 8;

/// One client's commands: the same seed and process give the same ones.
pub(crate) struct Load {
    random: Random,
    process: u32,
    spaces: u64,
    sent: u64,
    last: Option<Command>,
}

impl Load {
    /// The commands of `process`.
    pub(crate) fn new(seed: u64, process: u32) -> Self {
        Self::over(SPACES, seed, process)
    }

    /// The same over so many spaces: many commands in flight should not all wait for one another.
    pub(crate) fn over(spaces: u64, seed: u64, process: u32) -> Self {
        Self { random: Random::from_seed(seed, u64::from(process)), process, spaces, sent: 0, last: None }
    }

    /// The next command.
    pub(crate) fn next(&mut self) -> Command {
        let choice = self.random.below(100);
        let command = match (choice, self.last.take()) {
            // The very command again: a duplicate.
            (0..4, Some(last)) => last,
            // The id again, with another body: refused.
            (4..6, Some(last)) => Command { data: self.put(), kind: "memory.put".to_owned(), ..last },
            _ => self.fresh(choice),
        };
        self.last = Some(command.clone());
        command
    }

    fn fresh(&mut self, choice: u64) -> Command {
        self.sent += 1;
        let id = format!("c-{}-{}", self.process, self.sent);
        let space = format!("load-{}", self.random.below(self.spaces));
        let (kind, data) = match choice {
            0..40 => ("memory.put", self.put()),
            40..50 => ("memory.put", self.put_if_absent()),
            50..57 => ("memory.delete", object(json!({ "id": self.memory() }))),
            57..65 => ("relation.put", self.relation(json!({ "weight": 0.25 }))),
            _ => ("relation.strengthen", self.relation(json!({}))),
        };
        Command { id, space, kind: kind.to_owned(), data }
    }

    fn memory(&self) -> String {
        format!("m-{}", self.random.below(MEMORIES))
    }

    fn put(&self) -> Map<String, Value> {
        let content = format!("what client {} wrote as its number {}", self.process, self.sent);
        let vector: Vec<f64> = (0..DIMENSION).map(|_| self.random.unit() + 0.01).collect();
        let properties = json!({ "client": self.process, "number": self.sent });
        object(json!({ "id": self.memory(), "content": content, "vector": vector, "properties": properties }))
    }

    fn put_if_absent(&self) -> Map<String, Value> {
        let mut put = self.put();
        put.insert("if_absent".to_owned(), Value::Bool(true));
        put
    }

    fn relation(&self, with: Value) -> Map<String, Value> {
        let mut data = object(with);
        data.insert("source".to_owned(), self.memory().into());
        data.insert("type".to_owned(), "CAUSES".into());
        data.insert("target".to_owned(), self.memory().into());
        data
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}
