//! The `data` of `relation.*` commands.

use schemars::JsonSchema;

use super::text::{Fraction, Label, MemoryId, Name, Properties, Time};

/// What to do when an end of a relation is not there.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum OnMissing {
    /// Refuse the command.
    Refuse,
    /// Make the end: an empty memory of the default kind.
    Stub,
}

/// Writes a whole relation.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RelationPut {
    /// The memory that it starts at.
    pub source: MemoryId,
    /// Its type.
    #[schemars(rename = "type")]
    pub kind: Name,
    /// The memory that it ends at.
    pub target: MemoryId,
    /// Tells parallel relations apart; empty by default.
    #[schemars(length(max = 255))]
    pub discriminator: Option<String>,
    /// 1 by default.
    pub weight: Option<Fraction>,
    /// None by default.
    pub properties: Option<Properties>,
    /// The command's time by default.
    pub valid_from: Option<Time>,
    /// Later than `valid_from`; none by default.
    pub valid_until: Option<Time>,
    /// `refuse` by default.
    pub on_missing: Option<OnMissing>,
}

/// Removes a relation.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RelationDelete {
    /// The memory that it starts at.
    pub source: MemoryId,
    /// Its type.
    #[schemars(rename = "type")]
    pub kind: Name,
    /// The memory that it ends at.
    pub target: MemoryId,
    /// Tells parallel relations apart; empty by default.
    #[schemars(length(max = 255))]
    pub discriminator: Option<String>,
}

/// Raises a weight by `rate` of what it lacks to 1; an absent relation is created at 0.1.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RelationStrengthen {
    /// The memory that it starts at.
    pub source: MemoryId,
    /// Its type.
    #[schemars(rename = "type")]
    pub kind: Name,
    /// The memory that it ends at.
    pub target: MemoryId,
    /// Tells parallel relations apart; empty by default.
    #[schemars(length(max = 255))]
    pub discriminator: Option<String>,
    /// 0.1 by default.
    pub rate: Option<Fraction>,
    /// `refuse` by default.
    pub on_missing: Option<OnMissing>,
}

/// Ends a relation's validity.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct RelationInvalidate {
    /// The memory that it starts at.
    pub source: MemoryId,
    /// Its type.
    #[schemars(rename = "type")]
    pub kind: Name,
    /// The memory that it ends at.
    pub target: MemoryId,
    /// Tells parallel relations apart; empty by default.
    #[schemars(length(max = 255))]
    pub discriminator: Option<String>,
    /// The command's time by default.
    pub valid_until: Option<Time>,
}

/// Lowers the weights of relations long unused, and deletes the weakest. Either `id` or `session`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields, extend("anyOf" = [{"required": ["id"]}, {"required": ["session"]}]))]
pub struct RelationDecay {
    /// Those with this memory as an end.
    pub id: Option<MemoryId>,
    /// Those whose source lies in a session, given by its name.
    pub session: Option<Label>,
    /// Days without use; 30 by default.
    pub older_than_days: Option<u32>,
    /// 0.01 by default.
    pub rate: Option<Fraction>,
    /// Below this weight a relation is deleted; 0.01 by default.
    pub prune_below: Option<Fraction>,
}
