//! The messages that Engraft sends: outcomes and dead letters.
//!
//! Their headers are those that the writing code sets, asked for with all that an event can have and with
//! as little as it can have: what is in both is always there.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{
    super::{
        Options,
        event::{self, CONNECT_ERRORS, ERROR_CODE, FINISH},
    },
    examples::{self, POSITION},
    reference,
};
use crate::{
    log::{DeadLetter, Headers, OutcomeEvent, Record},
    model::{Code, Outcome, Timestamp, command::Trace, outcome::Verdict},
};

/// One message a verdict, by name.
pub(super) fn outcomes() -> Map<String, Value> {
    let verdicts = [
        (Verdict::Committed, "committed", "Every store holds it."),
        (
            Verdict::Compensated,
            "compensated",
            "A store refused it for good; what the others had taken was taken back.",
        ),
        (Verdict::Failed, "failed", "It was refused before anything was written."),
    ];
    let messages = verdicts.map(|(verdict, name, summary)| {
        let headers = outcome_headers(
            examples::outcome(verdict),
            Trace {
                correlation_id: Some("r-1".to_owned()),
                traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
                tracestate: Some("vendor=1".to_owned()),
                ..Trace::default()
            },
        );
        let least = outcome_headers(examples::outcome(verdict), Trace::default());
        let value = serde_json::to_vec(&examples::outcome(verdict)).expect("an outcome is JSON");
        let message = json!({
            "name": format!("engraft.outcome.{name}.v1"),
            "title": format!("outcome, {name}"),
            "summary": summary,
            "contentType": "application/json",
            "headers": schema(&headers, &least),
            "payload": {"allOf": [
                reference("schemas", "Outcome"),
                {"type": "object", "properties": {"outcome": {"const": name}}},
            ]},
            "correlationId": {
                "location": "$message.header#/ce_correlationid",
                "description": "The command's own, where it had one.",
            },
            "bindings": reference("messageBindings", "keyedBySpace"),
            "examples": [examples::of(name, &headers, &value)],
        });
        (format!("outcome.{name}"), message)
    });
    messages.into_iter().collect()
}

/// The one message of dead letters, by name.
pub(super) fn letters() -> Map<String, Value> {
    let value = r#"{"type":"memory.put","data":"#;
    let letter = DeadLetter {
        record: Record {
            position: POSITION.parse().expect("a position"),
            key: Some(Bytes::from_static(b"acme")),
            value: Some(Bytes::from_static(value.as_bytes())),
            headers: Headers::new(),
            appended_at: Timestamp::default(),
        },
        code: Code::Malformed,
        detail: "the value is not JSON: it ends too early".to_owned(),
    };
    let options = Options::default();
    let headers = event::letter_headers(&letter, &options.commands_topic(), &options.group());
    let mut example = examples::of("malformed", &headers, b"{}");
    // Not JSON, which is why it is here: a text stands for its bytes.
    example["payload"] = value.into();
    let message = json!({
        "name": "engraft.dead_letter.v1",
        "title": "dead letter",
        "summary": "A record as it came: its key, its value, its own headers, and behind those why it is here.",
        "contentType": "application/octet-stream",
        "headers": schema(&headers, &headers),
        "payload": {"description": "The record's value, byte for byte; null where it had none."},
        "bindings": {"kafka": {
            "key": {"description": "The record's key, byte for byte; null where it had none."},
            "bindingVersion": super::BINDING,
        }},
        "examples": [example],
    });
    Map::from_iter([("deadLetter".to_owned(), message)])
}

fn outcome_headers(outcome: Outcome, trace: Trace) -> Headers {
    let event = OutcomeEvent { outcome, finish: 1_680, trace };
    event::outcome_headers(&event, &Options::default().commands_topic())
}

/// What headers a message has. `least`: those that it has always.
fn schema(all: &Headers, least: &Headers) -> Value {
    let required: Vec<&String> = least.iter().map(|(name, _)| name).collect();
    let properties = all.iter().map(|(name, value)| {
        let text = std::str::from_utf8(value).expect("a header of ours is text");
        (name.clone(), header(name, text))
    });
    let properties: Map<String, Value> = properties.collect();
    json!({"type": "object", "properties": properties, "required": required})
}

/// What one header holds. Those that are the same in every such message hold just that.
fn header(name: &str, value: &str) -> Value {
    let text = |description: &str| json!({"description": description, "type": "string"});
    let number =
        |description: &str| json!({"description": description, "type": "string", "pattern": "^[0-9]+$"});
    if let Some(reason) = name.strip_prefix(CONNECT_ERRORS) {
        return match reason {
            "topic" => json!({"description": "The topic that it came from.", "const": value}),
            "partition" => number("The partition that it came in."),
            "offset" => number("Its offset there."),
            "connector.name" => text("The group that read it."),
            "exception.class.name" => text("As `engraft-error-code`."),
            "exception.message" => text("What is wrong, and what to change."),
            other => panic!("the header `{other}` is not described"),
        };
    }
    match name {
        "ce_specversion" | "ce_source" | "ce_type" | "content-type" => json!({"const": value}),
        "ce_id" => json!({
            "description": "The command's position: copies of one outcome have the same.",
            "allOf": [reference("schemas", "Position")],
        }),
        "ce_causationid" => text("The command's id; its position where the producer gave none."),
        "ce_correlationid" | "ce_traceparent" | "ce_tracestate" => {
            text("The command's own, where it had one.")
        }
        FINISH => number("The highest finish number sent so far in this partition."),
        ERROR_CODE => text("A stable code, such as `malformed`."),
        other => panic!("the header `{other}` is not described"),
    }
}
