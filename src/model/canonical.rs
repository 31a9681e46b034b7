//! Canonical JSON (RFC 8785): one text for each value. Pinned: ledgers hold these bytes and their hashes.
//!
//! ```text
//! members by UTF-16 code units · no space · strings escaped only where JSON must, in the shortest way
//! doubles as ECMAScript writes them · integers by their own digits
//! ```
//!
//! The digits of an integer beyond 2^53 are the one departure from the RFC, which would round them to
//! a double and give two different integers one hash.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::Timestamp;

/// The canonical text of a value.
#[must_use]
pub fn of(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(value, &mut out);
    out
}

/// Appends the canonical text of a value.
pub fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => write_object(members, out),
    }
}

/// Appends the canonical text of an object.
pub fn write_object(members: &Map<String, Value>, out: &mut Vec<u8>) {
    let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| order(a, b));
    out.push(b'{');
    for (index, (key, member)) in sorted.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(key, out);
        out.push(b':');
        write(member, out);
    }
    out.push(b'}');
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(integer), _, _) => write_integer(integer, out),
        (None, Some(integer), _) => out.extend_from_slice(integer.to_string().as_bytes()),
        (None, None, float) => write_float(float.unwrap_or_default(), out),
    }
}

/// Appends the canonical text of a finite double.
pub fn write_float(float: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(ryu_js::Buffer::new().format_finite(float).as_bytes());
}

/// Appends the canonical text of an integer: its digits.
pub fn write_integer(integer: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(integer.to_string().as_bytes());
}

/// Appends a string.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some((plain, tail)) = rest.split_at_checked(plain_bytes(rest)) {
        out.extend_from_slice(plain);
        let Some((special, tail)) = tail.split_first() else { break };
        write_escape(*special, out);
        rest = tail;
    }
    out.push(b'"');
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Appends the members `valid_from` and `valid_until`, in microseconds since 1970, behind another one.
pub(super) fn write_interval(from: Timestamp, until: Option<Timestamp>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"valid_from\":");
    write_integer(from.as_micros(), out);
    out.extend_from_slice(b",\"valid_until\":");
    match until {
        Some(until) => write_integer(until.as_micros(), out),
        None => out.extend_from_slice(b"null"),
    }
}

/// How many bytes at the start of `text` a JSON string holds as they are. Vectors in base64 make
/// strings of kilobytes, so whole blocks are looked at without a branch a byte.
#[must_use]
pub fn plain_bytes(text: &[u8]) -> usize {
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let (blocks, _) = text.as_chunks::<32>();
    let plain_block = |block: &&[u8; 32]| !block.iter().fold(false, |any, byte| any | special(*byte));
    let skipped = 32 * blocks.iter().take_while(plain_block).count();
    let rest = text.get(skipped..).unwrap_or_default();
    skipped + rest.iter().position(|byte| special(*byte)).unwrap_or(rest.len())
}

/// The order of member names: by UTF-16 code units, which differs from that of UTF-8 bytes beyond U+E000.
#[must_use]
pub fn order(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(json: &str) -> String {
        String::from_utf8(of(&serde_json::from_str(json).expect("JSON"))).expect("UTF-8")
    }

    #[test]
    fn the_pinned_texts_are_what_they_were() {
        assert_eq!(
            text(r#"{"b":[1e21,0.1,-0.0,1.0],"a":"\u20ac\u0001\"\n"}"#),
            "{\"a\":\"€\\u0001\\\"\\n\",\"b\":[1e+21,0.1,0,1]}"
        );
        assert_eq!(text(r#"{"\uffff":1,"\ud83d\ude00":2,"a":3}"#), "{\"a\":3,\"😀\":2,\"\u{ffff}\":1}");
        assert_eq!(text("[9007199254740992,9007199254740993]"), "[9007199254740992,9007199254740993]");
    }

    fn value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(1_i64 << 53)..(1_i64 << 53)).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Up to 2^53 this is the RFC, as another implementation has it.
        #[test]
        fn it_agrees_with_the_rfc(value in value()) {
            let theirs = serde_json_canonicalizer::to_vec(&value).expect("canonical");
            prop_assert_eq!(String::from_utf8(of(&value)), String::from_utf8(theirs));
        }
    }
}
