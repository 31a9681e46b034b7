//! SQLite's SQL: lists travel as one JSON text, rows as `VALUES`.

use std::sync::LazyLock;

use serde::Serialize;

use crate::{
    ledger::sql::dialect::{Column, Dialect},
    model::Key,
};

/// SQLite's SQL.
#[derive(Debug, Clone, Copy)]
pub(super) struct SqliteDialect;

impl Dialect for SqliteDialect {
    fn in_keys(&self, number: &str) -> String {
        format!("IN (SELECT unhex(value) FROM json_each({number}))")
    }

    fn in_list(&self, number: &str) -> String {
        format!("IN (SELECT value FROM json_each({number}))")
    }

    fn none(&self, number: &str) -> String {
        format!("{number} = '[]'")
    }

    fn rows(&self, columns: &[Column], rows: usize) -> String {
        let row = format!("({})", vec!["?"; columns.len()].join(","));
        format!("VALUES {}", vec![row; rows].join(","))
    }

    fn greatest(&self) -> &'static str {
        "max("
    }

    fn by_index(&self, index: &str) -> String {
        format!("INDEXED BY {index}")
    }

    fn then_join(&self) -> &'static str {
        "CROSS JOIN"
    }

    /// There is one writer.
    fn alone(&self) -> &'static str {
        ""
    }
}

/// Keys as a JSON array of hex.
pub(super) fn key_list<'a>(keys: impl Iterator<Item = &'a Key>) -> String {
    let mut text = String::from("[");
    for key in keys {
        text.push_str(if text.len() == 1 { "\"" } else { ",\"" });
        push_hex(&mut text, &key.0);
        text.push('"');
    }
    text.push(']');
    text
}

/// Numbers or texts as a JSON array.
pub(super) fn list<T: Serialize>(items: &[T]) -> String {
    serde_json::to_string(items).expect("numbers and texts always serialise")
}

/// Two lower-case digits a byte.
fn push_hex(text: &mut String, bytes: &[u8]) {
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
    use crate::ledger::sql::dialect::Texts;

    #[test]
    fn lists_are_read_by_the_engine_and_rows_are_bound() {
        let texts = Texts::new(SqliteDialect);
        let text = texts.text("SELECT x IN keys($2) OR none($1) VALUES rows(int text)", 2);
        assert_eq!(
            &*text,
            "SELECT x IN (SELECT unhex(value) FROM json_each($2)) OR $1 = '[]' VALUES (?,?),(?,?)"
        );
    }

    #[test]
    fn lists_are_json() {
        assert_eq!(list(&[1, -2]), "[1,-2]");
        assert_eq!(list::<i64>(&[]), "[]");
        let key = Key([0xab; 16]);
        assert_eq!(key_list([&key, &key].into_iter()).len(), 2 * 34 + 3);
    }
}
