//! Where the SQL of two databases differs, and the one place where texts are made.
//!
//! A statement is a constant. It may hold forms that each database spells its own way:
//!
//! | form | means | SQLite | Postgres |
//! |---|---|---|---|
//! | `IN keys($1)` | is one of the 16-byte keys in this parameter | JSON array of hex | array |
//! | `IN list($1)` | is one of the integers or texts in this parameter | JSON array | array |
//! | `none($1)` | this list is empty | `$1 = '[]'` | `cardinality($1) = 0` |
//! | `VALUES rows(int text)` | rows of such columns, as many as are bound | `VALUES (?,?),(?,?)` | `SELECT * FROM UNNEST(…)` |
//! | `greatest(` | the larger of two values | `max(` | as it is |
//! | `by_index(name)` | read through this index and no other | `INDEXED BY name` | nothing |
//! | `then_join()` | a join whose left side is read first | `CROSS JOIN` | `JOIN` |
//! | `alone()` | and lock the row until the transaction ends | nothing | `FOR UPDATE` |
//!
//! What differs by more than a form has another text in that database's room.
//!
//! No text ever holds a value, let alone a client's.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

/// How one database spells what is not common SQL.
pub(in crate::ledger) trait Dialect: Send + Sync {
    /// A condition: what stands before is one of the keys in parameter `number`.
    fn in_keys(&self, number: &str) -> String;
    /// A condition: what stands before is one of the integers or texts in parameter `number`.
    fn in_list(&self, number: &str) -> String;
    /// A condition: the list in parameter `number` is empty.
    fn none(&self, number: &str) -> String;
    /// A source of `rows` rows with these columns.
    fn rows(&self, columns: &[Column], rows: usize) -> String;
    /// The name of the function, and its opening bracket.
    fn greatest(&self) -> &'static str;
    /// A hint: by this index.
    fn by_index(&self, index: &str) -> String;
    /// A join in this order.
    fn then_join(&self) -> &'static str;
    /// Locks what is read.
    fn alone(&self) -> &'static str;

    /// The text that this database needs in place of a common one.
    fn own(&self, statement: &'static str) -> &'static str {
        statement
    }
}

/// What a column of a bulk statement takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Column {
    /// Whole numbers.
    Integer,
    /// Doubles.
    Real,
    /// Yes or no.
    Boolean,
    /// Texts of ours, and names: no zero bytes.
    Text,
    /// Bytes, and clients' words, which may hold any character.
    Bytes,
}

impl Column {
    /// The columns that `rows(…)` names.
    pub(in crate::ledger) fn list(names: &str) -> Vec<Self> {
        let column = |name| match name {
            "int" => Self::Integer,
            "real" => Self::Real,
            "bool" => Self::Boolean,
            "text" => Self::Text,
            "bytes" | "words" => Self::Bytes,
            other => unreachable!("`{other}` is no sort of column"),
        };
        names.split_whitespace().map(column).collect()
    }
}

/// The texts of a dialect, each made when it is first asked for and then kept: the same text again
/// is what lets the driver find its prepared statement.
pub(in crate::ledger) struct Texts {
    dialect: Box<dyn Dialect>,
    /// By where a statement lies, how long it is and how many rows it has: to hash the whole of a long text would
    /// be a good part of what a short read takes.
    made: Mutex<HashMap<(usize, usize, usize), Arc<str>>>,
}

impl Texts {
    pub(in crate::ledger) fn new(dialect: impl Dialect + 'static) -> Self {
        Self { dialect: Box::new(dialect), made: Mutex::default() }
    }

    /// `statement` for this database, with as many `rows` where it has a place for rows.
    pub(in crate::ledger) fn text(&self, statement: &'static str, rows: usize) -> Arc<str> {
        let own = (statement.as_ptr().addr(), statement.len(), rows);
        let mut made = self.made.lock();
        let make = || self.expand(self.dialect.own(statement), rows).into();
        Arc::clone(made.entry(own).or_insert_with(make))
    }

    fn expand(&self, statement: &str, rows: usize) -> String {
        let mut text = String::with_capacity(statement.len());
        let mut rest = statement;
        while let Some((before, form, argument, after)) = next_form(rest) {
            text.push_str(before);
            text.push_str(&match form {
                "IN keys(" => self.dialect.in_keys(argument),
                "IN list(" => self.dialect.in_list(argument),
                "none(" => self.dialect.none(argument),
                "VALUES rows(" => self.dialect.rows(&Column::list(argument), rows),
                "by_index(" => self.dialect.by_index(argument),
                "then_join(" => self.dialect.then_join().to_owned(),
                "alone(" => self.dialect.alone().to_owned(),
                _ => self.dialect.greatest().to_owned(),
            });
            rest = after;
        }
        text.push_str(rest);
        text
    }
}

/// The form whose arguments are left where they are.
const GREATEST: &str = "greatest(";
/// The others: all of them goes, up to the closing bracket.
const FORMS: [&str; 7] =
    ["IN keys(", "IN list(", "none(", "VALUES rows(", "by_index(", "then_join(", "alone("];

/// Splits at the first form: what is before it, its name, its argument, what is after it.
fn next_form(text: &str) -> Option<(&str, &str, &str, &str)> {
    let forms = FORMS.iter().chain([&GREATEST]);
    let (start, form) = forms.filter_map(|form| Some((text.find(form)?, *form))).min()?;
    let (before, from) = text.split_at(start);
    let inside = from.get(form.len()..)?;
    if form == GREATEST {
        return Some((before, form, "", inside));
    }
    let (argument, after) = inside.split_once(')')?;
    Some((before, form, argument, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As SQLite spells them.
    struct Plain;

    impl Dialect for Plain {
        fn in_keys(&self, number: &str) -> String {
            format!("IN ({number})")
        }

        fn in_list(&self, number: &str) -> String {
            format!("= ANY({number})")
        }

        fn none(&self, number: &str) -> String {
            format!("{number} = '[]'")
        }

        fn rows(&self, columns: &[Column], rows: usize) -> String {
            format!("VALUES {columns:?} {rows}")
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

        fn alone(&self) -> &'static str {
            "FOR UPDATE"
        }

        fn own(&self, statement: &'static str) -> &'static str {
            if statement == "ours" { "greatest(a, $1)" } else { statement }
        }
    }

    #[test]
    fn a_statement_is_spelled_for_its_database_once() {
        let texts = Texts::new(Plain);
        let statement = "SELECT a IN keys($2) AND b IN list($1) by_index(x) alone() VALUES rows(int words)";
        let text = texts.text(statement, 2);
        assert_eq!(
            &*text,
            "SELECT a IN ($2) AND b = ANY($1) INDEXED BY x FOR UPDATE VALUES [Integer, Bytes] 2"
        );
        assert!(Arc::ptr_eq(&text, &texts.text(statement, 2)));
        assert_eq!(&*texts.text("ours", 0), "max(a, $1)");
    }
}
