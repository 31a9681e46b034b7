//! From attributes to the header: who asks, for which space, by which id, and when.

use super::{
    fields::is_command_id,
    form::{Form, Parts, SPECVERSION},
    kind::Kind,
};
use crate::model::{Code, FieldError, Header, Space, Timestamp, command::Trace};

/// Longest source, in bytes.
const SOURCE_BYTES_MAX: usize = 1_024;

/// What stands in where a record says nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fallback<'f> {
    /// The position's text, as the id of a command that has none.
    pub(super) id: &'f str,
    /// The log's append time.
    pub(super) time: Timestamp,
}

/// The header, complete even where attributes are wrong: then the problems say so, and an id that
/// cannot be trusted claims nothing.
pub(super) fn read(
    parts: &mut Parts<'_>,
    space: Space,
    kind: Option<Kind>,
    fallback: Fallback<'_>,
) -> Header {
    check_specversion(parts);
    let id = id(parts);
    let source = source(parts);
    // A source that cannot be read makes the id another's: it must not be claimed under "".
    let claims = id.is_some() && source.is_some();
    let stated = parts.attribute("type").unwrap_or_default();
    let kind = kind.map_or_else(|| stated.chars().take(128).collect(), |kind| kind.long().to_owned());
    let text = |name: &str| parts.attribute(name).map(str::to_owned);
    let trace = Trace {
        correlation_id: text("correlationid"),
        causation_id: text("causationid"),
        traceparent: text("traceparent"),
        tracestate: text("tracestate"),
    };
    Header {
        id: id.unwrap_or_else(|| fallback.id.to_owned()),
        claims,
        source: source.unwrap_or_default(),
        space,
        kind,
        time: time(parts, "time").unwrap_or(fallback.time),
        expires_at: time(parts, "expirytime"),
        trace,
    }
}

/// The command's type; `None` when it is missing or unknown, which has been noted.
pub(super) fn kind(parts: &mut Parts<'_>) -> Option<Kind> {
    let Some(text) = parts.attribute("type") else {
        missing(parts, "type");
        return None;
    };
    if let Some(kind) = Kind::named(text) {
        return Some(kind);
    }
    let detail = super::command::unknown(text);
    parts.problem(Code::UnknownType, "type", detail);
    None
}

/// Notes a required attribute as missing, unless it is there and wrong.
pub(super) fn missing(parts: &mut Parts<'_>, name: &str) {
    let pointer = format!("/{name}");
    if parts.problems.names(&pointer) {
        return;
    }
    let detail = match parts.form {
        Form::Binary => format!("the header `ce_{name}` is required"),
        Form::Structured | Form::Bare => format!("`{name}` is required"),
    };
    parts.problems.push(FieldError::new(Code::MissingField, pointer, detail));
}

/// Notes that there is no `data`, unless what stood there has been noted already.
pub(super) fn missing_data(parts: &mut Parts<'_>) {
    if !parts.problems.names("/data") && !parts.problems.names("") {
        let detail = "`data` is required: an object with the fields of the command";
        parts.problems.push(FieldError::new(Code::MissingField, "/data", detail));
    }
}

fn check_specversion(parts: &mut Parts<'_>) {
    if parts.form == Form::Bare {
        return;
    }
    match parts.attribute(SPECVERSION) {
        None => missing(parts, SPECVERSION),
        Some("1.0") => {}
        Some(_) => parts.problem(Code::InvalidField, SPECVERSION, "`specversion` must be `1.0`"),
    }
}

fn id(parts: &mut Parts<'_>) -> Option<String> {
    match parts.attribute("id") {
        Some(id) if is_command_id(id) => Some(id.to_owned()),
        Some(_) => {
            parts.problem(Code::InvalidField, "id", "`id` must have 1 to 255 bytes");
            None
        }
        None if parts.form == Form::Bare => None,
        None => {
            missing(parts, "id");
            None
        }
    }
}

/// The source; `""` where a bare command has none, `None` where it is wrong.
fn source(parts: &mut Parts<'_>) -> Option<String> {
    match parts.attribute("source") {
        Some(source) if is_uri_reference(source) => {
            if source.is_empty() && parts.form != Form::Bare {
                parts.problem(Code::InvalidField, "source", "`source` must not be empty in a CloudEvent");
                return None;
            }
            Some(source.to_owned())
        }
        Some(_) => {
            let detail = format!(
                "`source` must be a URI reference of at most {SOURCE_BYTES_MAX} bytes, such as /agents/ada"
            );
            parts.problem(Code::InvalidField, "source", detail);
            None
        }
        None if parts.form == Form::Bare && !parts.problems.names("/source") => Some(String::new()),
        None => {
            missing(parts, "source");
            None
        }
    }
}

/// Lenient: letters of any script may stand unescaped, what RFC 3986 never allows may not.
fn is_uri_reference(text: &str) -> bool {
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || "<>\"{}|\\^`".contains(c);
    text.len() <= SOURCE_BYTES_MAX && !text.chars().any(forbidden)
}

fn time(parts: &mut Parts<'_>, name: &str) -> Option<Timestamp> {
    let time = parts.attribute(name)?.parse().ok();
    if time.is_none() {
        let detail = format!("`{name}` must be an RFC 3339 time such as 2026-11-21T09:00:00Z");
        parts.problem(Code::InvalidField, name, detail);
    }
    time
}
