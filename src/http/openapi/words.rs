//! What stands in paths, queries and headers, as schemas.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    log::envelope::schema::text::{MemoryId, Name},
    model::space::Metric,
};

/// The name of a space.
#[derive(JsonSchema)]
#[schemars(rename = "SpaceName", extend("not" = {"enum": [".", ".."]}))]
#[expect(dead_code, reason = "a schema alone")]
pub(in crate::http) struct SpaceName(#[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,128}$"))] String);

/// The types to follow, with commas between them; none: all.
#[derive(JsonSchema)]
#[schemars(rename = "TypeList")]
#[expect(dead_code, reason = "a schema alone")]
pub(in crate::http) struct TypeList(
    #[schemars(regex(pattern = "^([A-Za-z][A-Za-z0-9_]{0,63}(,[A-Za-z][A-Za-z0-9_]{0,63})*)?$"))] String,
);

/// The outcome of a command: the schema that is also served as `/schemas/outcome.v1`.
pub(in crate::http) struct OutcomeRef;

impl JsonSchema for OutcomeRef {
    fn schema_name() -> Cow<'static, str> {
        "OutcomeRef".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"$ref": "#/components/schemas/Outcome"})
    }
}

/// The parts of a relation's name; `discriminator` is left out where it is empty.
pub(in crate::http) struct RelationParts;

impl JsonSchema for RelationParts {
    fn schema_name() -> Cow<'static, str> {
        "RelationParts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (id, name) = (generator.subschema_for::<MemoryId>(), generator.subschema_for::<Name>());
        json_schema!({
            "type": "object",
            "properties": {"source": id, "type": name, "target": id, "discriminator": {"type": "string"}},
            "required": ["source", "type", "target"],
        })
    }
}

/// A sparse vector, as it is told.
#[derive(JsonSchema)]
#[schemars(rename = "StoredSparse")]
#[expect(dead_code, reason = "a schema alone")]
pub(in crate::http) struct StoredSparse {
    /// Term numbers, strictly rising.
    indices: Vec<u32>,
    /// One weight a term.
    values: Vec<f32>,
}

/// What a space is declared to be.
#[derive(JsonSchema)]
#[schemars(rename = "Declaration")]
#[expect(dead_code, reason = "a schema alone")]
pub(in crate::http) struct DeclarationParts {
    /// The length of every dense vector; set by the first one. Null: there was none yet.
    dimension: Option<u32>,
    /// How vectors are compared.
    metric: Metric,
    /// The kinds that its memories may have.
    kinds: Vec<Name>,
    /// The types that its relations may have.
    relation_types: Vec<Name>,
    /// Properties that a vector store can filter by.
    indexed: Vec<Name>,
    /// Whether a sparse vector is derived from content.
    text: bool,
    /// Whether a new kind or type joins its set on first use.
    open: bool,
    /// Whether earlier images are kept.
    history: bool,
    /// Most memories; null: no limit.
    quota: Option<u64>,
    /// Whether a `space.create` fixed it, rather than first use.
    declared: bool,
}
