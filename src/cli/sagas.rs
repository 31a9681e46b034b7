//! `engraft sagas …`: commands, and what became of them.

use serde_json::{Value, json};

use crate::model::{Position, Space};

use super::{
    Exit, Failure, client, output,
    server::{Reading, Server},
    write,
};

/// What can be asked of commands.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the commands of a space
    #[command(after_help = "\
Examples:
  engraft sagas list acme --state unfinished
  engraft sagas list acme --state failed,compensated --newest --limit 10
  engraft sagas list acme --id c-1 --source /agents/ada -o json")]
    List(List),
    /// Show how far a command has come, and its outcome
    #[command(after_help = "\
Examples:
  engraft sagas get 1.0.17
  engraft sagas get 1.0.17 --wait 30 -o json")]
    Get(Get),
    /// Send a command that has not ended again now
    #[command(after_help = "\
Examples:
  engraft sagas retry 1.0.17")]
    Retry(Target),
    /// End a command: failed if it waits, undone if it has begun
    #[command(after_help = "\
Examples:
  engraft sagas cancel 1.0.17
  engraft sagas cancel 1.0.17 -o json")]
    Cancel(Target),
    /// End a command that neither goes on nor comes back
    #[command(after_help = "\
Examples:
  engraft sagas resolve 1.0.17 --to before
  engraft sagas resolve 1.0.17 --to after -o json")]
    Resolve(Resolve),
}

/// `sagas list`.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// The space
    space: Space,
    /// Only the command with this id
    #[arg(long, conflicts_with_all = ["state", "newest", "cursor"])]
    id: Option<String>,
    /// The source that the id belongs to
    #[arg(long, requires = "id")]
    source: Option<String>,
    /// Only those in these states: pending, running, compensating, committed, compensated, failed,
    /// unfinished, ended
    #[arg(long, value_name = "STATE,…")]
    state: Option<String>,
    /// The newest first
    #[arg(long)]
    newest: bool,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Go on from the `next_cursor` of an earlier answer
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

/// `sagas get`.
#[derive(Debug, clap::Args)]
pub(super) struct Get {
    /// Where it stands in the log: epoch.partition.offset
    position: Position,
    /// Wait so many seconds for its outcome
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    #[command(flatten)]
    reading: Reading,
}

/// `sagas retry`, `sagas cancel`.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// Where it stands in the log: epoch.partition.offset
    position: Position,
    #[command(flatten)]
    show: output::Show,
    #[command(flatten)]
    server: Server,
}

/// `sagas resolve`.
#[derive(Debug, clap::Args)]
pub(super) struct Resolve {
    /// What its records are to be like in every store: as before it, or as it makes them
    #[arg(long, value_name = "before|after", hide_possible_values = true, value_enum)]
    to: Side,
    #[command(flatten)]
    target: Target,
}

/// Which of a command's two images.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Side {
    Before,
    After,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::List(list) => list.run(),
        Command::Get(get) => get.run(),
        Command::Retry(target) => target.order("retry", None),
        Command::Cancel(target) => target.order("cancel", None),
        Command::Resolve(Resolve { to, target }) => {
            let side = match to {
                Side::Before => "before",
                Side::After => "after",
            };
            target.order("resolve", Some(side.to_owned()))
        }
    }
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let query = client::query(&[
            ("space", Some(self.space.to_string())),
            ("source", self.source.clone()),
            ("id", self.id.clone()),
            ("state", self.state.clone()),
            ("order", self.newest.then(|| "newest".to_owned())),
            ("limit", Some(self.limit.to_string())),
            ("cursor", self.cursor.clone()),
        ]);
        let answer = self.reading.client().get(&format!("/v1/commands{query}"))?;
        let columns = [
            ("POSITION", "/position"),
            ("STATE", "/state"),
            ("CODE", "/outcome/code"),
            ("TYPE", "/type"),
            ("SOURCE", "/source"),
            ("COMMAND", "/command_id"),
            ("ACCEPTED", "/accepted_at"),
            ("FINISHED", "/finished_at"),
        ];
        let mut out = output::Out::new();
        out.list(self.reading.show.output, &answer, "commands", &columns)?;
        out.finish()?;
        output::more(self.reading.show.output, &answer);
        Ok(())
    }
}

impl Target {
    /// Leaves an order, and shows what it was left for.
    fn order(&self, order: &str, to: Option<String>) -> Result<(), Failure> {
        let position = self.position.to_string();
        let path = client::path(&["v1", "commands", &position, order]);
        let asked = format!("{path}{}", client::query(&[("to", to)]));
        let answer = self.server.client().send("POST", &asked, &[], Some(b""))?.success();
        let answer = answer.map_err(|failure| failure.about(&format!("command {position}")))?;
        let mut out = output::Out::new();
        out.record(self.show.output, &answer, "", &["position", "order", "state"])?;
        out.finish()?;
        if self.show.output == output::Format::Table {
            output::say(&format!("what comes of it: engraft sagas get {position} --wait 30"));
        }
        Ok(())
    }
}

impl Get {
    fn run(&self) -> Result<(), Failure> {
        let path = client::path(&["v1", "commands", &self.position.to_string()]);
        let bar = output::spinner("waiting for the outcome");
        let answer = self.reading.client().get_waiting(&path, self.wait);
        bar.finish_and_clear();
        let answer = answer.map_err(|failure| failure.about(&format!("command {}", self.position)))?;
        let outcome = answer.get("outcome").filter(|outcome| outcome.is_object());
        let mut out = output::Out::new();
        let first = ["position", "state", "command_id", "accepted_at", "finished_at"];
        if !out.json(self.reading.show.output, &answer)? {
            let mut told = answer.clone();
            if let (Some(told), Some(outcome)) = (told.as_object_mut(), outcome) {
                told.insert(
                    "outcome".to_owned(),
                    json!({"code": outcome["code"], "errors": outcome["errors"]}),
                );
            }
            out.record(self.reading.show.output, &told, "", &first)?;
            let rows = outcome.map(write::records).unwrap_or_default();
            if !rows.is_empty() {
                out.line("")?;
                out.table(&rows, &write::RECORD_COLUMNS)?;
            }
        }
        out.finish()?;
        if self.wait > 0 && outcome.is_none() {
            let state = answer.get("state").and_then(Value::as_str).unwrap_or_default();
            let message = format!("no outcome after {} s: the command is {state}", self.wait);
            return Err(Failure::new(Exit::Unreachable, message));
        }
        Ok(())
    }
}
