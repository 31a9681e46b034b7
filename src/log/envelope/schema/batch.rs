//! The `data` of `batch`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    super::kind::Kind,
    memory::{MemoryDelete, MemoryOnly, MemoryPatch, MemoryPut, MemorySupersede},
    relation::{RelationDelete, RelationInvalidate, RelationPut, RelationStrengthen},
};

/// Commands that take effect together or not at all.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Batch {
    /// In the order in which they apply.
    #[schemars(length(min = 1, max = 1_000))]
    pub items: Vec<Item>,
}

/// A command on memories or relations; its `type` says what its `data` is.
#[derive(Debug, Clone, Copy)]
pub struct Item;

impl JsonSchema for Item {
    fn schema_name() -> Cow<'static, str> {
        "Item".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut any_of = Vec::new();
        for kind in Kind::ALL.iter().filter(|kind| kind.may_be_batched()) {
            let Some(data) = data(*kind, generator) else { continue };
            any_of.push(json_schema!({
                "type": "object",
                "properties": {"type": {"enum": [kind.short(), kind.long()]}, "data": data},
                "required": ["type", "data"],
                "additionalProperties": false,
            }));
        }
        json_schema!({"anyOf": any_of})
    }
}

fn data(kind: Kind, generator: &mut SchemaGenerator) -> Option<Schema> {
    Some(match kind {
        Kind::MemoryPut => generator.subschema_for::<MemoryPut>(),
        Kind::MemoryPatch => generator.subschema_for::<MemoryPatch>(),
        Kind::MemoryTouch => generator.subschema_for::<MemoryOnly>(),
        Kind::MemoryDelete => generator.subschema_for::<MemoryDelete>(),
        Kind::MemorySupersede => generator.subschema_for::<MemorySupersede>(),
        Kind::RelationPut => generator.subschema_for::<RelationPut>(),
        Kind::RelationDelete => generator.subschema_for::<RelationDelete>(),
        Kind::RelationStrengthen => generator.subschema_for::<RelationStrengthen>(),
        Kind::RelationInvalidate => generator.subschema_for::<RelationInvalidate>(),
        Kind::MemoryArchive
        | Kind::MemoryRestore
        | Kind::RelationDecay
        | Kind::Batch
        | Kind::SpaceCreate
        | Kind::SpaceErase => return None,
    })
}
