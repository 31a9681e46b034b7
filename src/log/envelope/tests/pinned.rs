//! Body hashes and derived ids that may never change.

use serde_json::json;

use super::*;
use crate::model::{
    Command, MemoryId, Name, Sparse, Version,
    command::{DecayScope, OnMissing, Patch},
    hash::derived_uuid,
};

/// Pinned: ledgers hold these bytes, and dedupe compares these hashes.
#[test]
fn the_body_and_its_hash_are_what_they_were() {
    for (value, body, hash) in [
        (
            r#"{"type":"memory.put","data":{}}"#,
            r#"{"data":{},"type":"engraft.memory.put.v1"}"#,
            "7d45f751a0768936a462c59596f9d740dd95925406ad4bc60ee8028d3fcf12ca",
        ),
        (
            r#"{"data":{"vector":[0.1,1.0,-0],"id":"m-1","kind":null,"properties":{"z":1,"é":{"b":9007199254740993,"a":1e21}},"content":"\u00e9\n"},"type":"engraft.memory.patch.v1","id":"c","space":"acme"}"#,
            "{\"data\":{\"content\":\"é\\n\",\"id\":\"m-1\",\"kind\":null,\"properties\":{\"z\":1,\"é\":{\"a\":1e+21,\"b\":9007199254740993}},\"vector\":[0.1,1,0]},\"type\":\"engraft.memory.patch.v1\"}",
            "3cf0210dd0456f6d441e99902043afef5a5e9c927d5530be316be69a1a8bb13a",
        ),
        (
            r#"{"type":"batch","data":{"items":[{"type":"memory.touch","data":{"id":"m"}}]}}"#,
            r#"{"data":{"items":[{"data":{"id":"m"},"type":"memory.touch"}]},"type":"engraft.batch.v1"}"#,
            "0e30f6b26bebf140c7f94461f85193856011bad595216d53bc12d04584882d6a",
        ),
    ] {
        // The second one has a property name that is refused; its body is hashed all the same.
        let (found, header) = match decode(&bare(value), ROUTING, &Limits::default()) {
            Decoded::Command(envelope) => {
                assert_eq!(std::str::from_utf8(&envelope.body), Ok(body));
                (envelope.body_hash, envelope.header)
            }
            Decoded::Failed(failed) => (failed.body_hash, failed.header),
            other @ Decoded::Unreadable { .. } => panic!("{other:?}"),
        };
        assert_eq!(found, Digest::of(body.as_bytes()), "{value}");
        assert_eq!(found.to_string(), hash, "{value}");
        assert!(header.kind.starts_with("engraft."));
    }
}

#[test]
fn integers_that_a_double_would_merge_keep_apart() {
    let hash = |n: &str| {
        accepted(&bare(&format!(r#"{{"type":"memory.put","data":{{"properties":{{"n":{n}}}}}}}"#))).body_hash
    };
    assert_ne!(hash("9007199254740992"), hash("9007199254740993"));
    assert_ne!(hash("9223372036854775807"), hash("9223372036854775806"));
    assert_eq!(hash("1"), hash("1.0"));
}

/// Pinned: a resend of a command without memory ids writes the same memories.
#[test]
fn absent_memory_ids_are_derived_from_the_command_and_the_place_in_it() {
    let derived = |index: &str| {
        MemoryId::new(derived_uuid(&["acme", "/agents/ada", "c-1", index]).to_string()).unwrap()
    };
    assert_eq!(derived("0").as_str(), "30e4a999-6765-55a1-ab5c-6ef2c5844588");
    let one = accepted(&appended(draft("memory.put", &json!({})).bare())).command;
    assert!(matches!(one, Command::MemoryPut(put) if put.id == derived("0")));
    let item = json!({"type": "memory.put", "data": {}});
    let superseding = json!({"type": "memory.supersede", "data": {"id": "old", "by": {}}});
    let batch = draft("batch", &json!({"items": [item, item, superseding]}));
    let Command::Batch(batch) = accepted(&appended(batch.bare())).command else { panic!("no batch") };
    let ids: Vec<_> = batch
        .items
        .iter()
        .map(|item| match item {
            Command::MemoryPut(put) => put.id.clone(),
            Command::MemorySupersede(supersede) => supersede.by.id.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, [derived("0"), derived("1"), derived("2")]);
}

fn read(kind: &str, data: &serde_json::Value) -> Command {
    accepted(&appended(draft(kind, data).bare())).command
}

#[test]
fn absent_fields_have_their_defaults() {
    let Command::MemoryPut(put) = read("memory.put", &json!({"id": "m", "kind": null})) else { panic!() };
    assert_eq!((put.kind.as_str(), put.content.as_str(), put.importance), ("Episode", "", 0.5));
    assert!(
        put.properties.is_empty() && put.session.is_none() && put.vector.is_none() && put.sparse.is_none()
    );
    assert!(put.occurred_at.is_none() && put.valid_from.is_none() && put.valid_until.is_none());
    assert!(!put.if_absent && put.if_version.is_none());
    let ends = json!({"source": "a", "type": "CAUSES", "target": "a"});
    let Command::RelationPut(put) = read("relation.put", &ends) else { panic!() };
    assert_eq!((put.weight, put.on_missing, &*put.relation.discriminator), (1.0, OnMissing::Refuse, ""));
    let Command::RelationStrengthen(strengthen) = read("relation.strengthen", &ends) else { panic!() };
    assert_eq!((strengthen.rate, strengthen.relation.space), (0.1, acme()));
    let Command::RelationDecay(decay) = read("relation.decay", &json!({"session": "s"})) else { panic!() };
    assert_eq!((decay.older_than_days, decay.rate, decay.prune_below), (30, 0.01, 0.01));
    assert_eq!(decay.scope, DecayScope::Session("s".to_owned()));
    let Command::SpaceCreate(create) = read("space.create", &json!({})) else { panic!() };
    assert_eq!(create, crate::model::command::SpaceCreate::default());
    assert_eq!(read("space.erase", &json!({})), Command::SpaceErase);
}

#[test]
fn every_field_that_is_given_arrives() {
    let data = json!({
        "id": "m", "kind": "Entity", "content": "tea", "session": "s", "importance": 1,
        "properties": {"gone": null, "flag": true, "list": [1, 2.5], "whole": {"a": [null, "x"]}},
        "vector": {"b64": "AACAPwAAAMA="}, "sparse": {"indices": [7, 42], "values": [0.5, 1]},
        "occurred_at": "2026-01-01T00:00:00Z", "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2026-01-02T00:00:00+01:00", "if_absent": true, "if_version": "1.6720",
    });
    let Command::MemoryPut(put) = read("memory.put", &data) else { panic!() };
    assert_eq!(put.kind, Name::new("Entity").unwrap());
    assert_eq!((put.session.as_deref(), put.importance), (Some("s"), 1.0));
    assert_eq!(put.vector.as_deref(), Some(&[1.0_f32, -2.0][..]));
    let sparse = Sparse { indices: [7, 42].into(), values: [0.5, 1.0].into(), derived: false };
    assert_eq!(put.sparse, Some(sparse));
    assert_eq!(put.valid_until, "2026-01-01T23:00:00Z".parse().ok());
    assert_eq!((put.if_absent, put.if_version), (true, Some(Version { epoch: 1, sequence: 6720 })));
    assert_eq!(
        serde_json::Value::Object(put.properties),
        json!({"flag": true, "list": [1, 2.5], "whole": {"a": [null, "x"]}})
    );
}

#[test]
fn a_patch_tells_removed_from_kept() {
    let data = json!({"id": "m", "content": null, "session": "s", "properties": {"a": null, "b": 1},
                      "sparse": null, "keep_vector": true});
    let Command::MemoryPatch(patch) = read("memory.patch", &data) else { panic!() };
    assert_eq!((patch.content, patch.kind), (Patch::Remove, Patch::Keep));
    assert_eq!(patch.session, Patch::Set("s".to_owned()));
    assert_eq!((patch.sparse, patch.vector), (Patch::Remove, Patch::Keep));
    assert!(patch.keep_vector);
    let properties = patch.properties.set().unwrap();
    assert_eq!(serde_json::Value::Object(properties.clone()), json!({"a": null, "b": 1}));
}
