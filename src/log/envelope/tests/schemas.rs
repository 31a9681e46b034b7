//! The schema files are current, and agree with the decoder.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{super::schema, refusals::BAD_DATA, *};
use crate::model::{
    MemoryId, Name, Outcome, Version,
    outcome::{
        CommandName, Effect, FieldError, RecordName, RecordOutcome, RelationName, VectorFate, Verdict,
    },
};

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "asks a test whether to write its files, no setting of the program"
)]
fn the_schema_files_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    for (name, schema) in schema::generate() {
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        let path = folder.join(format!("{name}.json"));
        if std::env::var_os("ENGRAFT_WRITE_SCHEMAS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap();
        assert_eq!(kept, text, "{name} is out of date: run with ENGRAFT_WRITE_SCHEMAS=1");
    }
    assert_eq!(fs::read_dir(folder).unwrap().count(), schema::FILES.len(), "a file without a type");
    assert!(schema::named("memory.put.v1.json").is_some() && schema::named("memory.put.v2").is_none());
}

fn validator(name: &str) -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(schema::named(name).expect(name)).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

#[test]
fn what_the_decoder_accepts_its_schema_accepts() {
    let ends = json!({"source": "a", "type": "CAUSES", "target": "b"});
    let with = |extra: Value| {
        let mut all = ends.clone();
        extra.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
        all
    };
    let put = json!({
        "id": "m", "kind": "Entity", "content": "tea", "session": "s", "importance": 1,
        "properties": {"gone": null, "f": true, "l": [1, 2.5], "e": [], "o": {"a": [null, "x"]}, "n": -9223372036854775808_i64},
        "vector": {"b64": "AACAPwAAAMA"}, "sparse": {"indices": [7, 4294967295_u32], "values": [0.5, 1]},
        "occurred_at": "2026-01-01T00:00:00.123456+01:00", "valid_from": null, "valid_until": null,
        "if_absent": true, "if_version": "1.6720",
    });
    for (kind, data) in [
        ("memory.put", json!({})),
        ("memory.put", put.clone()),
        ("memory.put", json!({"vector": [0.1, -3.4e38, 1], "id": "ü /~"})),
        (
            "memory.patch",
            json!({"id": "m", "content": null, "sparse": null, "properties": {"a": null}, "keep_vector": true}),
        ),
        ("memory.touch", json!({"id": "m"})),
        ("memory.delete", json!({"id": "m", "if_version": null})),
        ("memory.supersede", json!({"id": "old", "by": put})),
        ("memory.archive", json!({"id": "m"})),
        ("memory.restore", json!({"id": "m"})),
        (
            "relation.put",
            with(json!({"weight": 0.5, "properties": {"p": 1}, "on_missing": "stub", "discriminator": ""})),
        ),
        ("relation.delete", ends.clone()),
        ("relation.strengthen", with(json!({"rate": 0.2, "on_missing": null}))),
        ("relation.invalidate", with(json!({"valid_until": "2026-01-01T00:00:00Z"}))),
        (
            "relation.decay",
            json!({"id": null, "session": "s", "older_than_days": 0, "rate": 1, "prune_below": 0}),
        ),
        ("relation.decay", json!({"id": "m"})),
        (
            "batch",
            json!({"items": [{"type": "memory.put", "data": {}}, {"type": "engraft.relation.put.v1", "data": ends}]}),
        ),
        (
            "space.create",
            json!({"dimension": 384, "metric": "dot", "kinds": ["A"], "text": false, "quota": 10, "indexed": null}),
        ),
        ("space.erase", json!({})),
    ] {
        let record = draft(kind, &data).bare();
        let whole: Value = serde_json::from_slice(&record.value).unwrap();
        accepted(&appended(record));
        let problems: Vec<String> =
            validator(&format!("{kind}.v1")).iter_errors(&data).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{kind} {data}: {problems:?}");
        assert!(validator("envelope.v1").is_valid(&whole), "{whole}");
    }
}

/// What the decoder refuses and no schema can, or not wherever a text stands: U+0000, order, equal lengths, what bytes mean, keys named
/// twice, numbers that JSON readers round.
const BEYOND_SCHEMAS: &[&str] = &[
    r#"{"content":"\ud800"}"#,
    r#"{"content":"a\u0000b"}"#,
    r#"{"session":"\u0000"}"#,
    r#"{"properties":{"a":{"b":["\u0000"]}}}"#,
    r#"{"vector":[0.1,1e400]}"#,
    r#"{"vector":{"b64":"AAAA"}}"#,
    r#"{"vector":{"b64":"AADAfw=="}}"#,
    r#"{"vector":{"b64":"AACAfw=="}}"#,
    r#"{"sparse":{"indices":[1],"values":[1,2]}}"#,
    r#"{"valid_from":"2026-01-02T00:00:00Z","valid_until":"2026-01-02T00:00:00Z"}"#,
    r#"{"properties":{"a":18446744073709551616}}"#,
    r#"{"properties":{"a":{"b":1,"b":2}}}"#,
    r#"{"id":"a","id":"a"}"#,
    r#"{"id":"m","by":{"id":"m"}}"#,
    r#"{"id":"a","session":"s"}"#,
];

#[test]
fn what_the_decoder_refuses_its_schema_refuses_where_a_schema_can() {
    for (kind, data, ..) in BAD_DATA {
        let passes = serde_json::from_str::<Value>(data)
            .map_or(true, |value| validator(&format!("{kind}.v1")).is_valid(&value));
        assert_eq!(passes, BEYOND_SCHEMAS.contains(data), "{kind} {data}");
    }
}

#[test]
fn outcomes_are_what_their_schema_says() {
    let record = |record, effect| RecordOutcome {
        record,
        version: Some(Version { epoch: 1, sequence: 6720 }),
        effect,
        vector: Some(VectorFate::Dropped),
    };
    let id = |text: &str| MemoryId::new(text).unwrap();
    let relation = RelationName {
        source: id("a"),
        kind: Name::new("CAUSES").unwrap(),
        target: id("b"),
        discriminator: String::new(),
    };
    let outcome = Outcome {
        command: CommandName { id: "c-1".into(), source: String::new(), kind: "engraft.batch.v1".into() },
        space: acme(),
        position: "1.17.1680".parse().unwrap(),
        verdict: Verdict::Committed,
        code: Code::Ok,
        duplicate_of: Some("1.17.3".parse().unwrap()),
        errors: vec![FieldError::new(Code::TooLarge, "/data", "too large")],
        records: vec![
            record(RecordName::Memory(id("m-1")), Effect::Patched),
            record(RecordName::Relation(relation), Effect::Created),
        ],
        counts: [("relations_deleted".to_owned(), 2)].into(),
        token: "AbC".into(),
        accepted_at: Timestamp::from_millis(1),
        finished_at: Timestamp::from_millis(2),
    };
    let mut value = serde_json::to_value(&outcome).unwrap();
    let validator = validator("outcome.v1");
    let problems: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{value}: {problems:?}");
    value["outcome"] = json!("perhaps");
    assert!(!validator.is_valid(&value));
}
