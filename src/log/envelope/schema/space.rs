//! The `data` of `space.*` commands.

use schemars::JsonSchema;

use super::text::Name;
use crate::model::space::Metric;

/// Fixes or extends a space's declaration; absent fields say nothing.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SpaceCreate {
    /// The length of every dense vector.
    #[schemars(range(min = 1, max = 65_536))]
    pub dimension: Option<u32>,
    /// How vectors are compared.
    pub metric: Option<Metric>,
    /// Kinds to add.
    #[schemars(length(max = 256))]
    pub kinds: Option<Vec<Name>>,
    /// Relation types to add.
    #[schemars(length(max = 256))]
    pub relation_types: Option<Vec<Name>>,
    /// Properties that a vector store can filter by, to add.
    #[schemars(length(max = 256))]
    pub indexed: Option<Vec<Name>>,
    /// Whether a sparse vector is derived from content.
    pub text: Option<bool>,
    /// Whether new kinds and types join on first use.
    pub open: Option<bool>,
    /// Whether earlier images are kept.
    pub history: Option<bool>,
    /// Most memories.
    pub quota: Option<u64>,
}

/// Removes everything in the space; has no fields.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct SpaceErase {}
