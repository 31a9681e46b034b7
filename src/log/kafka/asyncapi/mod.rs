//! `asyncapi.yaml`: the contract of the three topics, for programs (AsyncAPI 3.0).
//!
//! ```text
//! types of commands and outcomes ─▶ commands, answers ─┐
//! settings of topics, headers of events ───────────────┴─▶ document ─▶ asyncapi.yaml, committed and served
//! ```
//!
//! Nothing in it is told twice: schemas come from the types that are read and told, topics from what makes
//! them, headers from what writes them, and examples are records that the encoder built and the decoder takes.
//! It is generated when tests run, and one of them compares it with the committed file. It is written as JSON,
//! which every reader of YAML takes, so that it needs no writer of YAML. After a change, write it anew:
//!
//! ```text
//! ENGRAFT_WRITE_SCHEMAS=1 cargo test --profile ci --lib the_asyncapi_document_is_current
//! ```
//!
//! Names are those of an installation without a prefix. Messages say what may be sent; what a command may be at
//! most, and what it means in its space, stands in the documentation of commands.

mod answers;
mod commands;
mod examples;
mod tests;

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    Options,
    topics::{self, Settings},
};
use crate::log::envelope::schema;

/// The binding's version, which tells tools how to read what is said of Kafka.
const BINDING: &str = "0.5.0";
/// Copies of each partition where commands must outlive a broker.
const REPLICAS: u32 = 3;

/// The whole document.
fn document() -> Value {
    let mut generator = generator();
    let files = schema::refer(&mut generator);
    let mut schemas = generator.take_definitions(true);
    let space = space(&schemas["Envelope"]);
    let mut messages = Map::new();
    let data = files.iter().filter(|(name, _)| !["envelope.v1", "outcome.v1"].contains(name));
    for (name, data) in data {
        let kind = name.strip_suffix(".v1").expect("a schema has a version");
        messages.extend(commands::messages(kind, data.as_value()));
    }
    let commands: Vec<String> = messages.keys().cloned().collect();
    schemas.extend(commands::schemas(&schemas["Envelope"]));
    let outcomes = answers::outcomes();
    let letters = answers::letters();
    let channels = channels([names(&commands), names(outcomes.keys()), names(letters.keys())]);
    messages.extend(outcomes);
    messages.extend(letters);
    json!({
        "asyncapi": "3.0.0",
        "info": info(),
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": channels,
        "operations": operations(),
        "components": {
            "schemas": schemas,
            "messages": messages,
            "messageBindings": {"keyedBySpace": {"kafka": {
                "key": space,
                "bindingVersion": BINDING,
            }}},
        },
    })
}

/// AsyncAPI reads the dialect of draft 7.
fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.into_generator()
}

/// The record key of a command and of its outcome: its space, as the envelope has it.
fn space(envelope: &Value) -> Value {
    json!({
        "description": "A space: what isolates memories, and what decides a record's partition.",
        "type": "string",
        "pattern": envelope["properties"]["space"]["pattern"],
        "not": {"enum": [".", ".."]},
    })
}

fn info() -> Value {
    json!({
        "title": "Engraft over Kafka",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Any client may put commands on one topic; a worker applies each to every store or to \
            none, and answers it once: with an outcome, or, when nobody can tell whose it is, with a dead letter.\n\n\
            A command comes as a CloudEvent in binary form (attributes in `ce_*` headers), as one in structured \
            form, or as bare JSON; the forms are told apart record by record. The key is the command's space and \
            decides the partition, by Java's hash of keys: producers on librdkafka set \
            `partitioner=murmur2_random`. A record under another key, or in another partition, is not applied.\n\n\
            Sent again under the same `id`, `source` and space, a command is done once and answered each time. \
            Without an `id` a producer's resend is a new command. Consumers pass over fields and headers that \
            they do not know.",
        "license": {"name": "Apache-2.0"},
    })
}

/// Where brokers are by default; an installation says where its own are.
fn servers() -> Value {
    let brokers = Options::default().brokers;
    let server = |protocol: &str, description: &str| {
        json!({
            "host": "{brokers}",
            "protocol": protocol,
            "description": description,
            "variables": {"brokers": {
                "default": brokers,
                "description": "`kafka.brokers`: `host:port`, separated by commas.",
            }},
        })
    };
    json!({
        "plain": server("kafka", "Brokers that ask for nothing."),
        "secure": server("kafka-secure", "Brokers behind TLS or SASL, as `[kafka.client]` says."),
    })
}

/// The three topics as they are made, each with its messages.
fn channels(messages: [Value; 3]) -> Value {
    let names = ["commands", "outcomes", "deadLetters"];
    let descriptions = [
        "What is asked. The log of all commands: what is in it will be answered.",
        "What became of each command, in the partition number that the command is in. Copies can repeat; \
         those of one command have the same `ce_id` and the same value.",
        "Records that cannot be read, or stand where they do not belong, in the partition number that they came \
         in, byte for byte. Of the latter there is an outcome too.",
    ];
    let all = topics::settings(&Options::default()).into_iter().zip(names).zip(descriptions).zip(messages);
    let channels = all.map(|(((topic, name), description), messages)| {
        let channel = json!({
            "address": topic.name,
            "description": description,
            "messages": messages,
            "bindings": {"kafka": {
                "topic": topic.name,
                "partitions": topics::PARTITIONS,
                "replicas": REPLICAS,
                "topicConfiguration": configuration(&topic),
                "bindingVersion": BINDING,
            }},
        });
        (name.to_owned(), channel)
    });
    Value::Object(channels.collect())
}

/// A topic's settings as the binding types them: policies are a list, numbers are numbers.
fn configuration(topic: &Settings) -> Value {
    let typed = topic.config.iter().map(|(name, value)| {
        let value = match value.parse::<u64>() {
            Ok(number) => number.into(),
            Err(_) if *name == "cleanup.policy" => json!([value]),
            Err(_) => json!(value),
        };
        ((*name).to_owned(), value)
    });
    Value::Object(typed.collect())
}

/// Who does what, told of Engraft: what it receives, others send.
fn operations() -> Value {
    let channel = |name: &str| json!({"$ref": format!("#/channels/{name}")});
    let group = Options::default().group();
    json!({
        "applyCommands": {
            "action": "receive",
            "channel": channel("commands"),
            "summary": "Workers take commands in the order of each partition.",
            "description": "Whoever may produce to the topic may send them. The group says which worker should \
                read a partition; what has been read stands in the ledger, and the group's offsets are for lag \
                tools alone.",
            "bindings": {"kafka": {
                "groupId": {"type": "string", "const": group},
                "bindingVersion": BINDING,
            }},
            "reply": {"channel": channel("outcomes")},
        },
        "appendCommands": {
            "action": "send",
            "channel": channel("commands"),
            "summary": "A process that serves HTTP appends what it was asked for, beside other producers.",
        },
        "publishOutcomes": {
            "action": "send",
            "channel": channel("outcomes"),
            "summary": "The worker that holds a partition publishes the outcomes of its commands.",
            "description": "Published at least once, in the order in which commands finished. Anybody may \
                consume them.",
        },
        "publishDeadLetters": {
            "action": "send",
            "channel": channel("deadLetters"),
            "summary": "The worker that holds a partition sets aside what it cannot apply.",
            "description": "For people and their tools to look through. One that is repaired is sent to the topic \
                of commands again.",
        },
    })
}

/// References to messages, by the names that a channel has for them.
fn names<'n>(names: impl IntoIterator<Item = &'n String>) -> Value {
    let references = names.into_iter().map(|name| (name.clone(), reference("messages", name)));
    Value::Object(references.collect())
}

/// A reference to a part of the document.
fn reference(what: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{what}/{name}")})
}
