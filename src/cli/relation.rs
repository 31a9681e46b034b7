//! `engraft relation …`: reads and writes of relations, through a running server.

use serde_json::{Map, Value};

use crate::model::{MemoryId, Name, Space, Timestamp};

use super::{
    Failure, client, output,
    server::Reading,
    values,
    write::{self, Write, Writing, given},
};

/// What can be done with relations.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show one relation
    #[command(after_help = "\
Example:
  engraft relation get acme m-1 RELATES_TO m-2")]
    Get {
        #[command(flatten)]
        relation: Relation,
        #[command(flatten)]
        reading: Reading,
    },
    /// Put a relation, in the place of one with the same ends and type
    #[command(after_help = "\
Examples:
  engraft relation put acme m-1 RELATES_TO m-2
  engraft relation put acme m-1 CAUSES m-2 --weight 0.3 --property seen=2 --on-missing stub")]
    Put(Put),
    /// Delete a relation
    #[command(after_help = "\
Example:
  engraft relation delete acme m-1 RELATES_TO m-2")]
    Delete {
        #[command(flatten)]
        relation: Relation,
        #[command(flatten)]
        writing: Writing,
    },
    /// List the relations of a memory
    #[command(after_help = "\
Examples:
  engraft relation list acme m-1
  engraft relation list acme m-1 --direction out --types CAUSES -o jsonl")]
    List(List),
}

/// Which relation.
#[derive(Debug, clap::Args)]
pub(super) struct Relation {
    /// The space
    space: Space,
    /// The memory it goes from
    source: MemoryId,
    /// Its type
    #[arg(value_name = "TYPE")]
    kind: Name,
    /// The memory it goes to
    target: MemoryId,
    /// Which one of several with the same ends and type
    #[arg(long, value_name = "NAME")]
    discriminator: Option<String>,
}

/// `relation put`.
#[derive(Debug, clap::Args)]
pub(super) struct Put {
    #[command(flatten)]
    relation: Relation,
    /// From 0 to 1; 1 where nothing is said
    #[arg(long)]
    weight: Option<f64>,
    /// A property; the value is JSON where it is any, else text. Any number of times
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = values::property)]
    properties: Vec<(String, Value)>,
    /// From when it holds, as RFC 3339
    #[arg(long, value_name = "TIME")]
    valid_from: Option<Timestamp>,
    /// Until when it holds, as RFC 3339
    #[arg(long, value_name = "TIME")]
    valid_until: Option<Timestamp>,
    /// What to do when a memory is not there: refuse, or put an empty one
    #[arg(long, value_parser = ["refuse", "stub"])]
    on_missing: Option<String>,
    #[command(flatten)]
    writing: Writing,
}

/// `relation list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// The space
    space: Space,
    /// The memory's id
    id: MemoryId,
    /// Which way
    #[arg(long, value_parser = ["out", "in", "both"], default_value = "both")]
    direction: String,
    /// Only of these types
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// As they were then; RFC 3339
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Get { relation, reading } => {
            let answer = reading.client().get(&relation.path());
            let answer = answer.map_err(|failure| failure.about(&relation.name()))?;
            let mut out = output::Out::new();
            let first = ["source", "type", "target", "discriminator", "weight", "properties"];
            out.record(reading.show.output, &answer, "/relation", &first)?;
            out.finish()
        }
        Command::Put(put) => put.run(),
        Command::Delete { relation, writing } => {
            let (about, path) = (relation.name(), relation.path());
            write::run(
                writing,
                &Write { about, method: "DELETE", path, body: None, preconditions: Vec::new() },
            )
        }
        Command::List(list) => list.run(),
    }
}

impl Relation {
    /// In a message.
    fn name(&self) -> String {
        format!("relation `{} {} {}` in `{}`", self.source, self.kind, self.target, self.space)
    }

    fn path(&self) -> String {
        let Self { space, source, kind, target, discriminator } = self;
        let parts = ["v1", "relations", space.as_str(), source.as_str(), kind.as_str(), target.as_str()];
        client::path(&parts) + &client::query(&[("discriminator", discriminator.clone())])
    }
}

impl Put {
    fn run(&self) -> Result<(), Failure> {
        let mut body = Map::new();
        given(&mut body, "weight", self.weight);
        let properties: Map<String, Value> = self.properties.iter().cloned().collect();
        given(&mut body, "properties", (!properties.is_empty()).then_some(properties));
        given(&mut body, "valid_from", self.valid_from.map(|time| time.to_string()));
        given(&mut body, "valid_until", self.valid_until.map(|time| time.to_string()));
        given(&mut body, "on_missing", self.on_missing.clone());
        let body = Some(Value::Object(body));
        let (about, path) = (self.relation.name(), self.relation.path());
        let write = Write { about, method: "PUT", path, body, preconditions: Vec::new() };
        write::run(&self.writing, &write)
    }
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let path = client::path(&["v1", "memories", self.space.as_str(), self.id.as_str(), "relations"]);
        let query = client::query(&[
            ("direction", Some(self.direction.clone())),
            ("types", (!self.types.is_empty()).then(|| self.types.join(","))),
            ("limit", Some(self.limit.to_string())),
            ("as_of", self.as_of.map(|time| time.to_string())),
        ]);
        let answer = self.reading.client().get(&(path + &query));
        let name = format!("memory `{}` in `{}`", self.id, self.space);
        let answer = answer.map_err(|failure| failure.about(&name))?;
        let columns = [
            ("SOURCE", "/source"),
            ("TYPE", "/type"),
            ("TARGET", "/target"),
            ("DISCRIMINATOR", "/discriminator"),
            ("WEIGHT", "/weight"),
            ("USED", "/used_at"),
        ];
        let mut out = output::Out::new();
        out.list(self.reading.show.output, &answer, "relations", &columns)?;
        out.finish()
    }
}
