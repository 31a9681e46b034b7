//! Columns that line up, and fit the terminal where there is one.

use std::fmt::Write as _;

use console::{Style, measure_text_width, truncate_str};
use serde_json::Value;

use super::{View, cells};

/// Between two columns.
const GAP: usize = 2;
/// No column of text becomes narrower than this, however small the terminal.
const WIDTH_MIN: usize = 8;

/// Records as columns: a title each, and the JSON Pointer of its value.
#[must_use]
pub(super) fn of_records(records: &[Value], columns: &[(&str, &str)], view: &View) -> String {
    let is_said = |value: &Value| !value.is_null() && value.as_str() != Some("");
    let has_any = |pointer: &str| records.iter().any(|record| record.pointer(pointer).is_some_and(is_said));
    let columns: Vec<(&str, &str)> =
        columns.iter().copied().filter(|(_, pointer)| has_any(pointer)).collect();
    let value = |record: &Value, pointer: &str| record.pointer(pointer).cloned();
    let titles: Vec<String> = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            let cell =
                |(_, pointer): &(&str, &str)| cells::line(pointer, value(record, pointer).as_ref(), view.now);
            columns.iter().map(cell).collect()
        })
        .collect();
    let is_number = |(_, pointer): &(&str, &str)| {
        let mut values = records.iter().filter_map(|record| record.pointer(pointer));
        !records.is_empty() && values.all(|value| value.is_number() || value.is_null())
    };
    let right: Vec<bool> = columns.iter().map(is_number).collect();
    let widths = widths(&titles, &rows, view.width);
    let mut text = String::new();
    let lay = |row: &[String], style: &dyn Fn(usize, &str) -> Style| {
        let cells = row.iter().zip(widths.iter().zip(&right)).enumerate();
        let cells = cells.map(|(index, (cell, (width, right)))| {
            style(index, cell).force_styling(view.color).apply_to(pad(cell, *width, *right)).to_string()
        });
        cells.collect::<Vec<_>>().join(&" ".repeat(GAP))
    };
    let mut lines = vec![lay(&titles, &|_, _| Style::new().bold())];
    lines.extend(rows.iter().map(|row| {
        lay(row, &|index, cell| style(columns.get(index).map_or("", |(_, pointer)| *pointer), cell))
    }));
    for line in lines {
        writeln!(text, "{}", line.trim_end()).expect("a string takes text");
    }
    text
}

/// The fields of one record, a line each: those of `first` before the others, nested ones by their path.
#[must_use]
pub(super) fn of_fields(record: &Value, first: &[&str], view: &View) -> String {
    let mut fields = Vec::new();
    let all = record.as_object().into_iter().flatten();
    let rest = all.filter(|(name, _)| !first.contains(&name.as_str()));
    let known = first.iter().filter_map(|name| Some((*name, record.get(name)?)));
    for (name, value) in known.chain(rest.map(|(name, value)| (name.as_str(), value))) {
        flatten(name, value, view, &mut fields);
    }
    let width = fields.iter().map(|(name, _)| measure_text_width(name)).max().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in fields {
        let indent = format!("\n{:width$}", "", width = width + GAP);
        let padded = pad(&name, width + GAP, false);
        let title = Style::new().bold().force_styling(view.color).apply_to(padded);
        let room = view.width.map(|terminal| terminal.saturating_sub(width + GAP).max(WIDTH_MIN));
        let lines = value.lines().flat_map(|line| wrapped(line, room)).collect::<Vec<_>>().join(&indent);
        let value = style(&name, &value).force_styling(view.color).apply_to(lines);
        writeln!(text, "{}", format!("{title}{value}").trim_end()).expect("a string takes text");
    }
    text
}

/// A line in pieces that have room, broken between words where that can be.
fn wrapped(line: &str, room: Option<usize>) -> Vec<String> {
    let Some(room) = room else { return vec![line.to_owned()] };
    let mut pieces = vec![String::new()];
    for word in line.split(' ') {
        let piece = pieces.last_mut().expect("there is always a piece");
        if !piece.is_empty() && measure_text_width(piece) + 1 + measure_text_width(word) > room {
            pieces.push(word.to_owned());
        } else {
            let space = if piece.is_empty() { "" } else { " " };
            piece.push_str(&format!("{space}{word}"));
        }
    }
    pieces
}

fn flatten(name: &str, value: &Value, view: &View, into: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (member, value) in members {
                flatten(&format!("{name}.{member}"), value, view, into);
            }
        }
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, value) in items.iter().enumerate() {
                flatten(&format!("{name}.{index}"), value, view, into);
            }
        }
        other => {
            let clean = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            into.push((clean, cells::long(name, other, view.now)));
        }
    }
}

/// How wide each column is: as its widest cell, and where the terminal is too narrow for that, the
/// widest column gives way, again and again.
fn widths(titles: &[String], rows: &[Vec<String>], terminal: Option<usize>) -> Vec<usize> {
    let mut widths: Vec<usize> = titles.iter().map(|title| measure_text_width(title)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(measure_text_width(cell));
        }
    }
    let Some(terminal) = terminal else { return widths };
    let room = terminal.saturating_sub(GAP * titles.len().saturating_sub(1));
    for width in &mut widths {
        *width = (*width).min(terminal);
    }
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().max().filter(|width| **width > WIDTH_MIN) {
            Some(widest) => *widest -= 1,
            None => break,
        }
    }
    widths
}

fn pad(text: &str, width: usize, right: bool) -> String {
    let text = truncate_str(text, width, "…");
    let padding = " ".repeat(width.saturating_sub(measure_text_width(&text)));
    if right { format!("{padding}{text}") } else { format!("{text}{padding}") }
}

/// States and verdicts are green when all is well, red when somebody must look, yellow in between.
fn style(name: &str, text: &str) -> Style {
    let plain = Style::new();
    if !["state", "outcome", "ready"].iter().any(|end| name.ends_with(end)) {
        return plain;
    }
    match text.trim() {
        "committed" | "ready" => plain.green(),
        "failed" | "stuck" | "unreachable" => plain.red(),
        _ => plain.yellow(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::model::Timestamp;

    use super::*;

    fn view(width: Option<usize>, color: bool) -> View {
        View { width, color, now: Timestamp::from_micros(0) }
    }

    #[test]
    fn columns_line_up_and_numbers_stand_to_the_right() {
        let records = [json!({"id": "a", "score": 0.5}), json!({"id": "lo\u{1b}[2Jng", "score": null})];
        let text = of_records(&records, &[("ID", "/id"), ("SCORE", "/score")], &view(None, false));
        assert_eq!(text, "ID        SCORE\na           0.5\nlo [2Jng      -\n");
        let wide = [json!({"id": "日本", "n": 1}), json!({"id": "x", "n": 22})];
        let text = of_records(&wide, &[("ID", "/id"), ("N", "/n")], &view(None, false));
        assert_eq!(text, "ID     N\n日本   1\nx     22\n");
    }

    #[test]
    fn wide_cells_are_cut_at_a_terminal_and_nowhere_else() {
        let records = [json!({"id": "m-1", "content": "x".repeat(500)})];
        let columns = [("ID", "/id"), ("CONTENT", "/content")];
        let cut = of_records(&records, &columns, &view(Some(40), false));
        assert!(cut.lines().all(|line| measure_text_width(line) <= 40), "{cut}");
        assert!(cut.contains("m-1") && cut.trim_end().ends_with('…'), "{cut}");
        let whole = of_records(&records, &columns, &view(None, false));
        assert!(whole.contains(&"x".repeat(500)) && !whole.contains('…'));
    }

    #[test]
    fn a_long_field_is_wrapped_at_a_terminal_and_whole_elsewhere() {
        let record = json!({"content": "one two three four"});
        let text = of_fields(&record, &[], &view(Some(20), false));
        assert_eq!(text, "content  one two\n         three four\n");
        assert_eq!(of_fields(&record, &[], &view(None, false)), "content  one two three four\n");
    }

    #[test]
    fn colours_are_there_only_where_they_are_wanted() {
        let records = [json!({"state": "committed"})];
        let columns = [("STATE", "/state")];
        assert!(!of_records(&records, &columns, &view(None, false)).contains('\u{1b}'));
        let colored = of_records(&records, &columns, &view(None, true));
        assert!(colored.contains("\u{1b}[32mcommitted"), "{colored:?}");
    }

    #[test]
    fn fields_stand_in_the_order_asked_for_and_nested_ones_are_named_by_their_path() {
        let record = json!({"content": "one\ntwo", "id": "m", "gone": null,
            "properties": {"topic": "tea"}, "version": "1.4"});
        let text = of_fields(&record, &["id", "content"], &view(None, false));
        let expected = "id                m\ncontent           one\n                  two\n\
                        properties.topic  tea\nversion           1.4\n";
        assert_eq!(text, expected);
    }
}
