//! The sample: what an assistant remembers after seven weeks beside a team. In the program itself.

use serde::Deserialize;
use serde_json::{Value, json};

/// Memories, put and deleted, with their vectors.
pub(super) const COMMANDS: &str = include_str!("../../examples/demo/commands.jsonl");
/// Relations between them.
pub(super) const RELATIONS: &str = include_str!("../../examples/demo/relations.jsonl");
const QUERIES: &str = include_str!("../../examples/demo/queries.jsonl");

/// The space that everything is in.
pub(super) const SPACE: &str = "demo";

/// A question, embedded, with the memories that a reader would want on top.
#[derive(Debug, Deserialize)]
pub(super) struct Query {
    pub(super) text: String,
    pub(super) expect: Vec<String>,
    pub(super) vector: Value,
}

/// Every question.
pub(super) fn queries() -> Vec<Query> {
    QUERIES.lines().map(|line| serde_json::from_str(line).expect("the sample is well formed")).collect()
}

/// Commands that the crash will catch: `count` memories, one line each.
pub(super) fn batch(count: usize) -> String {
    let line = |number: usize| {
        let command = json!({"type": "memory.put", "id": format!("crash-{number}"), "space": SPACE,
            "source": "/engraft/demo", "data": {"id": format!("crash-{number:02}"),
            "content": format!("Reading {number} of the greenhouse, taken just before the lights went out.")}});
        format!("{command}\n")
    };
    (1..=count).map(line).collect()
}

#[cfg(test)]
mod tests {
    use crate::log::{
        Headers,
        envelope::{Limits, check},
    };

    use super::*;

    #[test]
    fn every_line_of_the_sample_is_a_command_of_the_demo_space() {
        let batch = batch(3);
        let lines = COMMANDS.lines().chain(RELATIONS.lines()).chain(batch.lines());
        for line in lines {
            let checked = check(line.as_bytes(), &Headers::new(), &Limits::default());
            let checked = checked.unwrap_or_else(|errors| panic!("{errors:?} in {line:.120}"));
            assert_eq!(checked.space().as_str(), SPACE);
        }
        assert_eq!(queries().len(), 12);
    }
}
