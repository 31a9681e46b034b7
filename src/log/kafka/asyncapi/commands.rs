//! The messages that commands come as: each type in each of the three wire forms.
//!
//! The forms share one schema each, made of the envelope's; a message adds which type it is and what its
//! data is.

use serde_json::{Map, Value, json};

use super::{examples, reference};
use crate::log::NewRecord;

/// What both CloudEvents forms require, whatever the type.
const REQUIRED: [&str; 4] = ["specversion", "type", "id", "source"];

/// A wire form.
struct Form {
    name: &'static str,
    words: &'static str,
    content_type: &'static str,
    /// Where in the message it is.
    correlation_id: &'static str,
}

const BINARY: Form = Form {
    name: "binary",
    words: "a CloudEvent in binary form",
    content_type: "application/json",
    correlation_id: "$message.header#/ce_correlationid",
};
const STRUCTURED: Form = Form {
    name: "structured",
    words: "a CloudEvent in structured form",
    content_type: "application/cloudevents+json",
    correlation_id: "$message.payload#/correlationid",
};
const BARE: Form = Form {
    name: "bare",
    words: "bare JSON",
    content_type: "application/json",
    correlation_id: "$message.payload#/correlationid",
};

/// The schemas around the data: headers of the binary form, the event of the structured one, headers of
/// both forms in JSON. The bare form is the envelope itself.
pub(super) fn schemas(envelope: &Value) -> Vec<(String, Value)> {
    let mut binary = Map::from_iter([("ce_specversion".to_owned(), json!({"const": "1.0"}))]);
    let mut structured = Map::from_iter([("specversion".to_owned(), json!({"const": "1.0"}))]);
    for (name, attribute) in envelope["properties"].as_object().expect("an envelope has fields") {
        structured.insert(name.clone(), required(name).unwrap_or_else(|| attribute.clone()));
        if name != "data" {
            binary.insert(format!("ce_{name}"), required(name).unwrap_or_else(|| present(attribute)));
        }
    }
    binary.extend(trace_headers());
    binary.insert("content-type".to_owned(), json!({
        "description": "Anything that does not begin with `application/cloudevents`; the value is JSON in any case.",
        "type": "string",
    }));
    let mut around = trace_headers();
    around.insert("content-type".to_owned(), json!({
        "description": "`application/cloudevents+json` for a structured event, which its `specversion` tells as well.",
        "type": "string",
    }));
    [
        ("BinaryHeaders", json!({
            "description": "The attributes of a CloudEvent in binary form; others are passed over.",
            "type": "object", "properties": binary, "required": REQUIRED.map(|name| format!("ce_{name}")),
        })),
        ("StructuredEvent", json!({
            "description": "A CloudEvent in structured form; attributes that are not here are passed over.",
            "type": "object", "properties": structured, "required": ([&REQUIRED[..], &["data"]].concat()),
        })),
        ("JsonHeaders", json!({
            "description": "Headers of a command whose attributes are in its value. None is required.",
            "type": "object", "properties": around,
        })),
    ]
    .map(|(name, schema)| (name.to_owned(), schema))
    .into()
}

/// One type of command, in each form. `data`: the schema of its data.
pub(super) fn messages(kind: &str, data: &Value) -> [(String, Value); 3] {
    let (types, example) = (json!({"enum": [kind, format!("engraft.{kind}.v1")]}), examples::draft(kind));
    let around = json!({"type": "object", "properties": {"type": types, "data": data}});
    let whole = |schema: &str| json!({"allOf": [reference("schemas", schema), around]});
    let typed = json!({
        "type": "object",
        "properties": {"ce_type": types},
        "allOf": [reference("schemas", "BinaryHeaders")],
    });
    let untyped = reference("schemas", "JsonHeaders");
    [
        BINARY.message(kind, &typed, data, &example.binary()),
        STRUCTURED.message(kind, &untyped, &whole("StructuredEvent"), &example.structured()),
        BARE.message(kind, &untyped, &whole("Envelope"), &example.bare()),
    ]
}

impl Form {
    fn message(&self, kind: &str, headers: &Value, payload: &Value, record: &NewRecord) -> (String, Value) {
        let Self { name, words, content_type, correlation_id } = self;
        let message = json!({
            "name": format!("engraft.{kind}.v1"),
            "title": format!("{kind}, {name}"),
            "summary": format!("`{kind}` as {words}."),
            "contentType": content_type,
            "headers": headers,
            "payload": payload,
            "correlationId": {"location": correlation_id, "description": "Carried to the outcome."},
            "bindings": reference("messageBindings", "keyedBySpace"),
            "examples": [examples::of(kind, &record.headers, &record.value)],
        });
        (format!("{kind}.{name}"), message)
    }
}

/// What a CloudEvent requires and bare JSON does not.
fn required(name: &str) -> Option<Value> {
    match name {
        "id" => Some(json!({
            "description": "The idempotency key within space and source.",
            "allOf": [reference("schemas", "Label")],
        })),
        "source" => Some(json!({
            "description": "A URI reference: who sends.",
            "type": "string", "minLength": 1, "maxLength": 1_024,
        })),
        _ => None,
    }
}

/// Where tracing libraries put their context, in every form.
fn trace_headers() -> Map<String, Value> {
    let header = |name: &str| {
        let description = "W3C trace context, carried to the outcome; in JSON the command's own comes first.";
        (name.to_owned(), json!({"description": description, "type": "string"}))
    };
    ["traceparent", "tracestate"].map(header).into_iter().collect()
}

/// A field's schema without null, which no header can be.
fn present(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(types) = schema["type"].as_array() {
        let only: Vec<&Value> = types.iter().filter(|one| *one != "null").collect();
        schema["type"] = only[0].clone();
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let only: Vec<&Value> = any.iter().filter(|one| one["type"] != "null").collect();
        schema = json!({"description": schema["description"], "allOf": only});
    }
    schema
}
