//! What is shown, and how: tables for people, JSON for programs.

use std::{
    fmt::Write as _,
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::Failure;

/// Longest cell of a table, in characters.
const CELL_CHARACTERS_MAX: usize = 72;

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

/// Whether colour is wanted: `NO_COLOR` (any value but an empty one) says it is not.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a convention between programs, not a setting")]
pub(super) fn color() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether colour is wanted, and standard output is read by a person.
#[must_use]
pub(crate) fn colored_output() -> bool {
    color() && io::stdout().is_terminal()
}

/// Talk: one line to standard error. Nobody can be told when that is closed.
pub(super) fn say(line: &str) {
    if writeln!(io::stderr(), "{line}").is_err() {
        tracing::debug!("standard error is closed");
    }
}

/// A bar for `count` things, with their rate and the time left; nothing where nobody looks.
pub(super) fn progress(count: u64, things: &str) -> ProgressBar {
    let template = format!("{{bar:40}} {{pos}}/{{len}} {things}, {{per_sec}}, {{eta}} left");
    let style = ProgressStyle::with_template(&template).expect("a valid template");
    ProgressBar::new(count).with_style(style)
}

/// Data, on its way to standard output.
pub(super) struct Out(BufWriter<StdoutLock<'static>>);

impl Out {
    /// Standard output, for this run alone.
    #[must_use]
    pub(super) fn new() -> Self {
        Self(BufWriter::new(io::stdout().lock()))
    }

    /// Text as it is.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        Ok(self.0.write_all(text.as_bytes())?)
    }

    /// One line.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        Ok(writeln!(self.0, "{line}")?)
    }

    /// Everything that was written is on its way.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        Ok(self.0.flush()?)
    }

    /// A document whose records are under `list`: whole, a record a line, or as columns.
    ///
    /// # Errors
    /// When standard output is closed.
    pub(super) fn document(
        &mut self,
        format: Format,
        document: &Value,
        list: &str,
        columns: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let records = document.get(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        match format {
            Format::Json => self.line(&format!("{document:#}")),
            Format::Jsonl => records.iter().try_for_each(|record| self.line(&record.to_string())),
            Format::Table => self.text(&table(records, columns)),
        }
    }
}

impl Default for Out {
    fn default() -> Self {
        Self::new()
    }
}

/// Records as columns: a title each, and the JSON Pointer of its value.
#[must_use]
fn table(records: &[Value], columns: &[(&str, &str)]) -> String {
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| columns.iter().map(|(_, pointer)| cell(record.pointer(pointer))).collect())
        .collect();
    let titles: Vec<String> = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
    let mut widths: Vec<usize> = titles.iter().map(|title| title.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let padding = width - cell.chars().count();
            write!(line, "{cell}{:padding$}  ", "").expect("a string takes text");
        }
        writeln!(text, "{}", line.trim_end()).expect("a string takes text");
    }
    text
}

/// One line, without control characters: what is shown was written by strangers.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) if number.is_f64() => {
            format!("{:.4}", number.as_f64().unwrap_or_default())
        }
        Some(other) => other.to_string(),
    };
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = clean.clone().take(CELL_CHARACTERS_MAX).collect();
    if clean.count() > CELL_CHARACTERS_MAX {
        short.pop();
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_are_gone() {
        let records = [json!({"id": "a", "score": 0.5}), json!({"id": "lo\u{1b}[2Jng", "score": null})];
        let text = table(&records, &[("ID", "/id"), ("SCORE", "/score")]);
        assert_eq!(text, "ID        SCORE\na         0.5000\nlo [2Jng  -\n");
    }

    #[test]
    fn a_long_cell_is_cut() {
        let text = table(&[json!({"content": "x".repeat(500)})], &[("CONTENT", "/content")]);
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert_eq!(longest, Some(CELL_CHARACTERS_MAX));
    }
}
