//! The one terminal answer to a command, as a schema.
//!
//! Consumers must pass over fields that they do not know: some may be added.

use std::collections::BTreeMap;

use schemars::JsonSchema;

use super::text::{MemoryId, Name, Time, Version};

/// The answer to a command.
#[derive(Debug, Clone, JsonSchema)]
pub struct Outcome {
    /// Whose answer it is.
    pub command: Command,
    /// The command's space.
    pub space: String,
    /// Where the command stands in the log.
    pub position: Position,
    /// How it ended.
    pub outcome: Verdict,
    /// Why; `ok` when committed.
    pub code: String,
    /// The position of the command that this one repeats.
    pub duplicate_of: Option<Position>,
    /// What was wrong.
    pub errors: Vec<Problem>,
    /// The records that the command named.
    pub records: Vec<Record>,
    /// How many records it changed that it did not name.
    pub counts: Option<BTreeMap<String, u64>>,
    /// Hand it to a read that must see this command's effect.
    pub token: String,
    /// When the log took the command.
    pub accepted_at: Time,
    /// When the ledger ended it.
    pub finished_at: Time,
}

/// How an outcome names its command.
#[derive(Debug, Clone, JsonSchema)]
pub struct Command {
    /// The idempotency key; the position where the producer gave none.
    pub id: String,
    /// Empty where the producer gave none.
    pub source: String,
    /// The long form, as far as it could be read.
    #[schemars(rename = "type")]
    pub kind: String,
}

/// `epoch.partition.offset`.
#[derive(Debug, Clone, JsonSchema)]
pub struct Position(#[schemars(regex(pattern = r"^[0-9]+\.[0-9]+\.[0-9]+$"))] pub String);

/// How it ended.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Verdict {
    /// Every required store holds it.
    Committed,
    /// A store refused it; what had been written is undone.
    Compensated,
    /// Refused before anything was written.
    Failed,
}

/// One thing that is wrong with a command.
#[derive(Debug, Clone, JsonSchema)]
pub struct Problem {
    /// Its code.
    pub code: String,
    /// JSON Pointer into the command.
    pub pointer: String,
    /// What to change.
    pub detail: String,
}

/// What became of one record: either `memory` or `relation` names it.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["memory"]}, {"required": ["relation"]}]))]
pub struct Record {
    /// A memory, by id.
    pub memory: Option<MemoryId>,
    /// A relation, by its parts.
    pub relation: Option<Relation>,
    /// Its version now; absent where there is none.
    pub version: Option<Version>,
    /// What happened to it.
    pub effect: Effect,
    /// What a patch of the content did to the vector.
    pub vector: Option<VectorFate>,
}

/// The parts of a relation's name.
#[derive(Debug, Clone, JsonSchema)]
pub struct Relation {
    /// The memory that it starts at.
    pub source: MemoryId,
    /// Its type.
    #[schemars(rename = "type")]
    pub kind: Name,
    /// The memory that it ends at.
    pub target: MemoryId,
    /// Tells parallel relations apart; absent where it is empty.
    pub discriminator: Option<String>,
}

/// What a command did to a record.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(rename_all = "snake_case")]
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

/// What became of a vector when the content was patched.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum VectorFate {
    /// It is gone with the text that it stood for.
    Dropped,
    /// The command said to keep it.
    Kept,
}
