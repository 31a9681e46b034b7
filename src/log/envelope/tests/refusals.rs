//! What is refused: each problem with its own code and pointer.

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::{
    log::envelope::{check, problems::PROBLEMS_MAX},
    model::{Code::*, Digest},
};

/// `type`, `data`, and the code and pointer of the first problem.
pub(super) const BAD_DATA: &[(&str, &str, Code, &str)] = &[
    ("memory.put", r#"[]"#, InvalidField, "/data"),
    ("memory.put", r#"{"contnet":"x"}"#, UnknownField, "/data/contnet"),
    ("memory.put", r#"{"a/b~c":1}"#, UnknownField, "/data/a~1b~0c"),
    ("memory.put", r#"{"id":""}"#, InvalidField, "/data/id"),
    ("memory.put", r#"{"id":".."}"#, InvalidField, "/data/id"),
    ("memory.put", r#"{"id":"a\u0000"}"#, InvalidField, "/data/id"),
    ("memory.put", r#"{"id":7}"#, InvalidField, "/data/id"),
    ("memory.put", r#"{"kind":"no-name"}"#, InvalidField, "/data/kind"),
    ("memory.put", r#"{"content":7}"#, InvalidField, "/data/content"),
    ("memory.put", r#"{"content":"\ud800"}"#, InvalidField, "/data/content"),
    ("memory.put", r#"{"content":"a\u0000b"}"#, InvalidField, "/data/content"),
    ("memory.put", r#"{"session":"\u0000"}"#, InvalidField, "/data/session"),
    ("memory.put", r#"{"properties":{"a":{"b":["\u0000"]}}}"#, InvalidField, "/data/properties/a/b/0"),
    ("memory.put", r#"{"session":""}"#, InvalidField, "/data/session"),
    ("memory.put", r#"{"importance":1.5}"#, InvalidField, "/data/importance"),
    ("memory.put", r#"{"importance":-1}"#, InvalidField, "/data/importance"),
    ("memory.put", r#"{"importance":"high"}"#, InvalidField, "/data/importance"),
    ("memory.put", r#"{"vector":[]}"#, InvalidField, "/data/vector"),
    ("memory.put", r#"{"vector":"x"}"#, InvalidField, "/data/vector"),
    ("memory.put", r#"{"vector":[0.1,"x"]}"#, InvalidField, "/data/vector/1"),
    ("memory.put", r#"{"vector":[0.1,1e39]}"#, InvalidField, "/data/vector/1"),
    ("memory.put", r#"{"vector":[0.1,1e400]}"#, InvalidField, "/data/vector/1"),
    ("memory.put", r#"{"vector":[0.1,null]}"#, InvalidField, "/data/vector/1"),
    ("memory.put", r#"{"vector":{}}"#, MissingField, "/data/vector/b64"),
    ("memory.put", r#"{"vector":{"b64":""}}"#, InvalidField, "/data/vector"),
    ("memory.put", r#"{"vector":{"b64":"!"}}"#, InvalidField, "/data/vector/b64"),
    ("memory.put", r#"{"vector":{"b64":"AAAA"}}"#, InvalidField, "/data/vector/b64"),
    ("memory.put", r#"{"vector":{"b64":"AADAfw=="}}"#, InvalidField, "/data/vector/b64"),
    ("memory.put", r#"{"vector":{"b64":"AACAfw=="}}"#, InvalidField, "/data/vector/b64"),
    ("memory.put", r#"{"vector":{"b64":"AAAAAA==","x":1}}"#, UnknownField, "/data/vector/x"),
    ("memory.put", r#"{"sparse":{"indices":[1]}}"#, MissingField, "/data/sparse/values"),
    ("memory.put", r#"{"sparse":{"indices":[1],"values":[1,2]}}"#, InvalidField, "/data/sparse/values"),
    ("memory.put", r#"{"sparse":{"indices":[2,2],"values":[1,2]}}"#, InvalidField, "/data/sparse/indices/1"),
    ("memory.put", r#"{"sparse":{"indices":[-1],"values":[1]}}"#, InvalidField, "/data/sparse/indices/0"),
    (
        "memory.put",
        r#"{"sparse":{"indices":[4294967296],"values":[1]}}"#,
        InvalidField,
        "/data/sparse/indices/0",
    ),
    ("memory.put", r#"{"sparse":{"indices":[1],"values":[1e39]}}"#, InvalidField, "/data/sparse/values/0"),
    ("memory.put", r#"{"occurred_at":"yesterday"}"#, InvalidField, "/data/occurred_at"),
    (
        "memory.put",
        r#"{"valid_from":"2026-01-02T00:00:00Z","valid_until":"2026-01-02T00:00:00Z"}"#,
        InvalidField,
        "/data/valid_until",
    ),
    ("memory.put", r#"{"if_absent":"yes"}"#, InvalidField, "/data/if_absent"),
    ("memory.put", r#"{"if_version":"7"}"#, InvalidField, "/data/if_version"),
    ("memory.put", r#"{"keep_vector":true}"#, UnknownField, "/data/keep_vector"),
    ("memory.put", r#"{"properties":[]}"#, InvalidField, "/data/properties"),
    ("memory.put", r#"{"properties":{"a-b":1}}"#, InvalidField, "/data/properties/a-b"),
    ("memory.put", r#"{"properties":{"a":[1,"x"]}}"#, InvalidField, "/data/properties/a"),
    ("memory.put", r#"{"properties":{"a":[null]}}"#, InvalidField, "/data/properties/a"),
    ("memory.put", r#"{"properties":{"a":[[1]]}}"#, InvalidField, "/data/properties/a"),
    ("memory.put", r#"{"properties":{"a":18446744073709551616}}"#, InvalidField, "/data/properties/a"),
    ("memory.put", r#"{"properties":{"a":{"b":1,"b":2}}}"#, DuplicateKey, "/data/properties/a/b"),
    ("memory.put", r#"{"id":"a","id":"a"}"#, DuplicateKey, "/data/id"),
    ("memory.patch", r#"{"content":"x"}"#, MissingField, "/data/id"),
    ("memory.patch", r#"{"id":"m","if_absent":true}"#, UnknownField, "/data/if_absent"),
    ("memory.patch", r#"{"id":"m","importance":2}"#, InvalidField, "/data/importance"),
    ("memory.touch", r#"{}"#, MissingField, "/data/id"),
    ("memory.touch", r#"{"id":null}"#, MissingField, "/data/id"),
    ("memory.delete", r#"{"id":"m","force":true}"#, UnknownField, "/data/force"),
    ("memory.supersede", r#"{"id":"m"}"#, MissingField, "/data/by"),
    ("memory.supersede", r#"{"id":"m","by":{"id":"m"}}"#, SameEnds, "/data/by/id"),
    ("memory.supersede", r#"{"id":"m","by":{"vector":[]}}"#, InvalidField, "/data/by/vector"),
    ("memory.archive", r#"{"id":"m","tier":"cold"}"#, UnknownField, "/data/tier"),
    ("memory.restore", r#"{}"#, MissingField, "/data/id"),
    ("relation.put", r#"{"type":"CAUSES","target":"b"}"#, MissingField, "/data/source"),
    ("relation.put", r#"{"source":"a","target":"b"}"#, MissingField, "/data/type"),
    ("relation.put", r#"{"source":"a","type":"a b","target":"b"}"#, InvalidField, "/data/type"),
    ("relation.put", r#"{"source":"a","type":"R","target":"b","weight":1.01}"#, InvalidField, "/data/weight"),
    (
        "relation.put",
        r#"{"source":"a","type":"R","target":"b","on_missing":"x"}"#,
        InvalidField,
        "/data/on_missing",
    ),
    ("relation.delete", r#"{"source":"a","type":"R","target":"b","weight":1}"#, UnknownField, "/data/weight"),
    (
        "relation.strengthen",
        r#"{"source":"a","type":"R","target":"b","rate":-0.1}"#,
        InvalidField,
        "/data/rate",
    ),
    (
        "relation.invalidate",
        r#"{"source":"a","type":"R","target":"b","valid_until":1}"#,
        InvalidField,
        "/data/valid_until",
    ),
    ("relation.decay", r#"{}"#, MissingField, "/data/id"),
    ("relation.decay", r#"{"id":"a","session":"s"}"#, InvalidField, "/data/session"),
    ("relation.decay", r#"{"id":"a","older_than_days":1.5}"#, InvalidField, "/data/older_than_days"),
    ("relation.decay", r#"{"id":"a","rate":2}"#, InvalidField, "/data/rate"),
    ("batch", r#"{}"#, MissingField, "/data/items"),
    ("batch", r#"{"items":[]}"#, InvalidField, "/data/items"),
    ("batch", r#"{"items":[7]}"#, InvalidField, "/data/items/0"),
    ("batch", r#"{"items":[{"type":"memory.put"}]}"#, MissingField, "/data/items/0/data"),
    ("batch", r#"{"items":[{"type":"memory.putt","data":{}}]}"#, UnknownType, "/data/items/0/type"),
    ("batch", r#"{"items":[{"type":"batch","data":{"items":[]}}]}"#, InvalidField, "/data/items/0/type"),
    (
        "batch",
        r#"{"items":[{"type":"memory.archive","data":{"id":"m"}}]}"#,
        InvalidField,
        "/data/items/0/type",
    ),
    (
        "batch",
        r#"{"items":[{"type":"relation.decay","data":{"id":"m"}}]}"#,
        InvalidField,
        "/data/items/0/type",
    ),
    ("batch", r#"{"items":[{"type":"space.erase","data":{}}]}"#, InvalidField, "/data/items/0/type"),
    ("batch", r#"{"items":[{"type":"memory.put","id":"x","data":{}}]}"#, UnknownField, "/data/items/0/id"),
    (
        "batch",
        r#"{"items":[{"type":"memory.put","data":{}},{"type":"memory.put","data":{"vector":[1,"x"]}}]}"#,
        InvalidField,
        "/data/items/1/data/vector/1",
    ),
    ("space.create", r#"{"dimension":0}"#, InvalidField, "/data/dimension"),
    ("space.create", r#"{"dimension":100000}"#, InvalidField, "/data/dimension"),
    ("space.create", r#"{"metric":"manhattan"}"#, InvalidField, "/data/metric"),
    ("space.create", r#"{"kinds":["a b"]}"#, InvalidField, "/data/kinds/0"),
    ("space.create", r#"{"kinds":"Episode"}"#, InvalidField, "/data/kinds"),
    ("space.create", r#"{"quota":-1}"#, InvalidField, "/data/quota"),
    ("space.create", r#"{"text":1}"#, InvalidField, "/data/text"),
    ("space.erase", r#"{"really":true}"#, UnknownField, "/data/really"),
];

#[test]
fn bad_data_fails_with_its_own_code_and_place_in_every_form() {
    for (kind, data, code, pointer) in BAD_DATA {
        let mut sent = draft(kind, &json!({}));
        sent.data = Bytes::copy_from_slice(data.as_bytes());
        for record in [sent.bare(), sent.structured(), sent.binary()] {
            let failed = failed(&appended(record));
            let first = failed.errors.first().expect("an error");
            assert_eq!((failed.code, first.code, &*first.pointer), (*code, *code, *pointer), "{kind} {data}");
            assert!(failed.header.claims && !failed.dead_letter, "{kind} {data}");
            assert!(!first.detail.is_empty());
        }
        let sent = sent.bare();
        let refused = check(&sent.value, &sent.headers, &Limits::default()).unwrap_err();
        assert_eq!((refused[0].code, &*refused[0].pointer), (*code, *pointer), "checked: {kind} {data}");
    }
}

#[test]
fn bad_attributes_fail_with_their_own_code_and_place() {
    for (value, code, pointer) in [
        ("[]", InvalidField, ""),
        ("7", InvalidField, ""),
        ("{}", MissingField, "/type"),
        (r#"{"type":"memory.put"}"#, MissingField, "/data"),
        (r#"{"type":"memory.put","data":null}"#, MissingField, "/data"),
        (r#"{"type":7,"data":{}}"#, InvalidField, "/type"),
        (r#"{"type":"memory.pit","data":{}}"#, UnknownType, "/type"),
        (r#"{"type":"engraft.memory.put.v2","data":{}}"#, UnknownType, "/type"),
        (r#"{"type":"memory.put","data":{},"idd":1}"#, UnknownField, "/idd"),
        (r#"{"type":"memory.put","data":{},"id":""}"#, InvalidField, "/id"),
        (r#"{"type":"memory.put","data":{},"id":7}"#, InvalidField, "/id"),
        (r#"{"type":"memory.put","data":{},"source":"a b"}"#, InvalidField, "/source"),
        (r#"{"type":"memory.put","data":{},"space":7}"#, InvalidField, "/space"),
        (r#"{"type":"memory.put","data":{},"time":"now"}"#, InvalidField, "/time"),
        (
            r#"{"type":"memory.put","data":{},"expirytime":"2026-13-01T00:00:00Z"}"#,
            InvalidField,
            "/expirytime",
        ),
        (r#"{"type":"memory.put","data":{},"correlationid":1}"#, InvalidField, "/correlationid"),
        (r#"{"specversion":"1.0","type":"memory.put","source":"/s","data":{}}"#, MissingField, "/id"),
        (r#"{"specversion":"1.0","type":"memory.put","id":"c","data":{}}"#, MissingField, "/source"),
        (
            r#"{"specversion":"2.0","type":"memory.put","id":"c","source":"/s","data":{}}"#,
            InvalidField,
            "/specversion",
        ),
        (
            r#"{"specversion":"1.0","type":"memory.put","id":"c","source":"/s","data_base64":"e30="}"#,
            InvalidField,
            "/data_base64",
        ),
    ] {
        let failed = failed(&bare(value));
        let found: Vec<_> = failed.errors.iter().map(|error| (error.code, &*error.pointer)).collect();
        assert!(found.contains(&(code, pointer)), "{value}: {found:?}");
        assert_eq!(failed.header.space, acme());
        if pointer == "/id" || pointer == "/source" {
            assert!(!failed.header.claims, "{value}: an id that cannot be read claims nothing");
        }
    }
}

#[test]
fn what_cannot_be_read_is_no_ones_command() {
    for (value, code) in [
        ("", Malformed),
        ("nonsense", Malformed),
        (r#"{"type":"memory.put","data":{}"#, Malformed),
        (r#"{"id":"a","type":"memory.put","id":"b","data":{}}"#, DuplicateKey),
        (r#"{"type":"memory.put","data":{},"data":{}}"#, DuplicateKey),
    ] {
        assert_eq!(unreadable(&bare(value)).0, code, "{value}");
    }
    let put = br#"{"type":"memory.put","data":{}}"#;
    assert_eq!(unreadable(&held(Some(b"\xff"), Some(put), Vec::new())).0, KeyNotUtf8);
    assert_eq!(unreadable(&held(None, Some(put), Vec::new())).0, SpaceMissing);
    assert_eq!(unreadable(&held(Some(b"a b"), Some(put), Vec::new())).0, SpaceMissing);
    assert_eq!(unreadable(&held(Some(b""), Some(put), Vec::new())).0, SpaceMissing);
    let (code, detail) = unreadable(&held(Some(b"acme"), None, Vec::new()));
    assert_eq!(code, NullValue);
    assert!(detail.contains("memory.delete"));
}

#[test]
fn a_misrouted_record_is_answered_and_dead_lettered_and_claims_nothing() {
    let command = br#"{"type":"memory.put","id":"c-1","space":"acme","data":{}}"#;
    let no_key = held(None, Some(command), Vec::new());
    let other_key = held(Some(b"other"), Some(command), Vec::new());
    let bad_key = held(Some(b"a b"), Some(command), Vec::new());
    let mut elsewhere = held(Some(b"acme"), Some(command), Vec::new());
    elsewhere.position.partition = (elsewhere.position.partition + 1) % ROUTING.partitions;
    let body = br#"{"data":{},"type":"engraft.memory.put.v1"}"#;
    for record in [no_key, other_key, bad_key, elsewhere] {
        let failed = failed(&record);
        assert_eq!((failed.code, failed.dead_letter), (Misrouted, true));
        assert_eq!((failed.header.id.as_str(), failed.header.claims), ("c-1", false));
        assert_eq!(failed.header.space, acme());
        assert_eq!(failed.body_hash, Digest::of(body));
        assert_eq!(failed.errors.len(), 1);
    }
}

#[test]
fn binary_data_that_is_no_json_fails_without_hiding_whose_it_is() {
    let mut record = draft("memory.put", &json!({})).binary();
    record.value = Bytes::from_static(b"\x02avro");
    let failed = failed(&appended(record));
    assert_eq!((failed.code, &*failed.errors[0].pointer), (Malformed, "/data"));
    assert_eq!((failed.header.id.as_str(), failed.header.claims), ("c-1", true));
    assert_eq!(failed.body_hash, Digest::of(b"\x02avro"));
}

#[test]
fn binary_headers_are_named_when_they_are_missing_doubled_or_no_text() {
    let sent = draft("memory.put", &json!({})).binary();
    for name in ["specversion", "type", "id", "source"] {
        let header = format!("ce_{name}");
        let mut missing = sent.clone();
        missing.headers.retain(|(key, _)| *key != header);
        let error = failed(&appended(missing)).errors.remove(0);
        assert_eq!((error.code, error.pointer), (MissingField, format!("/{name}")));
        assert!(error.detail.contains(&header));
        let mut doubled = sent.clone();
        doubled.headers.push((header.clone(), Bytes::from_static(b"other")));
        assert_eq!(failed(&appended(doubled)).code, DuplicateKey);
        let mut garbled = sent.clone();
        garbled
            .headers
            .iter_mut()
            .filter(|(key, _)| *key == header)
            .for_each(|(_, v)| *v = Bytes::from_static(b"\xff"));
        assert_eq!(failed(&appended(garbled)).code, InvalidField);
        let mut with_nul = sent.clone();
        with_nul
            .headers
            .iter_mut()
            .filter(|(key, _)| *key == header)
            .for_each(|(_, v)| *v = Bytes::from_static(b"a\0"));
        let error = failed(&appended(with_nul)).errors.remove(0);
        assert_eq!((error.code, error.pointer), (InvalidField, format!("/{name}")));
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_but_not_without_end() {
    let errors = failed(&bare(
        r#"{"type":"memory.put","data":{"id":"","kind":"-","importance":2,"vector":[],"extra":1,"occurred_at":"x"}}"#,
    ))
    .errors;
    let mut pointers: Vec<&str> = errors.iter().map(|error| &*error.pointer).collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        ["/data/extra", "/data/id", "/data/importance", "/data/kind", "/data/occurred_at", "/data/vector"]
    );
    let many: Vec<String> = (0..5_000).map(|n| format!("\"field{n}\":1")).collect();
    let record = bare(&format!("{{\"type\":\"memory.put\",\"data\":{{{}}}}}", many.join(",")));
    assert_eq!(failed(&record).errors.len(), PROBLEMS_MAX);
}

#[test]
fn a_slip_is_answered_with_the_name_that_was_meant() {
    let errors = failed(&bare(r#"{"type":"memory.put","data":{"contnet":"x"}}"#)).errors;
    assert!(errors[0].detail.contains("did you mean `content`"), "{}", errors[0].detail);
    let errors = failed(&bare(r#"{"type":"engraft.memory.putt.v1","data":{}}"#)).errors;
    assert!(errors[0].detail.contains("did you mean `memory.put`"), "{}", errors[0].detail);
}

#[test]
fn what_is_larger_than_allowed_is_refused_at_its_place() {
    let small = Limits {
        record_bytes_max: 300,
        content_bytes_max: 10,
        batch_items_max: 2,
        depth_max: 5,
        properties_max: 2,
    };
    let item = r#"{"type":"memory.put","data":{}}"#;
    for (kind, data, code, pointer) in [
        ("memory.put", format!("{{\"session\":\"{}\"}}", "s".repeat(300)), TooLarge, ""),
        ("memory.put", r#"{"content":"ééééé1"}"#.to_owned(), TooLarge, "/data/content"),
        ("memory.put", r#"{"properties":{"a":1,"b":2,"c":3}}"#.to_owned(), TooLarge, "/data/properties"),
        ("memory.put", r#"{"properties":{"a":{"b":[[1]]}}}"#.to_owned(), TooDeep, "/data/properties/a/b/0"),
        ("batch", format!("{{\"items\":[{item},{item},{item}]}}"), TooLarge, "/data/items"),
    ] {
        let mut sent = draft(kind, &json!({}));
        sent.data = data.clone().into();
        for record in [sent.bare(), sent.binary()] {
            let record = appended(record);
            match decode(&record, ROUTING, &small) {
                Decoded::Failed(failed) => {
                    let first = &failed.errors[0];
                    assert_eq!((first.code, &*first.pointer), (code, pointer), "{data}");
                }
                other => panic!("{data}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_command_without_a_space_is_refused_before_the_append() {
    let limits = Limits::default();
    let refused = |text: &str| check(text.as_bytes(), &Vec::new(), &limits).unwrap_err();
    let errors = refused(r#"{"type":"memory.put","data":{"kind":"-"}}"#);
    assert_eq!((errors[0].code, &*errors[0].pointer), (SpaceMissing, "/space"));
    assert_eq!((errors[1].code, &*errors[1].pointer), (InvalidField, "/data/kind"));
    assert_eq!(refused(r#"{"type":"memory.put","space":"a b","data":{}}"#)[0].pointer, "/space");
    assert_eq!(refused("{").first().map(|error| error.code), Some(Malformed));
    let large = vec![b' '; limits.record_bytes_max + 1];
    assert_eq!(check(&large, &Vec::new(), &limits).unwrap_err()[0].code, TooLarge);
}

#[test]
fn errors_do_not_repeat_what_memories_say() {
    let secret = "CANARY-9f3a";
    for data in [
        json!({"content": [secret]}),
        json!({"occurred_at": secret}),
        json!({"kind": format!("{secret} ")}),
        json!({"id": format!("{secret}\u{0}")}),
        json!({"vector": {"b64": secret}}),
        json!({"properties": {"a": [secret, 1]}}),
        json!({"if_version": secret}),
    ] {
        let errors = format!("{:?}", failed(&appended(draft("memory.put", &data).bare())).errors);
        assert!(!errors.contains(secret), "{errors}");
    }
}
