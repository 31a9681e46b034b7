//! The examples of the documents do what the documents say.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{Ask, World, run};

const DOCUMENT: &str = include_str!("../../docs/commands.md");

/// The JSON blocks of this sort, in their order.
fn blocks(sort: &str) -> Vec<Value> {
    let fence = format!("```json {sort}\n");
    let bodies = DOCUMENT.split(fence.as_str()).skip(1).filter_map(|rest| Some(rest.split_once("\n```")?.0));
    bodies.map(|body| serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))).collect()
}

/// The shape of a value: names and types, not what they hold.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), shape(value)))
            .collect::<BTreeMap<_, _>>()
            .into_iter()
            .collect(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!(0),
        Value::Bool(_) => json!(true),
        Value::Null => Value::Null,
    }
}

#[test]
fn every_documented_command_commits_and_the_outcome_reads_as_documented() {
    run(async {
        let world = World::new().await;
        let commands = blocks("command");
        assert!(commands.len() >= 12, "only {} examples were found", commands.len());
        let (status, refused) = world.command(commands[2].clone()).await;
        assert_eq!((status, &refused["code"]), (409, &json!("endpoint_missing")), "an end is not there yet");

        let mut outcomes = Vec::new();
        for command in &commands {
            let mut command = command.clone();
            if command["type"] == "relation.put" {
                command["id"] = json!("c-2b"); // its own id was answered above
            }
            let (status, outcome) = world.command(command.clone()).await;
            assert_eq!((status, &outcome["outcome"]), (200, &json!("committed")), "{command}: {outcome}");
            outcomes.push(outcome);
        }
        let documented = &blocks("outcome")[0];
        assert_eq!(shape(&outcomes[0]), shape(documented), "{}", outcomes[0]);
        for name in ["command", "space", "outcome", "code", "duplicate_of", "errors"] {
            assert_eq!(outcomes[0][name], documented[name], "{name}");
        }
        assert_eq!(outcomes[0]["records"][0]["effect"], "created");

        let filter = json!({"kind": ["Episode"], "session": ["s-42"],
            "properties": {"topic": "tea", "turn": {"gte": 3, "lt": 9}}});
        let question = json!({"space": "acme", "vector": [0.1, 0.2], "filter": filter});
        let (status, found) = world.post("/v1/search", "application/json", None, question).await;
        assert_eq!((status, &found["hits"][0]["memory"]["id"]), (200, &json!("m-1")), "{found}");
        world.app.stop().await;
    });
}

#[test]
fn a_problem_names_the_trace_of_its_request() {
    run(async {
        let world = World::new().await;
        let absent = Ask::new("GET", "/v1/memories/acme/nobody");
        let own = "4bf92f3577b34da6a3ce929d0e0e4736";
        let with = absent.clone().with("traceparent", &format!("00-{own}-00f067aa0ba902b7-01"));
        assert_eq!(world.ask(with).await.json()["trace_id"], own);

        let first = world.ask(absent.clone()).await.json()["trace_id"].clone();
        assert_eq!(first.as_str().map(str::len), Some(32), "{first}");
        assert_ne!(world.ask(absent.clone()).await.json()["trace_id"], first, "each request has its own");
        let nowhere = world.ask(Ask::new("GET", "/nowhere")).await.json();
        assert!(nowhere["trace_id"].is_string(), "{nowhere}");
        world.app.stop().await;
    });
}
