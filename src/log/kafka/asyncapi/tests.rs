//! The committed document is what the code makes, leads nowhere in vain, and its examples are taken.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};

use super::document;
use crate::{
    log::{
        Headers, Partitioner, Record,
        envelope::{Decoded, Limits, Routing, decode},
        kafka::topics::PARTITIONS,
    },
    model::{Outcome, PartitionId, Timestamp},
};

const TEXT: &str = include_str!("../../../../asyncapi.yaml");

/// The parts of the document that are messages, with their names, of one channel.
fn messages<'d>(document: &'d Value, channel: &str) -> Vec<(&'d String, &'d Value)> {
    let names = document["channels"][channel]["messages"].as_object().unwrap().keys();
    names.map(|name| (name, &document["components"]["messages"][name])).collect()
}

fn committed() -> Value {
    serde_json::from_str(TEXT).unwrap()
}

/// Judges by a schema of the document, whose references lead into it.
fn problems(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let whole = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "components": document["components"],
        "allOf": [schema],
    });
    let validator = jsonschema::options().should_validate_formats(true).build(&whole).unwrap();
    validator.iter_errors(value).map(|error| error.to_string()).collect()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "asks a test whether to write its file, no setting of the program"
)]
fn the_asyncapi_document_is_current() {
    let generated = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("ENGRAFT_WRITE_SCHEMAS").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/asyncapi.yaml"), &generated).unwrap();
    } else {
        assert!(TEXT == generated, "asyncapi.yaml is not what the code makes; write it anew");
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = committed();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 50, "only {} references were found", found.len());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn every_message_is_on_one_topic_and_its_examples_are_what_its_schemas_say() {
    let document = committed();
    let all = ["commands", "outcomes", "deadLetters"].map(|channel| messages(&document, channel)).concat();
    assert_eq!(all.len(), document["components"]["messages"].as_object().unwrap().len());
    for (name, message) in all {
        for example in message["examples"].as_array().unwrap() {
            for part in ["headers", "payload"] {
                let problems = problems(&document, &message[part], &example[part]);
                assert!(problems.is_empty(), "{name}, {part}: {problems:?}");
            }
        }
    }
}

#[test]
fn every_command_decodes_to_the_same_from_its_example_in_each_form() {
    let document = committed();
    let routing = Routing { partitions: PARTITIONS, partitioner: Partitioner::default() };
    let partition = routing.partitioner.partition(b"acme", PARTITIONS);
    let decoded = |message: &Value| {
        let example = &message["examples"][0];
        let text = |value: &Value| Bytes::from(value.as_str().unwrap().to_owned());
        let headers: Headers = example["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect();
        let record = Record {
            position: PartitionId { epoch: 1, partition }.at(7),
            key: Some(Bytes::from_static(b"acme")),
            value: Some(example["payload"].to_string().into()),
            headers,
            appended_at: Timestamp::default(),
        };
        match decode(&record, routing, &Limits::default()) {
            Decoded::Command(envelope) => *envelope,
            other => panic!("{message} is not taken: {other:?}"),
        }
    };
    let messages = messages(&document, "commands");
    let named = |name: String| decoded(messages.iter().find(|(known, _)| **known == name).unwrap().1);
    let kinds: BTreeSet<&str> = messages.iter().map(|(name, _)| name.rsplit_once('.').unwrap().0).collect();
    assert_eq!(kinds.len() * 3, messages.len());
    for kind in kinds {
        let first = named(format!("{kind}.binary"));
        assert_eq!(first.header.kind, format!("engraft.{kind}.v1"));
        for form in ["structured", "bare"] {
            assert_eq!(named(format!("{kind}.{form}")), first, "{kind}.{form}");
        }
    }
}

#[test]
fn a_message_of_one_type_is_none_of_another() {
    let document = committed();
    let messages = messages(&document, "commands");
    let message = |name: &str| messages.iter().find(|(known, _)| *known == name).unwrap().1;
    for (form, part) in [("binary", "headers"), ("structured", "payload"), ("bare", "payload")] {
        let put = &message(&format!("memory.put.{form}"))["examples"][0][part];
        let touch = &message(&format!("memory.touch.{form}"))[part];
        assert!(!problems(&document, touch, put).is_empty(), "{form}");
    }
}

#[test]
fn the_example_of_every_outcome_is_read_as_one() {
    let document = committed();
    for (name, message) in messages(&document, "outcomes") {
        let outcome: Outcome = serde_json::from_value(message["examples"][0]["payload"].clone()).unwrap();
        assert_eq!(outcome.position.to_string(), message["examples"][0]["headers"]["ce_id"], "{name}");
    }
}
