//! Strings and numbers with rules of their own, shared by all schemas.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// A kind, a relation type or a property name.
#[derive(Debug, Clone, JsonSchema)]
pub struct Name(#[schemars(regex(pattern = "^[A-Za-z][A-Za-z0-9_]{0,63}$"))] pub String);

/// A memory's id: 1 to 255 bytes of UTF-8.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(extend("not" = {"enum": [".", ".."]}))]
pub struct MemoryId(
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$"))] pub String,
);

/// A string of 1 to 255 bytes.
#[derive(Debug, Clone, JsonSchema)]
pub struct Label(#[schemars(length(min = 1, max = 255))] pub String);

/// A version of a record, `epoch.sequence`.
#[derive(Debug, Clone, JsonSchema)]
pub struct Version(#[schemars(regex(pattern = r"^\+?[0-9]+\.\+?[0-9]+$"))] pub String);

/// An RFC 3339 time such as 2026-11-21T09:00:00Z.
#[derive(Debug, Clone, JsonSchema)]
pub struct Time(#[schemars(extend("format" = "date-time"))] pub String);

/// A number from 0 to 1.
#[derive(Debug, Clone, JsonSchema)]
pub struct Fraction(#[schemars(range(min = 0.0, max = 1.0))] pub f64);

/// A number that is finite as f32.
#[derive(Debug, Clone, JsonSchema)]
pub struct Component(
    #[schemars(range(min = -3.402_823_567_797_336_6e38, max = 3.402_823_567_797_336_6e38))] pub f64,
);

/// A dense vector.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub enum Vector {
    /// Its values.
    List(#[schemars(length(min = 1))] Vec<Component>),
    /// Its values as little-endian f32 in base64.
    Packed(Packed),
}

/// A dense vector as bytes.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Packed {
    /// Standard base64 of little-endian f32, four bytes each.
    #[schemars(regex(pattern = "^[A-Za-z0-9+/]+={0,2}$"), extend("contentEncoding" = "base64"))]
    pub b64: String,
}

/// A sparse vector: as many values as indices.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Sparse {
    /// Term numbers, strictly rising.
    #[schemars(extend("uniqueItems" = true))]
    pub indices: Vec<Term>,
    /// One weight a term.
    pub values: Vec<Component>,
}

/// A term's number.
#[derive(Debug, Clone, JsonSchema)]
pub struct Term(#[schemars(range(min = 0, max = 4_294_967_295_u32))] pub u32);

/// Names to values; null: absent, and in a patch: removed.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(extend("propertyNames" = {"pattern": "^[A-Za-z][A-Za-z0-9_]{0,63}$"}))]
pub struct Properties(pub BTreeMap<String, Option<Property>>);

/// A property: a scalar, a list of one scalar type, or an object that is kept whole.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub enum Property {
    /// A string.
    Text(String),
    /// A boolean.
    Flag(bool),
    /// A 64-bit integer or a finite double.
    Number(f64),
    /// Strings.
    Texts(Vec<String>),
    /// Booleans.
    Flags(Vec<bool>),
    /// Numbers.
    Numbers(Vec<f64>),
    /// Kept whole, cannot be filtered by.
    Whole(Map<String, Value>),
}
