//! From a request's body to records for the log.
//!
//! ```text
//! one command, an array, lines ─▶ items ─▶ shape check ─▶ id ─▶ record, keyed by its space
//! ```
//!
//! The shape check is the worker's own, so that nothing is taken here that fails there for its bytes
//! alone. A command without an id gets one, so that its append can be repeated safely.

use bytes::Bytes;

use crate::{
    clock::Clock,
    log::{
        Headers, NewRecord,
        envelope::{self, Limits},
    },
    model::{Code, Command, FieldError, Space},
    random::Random,
};

/// Most commands of one request.
pub const ITEMS_MAX: usize = 1_000;

/// One command as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// A JSON object, bare or a CloudEvent in structured form; with `ce_…` headers, a binary one's data.
    pub body: Bytes,
    /// `ce_…` attributes of a CloudEvent in binary form, and W3C trace context.
    pub headers: Headers,
}

/// A command that the log may take.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// Its idempotency key: the client's, or one that was made here.
    pub command_id: String,
    /// Whose memories it is about.
    pub space: Space,
    /// Whether it creates or erases the space itself.
    pub is_of_space: bool,
    /// What to append.
    pub record: NewRecord,
}

/// A command that can never be done, whatever the state of its space.
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
    /// What a record may be.
    pub limits: &'a Limits,
    /// For ids.
    pub clock: &'a dyn Clock,
    /// For ids.
    pub random: &'a Random,
}

impl Item {
    /// A JSON object.
    #[must_use]
    pub fn json(body: Bytes) -> Self {
        Self { body, headers: Headers::new() }
    }

    /// The same with headers of a trace context, which its own attributes go before.
    #[must_use]
    pub fn traced(mut self, context: Headers) -> Self {
        self.headers.extend(context);
        self
    }
}

/// Checks one command and makes its record. `key`: the id to use where the command has none.
///
/// # Errors
/// [`Refusal`] when the command's bytes say that it can never be done.
pub fn prepare(item: &Item, key: Option<&str>, rules: Rules<'_>) -> Result<Prepared, Refusal> {
    let checked = envelope::check(&item.body, &item.headers, rules.limits)?;
    let command_id = match (checked.id(), key) {
        (Some(id), Some(key)) if id != key => {
            let detail = "the command's `id` and the `Idempotency-Key` header differ; send one of them";
            return Err(vec![FieldError::new(Code::InvalidField, "/id", detail)].into());
        }
        (Some(id), _) => id.to_owned(),
        (None, Some(key)) => key.to_owned(),
        (None, None) => new_id(rules.clock, rules.random),
    };
    let space = checked.space().clone();
    let is_of_space = matches!(checked.command(), Command::SpaceCreate(_) | Command::SpaceErase);
    let record = checked.into_record(&command_id)?;
    Ok(Prepared { command_id, space, is_of_space, record })
}

/// A UUIDv7: time-ordered ids are kinder to every index.
#[must_use]
pub fn new_id(clock: &dyn Clock, random: &Random) -> String {
    let millis = u64::try_from(clock.now().as_millis()).unwrap_or_default();
    let random = random.nonce().to_be_bytes();
    let tail: [u8; 10] = std::array::from_fn(|index| random.get(index).copied().unwrap_or_default());
    uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid().to_string()
}

impl From<Vec<FieldError>> for Refusal {
    fn from(errors: Vec<FieldError>) -> Self {
        Self { code: errors.first().map_or(Code::Malformed, |first| first.code), errors }
    }
}
