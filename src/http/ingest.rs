//! From a request's body to records for the log.
//!
//! ```text
//! one command, an array, lines ─▶ items ─▶ shape check ─▶ id ─▶ record, keyed by its space
//! ```
//!
//! The shape check is the worker's own, so that nothing is taken here that fails there for its bytes
//! alone. What a producer sent goes into the log byte for byte, unless it lacks an id: then it gets
//! one, so that the append can be repeated safely.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    clock::Clock,
    log::{
        Headers, NewRecord, Record,
        envelope::{self, Decoded, Limits, Routing},
    },
    model::{Code, FieldError, PartitionId},
    random::Random,
};

/// Most commands of one request.
pub const ITEMS_MAX: usize = 1_000;

/// One command as it was sent.
#[derive(Debug, Clone)]
pub enum Item {
    /// A JSON object: bare, or a CloudEvent in structured form.
    Json(Bytes),
    /// A CloudEvent in binary form: attributes by name, and the data.
    Binary(Vec<(String, String)>, Bytes),
}

/// A command that the log may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// Its idempotency key: the client's, or one that was made here.
    pub command_id: String,
    /// What to append.
    pub record: NewRecord,
}

/// A command that can never be done, whatever the state of the space.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The first reason.
    pub code: Code,
    /// All of them.
    pub errors: Vec<FieldError>,
}

/// What a check needs to know.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// How the log routes.
    pub routing: Routing,
    /// What a record may be.
    pub limits: &'a Limits,
    /// For ids and for the default `time`.
    pub clock: &'a dyn Clock,
    /// For ids.
    pub random: &'a Random,
}

type Object = BTreeMap<String, Box<RawValue>>;

/// Checks one command and makes its record. `key`: the id to use where the command has none.
///
/// # Errors
/// [`Refusal`] when the command's bytes say that it can never be done.
pub fn prepare(item: &Item, key: Option<&str>, rules: Rules<'_>) -> Result<Prepared, Refusal> {
    match item {
        Item::Json(bytes) => prepare_json(bytes, key, rules),
        Item::Binary(attributes, data) => prepare_binary(attributes, data, key, rules),
    }
}

fn prepare_json(bytes: &Bytes, key: Option<&str>, rules: Rules<'_>) -> Result<Prepared, Refusal> {
    // Before anything is parsed: what is too large is not worth reading.
    if bytes.len() > rules.limits.record_bytes_max {
        let detail = format!("a command may have at most {} bytes", rules.limits.record_bytes_max);
        return Err(Refusal::one(Code::TooLarge, "", detail));
    }
    let mut object: Object = serde_json::from_slice(bytes).map_err(|error| {
        let detail = format!("this is not a JSON object, from line {} on", error.line());
        Refusal::one(Code::Malformed, "", detail)
    })?;
    let space = object.get("space").and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
    let record = NewRecord {
        key: Bytes::from(space.unwrap_or_default()),
        value: bytes.clone(),
        headers: Headers::new(),
    };
    let (claims, id) = check(&record, rules)?;
    if claims {
        agree(&id, key)?;
        return Ok(Prepared { command_id: id, record });
    }
    let id = key.map_or_else(|| new_id(rules), str::to_owned);
    let text = serde_json::value::to_raw_value(&id).expect("a string always serialises");
    object.insert("id".to_owned(), text);
    let value = Bytes::from(serde_json::to_vec(&object).expect("raw JSON always serialises"));
    let record = NewRecord { value, ..record };
    // The id itself has a shape too.
    check(&record, rules)?;
    Ok(Prepared { command_id: id, record })
}

fn prepare_binary(
    attributes: &[(String, String)],
    data: &Bytes,
    key: Option<&str>,
    rules: Rules<'_>,
) -> Result<Prepared, Refusal> {
    let space = attributes.iter().find(|(name, _)| name == "space").map(|(_, value)| value.clone());
    let headers =
        attributes.iter().map(|(name, value)| (format!("ce_{name}"), Bytes::from(value.clone()))).collect();
    let record = NewRecord { key: Bytes::from(space.unwrap_or_default()), value: data.clone(), headers };
    let (_, id) = check(&record, rules)?;
    agree(&id, key)?;
    Ok(Prepared { command_id: id, record })
}

/// The worker's own check, as if the record stood where it would. Answers whether it brings an id,
/// and which.
fn check(record: &NewRecord, rules: Rules<'_>) -> Result<(bool, String), Refusal> {
    if record.key.is_empty() {
        return Err(Refusal::one(Code::SpaceMissing, "/space", "every command names its `space`, a string"));
    }
    let partition = rules.routing.partitioner.partition(&record.key, rules.routing.partitions);
    let record = Record {
        position: PartitionId { epoch: 1, partition }.at(0),
        key: Some(record.key.clone()),
        value: Some(record.value.clone()),
        headers: record.headers.clone(),
        appended_at: rules.clock.now(),
    };
    match envelope::decode(&record, rules.routing, rules.limits) {
        Decoded::Command(envelope) => Ok((envelope.header.claims, envelope.header.id)),
        Decoded::Failed(failed) => Err(Refusal { code: failed.code, errors: failed.errors }),
        Decoded::Unreadable { code, detail } => Err(Refusal::one(code, "", detail)),
    }
}

/// An `Idempotency-Key` beside an id of the command's own must be the same.
fn agree(id: &str, key: Option<&str>) -> Result<(), Refusal> {
    if key.is_none_or(|key| key == id) {
        return Ok(());
    }
    let detail = "the command's `id` and the `Idempotency-Key` header differ; send one of them";
    Err(Refusal::one(Code::InvalidField, "/id", detail))
}

/// A UUIDv7: time-ordered ids are kinder to every index.
fn new_id(rules: Rules<'_>) -> String {
    let millis = u64::try_from(rules.clock.now().as_millis()).unwrap_or_default();
    let random = rules.random.nonce().to_be_bytes();
    let tail: [u8; 10] = std::array::from_fn(|index| random.get(index).copied().unwrap_or_default());
    uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid().to_string()
}

impl Refusal {
    fn one(code: Code, pointer: &str, detail: impl Into<String>) -> Self {
        Self { code, errors: vec![FieldError::new(code, pointer, detail)] }
    }
}
