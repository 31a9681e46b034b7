//! Canonical JSON (RFC 8785), written straight from the strict parse. Pinned: ledgers hold these
//! bytes and their hashes.
//!
//! Objects are sorted already, by [`super::json`]; numbers are read to mean their canonical text,
//! by [`super::number`]. How a text or a number is written is [`model::canonical`](crate::model::canonical)'s.

use super::json::Json;
use crate::model::canonical::{write_float, write_integer, write_text};

/// The canonical body of a command: `{"data":…,"type":…}`.
pub(super) fn body(data: &Json<'_>, kind: &str, bytes_hint: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes_hint + kind.len() + 32);
    out.extend_from_slice(b"{\"data\":");
    write(data, &mut out);
    out.extend_from_slice(b",\"type\":");
    write_text(kind, &mut out);
    out.push(b'}');
    out
}

/// Appends the canonical form of `value`. The parser has bounded its depth.
pub(super) fn write(value: &Json<'_>, out: &mut Vec<u8>) {
    match value {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(true) => out.extend_from_slice(b"true"),
        Json::Bool(false) => out.extend_from_slice(b"false"),
        Json::Integer(integer) => write_integer(*integer, out),
        Json::Float(float) => write_float(*float, out),
        Json::Text(text) => write_text(text, out),
        Json::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Json::Object(members) => {
            out.push(b'{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(key, out);
                out.push(b':');
                write(member, out);
            }
            out.push(b'}');
        }
    }
}
