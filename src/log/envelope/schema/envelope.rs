//! Bare JSON around a command's `data`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use super::{
    super::kind::Kind,
    text::{Label, Time},
};

/// A command as bare JSON. The schema named after its type describes `data`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Envelope {
    /// What is asked; the short name stands for the long one.
    #[schemars(rename = "type")]
    pub kind: Type,
    /// The idempotency key within space and source; absent: the position, and a resend is a new command.
    pub id: Option<Label>,
    /// A URI reference; empty by default.
    #[schemars(length(max = 1_024))]
    pub source: Option<String>,
    /// Required here, or as the record key.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,128}$"))]
    pub space: Option<String>,
    /// Every "now" inside the command; the log's append time by default.
    pub time: Option<Time>,
    /// Past when its saga would start: it fails as expired.
    pub expirytime: Option<Time>,
    /// Carried to the outcome.
    pub correlationid: Option<String>,
    /// Carried to the outcome.
    pub causationid: Option<String>,
    /// W3C trace context, carried to the outcome.
    pub traceparent: Option<String>,
    /// W3C trace context, carried to the outcome.
    pub tracestate: Option<String>,
    /// The fields of the command.
    pub data: Map<String, Value>,
}

/// A command type, short or long.
#[derive(Debug, Clone, Copy)]
pub struct Type;

impl JsonSchema for Type {
    fn schema_name() -> Cow<'static, str> {
        "Type".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let short = Kind::ALL.iter().map(|kind| kind.short());
        let names: Vec<&str> = short.chain(Kind::ALL.iter().map(|kind| kind.long())).collect();
        json_schema!({"enum": names})
    }
}
