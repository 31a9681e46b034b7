//! What is shown, and how: tables for people, JSON for programs.
//!
//! Data goes to standard output, talk to standard error. What is cut, coloured or counted in days is so
//! for people alone: `-o json` and `-o jsonl` show what the server answered, unchanged.

mod cells;
mod table;
mod when;

use std::{
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
    sync::OnceLock,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::{
    clock::{Clock, SystemClock},
    model::Timestamp,
};

use super::Failure;

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// How data is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Columns, for people.
    #[default]
    Table,
    /// One document, indented.
    Json,
    /// One record a line.
    Jsonl,
}

/// How a command shows its data.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Show {
    /// How to show it
    #[arg(
        short,
        long,
        value_name = "table|json|jsonl",
        hide_possible_values = true,
        value_enum,
        default_value_t
    )]
    pub(super) output: Format,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Color {
    /// At a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into a pipe.
    Always,
    /// Not at all.
    Never,
}

/// What `--color` said; set once, before anything is shown.
static COLOR: OnceLock<Color> = OnceLock::new();

/// Remembers what `--color` said for this run.
pub(super) fn set_color(choice: Color) {
    COLOR.get_or_init(|| choice);
}

/// Whether colour is wanted where there is a terminal: `NO_COLOR` (any value but an empty one) says it
/// is not, and `--color` has the last word.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a convention between programs, not a setting")]
pub(super) fn color() -> bool {
    match COLOR.get() {
        Some(Color::Always) => true,
        Some(Color::Never) => false,
        Some(Color::Auto) | None => std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    }
}

/// Whether standard output is to be coloured.
#[must_use]
pub(crate) fn colored_output() -> bool {
    color() && (COLOR.get() == Some(&Color::Always) || io::stdout().is_terminal())
}

/// Talk: one line to standard error. Nobody can be told when that is closed.
pub(super) fn say(line: &str) {
    if writeln!(io::stderr(), "{line}").is_err() {
        tracing::debug!("standard error is closed");
    }
}

/// Says how to see the rest of a list that goes on.
pub(super) fn more(format: Format, answer: &Value) {
    if let (Format::Table, Some(cursor)) = (format, answer.get("next_cursor").and_then(Value::as_str)) {
        say(&format!("there is more: add `--cursor {cursor}`, or a higher `--limit`"));
    }
}

/// A bar for `count` things, with their rate and the time left; nothing where nobody looks.
pub(super) fn progress(count: u64, things: &str) -> ProgressBar {
    let template = format!("{{bar:40}} {{pos}}/{{len}} {things}, {{per_sec}}, {{eta}} left");
    let style = ProgressStyle::with_template(&template).expect("a valid template");
    ProgressBar::new(count).with_style(style)
}

/// What is going on and for how long, where nobody can tell how long it will be.
pub(super) fn spinner(what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}").expect("a constant template");
    let bar = ProgressBar::new_spinner().with_style(style).with_message(what);
    bar.enable_steady_tick(TICK);
    bar
}

/// For whom a table is laid out.
#[derive(Debug, Clone, Copy)]
struct View {
    /// Columns of the terminal; `None`: not one, so that nothing is cut.
    width: Option<usize>,
    color: bool,
    now: Timestamp,
}

impl View {
    fn of_output() -> Self {
        let size = console::Term::stdout().size_checked();
        Self {
            width: size.filter(|_| io::stdout().is_terminal()).map(|(_, columns)| usize::from(columns)),
            color: colored_output(),
            now: SystemClock.now(),
        }
    }
}

/// Data, on its way to standard output.
pub(super) struct Out {
    to: BufWriter<StdoutLock<'static>>,
    view: View,
}

impl Out {
    /// Standard output, for this run alone.
    #[must_use]
    pub(super) fn new() -> Self {
        Self { to: BufWriter::new(io::stdout().lock()), view: View::of_output() }
    }

    /// Text as it is.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.to.write_all(text.as_bytes())?)
    }

    /// One line.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        Ok(writeln!(self.to, "{line}")?)
    }

    /// Everything that was written is on its way.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        Ok(self.to.flush()?)
    }

    /// The last word: everything that was written is on its way.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }

    /// A document as a program reads it: indented, or on one line. `false`: a table is wanted.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn json(&mut self, format: Format, document: &Value) -> Result<bool, Failure> {
        match format {
            Format::Json => self.line(&format!("{document:#}")).map(|()| true),
            Format::Jsonl => self.line(&document.to_string()).map(|()| true),
            Format::Table => Ok(false),
        }
    }

    /// A document whose records are under `list`: whole, a record a line, or as columns of a title and
    /// the JSON Pointer of its value each. A column in which nothing stands is left out.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn list(
        &mut self,
        format: Format,
        document: &Value,
        list: &str,
        columns: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let first = || document.as_object()?.values().find(|value| value.is_array());
        let records = document.get(list).or_else(first).and_then(Value::as_array);
        let records = records.map_or(&[][..], Vec::as_slice);
        match format {
            Format::Json => self.line(&format!("{document:#}")),
            Format::Jsonl => records.iter().try_for_each(|record| self.line(&record.to_string())),
            Format::Table if records.is_empty() => {
                say(&format!("no {list}"));
                Ok(())
            }
            Format::Table => self.table(records, columns),
        }
    }

    /// Records as columns.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn table(&mut self, records: &[Value], columns: &[(&str, &str)]) -> Result<(), Failure> {
        let text = table::of_records(records, columns, &self.view);
        self.text(&text)
    }

    /// A document about one thing: as it is, or the fields of what is at `pointer`, a line each; those of
    /// `first` come first.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn record(
        &mut self,
        format: Format,
        document: &Value,
        pointer: &str,
        first: &[&str],
    ) -> Result<(), Failure> {
        if self.json(format, document)? {
            return Ok(());
        }
        let text = document.pointer(pointer).map(|record| table::of_fields(record, first, &self.view));
        self.text(&text.unwrap_or_default())
    }
}
