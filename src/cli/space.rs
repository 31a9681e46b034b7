//! `engraft space …`: what a space is declared to be, and what is in it.

use serde_json::{Map, Value};

use crate::model::{Name, Space};

use super::{
    Failure, client, output,
    server::Reading,
    write::{self, Write, Writing, given},
};

/// What can be done with spaces.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show what a space is declared to be
    #[command(after_help = "\
Example:
  engraft space show acme")]
    Show {
        /// The space
        space: Space,
        #[command(flatten)]
        reading: Reading,
    },
    /// Declare a space, or extend its declaration
    #[command(after_help = "\
Examples:
  engraft space create acme --dimension 384 --metric cosine
  engraft space create acme --indexed topic,turn --history true --quota 100000")]
    Create(Create),
    /// Count what is in a space
    #[command(after_help = "\
Example:
  engraft space stats acme -o json")]
    Stats {
        /// The space
        space: Space,
        #[command(flatten)]
        reading: Reading,
    },
}

/// `space create`. What is not said stays as it is.
#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The space
    space: Space,
    /// The length of every vector, for good
    #[arg(long)]
    dimension: Option<u32>,
    /// How vectors are compared, for good
    #[arg(long, value_parser = ["cosine", "dot", "euclid"])]
    metric: Option<String>,
    /// Kinds to add
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Name>,
    /// Relation types to add
    #[arg(long, value_delimiter = ',')]
    relation_types: Vec<Name>,
    /// Properties that searches can filter by, to add
    #[arg(long, value_delimiter = ',')]
    indexed: Vec<Name>,
    /// Whether words can be searched for without an embedder
    #[arg(long, value_name = "true|false")]
    text: Option<bool>,
    /// Whether a new kind or relation type joins on first use
    #[arg(long, value_name = "true|false")]
    open: Option<bool>,
    /// Whether earlier versions are kept
    #[arg(long, value_name = "true|false")]
    history: Option<bool>,
    /// Most memories
    #[arg(long)]
    quota: Option<u64>,
    #[command(flatten)]
    writing: Writing,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Show { space, reading } => {
            let first = ["space", "declared", "dimension", "metric", "text", "open", "history", "quota"];
            show(reading, space, &client::path(&["v1", "spaces", space.as_str()]), &first)
        }
        Command::Create(create) => create.run(),
        Command::Stats { space, reading } => {
            let path = client::path(&["v1", "spaces", space.as_str(), "stats"]);
            show(reading, space, &path, &["memories", "relations", "commands"])
        }
    }
}

fn show(reading: &Reading, space: &Space, path: &str, first: &[&str]) -> Result<(), Failure> {
    let answer = reading.client().get(path);
    let answer = answer.map_err(|failure| failure.about(&format!("space `{space}`")))?;
    let mut out = output::Out::new();
    out.record(reading.show.output, &answer, "", first)?;
    out.finish()
}

impl Create {
    fn run(&self) -> Result<(), Failure> {
        let mut body = Map::new();
        given(&mut body, "dimension", self.dimension);
        given(&mut body, "metric", self.metric.clone());
        for (name, names) in
            [("kinds", &self.kinds), ("relation_types", &self.relation_types), ("indexed", &self.indexed)]
        {
            let names: Vec<Value> = names.iter().map(|name| name.as_str().into()).collect();
            given(&mut body, name, (!names.is_empty()).then_some(names));
        }
        given(&mut body, "text", self.text);
        given(&mut body, "open", self.open);
        given(&mut body, "history", self.history);
        given(&mut body, "quota", self.quota);
        let path = client::path(&["v1", "spaces", self.space.as_str()]);
        let body = Some(Value::Object(body));
        let about = format!("space `{}`", self.space);
        write::run(&self.writing, &Write { about, method: "PUT", path, body, preconditions: Vec::new() })
    }
}
