//! One example a message: records that the encoder builds, and outcomes of the types that are published.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    log::{Headers, contract, envelope::encode::Draft},
    model::{
        Code, FieldError, Outcome, Position, Space,
        command::Trace,
        outcome::{Effect, Verdict},
    },
};

/// Where the commands of all examples stand.
pub(super) const POSITION: &str = "1.17.1680";

/// A command of this type, with all that can be around it.
pub(super) fn draft(kind: &str) -> Draft {
    let space = Space::new("acme").expect("a space");
    Draft {
        time: Some("2026-11-21T09:00:00Z".parse().expect("a time")),
        expires_at: Some("2026-11-21T09:05:00Z".parse().expect("a time")),
        trace: Trace {
            correlation_id: Some("r-1".to_owned()),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
            ..Trace::default()
        },
        ..Draft::new(space, kind, &data(kind)).with_id("c-1").from_source("/agents/ada")
    }
}

/// The data of a command of this type.
fn data(kind: &str) -> Value {
    let tea = json!({
        "id": "m-2", "kind": "Episode", "content": "Ada likes tea", "session": "s-42", "importance": 0.5,
        "properties": {"topic": "tea", "turn": 3}, "vector": [0.1, 0.2, 0.3],
    });
    let relation = json!({"source": "m-1", "type": "CAUSES", "target": "m-2"});
    let with = |mut data: Value, field: &str, value: Value| {
        data[field] = value;
        data
    };
    match kind {
        "memory.put" => tea,
        "memory.patch" => json!({"id": "m-2", "importance": 0.9, "properties": {"turn": null}}),
        "memory.touch" | "memory.delete" | "memory.archive" | "memory.restore" => json!({"id": "m-2"}),
        "memory.supersede" => json!({"id": "m-1", "by": tea}),
        "relation.put" => with(relation, "weight", 0.5.into()),
        "relation.delete" => relation,
        "relation.strengthen" => with(relation, "rate", 0.1.into()),
        "relation.invalidate" => with(relation, "valid_until", "2026-11-21T09:00:00Z".into()),
        "relation.decay" => json!({"session": "s-42", "older_than_days": 30, "rate": 0.01}),
        "batch" => json!({"items": [
            {"type": "memory.put", "data": tea},
            {"type": "relation.put", "data": relation},
        ]}),
        "space.create" => json!({"dimension": 3, "metric": "cosine", "indexed": ["topic"], "quota": 100_000}),
        "space.erase" => json!({}),
        other => panic!("there is no example of `{other}`"),
    }
}

/// The outcome of such a command.
pub(super) fn outcome(verdict: Verdict) -> Outcome {
    let position: Position = POSITION.parse().expect("a position");
    let committed = contract::outcome(position.partition_id(), position.offset, position.offset).outcome;
    let wrong = |code, detail: &str| (code, vec![FieldError::new(code, "/data/vector", detail)]);
    let (code, errors) = match verdict {
        Verdict::Committed => return committed,
        Verdict::Compensated => wrong(Code::StoreRejected, "the vector store refused the vector"),
        Verdict::Failed => wrong(Code::DimensionMismatch, "the vector has 2 values, and the space takes 3"),
    };
    let mut records = committed.records;
    if verdict == Verdict::Failed {
        records.clear();
    }
    records.iter_mut().for_each(|record| record.effect = Effect::Unchanged);
    Outcome { verdict, code, errors, records, ..committed }
}

/// An example of a message, from what is on the topic.
pub(super) fn of(name: &str, headers: &Headers, value: &[u8]) -> Value {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).expect("a header of ours is text");
    let headers: Map<String, Value> =
        headers.iter().map(|(name, value)| (name.clone(), text(value).into())).collect();
    let payload: Value = serde_json::from_slice(value).expect("a value of ours is JSON");
    json!({"name": name, "headers": headers, "payload": payload})
}
