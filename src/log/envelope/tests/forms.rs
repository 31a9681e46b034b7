//! The three wire forms: told apart, decoded alike, encoded and decoded back.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    log::envelope::{check, encode::Draft, json as strict, revive},
    model::{Command, canonical, command::Trace},
};

/// Any JSON that may stand in a property kept whole.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_put() -> impl Strategy<Value = Value> {
    let id = prop::option::of("[a-zA-Z0-9 ü/~-]{1,20}x");
    let vector =
        prop::option::of(prop::collection::vec(any::<f32>().prop_filter("finite", |f| f.is_finite()), 1..9));
    let scalar = prop_oneof![any::<i64>().prop_map(Value::from), any::<String>().prop_map(Value::from)];
    (id, any::<String>(), vector, scalar, any_json(), prop::option::of(0.0..1.0_f64)).prop_map(
        |(id, content, vector, scalar, whole, importance)| {
            json!({"id": id, "content": content, "vector": vector, "importance": importance,
                   "properties": {"scalar": scalar, "whole": {"kept": whole}}})
        },
    )
}

fn any_command() -> impl Strategy<Value = (String, Value)> {
    let relation = json!({"source": "a", "type": "CAUSES", "target": "b", "weight": 0.25});
    let patch = any_put().prop_map(|mut put| {
        put["id"] = json!("m-1");
        put["valid_until"] = Value::Null;
        ("memory.patch".to_owned(), put)
    });
    let batch = prop::collection::vec(any_put(), 1..4).prop_map(move |puts| {
        let mut items: Vec<Value> =
            puts.into_iter().map(|put| json!({"type": "memory.put", "data": put})).collect();
        items.push(json!({"type": "relation.put", "data": relation}));
        ("batch".to_owned(), json!({"items": items}))
    });
    prop_oneof![any_put().prop_map(|put| ("memory.put".to_owned(), put)), patch, batch]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_form_and_both_names_of_the_type_decode_to_the_same_command((kind, data) in any_command()) {
        let short = draft(&kind, &data);
        let long = Draft { kind: format!("engraft.{kind}.v1"), ..short.clone() };
        let first = accepted(&appended(short.bare()));
        for record in [short.structured(), short.binary(), long.bare(), long.structured(), long.binary()] {
            prop_assert_eq!(&accepted(&appended(record)), &first);
        }
        prop_assert_eq!(&first.header.id, "c-1");
        prop_assert_eq!(&first.header.source, "/agents/ada");
    }

    #[test]
    fn a_kept_body_revives_to_the_command_that_was_decoded((kind, data) in any_command()) {
        let decoded = accepted(&appended(draft(&kind, &data).bare()));
        prop_assert_eq!(revive(&decoded.header, &decoded.body).unwrap(), decoded.command);
        prop_assert_eq!(Digest::of(&decoded.body), decoded.body_hash);
    }

    #[test]
    fn what_was_checked_before_the_append_decodes_to_what_was_checked((kind, data) in any_command()) {
        let sent = draft(&kind, &data).structured();
        let checked = check(&sent.value, &sent.headers, &Limits::default()).unwrap();
        let (command, hash) = (checked.command().clone(), checked.body_hash());
        let decoded = accepted(&appended(checked.into_record("unused").unwrap()));
        prop_assert_eq!(decoded.command, command);
        prop_assert_eq!(decoded.body_hash, hash);
    }

    /// Apart from integers beyond 2^53, which keep their digits, this is RFC 8785.
    #[test]
    fn canonical_bytes_are_those_of_rfc_8785(value in any_json()) {
        fn exact(value: &Value) -> bool {
            match value {
                Value::Number(number) => number.as_i64().is_none_or(|i| i.unsigned_abs() <= 1 << 53),
                Value::Array(items) => items.iter().all(exact),
                Value::Object(map) => map.values().all(exact),
                _ => true,
            }
        }
        prop_assume!(exact(&value));
        let text = value.to_string();
        let parsed = strict::parse(text.as_bytes(), strict::Origin::RECORD, 64).unwrap();
        let mut bytes = Vec::new();
        super::super::canonical::write(&parsed.value, &mut bytes);
        prop_assert_eq!(String::from_utf8(bytes).unwrap(), String::from_utf8(canonical::of(&value)).unwrap());
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(key in prop::option::of(any::<Vec<u8>>()), value in any::<Vec<u8>>()) {
        let _decoded = decode(&held(key.as_deref(), Some(&value), Vec::new()), ROUTING, &Limits::default());
        let _checked = check(&value, &Vec::new(), &Limits::default());
    }

    #[test]
    fn no_broken_command_makes_the_decoder_panic(cut in 0_usize..200, put_in in any::<u8>()) {
        let mut text = draft("memory.put", &json!({"id":"m","content":"\u{e9}\n\"x","properties":{"a":[1,2.5e3]}}))
            .bare().value.to_vec();
        let at = cut % text.len();
        text[at] = put_in;
        let _decoded = decode(&held(Some(b"acme"), Some(&text), Vec::new()), ROUTING, &Limits::default());
        text.truncate(at);
        let _decoded = decode(&held(Some(b"acme"), Some(&text), Vec::new()), ROUTING, &Limits::default());
    }
}

#[test]
fn attributes_travel_in_every_form() {
    let full = Draft {
        time: Some("2026-11-21T09:00:00Z".parse().unwrap()),
        expires_at: Some("2026-11-22T09:00:00Z".parse().unwrap()),
        trace: Trace {
            correlation_id: Some("flow".to_owned()),
            causation_id: Some("cause".to_owned()),
            traceparent: Some("00-1-2-01".to_owned()),
            tracestate: Some("a=b".to_owned()),
        },
        ..draft("memory.touch", &json!({"id": "m-1"}))
    };
    for record in [full.bare(), full.structured(), full.binary()] {
        let header = accepted(&appended(record)).header;
        assert!(header.claims);
        assert_eq!((header.time, header.expires_at), (full.time.unwrap(), full.expires_at));
        assert_eq!(header.trace, full.trace);
        assert_eq!(header.kind, "engraft.memory.touch.v1");
    }
}

#[test]
fn without_an_id_the_position_is_the_id_and_nothing_is_claimed() {
    let record = appended(Draft::new(acme(), "memory.put", &json!({})).bare());
    let envelope = accepted(&record);
    assert_eq!(envelope.header.id, record.position.to_string());
    assert!(!envelope.header.claims);
    assert_eq!((envelope.header.source.as_str(), envelope.header.time), ("", record.appended_at));
}

#[test]
fn a_trace_header_of_its_own_reaches_the_command_in_every_form() {
    let draft = draft("memory.touch", &json!({"id": "m-1"}));
    for mut record in [draft.bare(), draft.structured(), draft.binary()] {
        record.headers.push(("traceparent".to_owned(), Bytes::from_static(b"00-a-b-01")));
        assert_eq!(accepted(&appended(record)).header.trace.traceparent.as_deref(), Some("00-a-b-01"));
    }
}

#[test]
fn the_frame_of_a_schema_registry_is_stripped_before_json() {
    let plain = draft("memory.put", &json!({"content": "tea"})).bare();
    let framed = [&[0, 0, 0, 0, 7], &*plain.value].concat();
    assert_eq!(accepted(&held(Some(b"acme"), Some(&framed), Vec::new())), accepted(&appended(plain)));
    let (code, detail) = unreadable(&held(Some(b"acme"), Some(&[0, 0, 0, 0, 7, 2, 200]), Vec::new()));
    assert_eq!(code, Code::Malformed);
    assert!(detail.contains("produce JSON"), "{detail}");
}

#[test]
fn unknown_attributes_of_a_cloudevent_are_ignored() {
    let envelope = accepted(&bare(
        r#"{"specversion":"1.0","type":"memory.touch","id":"c","source":"/s","subject":"x","comacme":7,"data":{"id":"m"}}"#,
    ));
    assert!(matches!(envelope.command, Command::MemoryTouch(_)));
}

#[test]
fn an_id_from_the_key_of_a_request_is_filled_in_and_one_in_the_body_is_kept() {
    let limits = Limits::default();
    let own = br#"{"type":"memory.put","space":"acme","id":"mine","data":{}}"#;
    let none =
        br#"{"type":"memory.put","space":"acme","id":null,"data":{"properties":{"n":9007199254740993}}}"#;
    let own = check(own, &Vec::new(), &limits).unwrap();
    assert_eq!(own.id(), Some("mine"));
    assert_eq!(accepted(&appended(own.into_record("key").unwrap())).header.id, "mine");
    let none = check(none, &Vec::new(), &limits).unwrap();
    assert_eq!(none.id(), None);
    let hash = none.body_hash();
    assert_eq!(none.clone().into_record("").unwrap_err()[0].pointer, "/id");
    let decoded = accepted(&appended(none.into_record("key").unwrap()));
    assert_eq!((decoded.header.id.as_str(), decoded.header.claims, decoded.body_hash), ("key", true, hash));
    let Command::MemoryPut(put) = decoded.command else { panic!("another command") };
    assert_eq!(put.properties["n"], json!(9_007_199_254_740_993_i64));
}

#[test]
fn what_could_inject_survives_byte_for_byte() {
    let corpus = [
        "'; DROP TABLE head; --",
        "\" OR 1=1 --",
        "`}) DETACH DELETE n //",
        "MATCH (n) RETURN n",
        "${jndi:ldap://x}",
        "{{7*7}}",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "%00%0a",
        "\u{202e}evil\u{200b}",
        "$where: 1",
        "a\\u0000b",
        "\u{fdfa}\u{1f600}",
    ];
    for text in corpus {
        let data = json!({"id": text, "content": format!("{text}\u{1}\r\n"), "session": text,
                          "properties": {"p": text, "l": [text], "o": {text: text}}});
        for record in [draft("memory.put", &data).bare(), draft("memory.put", &data).binary()] {
            let envelope = accepted(&appended(record));
            let Command::MemoryPut(put) = revive(&envelope.header, &envelope.body).unwrap() else {
                panic!("another command")
            };
            assert_eq!(put.id.as_str(), text);
            assert_eq!(put.content, format!("{text}\u{1}\r\n"));
            assert_eq!(put.session.as_deref(), Some(text));
            assert_eq!(Value::Object(put.properties), data["properties"]);
        }
        let relation = json!({"source": text, "type": "CAUSES", "target": text, "discriminator": text});
        let envelope = accepted(&appended(draft("relation.delete", &relation).bare()));
        let Command::RelationDelete(key) = envelope.command else { panic!("another command") };
        assert_eq!((key.source.as_str(), key.target.as_str(), &*key.discriminator), (text, text, text));
    }
}
