//! From a record to a command, and back: the three wire forms and the shape check.
//!
//! ```text
//! Record ─▶ form (binary, structured, bare) ─▶ attributes ─▶ route ─▶ Header ──┐
//!              │ json: one strict pass                                         ├─▶ Decoded
//!              └─▶ data ─▶ command (memory, relation, space, batch) ─▶ Command ┤
//!                    └─▶ canonical body ─▶ SHA-256 ────────────────────────────┘
//! ```
//!
//! *Shape* is all that can be said from a record's bytes and place alone, and all that is said
//! here: forms, names, types, ranges, limits. What a command means in its space is decided later,
//! in log order. HTTP asks the same code, through [`check()`], before it appends, so that a producer
//! meets the same codes and pointers wherever a command comes in.
//!
//! The body that is hashed and kept is `{"data":…,"type":…}` in canonical form, `data` as the
//! client sent it, the type of the command in its long form; items of a batch keep the form of type
//! that they came with. `number` in this room says how numbers beyond 2^53 are written.

mod canonical;
mod check;
mod command;
pub mod encode;
mod fields;
mod form;
mod header;
mod json;
mod kind;
mod memory;
mod number;
mod problems;
mod relation;
mod route;
pub mod schema;
mod space;
mod suggest;
mod values;

#[cfg(test)]
mod tests;

use std::cell::RefCell;

use crate::{
    fault::{Bug, planted},
    log::{Partitioner, Record},
    model::{Code, Command, Digest, Envelope, FieldError, Header, Space},
};

pub use check::{Checked, check};

use fields::Context;
use form::{Parts, Unreadable};
use header::Fallback;
use json::{Json, Origin};
use kind::Kind;
use problems::Problems;

/// What a record may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a record's value; 4 MiB.
    pub record_bytes_max: usize,
    /// Bytes of a memory's content; 256 KiB.
    pub content_bytes_max: usize,
    /// Items of a batch; 1,000.
    pub batch_items_max: usize,
    /// Levels of nested JSON; 32.
    pub depth_max: usize,
    /// Properties of a record; 256.
    pub properties_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes_max: 4 << 20,
            content_bytes_max: 256 << 10,
            batch_items_max: 1_000,
            depth_max: 32,
            properties_max: 256,
        }
    }
}

/// How records are routed, to tell one that is in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routing {
    /// How many partitions the log has.
    pub partitions: u32,
    /// How keys become partitions.
    pub partitioner: Partitioner,
}

/// What one record is.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// A readable, well-shaped command in its right place.
    Command(Box<Envelope>),
    /// Its envelope can be read, so it gets an outcome; but it can never be done.
    Failed(Box<FailedRecord>),
    /// Its envelope cannot be read: the dead letters are its answer.
    Unreadable {
        /// Why.
        code: Code,
        /// What to change.
        detail: String,
    },
}

/// A record that gets an outcome but can never be done.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedRecord {
    /// Who asked. `claims` is false for what is misrouted.
    pub header: Header,
    /// SHA-256 of the canonical body where there is one, else of the raw value.
    pub body_hash: Digest,
    /// The outcome's code.
    pub code: Code,
    /// What is wrong.
    pub errors: Vec<FieldError>,
    /// Whether it goes to the dead letters too (misrouted, so that it can be redriven).
    pub dead_letter: bool,
}

/// Decodes one record; checks its shape and its place.
#[must_use]
pub fn decode(record: &Record, routing: Routing, limits: &Limits) -> Decoded {
    match read_record(record, routing, limits) {
        Ok(decoded) => decoded,
        Err(Unreadable(code, detail)) => Decoded::Unreadable { code, detail },
    }
}

fn read_record(record: &Record, routing: Routing, limits: &Limits) -> Result<Decoded, Unreadable> {
    let key = route::key(record)?;
    let Some(value) = &record.value else {
        let detail = "the record has no value; to remove a memory, send `memory.delete`";
        return Err(Unreadable(Code::NullValue, detail.to_owned()));
    };
    let parts = form::take_apart(value, &record.headers, limits.depth_max)?;
    let (space, misrouted) = route::find(&parts, key, record.position.partition, routing)?;
    let misrouted = misrouted.filter(|_| !planted(Bug::MisroutedIsApplied));
    let position = record.position.to_string();
    let fallback = Fallback { id: &position, time: record.appended_at };
    let mut shaped = shape(parts, value, space, fallback, limits);
    if misrouted.is_none()
        && shaped.problems.is_empty()
        && let (Some(command), Some(body)) = (shaped.command.take(), shaped.body.take())
    {
        let body_hash = Digest::of(&body);
        let envelope = Envelope { header: shaped.header, command, body: body.into(), body_hash };
        return Ok(Decoded::Command(Box::new(envelope)));
    }
    let dead_letter = misrouted.is_some();
    let mut errors = Problems::default();
    errors.extend(misrouted);
    errors.extend(shaped.problems);
    let errors = errors.into_vec();
    let code = match errors.first() {
        Some(_) if dead_letter => Code::Misrouted,
        Some(first) => first.code,
        None => Code::InvalidField,
    };
    shaped.header.claims &= !dead_letter;
    let body_hash = Digest::of(shaped.body.as_deref().unwrap_or(value));
    Ok(Decoded::Failed(Box::new(FailedRecord {
        header: shaped.header,
        body_hash,
        code,
        errors,
        dead_letter,
    })))
}

/// A record whose shape has been looked at.
struct Shaped {
    header: Header,
    /// What is asked, if it could be read; means nothing beside problems.
    command: Option<Command>,
    /// The canonical body, where all that the producer sent is in it.
    body: Option<Vec<u8>>,
    problems: Vec<FieldError>,
}

fn shape(
    mut parts: Parts<'_>,
    value: &[u8],
    space: Space,
    fallback: Fallback<'_>,
    limits: &Limits,
) -> Shaped {
    let most = limits.record_bytes_max;
    let too_large = value.len() > most;
    if too_large {
        parts.problems.push(check::too_large(value.len(), most));
    }
    let kind = header::kind(&mut parts);
    if parts.data.is_none() {
        header::missing_data(&mut parts);
    }
    let header = header::read(&mut parts, space, kind, fallback);
    let data = parts.data.as_ref();
    let body = data
        .filter(|_| parts.faithful && !header.kind.is_empty())
        .map(|data| canonical::body(data, &header.kind, value.len()));
    let context = context(&header, limits, parts.problems);
    let command = match (kind, data) {
        (Some(kind), Some(data)) if !too_large => command::read(&context, kind, data),
        _ => None,
    };
    let problems = context.problems.into_inner().into_vec();
    Shaped { header, command, body, problems }
}

fn context<'c>(header: &'c Header, limits: &'c Limits, problems: Problems) -> Context<'c> {
    Context {
        space: &header.space,
        source: &header.source,
        command_id: &header.id,
        limits,
        problems: RefCell::new(problems),
    }
}

/// Limits for what was accepted once, under limits that may have been wider.
const UNLIMITED: Limits = Limits {
    record_bytes_max: usize::MAX,
    content_bytes_max: usize::MAX,
    batch_items_max: usize::MAX,
    depth_max: usize::MAX,
    properties_max: usize::MAX,
};

/// Reads a command back from the canonical body that the ledger kept, under the header that it came with.
///
/// # Errors
/// What is wrong, when the body is not one that [`decode`] accepted.
pub fn revive(header: &Header, body: &[u8]) -> Result<Command, Vec<FieldError>> {
    let malformed = |detail: &str| vec![FieldError::new(Code::Malformed, "", detail)];
    let parsed = json::parse(body, Origin::RECORD, usize::MAX).map_err(|error| malformed(&error.0))?;
    if !parsed.problems.is_empty() {
        return Err(parsed.problems);
    }
    let Json::Object(object) = &parsed.value else { return Err(malformed("the body is no object")) };
    let kind = match json::member(object, "type") {
        Some(Json::Text(text)) => Kind::named(text),
        _ => None,
    };
    let (Some(kind), Some(data)) = (kind, json::member(object, "data")) else {
        return Err(malformed("the body needs a known `type`, and `data`"));
    };
    let context = context(header, &UNLIMITED, Problems::default());
    let command = command::read(&context, kind, data);
    let problems = context.problems.into_inner().into_vec();
    match command {
        Some(command) if problems.is_empty() => Ok(command),
        _ if problems.is_empty() => Err(malformed("the body is not a command")),
        _ => Err(problems),
    }
}
