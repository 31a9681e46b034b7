//! `engraft memory put|patch|delete`.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::{
    cli::{
        Failure, client,
        memory::name,
        values,
        write::{self, Write, Writing, given},
    },
    model::{MemoryId, Name, Space, Timestamp, Version},
};

/// The fields that a put and a patch share.
#[derive(Debug, clap::Args)]
struct Fields {
    /// What it says
    #[arg(conflicts_with = "content_file")]
    content: Option<String>,
    /// What it says, from a file; `-`: standard input
    #[arg(long, value_name = "FILE")]
    content_file: Option<PathBuf>,
    /// Its kind; Episode where a put does not say
    #[arg(long)]
    kind: Option<Name>,
    /// A property; the value is JSON where it is any, else text. Any number of times
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = values::property)]
    properties: Vec<(String, Value)>,
    /// The session it belongs to
    #[arg(long)]
    session: Option<String>,
    /// From 0 to 1
    #[arg(long)]
    importance: Option<f64>,
    /// Its vector: a JSON array, or a file with one; `-`: standard input
    #[arg(long, value_name = "JSON|FILE", allow_hyphen_values = true)]
    vector: Option<String>,
    /// When it happened, as RFC 3339
    #[arg(long, value_name = "TIME")]
    occurred_at: Option<Timestamp>,
    /// From when it holds, as RFC 3339
    #[arg(long, value_name = "TIME")]
    valid_from: Option<Timestamp>,
    /// Until when it holds, as RFC 3339
    #[arg(long, value_name = "TIME")]
    valid_until: Option<Timestamp>,
}

impl Fields {
    fn body(&self) -> Result<Map<String, Value>, Failure> {
        let mut body = Map::new();
        let content = match (&self.content, &self.content_file) {
            (None, Some(file)) => Some(values::text_of(file)?),
            (content, _) => content.clone(),
        };
        given(&mut body, "content", content);
        given(&mut body, "kind", self.kind.as_ref().map(ToString::to_string));
        let properties: Map<String, Value> = self.properties.iter().cloned().collect();
        given(&mut body, "properties", (!properties.is_empty()).then_some(properties));
        given(&mut body, "session", self.session.clone());
        given(&mut body, "importance", self.importance);
        given(&mut body, "vector", self.vector.as_deref().map(values::vector).transpose()?);
        given(&mut body, "occurred_at", self.occurred_at.map(|time| time.to_string()));
        given(&mut body, "valid_from", self.valid_from.map(|time| time.to_string()));
        given(&mut body, "valid_until", self.valid_until.map(|time| time.to_string()));
        Ok(body)
    }
}

/// `memory put`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Put {
    /// The space; it need not be there yet
    space: Space,
    /// The memory's id
    id: MemoryId,
    #[command(flatten)]
    fields: Fields,
    /// Only if there is none with this id
    #[arg(long, conflicts_with = "if_version")]
    if_absent: bool,
    /// Only if it still has this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<Version>,
    #[command(flatten)]
    writing: Writing,
}

/// `memory patch`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Patch {
    /// The space
    space: Space,
    /// The memory's id
    id: MemoryId,
    #[command(flatten)]
    fields: Fields,
    /// Take a field away: session, vector, sparse, valid_until, … Any number of times
    #[arg(long = "remove", value_name = "FIELD")]
    removed: Vec<String>,
    /// Keep the vector although the content changes
    #[arg(long)]
    keep_vector: bool,
    /// Only if it still has this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<Version>,
    #[command(flatten)]
    writing: Writing,
}

/// `memory delete`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Delete {
    /// The space
    space: Space,
    /// The memory's id
    id: MemoryId,
    /// Only if it still has this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<Version>,
    #[command(flatten)]
    writing: Writing,
}

impl Put {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut preconditions = if_match(self.if_version);
        preconditions.extend(self.if_absent.then(|| ("if-none-match", "*".to_owned())));
        let body = Some(Value::Object(self.fields.body()?));
        let (about, path) = (name(&self.space, &self.id), path(&self.space, &self.id));
        write::run(&self.writing, &Write { about, method: "PUT", path, body, preconditions })
    }
}

impl Patch {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut body = self.fields.body()?;
        for field in &self.removed {
            if body.insert(field.clone(), Value::Null).is_some() {
                return Err(Failure::usage(format!("`{field}` is both given and removed; say one of them")));
            }
        }
        if self.keep_vector {
            body.insert("keep_vector".to_owned(), Value::Bool(true));
        }
        if body.is_empty() {
            let fix = "name at least one field, such as `--importance 0.9`";
            return Err(Failure::usage(format!("there is nothing to change; {fix}")));
        }
        let (about, path) = (name(&self.space, &self.id), path(&self.space, &self.id));
        let (body, preconditions) = (Some(Value::Object(body)), if_match(self.if_version));
        let write = Write { about, method: "PATCH", path, body, preconditions };
        write::run(&self.writing, &write)
    }
}

impl Delete {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let (about, path) = (name(&self.space, &self.id), path(&self.space, &self.id));
        let preconditions = if_match(self.if_version);
        write::run(&self.writing, &Write { about, method: "DELETE", path, body: None, preconditions })
    }
}

fn path(space: &Space, id: &MemoryId) -> String {
    client::path(&["v1", "memories", space.as_str(), id.as_str()])
}

fn if_match(version: Option<Version>) -> Vec<(&'static str, String)> {
    version.map(|version| ("if-match", format!("\"{version}\""))).into_iter().collect()
}
