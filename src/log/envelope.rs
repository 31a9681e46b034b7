//! From a record to a command, and back: the three wire forms and the shape check. Stub.

use crate::{
    log::{Partitioner, Record},
    model::{Code, Command, Digest, Envelope, FieldError, Header},
};

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
pub fn decode(record: &Record, _routing: Routing, _limits: &Limits) -> Decoded {
    Decoded::Unreadable { code: Code::Malformed, detail: record.position.to_string() }
}

/// Reads a command back from the canonical body that the ledger kept, under the header that it came with.
///
/// # Errors
/// What is wrong, when the body is not one that [`decode`] accepted.
pub fn revive(_header: &Header, _body: &[u8]) -> Result<Command, Vec<FieldError>> {
    Err(Vec::new())
}
