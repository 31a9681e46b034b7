//! `engraft memory get|search|neighbors`: reads, from a running server.

use serde_json::{Value, json};

use super::{Client, Failure, Format, URL, client, output};

/// What every read takes.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// The server
    #[arg(long, default_value = URL)]
    url: String,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Reads of memories.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// One memory
    Get {
        /// The space
        space: String,
        /// The memory's id
        id: String,
        /// With its vectors
        #[arg(long)]
        vectors: bool,
        #[command(flatten)]
        common: Common,
    },
    /// What is nearest to some words
    Search {
        /// The space
        space: String,
        /// The words
        text: String,
        /// At most so many
        #[arg(long, default_value_t = 10)]
        limit: usize,
        /// Only of these kinds
        #[arg(long)]
        kind: Vec<String>,
        /// Only of these sessions
        #[arg(long)]
        session: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// What lies within some hops
    Neighbors {
        /// The space
        space: String,
        /// The memory's id
        id: String,
        /// How many hops
        #[arg(long, default_value_t = 1)]
        depth: u32,
        /// Which way
        #[arg(long, value_parser = ["out", "in", "both"], default_value = "both")]
        direction: String,
        /// Only over relations of these types
        #[arg(long, value_delimiter = ',')]
        types: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Get { space, id, vectors, common } => get(common, space, id, *vectors),
        Command::Search { space, text, limit, kind, session, common } => {
            let filter = json!({"kind": kind, "session": session});
            search(common, &json!({"space": space, "text": text, "limit": limit, "filter": filter}))
        }
        Command::Neighbors { space, id, depth, direction, types, common } => {
            let types = (!types.is_empty()).then(|| types.join(","));
            let depth = Some(depth.to_string());
            let query = [("depth", depth), ("direction", Some(direction.clone())), ("types", types)];
            neighbors(common, space, id, &client::query(&query))
        }
    }
}

fn get(common: &Common, space: &str, id: &str, vectors: bool) -> Result<(), Failure> {
    let path = client::path(&["v1", "memories", space, id]);
    let query = client::query(&[("vectors", vectors.then(|| "true".to_owned()))]);
    let answer = Client::new(&common.url).get(&format!("{path}{query}"))?;
    let mut out = output::Out::new();
    match common.output {
        Format::Json => out.line(&format!("{answer:#}"))?,
        Format::Jsonl => out.line(&answer.to_string())?,
        Format::Table => {
            let fields = answer.get("memory").and_then(Value::as_object);
            for (name, value) in fields.into_iter().flatten().filter(|(_, value)| !value.is_null()) {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                out.line(&format!("{name:<12} {}", text.replace(char::is_control, " ")))?;
            }
        }
    }
    out.finish()
}

fn search(common: &Common, question: &Value) -> Result<(), Failure> {
    let body = question.to_string();
    let client = Client::new(&common.url);
    let answer = client.post("/v1/search", "application/json", None, body.as_bytes())?.success()?;
    let columns =
        [("SCORE", "/score"), ("ID", "/memory/id"), ("KIND", "/memory/kind"), ("CONTENT", "/memory/content")];
    let mut out = output::Out::new();
    out.document(common.output, &answer, "hits", &columns)?;
    out.finish()
}

fn neighbors(common: &Common, space: &str, id: &str, query: &str) -> Result<(), Failure> {
    let path = client::path(&["v1", "memories", space, id, "neighbors"]);
    let answer = Client::new(&common.url).get(&format!("{path}{query}"))?;
    let columns = [
        ("HOPS", "/depth"),
        ("FROM", "/via/source"),
        ("BY", "/via/type"),
        ("TO", "/via/target"),
        ("CONTENT", "/memory/content"),
    ];
    let mut out = output::Out::new();
    out.document(common.output, &answer, "neighbors", &columns)?;
    out.finish()
}
