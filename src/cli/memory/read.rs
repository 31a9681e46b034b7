//! `engraft memory get|list|search|neighbors|lineage|history`.

use serde_json::{Value, json};

use crate::{
    cli::{Failure, Format, client, memory::name, output, server::Reading, values},
    model::{MemoryId, Space, Timestamp},
};

/// What is told of a memory first, in this order.
const FIELDS: [&str; 7] = ["id", "kind", "content", "properties", "session", "importance", "version"];
/// Columns of what a walk reached.
const REACHED: [(&str, &str); 5] = [
    ("HOPS", "/depth"),
    ("FROM", "/via/source"),
    ("BY", "/via/type"),
    ("TO", "/via/target"),
    ("CONTENT", "/memory/content"),
];
/// Memories of one page, where all are wanted.
const PAGE: usize = 1_000;

/// `memory get`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Get {
    /// The space
    space: Space,
    /// The memory's id
    id: MemoryId,
    /// With its vectors
    #[arg(long)]
    vectors: bool,
    /// As it was then, where the space keeps history; RFC 3339
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
    #[command(flatten)]
    reading: Reading,
}

/// `memory list`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    /// The space
    space: Space,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Go on from the `next_cursor` of an earlier answer
    #[arg(long)]
    cursor: Option<String>,
    /// Only of this kind
    #[arg(long)]
    kind: Option<String>,
    /// Only of one session
    #[arg(long)]
    session: Option<String>,
    /// All of them, page by page
    #[arg(long, conflicts_with_all = ["limit", "cursor"])]
    all: bool,
    #[command(flatten)]
    reading: Reading,
}

/// `memory search`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Search {
    /// The space
    space: Space,
    /// The words
    text: Option<String>,
    /// A vector: a JSON array, or a file with one; `-`: standard input
    #[arg(long, value_name = "JSON|FILE", allow_hyphen_values = true)]
    vector: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 10)]
    limit: usize,
    /// Only of these kinds
    #[arg(long, value_delimiter = ',')]
    kind: Vec<String>,
    /// Only of these sessions
    #[arg(long)]
    session: Vec<String>,
    /// Only where a property is so: NAME=VALUE, NAME>=NUMBER and the like. Any number of times
    #[arg(long = "where", value_name = "CONDITION", value_parser = values::condition)]
    conditions: Vec<values::Condition>,
    /// Only what scores at least this
    #[arg(long, value_name = "SCORE", allow_hyphen_values = true)]
    min_score: Option<f64>,
    #[command(flatten)]
    reading: Reading,
}

/// `memory neighbors`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Neighbors {
    /// The space
    space: Space,
    /// The memory's id
    id: MemoryId,
    /// How many hops
    #[arg(long, default_value_t = 1)]
    depth: u32,
    /// Which way
    #[arg(long, value_parser = ["out", "in", "both"], default_value = "both")]
    direction: String,
    /// Only over relations of these types
    #[arg(long, value_delimiter = ',')]
    types: Vec<String>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Over relations as they were then; RFC 3339
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
    #[command(flatten)]
    reading: Reading,
}

/// `memory lineage`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Lineage {
    /// The space
    space: Space,
    /// The memory's id
    id: MemoryId,
    /// What it came from, what came of it, or both
    #[arg(long, value_parser = ["backward", "forward", "both"], default_value = "both")]
    direction: String,
    /// How many hops
    #[arg(long, default_value_t = 8)]
    depth: u32,
    /// At most so many each way
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Over relations as they were then; RFC 3339
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
    #[command(flatten)]
    reading: Reading,
}

/// `memory history`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct History {
    /// The space
    space: Space,
    /// The memory's id
    id: MemoryId,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Go on from the `next_cursor` of an earlier answer
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

impl Get {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let query = [("vectors", self.vectors.then(|| "true".to_owned())), ("as_of", time(self.as_of))];
        let path = path(&self.space, &[self.id.as_str()]) + &client::query(&query);
        let answer = self.reading.client().get(&path);
        let answer = answer.map_err(|failure| failure.about(&name(&self.space, &self.id)))?;
        let mut out = output::Out::new();
        out.record(self.reading.show.output, &answer, "/memory", &FIELDS)?;
        out.finish()
    }
}

impl List {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let client = self.reading.client();
        let limit = if self.all { PAGE } else { self.limit };
        let mut answer = self.page(&client, limit, self.cursor.as_ref())?;
        if self.all {
            self.read_on(&client, &mut answer)?;
        }
        let columns = [
            ("ID", "/id"),
            ("KIND", "/kind"),
            ("SESSION", "/session"),
            ("UPDATED", "/updated_at"),
            ("CONTENT", "/content"),
        ];
        let mut out = output::Out::new();
        out.list(self.reading.show.output, &answer, "memories", &columns)?;
        out.finish()?;
        output::more(self.reading.show.output, &answer);
        Ok(())
    }

    /// Adds every page that follows to the first.
    fn read_on(&self, client: &client::Client, answer: &mut Value) -> Result<(), Failure> {
        let bar = output::spinner("reading page by page");
        while let Some(cursor) = answer.get("next_cursor").and_then(Value::as_str).map(str::to_owned) {
            let mut next = self.page(client, PAGE, Some(&cursor))?;
            let more = next.get_mut("memories").map(Value::take);
            if let (Some(Value::Array(all)), Some(Value::Array(more))) = (answer.get_mut("memories"), more) {
                all.extend(more);
            }
            answer["next_cursor"] = next.get("next_cursor").cloned().unwrap_or_default();
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn page(&self, client: &client::Client, limit: usize, cursor: Option<&String>) -> Result<Value, Failure> {
        let query = [
            ("kind", self.kind.clone()),
            ("session", self.session.clone()),
            ("limit", Some(limit.to_string())),
            ("cursor", cursor.cloned()),
        ];
        client.get(&(path(&self.space, &[]) + &client::query(&query)))
    }
}

impl Search {
    pub(super) fn run(&self) -> Result<(), Failure> {
        if self.text.is_none() && self.vector.is_none() {
            return Err(Failure::usage(
                "there is nothing to search for: write some words, or give `--vector`",
            ));
        }
        let mut question = json!({"space": self.space, "limit": self.limit, "filter": {
            "kind": self.kind, "session": self.session, "properties": values::conditions(&self.conditions)?}});
        let members = question.as_object_mut().expect("it was written as an object");
        members.extend(self.text.as_ref().map(|text| ("text".to_owned(), json!(text))));
        members.extend(self.min_score.map(|score| ("min_score".to_owned(), json!(score))));
        if let Some(vector) = &self.vector {
            members.insert("vector".to_owned(), values::vector(vector)?);
        }
        let body = question.to_string();
        let client = self.reading.client();
        let answer = client.post("/v1/search", "application/json", None, body.as_bytes())?.success()?;
        let columns = [
            ("SCORE", "/score"),
            ("ID", "/memory/id"),
            ("KIND", "/memory/kind"),
            ("CONTENT", "/memory/content"),
        ];
        let mut out = output::Out::new();
        out.list(self.reading.show.output, &answer, "hits", &columns)?;
        out.finish()
    }
}

impl Neighbors {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let query = [
            ("depth", Some(self.depth.to_string())),
            ("direction", Some(self.direction.clone())),
            ("types", (!self.types.is_empty()).then(|| self.types.join(","))),
            ("limit", Some(self.limit.to_string())),
            ("as_of", time(self.as_of)),
        ];
        let path = path(&self.space, &[self.id.as_str(), "neighbors"]) + &client::query(&query);
        let answer = self.reading.client().get(&path);
        let answer = answer.map_err(|failure| failure.about(&name(&self.space, &self.id)))?;
        let mut out = output::Out::new();
        out.list(self.reading.show.output, &answer, "neighbors", &REACHED)?;
        out.finish()
    }
}

impl Lineage {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let query = [
            ("direction", Some(self.direction.clone())),
            ("depth", Some(self.depth.to_string())),
            ("limit", Some(self.limit.to_string())),
            ("as_of", time(self.as_of)),
        ];
        let path = path(&self.space, &[self.id.as_str(), "lineage"]) + &client::query(&query);
        let answer = self.reading.client().get(&path);
        let answer = answer.map_err(|failure| failure.about(&name(&self.space, &self.id)))?;
        // Both ways in one list, each record saying which: a line a record stays a record.
        let mut lines = Vec::new();
        for side in ["backward", "forward"] {
            for reached in answer.get(side).and_then(Value::as_array).into_iter().flatten() {
                let mut line = reached.clone();
                line.as_object_mut()
                    .into_iter()
                    .for_each(|line| drop(line.insert("side".to_owned(), json!(side))));
                lines.push(line);
            }
        }
        let mut out = output::Out::new();
        if self.reading.show.output == Format::Json {
            out.json(Format::Json, &answer)?;
        } else {
            let columns: Vec<_> = std::iter::once(("SIDE", "/side")).chain(REACHED).collect();
            out.list(self.reading.show.output, &json!({"relatives": lines}), "relatives", &columns)?;
        }
        out.finish()
    }
}

impl History {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let query = [("limit", Some(self.limit.to_string())), ("cursor", self.cursor.clone())];
        let path = path(&self.space, &[self.id.as_str(), "history"]) + &client::query(&query);
        let answer = self.reading.client().get(&path);
        let answer = answer.map_err(|failure| failure.about(&name(&self.space, &self.id)))?;
        let columns = [
            ("VERSION", "/version"),
            ("EFFECT", "/effect"),
            ("SINCE", "/since"),
            ("UNTIL", "/until"),
            ("COMMAND", "/command/id"),
            ("CONTENT", "/memory/content"),
        ];
        let mut out = output::Out::new();
        out.list(self.reading.show.output, &answer, "versions", &columns)?;
        out.finish()?;
        output::more(self.reading.show.output, &answer);
        Ok(())
    }
}

fn time(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

fn path(space: &Space, parts: &[&str]) -> String {
    let all: Vec<&str> =
        ["v1", "memories", space.as_str()].into_iter().chain(parts.iter().copied()).collect();
    client::path(&all)
}
