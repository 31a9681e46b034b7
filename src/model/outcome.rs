//! The one terminal answer to a command.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{MemoryId, Name, Position, RelationKey, Space, Timestamp, Version};

/// Why a command ended as it did. A closed set; the text forms are stable, retired ones are never
/// reused. `docs/errors.md` has a paragraph on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// It was done.
    Ok,
    /// A field has the wrong type, range or form.
    InvalidField,
    /// A field that no such command has.
    UnknownField,
    /// A field that every such command has is missing.
    MissingField,
    /// A type that is not a command.
    UnknownType,
    /// The record, a field or a list is larger than allowed.
    TooLarge,
    /// The body is not JSON.
    Malformed,
    /// A JSON object names a key twice.
    DuplicateKey,
    /// JSON nested deeper than allowed.
    TooDeep,
    /// The record's key is not its space, or its partition is not where its key belongs.
    Misrouted,
    /// The record has no key.
    KeyMissing,
    /// The record's key is not UTF-8.
    KeyNotUtf8,
    /// The record has no value.
    NullValue,
    /// Neither key nor body name a space.
    SpaceMissing,
    /// The same id came before with another body.
    IdReused,
    /// `expirytime` had passed when it would have started.
    Expired,
    /// The memory or relation is not there.
    NotFound,
    /// An end of the relation is not there.
    EndpointMissing,
    /// `if_version` names another version than the record's.
    IfVersion,
    /// `if_absent`, and the record is there.
    IfAbsent,
    /// The vector's length is not the space's dimension.
    DimensionMismatch,
    /// The vector is zero, and the space measures by cosine.
    ZeroVector,
    /// The space is closed, or full, for this kind.
    KindNotAllowed,
    /// The space is closed, or full, for this relation type.
    RelationTypeNotAllowed,
    /// The declaration contradicts the space's.
    SpaceConflict,
    /// The space's quota is used up.
    QuotaExceeded,
    /// A relation from a memory to itself, where that has no meaning.
    SameEnds,
    /// This build cannot do it yet.
    NotYetAvailable,
    /// A store refused it for good; what had been written was undone.
    StoreRejected,
    /// An operator cancelled it.
    Cancelled,
    /// It killed its worker again and again and was set aside.
    Poison,
}

impl Code {
    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::InvalidField => "invalid_field",
            Self::UnknownField => "unknown_field",
            Self::MissingField => "missing_field",
            Self::UnknownType => "unknown_type",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::DuplicateKey => "duplicate_key",
            Self::TooDeep => "too_deep",
            Self::Misrouted => "misrouted",
            Self::KeyMissing => "key_missing",
            Self::KeyNotUtf8 => "key_not_utf8",
            Self::NullValue => "null_value",
            Self::SpaceMissing => "space_missing",
            Self::IdReused => "id_reused",
            Self::Expired => "expired",
            Self::NotFound => "not_found",
            Self::EndpointMissing => "endpoint_missing",
            Self::IfVersion => "if_version",
            Self::IfAbsent => "if_absent",
            Self::DimensionMismatch => "dimension_mismatch",
            Self::ZeroVector => "zero_vector",
            Self::KindNotAllowed => "kind_not_allowed",
            Self::RelationTypeNotAllowed => "relation_type_not_allowed",
            Self::SpaceConflict => "space_conflict",
            Self::QuotaExceeded => "quota_exceeded",
            Self::SameEnds => "same_ends",
            Self::NotYetAvailable => "not_yet_available",
            Self::StoreRejected => "store_rejected",
            Self::Cancelled => "cancelled",
            Self::Poison => "poison",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Its code.
    pub code: Code,
    /// JSON Pointer (RFC 6901) into the command, e.g. `/data/items/3/data/vector`; `""`: the whole.
    pub pointer: String,
    /// One sentence that names the thing and what to change.
    pub detail: String,
}

impl FieldError {
    /// An error at a place.
    #[must_use]
    pub fn new(code: Code, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code, pointer: pointer.into(), detail: detail.into() }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every required store holds it.
    Committed,
    /// A store refused it; what had been written is undone.
    Compensated,
    /// Refused before anything was written.
    Failed,
}

/// What a command did to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// There was no such record.
    Created,
    /// The whole record was replaced.
    Replaced,
    /// Parts of it were changed.
    Patched,
    /// It is gone.
    Deleted,
    /// It is as it was.
    Unchanged,
}

/// One record that a command named, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordOutcome {
    /// The memory or the relation.
    #[serde(flatten)]
    pub record: RecordName,
    /// Its version now; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// What happened to it.
    pub effect: Effect,
    /// What a patch of the content did to the vector: `dropped` or `kept`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<VectorFate>,
}

/// What became of a memory's vector when its content was patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VectorFate {
    /// It stood for a text that is gone, and is gone with it.
    Dropped,
    /// The command said to keep it.
    Kept,
}

/// Which record an outcome speaks of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordName {
    /// A memory, by id.
    Memory(MemoryId),
    /// A relation, by its parts.
    Relation(RelationName),
}

/// The parts of a relation's name, as an outcome shows them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RelationName {
    /// The memory it starts at.
    pub source: MemoryId,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Name,
    /// The memory it ends at.
    pub target: MemoryId,
    /// Tells parallel relations apart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub discriminator: String,
}

impl From<&RelationKey> for RelationName {
    fn from(key: &RelationKey) -> Self {
        Self {
            source: key.source.clone(),
            kind: key.kind.clone(),
            target: key.target.clone(),
            discriminator: key.discriminator.clone(),
        }
    }
}

/// What is decided when a saga ends, apart from who asked: stored in the ledger, so that every
/// published copy is identical.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How it ended.
    pub verdict: Verdict,
    /// Why.
    pub code: Code,
    /// What was wrong, if anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The records that the command named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<RecordOutcome>,
    /// How many records it changed that it did not name, e.g. `relations_deleted`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
}

impl Ending {
    /// A command that was refused before anything was written.
    #[must_use]
    pub fn failed(code: Code, errors: Vec<FieldError>) -> Self {
        Self { verdict: Verdict::Failed, code, errors, records: Vec::new(), counts: BTreeMap::new() }
    }
}

/// The one terminal answer to a command, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whose answer it is.
    pub command: CommandName,
    /// The command's space.
    pub space: Space,
    /// Where the command stands in the log.
    pub position: Position,
    /// How it ended.
    #[serde(rename = "outcome")]
    pub verdict: Verdict,
    /// Why; `ok` when committed.
    pub code: Code,
    /// The position of the command that this one repeats, if it does.
    pub duplicate_of: Option<Position>,
    /// What was wrong.
    pub errors: Vec<FieldError>,
    /// The records that the command named.
    pub records: Vec<RecordOutcome>,
    /// How many records it changed that it did not name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, u64>,
    /// Hand it to a read that must see this command's effect.
    pub token: String,
    /// When the log took the command.
    pub accepted_at: Timestamp,
    /// When the ledger ended it.
    pub finished_at: Timestamp,
}

/// How an outcome names its command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandName {
    /// The idempotency key; the position where the producer gave none.
    pub id: String,
    /// The producer's source; `""` where it gave none.
    pub source: String,
    /// The long form, e.g. `engraft.memory.put.v1`.
    #[serde(rename = "type")]
    pub kind: String,
}
