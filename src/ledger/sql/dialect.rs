//! Where the SQL of two databases differs, and the one place where texts are made.
//!
//! A statement is a constant. It may hold three forms that each database spells its own way:
//!
//! | form | means | SQLite |
//! |---|---|---|
//! | `keys($1)` | the 16-byte keys in this parameter | JSON array of hex |
//! | `list($1)` | the integers or texts in this parameter | JSON array |
//! | `rows(3)` | as many rows of 3 values as are bound | `(?,?,?),(?,?,?)` |
//!
//! No text ever holds a value, let alone a client's.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use serde::Serialize;

use crate::model::Key;

/// How one database spells what is not common SQL.
pub(in crate::ledger) trait Dialect: Send + Sync {
    /// A subquery of the keys in parameter `number`.
    fn keys(&self, number: &str) -> String;
    /// A subquery of the integers or texts in parameter `number`.
    fn list(&self, number: &str) -> String;
    /// Rows of `columns` values.
    fn rows(&self, columns: usize, rows: usize) -> String;
}

/// SQLite: lists travel as one JSON text, rows as `VALUES`.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) struct SqliteDialect;

impl Dialect for SqliteDialect {
    fn keys(&self, number: &str) -> String {
        format!("(SELECT unhex(value) FROM json_each({number}))")
    }

    fn list(&self, number: &str) -> String {
        format!("(SELECT value FROM json_each({number}))")
    }

    fn rows(&self, columns: usize, rows: usize) -> String {
        let row = format!("({})", vec!["?"; columns].join(","));
        vec![row; rows].join(",")
    }
}

/// The texts of a dialect, each made when it is first asked for and then kept: the same text again
/// is what lets the driver find its prepared statement.
pub(in crate::ledger) struct Texts {
    dialect: Box<dyn Dialect>,
    made: Mutex<HashMap<(&'static str, usize), Arc<str>>>,
}

impl Texts {
    pub(in crate::ledger) fn new(dialect: impl Dialect + 'static) -> Self {
        Self { dialect: Box::new(dialect), made: Mutex::default() }
    }

    /// `statement` for this database, with as many `rows` where it has a place for rows.
    pub(in crate::ledger) fn text(&self, statement: &'static str, rows: usize) -> Arc<str> {
        let mut made = self.made.lock();
        Arc::clone(made.entry((statement, rows)).or_insert_with(|| self.expand(statement, rows).into()))
    }

    fn expand(&self, statement: &str, rows: usize) -> String {
        let mut text = String::with_capacity(statement.len());
        let mut rest = statement;
        while let Some((before, form, argument, after)) = next_form(rest) {
            text.push_str(before);
            text.push_str(&match form {
                "keys" => self.dialect.keys(argument),
                "list" => self.dialect.list(argument),
                _ => self.dialect.rows(argument.parse().expect("rows(…) holds a number"), rows),
            });
            rest = after;
        }
        text.push_str(rest);
        text
    }
}

/// Splits at the first form: what is before it, its name, its argument, what is after it.
fn next_form(text: &str) -> Option<(&str, &str, &str, &str)> {
    let forms = ["keys($", "list($", "rows("];
    let (start, form) = forms.iter().filter_map(|form| Some((text.find(form)?, *form))).min()?;
    let (before, from) = text.split_at(start);
    let name = form.trim_end_matches('$').trim_end_matches('(');
    let (argument, after) = from.get(name.len() + 1..)?.split_once(')')?;
    Some((before, name, argument, after))
}

/// A list of keys as a `keys` parameter.
pub(in crate::ledger) fn key_list<'a>(keys: impl Iterator<Item = &'a Key>) -> String {
    let mut text = String::from("[");
    for key in keys {
        text.push_str(if text.len() == 1 { "\"" } else { ",\"" });
        push_hex(&mut text, &key.0);
        text.push('"');
    }
    text.push(']');
    text
}

/// A list of numbers or texts as a `list` parameter.
pub(in crate::ledger) fn list<T: Serialize>(items: impl Iterator<Item = T>) -> String {
    serde_json::to_string(&items.collect::<Vec<T>>()).expect("numbers and texts always serialise")
}

/// Two lower-case digits a byte.
pub(in crate::ledger) fn push_hex(text: &mut String, bytes: &[u8]) {
    static DIGITS: LazyLock<[[u8; 2]; 256]> = LazyLock::new(|| {
        std::array::from_fn(|byte| {
            let digit = |nibble| b"0123456789abcdef".get(nibble).copied().unwrap_or(b'0');
            [digit(byte >> 4), digit(byte & 15)]
        })
    });
    for byte in bytes {
        let pair = DIGITS.get(usize::from(*byte)).copied().unwrap_or_default();
        pair.into_iter().for_each(|digit| text.push(char::from(digit)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_spelled_for_its_database_once() {
        let texts = Texts::new(SqliteDialect);
        let text = texts.text("SELECT keys($2), list($1) VALUES rows(2)", 2);
        assert_eq!(
            &*text,
            "SELECT (SELECT unhex(value) FROM json_each($2)), (SELECT value FROM json_each($1)) \
             VALUES (?,?),(?,?)"
        );
        assert!(Arc::ptr_eq(&text, &texts.text("SELECT keys($2), list($1) VALUES rows(2)", 2)));
    }

    #[test]
    fn lists_are_json() {
        assert_eq!(list([1, -2].into_iter()), "[1,-2]");
        assert_eq!(list(std::iter::empty::<i64>()), "[]");
        let key = Key([0xab; 16]);
        assert_eq!(key_list([&key, &key].into_iter()).len(), 2 * 34 + 3);
    }
}
