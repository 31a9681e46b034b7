//! JSON Schemas (2020-12) of what goes over the wire, generated from the types below.
//!
//! One file per command type describes its `data`; `envelope.v1` describes bare JSON around it,
//! `outcome.v1` the answer. The files in `schemas/` are what producers take and what the API serves.
//! A schema cannot say all that the decoder checks (bytes, order, equal lengths, duplicate keys):
//! what it refuses the decoder refuses too, and what the decoder accepts it accepts.
//!
//! After a change of these types, write the files anew:
//!
//! ```text
//! ENGRAFT_WRITE_SCHEMAS=1 cargo test --profile ci --lib the_schema_files_are_current
//! ```

pub mod batch;
pub mod envelope;
pub mod memory;
pub mod outcome;
pub mod relation;
pub mod space;
pub mod text;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};

/// A schema: its name without `.json`, and its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File {
    /// For example `memory.put.v1`.
    pub name: &'static str,
    /// The JSON text.
    pub text: &'static str,
}

macro_rules! files {
    ($($name:literal = $type:ty,)*) => {
        /// All schemas, as they are served.
        pub const FILES: &[File] = &[$(File {
            name: $name,
            text: include_str!(concat!("../../../../schemas/", $name, ".json")),
        }),*];

        /// All schemas, generated anew: name and schema.
        #[must_use]
        pub fn generate() -> Vec<(&'static str, Schema)> {
            vec![$(($name, schema_of::<$type>())),*]
        }

        /// References to all schemas, which `generator` has from then on: name and reference.
        pub fn refer(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
            vec![$(($name, generator.subschema_for::<$type>())),*]
        }
    };
}

files! {
    "envelope.v1" = envelope::Envelope,
    "memory.put.v1" = memory::MemoryPut,
    "memory.patch.v1" = memory::MemoryPatch,
    "memory.touch.v1" = memory::MemoryOnly,
    "memory.delete.v1" = memory::MemoryDelete,
    "memory.supersede.v1" = memory::MemorySupersede,
    "memory.archive.v1" = memory::MemoryOnly,
    "memory.restore.v1" = memory::MemoryOnly,
    "relation.put.v1" = relation::RelationPut,
    "relation.delete.v1" = relation::RelationDelete,
    "relation.strengthen.v1" = relation::RelationStrengthen,
    "relation.decay.v1" = relation::RelationDecay,
    "relation.invalidate.v1" = relation::RelationInvalidate,
    "batch.v1" = batch::Batch,
    "space.create.v1" = space::SpaceCreate,
    "space.erase.v1" = space::SpaceErase,
    "outcome.v1" = outcome::Outcome,
}

/// The text of a schema by its name, with or without `.json`.
#[must_use]
pub fn named(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix(".json").unwrap_or(name);
    FILES.iter().find(|file| file.name == name).map(|file| file.text)
}

fn schema_of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>()
}
