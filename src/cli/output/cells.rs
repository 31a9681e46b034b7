//! A value as text in a table. What is shown was written by strangers: no control character of theirs
//! reaches a terminal.

use serde_json::Value;

use crate::model::Timestamp;

use super::when;

/// Names that end so hold times.
const TIMES: [&str; 4] = ["_at", "_from", "since", "until"];
/// Most numbers of a list that are shown; vectors have hundreds.
const NUMBERS_SHOWN: usize = 6;

/// A value on one line, in a table of many.
pub(super) fn line(name: &str, value: Option<&Value>, now: Timestamp) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => match time(name, text) {
            Some(time) => when::ago(time, now),
            None => clean(text),
        },
        Some(other) => plain(other),
    }
}

/// A value beside its name, where there is room: a text keeps its lines.
pub(super) fn long(name: &str, value: &Value, now: Timestamp) -> String {
    match value {
        Value::String(text) => match time(name, text) {
            Some(time) => when::full(time, now),
            None => text.lines().map(clean).collect::<Vec<_>>().join("\n"),
        },
        other => plain(other),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => short(number.as_f64().unwrap_or_default()),
        Value::String(text) => clean(text),
        Value::Array(items) if items.len() > NUMBERS_SHOWN && items.iter().all(Value::is_number) => {
            let first: Vec<String> = items.iter().take(NUMBERS_SHOWN).map(plain).collect();
            format!("{}, … ({} numbers)", first.join(", "), items.len())
        }
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => clean(&other.to_string()),
    }
}

/// Four decimals say enough; a number smaller than that is written as it is.
fn short(number: f64) -> String {
    let text = format!("{number:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if matches!(text, "0" | "-0") && number != 0.0 { format!("{number:.1e}") } else { text.to_owned() }
}

fn time(name: &str, text: &str) -> Option<Timestamp> {
    TIMES.iter().any(|end| name.ends_with(end)).then(|| text.parse().ok())?
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_control_character_of_a_stranger_reaches_a_terminal() {
        let now = Timestamp::from_micros(0);
        assert_eq!(line("content", Some(&json!("a\u{1b}[2J\nb\u{9b}1m")), now), "a [2J b 1m");
        assert_eq!(long("content", &json!("a\u{1b}[2J\nb"), now), "a [2J\nb");
        assert_eq!(line("tags", Some(&json!(["a\u{7}"])), now), "a ");
    }

    #[test]
    fn numbers_are_short_and_vectors_are_not_spelt_out() {
        let now = Timestamp::from_micros(0);
        let said = |value: Value| line("x", Some(&value), now);
        assert_eq!([said(json!(0.5)), said(json!(0.123456)), said(json!(7))], ["0.5", "0.1235", "7"]);
        assert_eq!([said(json!(0.0)), said(json!(0.00001))], ["0", "1.0e-5"]);
        let vector: Vec<f64> = (0..384).map(f64::from).collect();
        assert_eq!(said(json!(vector)), "0, 1, 2, 3, 4, 5, … (384 numbers)");
    }

    #[test]
    fn a_time_is_told_by_its_name_so_a_content_that_looks_like_one_is_not() {
        let now = "2026-11-21T09:00:00Z".parse().expect("a time");
        let text = json!("2026-11-21T08:00:00Z");
        assert_eq!(line("created_at", Some(&text), now), "1 h ago");
        assert_eq!(line("content", Some(&text), now), "2026-11-21T08:00:00Z");
    }
}
