//! `engraft status`: how a server does, once or for as long as somebody looks.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use serde_json::{Value, json};

use crate::clock::{Clock, SystemClock};

use super::{Client, Exit, Failure, Format, output, server::Server, write};

/// What is told of a partition.
const COLUMNS: [(&str, &str); 12] = [
    ("PARTITION", "/partition"),
    ("STATE", "/state"),
    ("OWNER", "/owner"),
    ("LAG", "/lag"),
    ("LAG SECONDS", "/lag_seconds"),
    ("UNFINISHED", "/unfinished"),
    ("OLDEST", "/oldest/state"),
    ("SINCE", "/oldest/accepted_at"),
    ("LOG END", "/log_end"),
    ("WATERMARK", "/watermark"),
    ("UNPUBLISHED", "/unpublished"),
    ("HALT", "/halt/code"),
];

/// What `status` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engraft status
  engraft status --watch
  engraft status -o json | jq .unfinished")]
pub(super) struct Arguments {
    /// Look again and again: in place at a terminal, a line a change into a pipe
    #[arg(short, long)]
    watch: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    #[command(flatten)]
    show: output::Show,
    #[command(flatten)]
    server: Server,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let client = arguments.server.client();
    if arguments.watch {
        return watch(arguments, &client);
    }
    let mut out = output::Out::new();
    show(&mut out, arguments, &look(&client)?)?;
    out.finish()
}

/// The server's status, with what it is made of.
fn look(client: &Client) -> Result<Value, Failure> {
    let mut status = client.get("/v1/status")?;
    let backends = client.get("/v1/guarantees")?.get("backends").cloned();
    let told = status.as_object_mut().ok_or_else(|| {
        Failure::new(Exit::Unreachable, "the answer is no status; does `--url` name an Engraft server?")
    })?;
    told.insert("backends".to_owned(), backends.unwrap_or_default());
    for partition in told.get_mut("partitions").and_then(Value::as_array_mut).into_iter().flatten() {
        let count = |name: &str| partition.get(name).and_then(Value::as_u64).unwrap_or_default();
        let unpublished = count("finishes").saturating_sub(count("published"));
        if let Some(partition) = partition.as_object_mut() {
            partition.insert("unpublished".to_owned(), json!(unpublished));
        }
    }
    Ok(status)
}

fn show(out: &mut output::Out, arguments: &Arguments, status: &Value) -> Result<usize, Failure> {
    if out.json(arguments.show.output, status)? {
        return Ok(0);
    }
    out.line(&format!("{}: {}", arguments.server.url(), summary(status)))?;
    let stores = ["log", "ledger", "vector", "graph"].map(|name| {
        let backend = status.pointer(&format!("/backends/{name}"));
        format!("{name} {}", backend.and_then(Value::as_str).unwrap_or("-"))
    });
    out.line(&stores.join(", "))?;
    let partitions = status.get("partitions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if !partitions.is_empty() {
        out.table(partitions, &COLUMNS)?;
        return Ok(3 + partitions.len());
    }
    Ok(2)
}

/// What matters, in a few words. It is the same as long as nothing changed.
fn summary(status: &Value) -> String {
    let count = |name: &str| status.get(name).and_then(Value::as_u64).unwrap_or_default();
    let ends = status.get("partitions").and_then(Value::as_array).into_iter().flatten();
    let commands: u64 = ends.filter_map(|partition| partition.get("log_end")?.as_u64()).sum();
    let behind = match (count("lag"), count("unfinished")) {
        (0, 0) => "nothing to do".to_owned(),
        (lag, unfinished) => format!("{lag} not begun, {unfinished} unfinished"),
    };
    format!("ready, epoch {}, {commands} commands, {behind}", count("epoch"))
}

/// Until it is interrupted, or nobody reads on. A server that does not answer may come back.
fn watch(arguments: &Arguments, client: &Client) -> Result<(), Failure> {
    let in_place = arguments.show.output == Format::Table && io::stdout().is_terminal();
    let screen = console::Term::stdout();
    let (mut before, mut lines) = (String::new(), 0);
    loop {
        let status = match look(client) {
            Err(failure) if failure.exit == Exit::Unreachable => Err(failure.to_string()),
            status => Ok(status?),
        };
        let mut out = output::Out::new();
        if in_place {
            screen.clear_last_lines(lines)?;
            lines = match &status {
                Ok(status) => show(&mut out, arguments, status)?,
                Err(error) => out.line(error).map(|()| wrapped(error, &screen))?,
            };
        } else {
            let now = match (&status, arguments.show.output) {
                (Ok(status), Format::Table) => summary(status),
                (Err(error), Format::Table) => error.clone(),
                (Ok(status), _) => status.to_string(),
                (Err(error), _) => json!({ "error": error }).to_string(),
            };
            if now != before {
                let time = if arguments.show.output == Format::Table {
                    format!("{} ", SystemClock.now())
                } else {
                    String::new()
                };
                out.line(&format!("{time}{now}"))?;
                before = now;
            }
        }
        out.finish()?;
        write::rest(Duration::from_secs(arguments.interval));
    }
}

/// How many lines of the screen a long sentence takes.
fn wrapped(text: &str, screen: &console::Term) -> usize {
    let width = usize::from(screen.size().1).max(1);
    text.lines().map(|line| console::measure_text_width(line).div_ceil(width).max(1)).sum()
}
