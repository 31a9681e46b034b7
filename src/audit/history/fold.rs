//! What commands add up to: the smallest model of memories and relations that can be wrong only by itself.
//!
//! It knows `memory.put`, `memory.delete`, `relation.put` and `relation.strengthen`, as a client that
//! has read the contract would: no versions, no sagas, no stores.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Command;
use crate::model::{Code, outcome::Verdict};

/// The weight of a relation that strengthening makes.
const FIRST_WEIGHT: f64 = 0.1;
/// By how much strengthening raises a weight, where the command does not say.
const RATE: f64 = 0.1;

/// A relation's name: source, type, target.
pub type Edge = (String, String, String);

/// What a space holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct State {
    /// Content by memory id.
    pub memories: BTreeMap<String, String>,
    /// Weight by relation.
    pub relations: BTreeMap<Edge, f64>,
}

/// How a command must have ended.
pub type Predicted = (Verdict, Code);

const COMMITTED: Predicted = (Verdict::Committed, Code::Ok);

impl State {
    /// Applies a command, and says how it must have ended. `None`: the model does not know it.
    pub fn apply(&mut self, command: &Command) -> Option<Predicted> {
        let data = &command.data;
        match command.kind.as_str() {
            "memory.put" => {
                let id = text(data, "id");
                if data.get("if_absent") == Some(&Value::Bool(true)) && self.memories.contains_key(&id) {
                    return Some((Verdict::Failed, Code::IfAbsent));
                }
                self.memories.insert(id, text(data, "content"));
            }
            "memory.delete" => {
                let id = text(data, "id");
                self.memories.remove(&id);
                self.relations.retain(|(source, _, target), _| *source != id && *target != id);
            }
            "relation.put" => {
                let edge = edge(data);
                if !self.has_ends(&edge) {
                    return Some((Verdict::Failed, Code::EndpointMissing));
                }
                self.relations.insert(edge, number(data, "weight", 1.0));
            }
            "relation.strengthen" => {
                let edge = edge(data);
                if !self.has_ends(&edge) {
                    return Some((Verdict::Failed, Code::EndpointMissing));
                }
                let rate = number(data, "rate", RATE);
                self.relations
                    .entry(edge)
                    .and_modify(|weight| *weight += rate * (1.0 - *weight))
                    .or_insert(FIRST_WEIGHT);
            }
            _ => return None,
        }
        Some(COMMITTED)
    }

    fn has_ends(&self, (source, _, target): &Edge) -> bool {
        self.memories.contains_key(source) && self.memories.contains_key(target)
    }
}

fn text(data: &Map<String, Value>, name: &str) -> String {
    data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(data: &Map<String, Value>, name: &str, default: f64) -> f64 {
    data.get(name).and_then(Value::as_f64).unwrap_or(default)
}

fn edge(data: &Map<String, Value>) -> Edge {
    (text(data, "source"), text(data, "type"), text(data, "target"))
}
