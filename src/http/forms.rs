//! Which form a submission has: told by its headers, and for JSON by its first byte.

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

use crate::{
    log::Headers,
    model::{Code, FieldError},
};

use super::{
    Problem,
    ingest::{ITEMS_MAX, Item},
    problem::Reason,
    trace,
};

/// What a request brings.
pub(super) enum Submission {
    /// One command, answered by itself.
    One(Item),
    /// Independent commands, answered item by item.
    Several(Vec<Item>),
}

/// One CloudEvent with its attributes inside.
const STRUCTURED: &str = "application/cloudevents+json";
const LINES: [&str; 5] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/json-lines",
];

/// Splits a body into commands, each in the trace of the request.
pub(super) fn split(headers: &HeaderMap, body: Bytes) -> Result<Submission, Problem> {
    let traced = |item: Item| item.traced(trace::context(headers));
    Ok(match by_form(headers, body)? {
        Submission::One(item) => Submission::One(traced(item)),
        Submission::Several(items) => Submission::Several(items.into_iter().map(traced).collect()),
    })
}

fn by_form(headers: &HeaderMap, body: Bytes) -> Result<Submission, Problem> {
    if headers.contains_key("ce-specversion") || headers.contains_key("ce-type") {
        return Ok(Submission::One(Item { body, headers: attributes(headers)? }));
    }
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let media_type = content_type.unwrap_or("application/json").split(';').next().unwrap_or_default();
    match media_type.trim().to_ascii_lowercase().as_str() {
        "application/json" if body.trim_ascii_start().starts_with(b"[") => array(&body, Item::json),
        "application/json" => Ok(Submission::One(Item::json(body))),
        STRUCTURED => Ok(Submission::One(event(body))),
        "application/cloudevents-batch+json" => array(&body, event),
        lines if LINES.contains(&lines) => self::lines(&body),
        _ => Err(Problem::new(
            Reason::UnsupportedMediaType,
            "send `content-type: application/json` (one command or an array), `application/x-ndjson` (a command \
             a line), or a CloudEvent",
        )),
    }
}

fn array(body: &Bytes, item: fn(Bytes) -> Item) -> Result<Submission, Problem> {
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| {
        let detail = format!("this is not a JSON array, from line {} on", error.line());
        Problem::refused(Code::Malformed, vec![FieldError::new(Code::Malformed, "", detail)])
    })?;
    several(items.into_iter().map(|text| item(body.slice_ref(text.get().as_bytes()))))
}

fn lines(body: &Bytes) -> Result<Submission, Problem> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    several(lines.filter(|line| !line.is_empty()).map(|line| Item::json(body.slice_ref(line))))
}

fn several(items: impl Iterator<Item = Item>) -> Result<Submission, Problem> {
    // One more than allowed is enough to know.
    let items: Vec<Item> = items.take(ITEMS_MAX + 1).collect();
    let refused = |code, detail: String| Problem::refused(code, vec![FieldError::new(code, "", detail)]);
    match items.len() {
        0 => Err(refused(Code::MissingField, "the request holds no command".to_owned())),
        count if count > ITEMS_MAX => {
            Err(refused(Code::TooLarge, format!("a request may hold at most {ITEMS_MAX} commands")))
        }
        _ => Ok(Submission::Several(items)),
    }
}

/// What must be a CloudEvent, and not a command without its attributes.
fn event(body: Bytes) -> Item {
    Item {
        body,
        headers: vec![(header::CONTENT_TYPE.to_string(), Bytes::from_static(STRUCTURED.as_bytes()))],
    }
}

/// The attributes of a CloudEvent in binary form, percent-decoded as its HTTP binding says, and
/// named as Kafka's does.
fn attributes(headers: &HeaderMap) -> Result<Headers, Problem> {
    let mut attributes = Headers::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else { continue };
        let bad = || Problem::bad_request(format!("the header `ce-{name}` is not percent-encoded UTF-8"));
        let value = value.to_str().map_err(|_| bad())?;
        let value = percent_decode_str(value).decode_utf8().map_err(|_| bad())?;
        attributes.push((format!("ce_{name}"), Bytes::from(value.into_owned())));
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_as(media_type: &'static str, body: &'static [u8]) -> Result<Submission, Problem> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media_type.parse().expect("a value"))]);
        split(&headers, Bytes::from_static(body))
    }

    fn count(submission: Result<Submission, Problem>) -> Option<usize> {
        match submission {
            Ok(Submission::Several(items)) => Some(items.len()),
            _ => None,
        }
    }

    #[test]
    fn the_form_is_told_by_the_media_type_and_the_first_byte() {
        assert!(matches!(split_as("application/json; charset=utf-8", b" {}"), Ok(Submission::One(_))));
        assert_eq!(count(split_as("application/json", b" [{}, {}]")), Some(2));
        assert_eq!(count(split_as("application/x-ndjson", b"{}\n\n  {}\r\n")), Some(2));
        assert_eq!(count(split_as("application/cloudevents-batch+json", b"[{}]")), Some(1));
        let Ok(Submission::One(event)) = split_as("application/cloudevents+json", b"{}") else {
            panic!("a structured event");
        };
        assert!(!event.headers.is_empty(), "a command without an event's attributes would pass for one");
    }

    #[test]
    fn a_form_that_is_not_taken_is_refused_with_those_that_are() {
        for (media_type, body) in
            [("text/plain", &b"{}"[..]), ("application/json", b"[{]"), ("application/json", b"[]")]
        {
            assert!(split_as(media_type, body).is_err(), "{media_type}");
        }
        let many: &'static [u8] = Box::leak([b"{}\n".repeat(ITEMS_MAX + 1)].concat().into_boxed_slice());
        assert!(split_as("application/x-ndjson", many).is_err());
    }

    #[test]
    fn attributes_of_a_binary_event_are_percent_decoded() {
        let headers = HeaderMap::from_iter([
            ("ce-type".parse().expect("a name"), "memory.put".parse().expect("a value")),
            ("ce-id".parse().expect("a name"), "caf%C3%A9".parse().expect("a value")),
        ]);
        let Ok(Submission::One(item)) = split(&headers, Bytes::new()) else {
            panic!("a binary event");
        };
        assert!(item.headers.contains(&("ce_id".to_owned(), Bytes::from("café"))));
    }
}
