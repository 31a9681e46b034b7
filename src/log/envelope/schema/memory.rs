//! The `data` of `memory.*` commands.

use schemars::JsonSchema;

use super::text::{Fraction, Label, MemoryId, Name, Properties, Sparse, Time, Vector, Version};

/// Writes a whole memory; an absent vector means none.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MemoryPut {
    /// Absent: derived from the command's id and the item's place in its batch.
    pub id: Option<MemoryId>,
    /// `Episode` by default.
    pub kind: Option<Name>,
    /// At most 256 KiB of UTF-8; empty by default.
    pub content: Option<String>,
    /// None by default.
    pub properties: Option<Properties>,
    /// None by default.
    pub session: Option<Label>,
    /// 0.5 by default.
    pub importance: Option<Fraction>,
    /// Exactly the space's dimension.
    pub vector: Option<Vector>,
    /// Derived from the content where the space says `text`.
    pub sparse: Option<Sparse>,
    /// The command's time by default.
    pub occurred_at: Option<Time>,
    /// The command's time by default.
    pub valid_from: Option<Time>,
    /// Later than `valid_from`; none by default.
    pub valid_until: Option<Time>,
    /// Refuse when the memory is there.
    pub if_absent: Option<bool>,
    /// Refuse unless the memory is at this version.
    pub if_version: Option<Version>,
}

/// Changes parts of a memory: JSON Merge Patch, where null removes.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MemoryPatch {
    /// The memory.
    pub id: MemoryId,
    /// Its kind.
    pub kind: Option<Name>,
    /// Its content; drops the vector that stood for the old one, unless there is another.
    pub content: Option<String>,
    /// Merged into its properties.
    pub properties: Option<Properties>,
    /// Its session.
    pub session: Option<Label>,
    /// Its importance.
    pub importance: Option<Fraction>,
    /// Its vector.
    pub vector: Option<Vector>,
    /// Its sparse vector; null: derived anew.
    pub sparse: Option<Sparse>,
    /// When it happened.
    pub occurred_at: Option<Time>,
    /// Start of its validity.
    pub valid_from: Option<Time>,
    /// End of its validity.
    pub valid_until: Option<Time>,
    /// Keep the vector although the content changes.
    pub keep_vector: Option<bool>,
    /// Refuse unless the memory is at this version.
    pub if_version: Option<Version>,
}

/// Names a memory.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MemoryOnly {
    /// The memory.
    pub id: MemoryId,
}

/// Removes a memory and its relations.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MemoryDelete {
    /// The memory.
    pub id: MemoryId,
    /// Refuse unless the memory is at this version.
    pub if_version: Option<Version>,
}

/// Puts another memory in the place of one whose validity ends.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct MemorySupersede {
    /// The old memory.
    pub id: MemoryId,
    /// The new one, with another id.
    pub by: MemoryPut,
}
