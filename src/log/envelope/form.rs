//! The three wire forms, told apart record by record and taken apart into the same parts.
//!
//! ```text
//! binary      `ce_*` headers hold the attributes, the value is `data`
//! structured  content-type application/cloudevents+json, or a `specversion` field
//! bare        a JSON object with our own top-level fields
//! ```
//!
//! Whatever wrote a value in Confluent's frame (a zero byte and a schema id) before JSON is read as
//! if it had not. Nothing is judged here but the form: what an attribute says is judged by
//! [`super::header`], what `data` says by [`super::command`].

use std::borrow::Cow;

use bytes::Bytes;

use super::{
    json::{self, Json, NotJson, Object, Origin, Parsed, member},
    problems::Problems,
    suggest::{hint, quoted},
};
use crate::model::{Code, FieldError};

/// The attributes that a command can have, by their one name in all three forms.
pub(super) const ATTRIBUTES: &[&str] = &[
    "type",
    "id",
    "source",
    "space",
    "time",
    "expirytime",
    "correlationid",
    "causationid",
    "traceparent",
    "tracestate",
];
/// What precedes an attribute's name in a header.
pub(super) const HEADER_PREFIX: &str = "ce_";
/// The header, and the CloudEvents attribute, that tells the version of CloudEvents.
pub(super) const SPECVERSION: &str = "specversion";
/// The content type of a structured CloudEvent.
pub(super) const STRUCTURED: &str = "application/cloudevents+json";
/// The headers of which one makes a record a binary CloudEvent.
const BINARY_MARKS: [&str; 4] = ["ce_specversion", "ce_type", "ce_id", "ce_source"];
/// Bytes of Confluent's frame: a zero and a schema id.
const FRAME_BYTES: usize = 5;

/// One of the three forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Binary,
    Structured,
    Bare,
}

/// A record taken apart.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) form: Form,
    attributes: Vec<(&'static str, Cow<'a, str>)>,
    /// What `data` holds; `None` where it is missing, null or no JSON.
    pub(super) data: Option<Json<'a>>,
    /// Whether `data` is all that the producer sent: no key was dropped, no number lost.
    pub(super) faithful: bool,
    pub(super) problems: Problems,
}

/// A record that cannot be read at all: its code, and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) Code, pub(super) String);

impl Parts<'_> {
    fn empty(form: Form) -> Self {
        Self { form, attributes: Vec::new(), data: None, faithful: true, problems: Problems::default() }
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// Notes what is wrong with the attribute `name`.
    pub(super) fn problem(&mut self, code: Code, name: &str, detail: impl Into<String>) {
        self.problems.push(FieldError::new(code, format!("/{name}"), detail));
    }
}

/// Takes a record's value and headers apart.
pub(super) fn take_apart<'a>(
    value: &'a [u8],
    headers: &'a [(String, Bytes)],
    depth_max: usize,
) -> Result<Parts<'a>, Unreadable> {
    let value = without_frame(value);
    if content_type(headers).is_some_and(|kind| kind.starts_with("application/cloudevents")) {
        return whole(value, headers, depth_max, true);
    }
    if BINARY_MARKS.iter().any(|mark| header(headers, mark).is_some()) {
        return Ok(binary(value, headers, depth_max));
    }
    whole(value, headers, depth_max, false)
}

/// Binary: attributes from headers. A value that is no JSON does not hide whose command it is.
fn binary<'a>(value: &'a [u8], headers: &'a [(String, Bytes)], depth_max: usize) -> Parts<'a> {
    let mut parts = Parts::empty(Form::Binary);
    match json::parse(value, Origin::DATA, depth_max) {
        Ok(Parsed { value, problems, .. }) => {
            parts.data = Some(value).filter(|value| *value != Json::Null);
            parts.faithful = problems.is_empty();
            parts.problems.extend(problems);
        }
        Err(NotJson(why)) => {
            let detail = format!("the value is not JSON: {why}{}", format_hint(value));
            parts.problems.push(FieldError::new(Code::Malformed, "/data", detail));
        }
    }
    let specversion = [SPECVERSION];
    for name in specversion.iter().chain(ATTRIBUTES) {
        let header_name = format!("{HEADER_PREFIX}{name}");
        let mut values = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(&header_name));
        let Some((_, value)) = values.next() else { continue };
        if values.any(|(_, other)| other != value) {
            parts.problem(
                Code::DuplicateKey,
                name,
                format!("the header `{header_name}` comes twice; send one"),
            );
            continue;
        }
        match std::str::from_utf8(value) {
            Ok(text) if text.contains('\0') => parts.problem(Code::InvalidField, name, json::NUL),
            Ok(text) => parts.attributes.push((name, Cow::Borrowed(text))),
            Err(_) => {
                parts.problem(Code::InvalidField, name, format!("the header `{header_name}` is not UTF-8"));
            }
        }
    }
    add_trace_headers(&mut parts, headers);
    parts
}

/// Structured or bare: one JSON object holds it all.
fn whole<'a>(
    value: &'a [u8],
    headers: &'a [(String, Bytes)],
    depth_max: usize,
    structured: bool,
) -> Result<Parts<'a>, Unreadable> {
    let parsed = json::parse(value, Origin::RECORD, depth_max).map_err(|NotJson(why)| {
        Unreadable(Code::Malformed, format!("the value is not JSON: {why}{}", format_hint(value)))
    })?;
    if parsed.root_duplicate {
        let detail = "a top-level key comes twice, so it cannot be told whose command this is; keep one";
        return Err(Unreadable(Code::DuplicateKey, detail.to_owned()));
    }
    let mut parts = Parts::empty(Form::Bare);
    parts.faithful = parsed.problems.is_empty();
    parts.problems.extend(parsed.problems);
    match parsed.value {
        Json::Object(object) => {
            let marked = member(&object, SPECVERSION).is_some_and(|version| *version != Json::Null);
            if structured || marked {
                parts.form = Form::Structured;
            }
            fill(&mut parts, object);
        }
        other => {
            let detail = format!("a command must be a JSON object, and this is {}", other.noun());
            parts.problems.push(FieldError::new(Code::InvalidField, "", detail));
        }
    }
    add_trace_headers(&mut parts, headers);
    Ok(parts)
}

fn fill<'a>(parts: &mut Parts<'a>, object: Object<'a>) {
    let known = |name: &str| ATTRIBUTES.iter().chain(&[SPECVERSION]).copied().find(|known| *known == name);
    for (key, value) in object {
        if value == Json::Null {
            // Null means absent, here as everywhere; an unknown field is unknown all the same.
            if key == "data" || known(&key).is_some() || parts.form == Form::Structured {
                continue;
            }
        }
        match (known(&key), value) {
            (Some(name), Json::Text(text)) => parts.attributes.push((name, text)),
            (Some(name), other) => {
                let detail = format!("`{name}` must be a string, and is {}", other.noun());
                parts.problem(Code::InvalidField, name, detail);
            }
            (None, value) if key == "data" => parts.data = Some(value),
            (None, _) if key == "data_base64" && parts.form == Form::Structured => {
                parts.problem(Code::InvalidField, "data_base64", "send the command as JSON in `data`");
            }
            (None, _) if parts.form == Form::Structured => {}
            (None, _) => unknown_field(parts, &key),
        }
    }
}

fn unknown_field(parts: &mut Parts<'_>, key: &str) {
    if parts.problems.is_full() {
        return;
    }
    let known = ATTRIBUTES.iter().copied().chain(["data"]);
    let detail = format!("a command has no top-level field {}{}", quoted(key), hint(key, known));
    let mut pointer = String::new();
    json::push_key(&mut pointer, if key.len() > 128 { "…" } else { key });
    parts.problems.push(FieldError::new(Code::UnknownField, pointer, detail));
}

/// W3C trace context travels in headers of its own name, whatever the form: tracing libraries put
/// it there. What the command itself says comes first in bare and structured form.
fn add_trace_headers<'a>(parts: &mut Parts<'a>, headers: &'a [(String, Bytes)]) {
    for name in ["traceparent", "tracestate"] {
        let text = header(headers, name).and_then(|value| std::str::from_utf8(value).ok());
        let Some(text) = text.filter(|text| !text.contains('\0')) else { continue };
        if parts.form == Form::Binary {
            parts.attributes.retain(|(known, _)| *known != name);
        }
        if parts.attribute(name).is_none() {
            parts.attributes.push((name, Cow::Borrowed(text)));
        }
    }
}

fn header<'a>(headers: &'a [(String, Bytes)], name: &str) -> Option<&'a Bytes> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn content_type(headers: &[(String, Bytes)]) -> Option<String> {
    let value = header(headers, "content-type")?;
    std::str::from_utf8(value).ok().map(|text| text.trim_start().to_ascii_lowercase())
}

/// The JSON behind Confluent's frame, or the value as it is.
fn without_frame(value: &[u8]) -> &[u8] {
    match value.split_at_checked(FRAME_BYTES) {
        Some(([0, ..], json)) if json.trim_ascii_start().starts_with(b"{") => json,
        _ => value,
    }
}

/// What to change about a value that looks like another format.
fn format_hint(value: &[u8]) -> &'static str {
    match value.first() {
        Some(0) => "; it looks like Avro or Protobuf in a schema registry's frame: produce JSON",
        Some(0xEF) => "; it starts with a byte order mark: leave it out",
        None => "; it is empty",
        _ => "",
    }
}
