//! Writes whose answers nobody needs, kept back and sent as one statement.
//!
//! A turn is some dozen statements, and each a round trip with the partition's row locked. What only writes
//! waits here until something is asked that it could bear on, or until the commit.
//!
//! **Invariant**: parts of one statement do not see each other's rows, and run in any order. So nothing joins
//! the queue, or overtakes it, that names a table which is written in it.

use std::{fmt::Write as _, sync::Arc};

use sqlx::postgres::PgArguments;

use super::arguments::{Rows, bind};
use crate::ledger::sql::values::Binds;

/// What a write carries.
pub(super) enum Values {
    One(Binds),
    Many(Rows),
}

impl Values {
    /// How many parameters that is.
    fn count(&self) -> usize {
        match self {
            Self::One(binds) => binds.0.len(),
            Self::Many(rows) => rows.count(),
        }
    }

    fn add_to(self, arguments: &mut PgArguments) {
        match self {
            Self::One(binds) => bind(arguments, binds),
            Self::Many(rows) => rows.bind(arguments),
        }
    }
}

/// Writes that have not been sent yet.
#[derive(Default)]
pub(super) struct Queue(Vec<(Arc<str>, Values)>);

impl Queue {
    /// Whether this statement names a table that is written here.
    pub(super) fn concerns(&self, text: &str) -> bool {
        self.0.iter().any(|(write, _)| names(text, written(write)))
    }

    /// Takes in a write that does not [concern](Self::concerns) it.
    pub(super) fn push(&mut self, text: Arc<str>, values: Values) {
        self.0.push((text, values));
    }

    /// Everything as one statement; `None` where there is nothing.
    pub(super) fn take(&mut self) -> Option<(Arc<str>, PgArguments)> {
        let mut writes = std::mem::take(&mut self.0);
        let mut arguments = PgArguments::default();
        if writes.len() < 2 {
            let (text, values) = writes.pop()?;
            values.add_to(&mut arguments);
            return Some((text, arguments));
        }
        let (mut text, mut before) = (String::new(), 0);
        for (number, (write, values)) in writes.into_iter().enumerate() {
            let opens = if number == 0 { "WITH" } else { "," };
            write!(text, "{opens} write_{number} AS ({})", moved_up(&write, before))
                .expect("a string takes all");
            before += values.count();
            values.add_to(&mut arguments);
        }
        text.push_str(" SELECT 1");
        Some((text.into(), arguments))
    }
}

/// The table that a statement writes; empty if it writes none.
fn written(text: &str) -> &str {
    let after = ["INSERT INTO ", "UPDATE ", "DELETE FROM "]
        .into_iter()
        .filter_map(|verb| Some((text.find(verb)?, verb.len())))
        .min()
        .and_then(|(at, length)| text.get(at + length..));
    after.and_then(|rest| rest.split(|c: char| !is_of_a_name(c)).next()).unwrap_or_default()
}

/// Whether a text has this name among its words.
fn names(text: &str, name: &str) -> bool {
    text.split(|c: char| !is_of_a_name(c)).any(|word| word == name)
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// A statement whose parameters come after so many others.
fn moved_up(text: &str, before: usize) -> String {
    let mut parts = text.split('$');
    let mut moved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(end);
        let number = number.parse::<usize>().expect("a parameter has a number") + before;
        write!(moved, "${number}{rest}").expect("a string takes all");
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sql::{
        dialect::Texts,
        statements::{self as sql, Bulk},
        values::binds,
    };

    fn text(statement: &'static str) -> Arc<str> {
        Texts::new(super::super::dialect::PostgresDialect).text(statement, 0)
    }

    fn queue(statements: &[&'static str]) -> Queue {
        let mut queue = Queue::default();
        for statement in statements {
            queue.push(text(statement), Values::One(binds!(1_i64, 2_i64)));
        }
        queue
    }

    #[test]
    fn writes_go_out_as_one_statement_with_their_parameters_in_order() {
        let mut queue = queue(&["UPDATE a SET x = $1 WHERE y = $2", "INSERT INTO b (z) VALUES ($1, $2)"]);
        let (text, arguments) = queue.take().expect("two writes");
        assert_eq!(
            &*text,
            "WITH write_0 AS (UPDATE a SET x = $1 WHERE y = $2), \
             write_1 AS (INSERT INTO b (z) VALUES ($3, $4)) SELECT 1"
        );
        assert_eq!(sqlx::Arguments::len(&arguments), 4);
        assert!(queue.take().is_none());
    }

    #[test]
    fn a_write_alone_goes_out_as_it_is() {
        let (text, _) = queue(&["UPDATE a SET x = $1 WHERE y = $2"]).take().expect("one write");
        assert_eq!(&*text, "UPDATE a SET x = $1 WHERE y = $2");
    }

    #[test]
    fn every_write_of_the_ledger_names_its_table() {
        let of = |bulk: Bulk| written(bulk.text);
        assert_eq!(of(sql::INSERT_SAGAS), "saga");
        assert_eq!(of(sql::INSERT_RECORDS), "saga_record");
        assert_eq!(of(sql::COMPLETE_RECORDS), "saga_record");
        assert_eq!(of(sql::KEEP_HEADS), "history");
        assert_eq!(of(sql::WRITE_HEADS), "head");
        assert_eq!(of(sql::RAISE_RELATIONS), "relation");
        assert_eq!(written(sql::MOVE_ALL_SAGAS), "saga");
        assert_eq!(written(sql::FINISH), "finish");
        assert_eq!(written(sql::WRITE_PARTITION), "partition");
        assert_eq!(written(sql::OBEYED), "saga_order");
    }

    #[test]
    fn what_names_a_table_that_is_to_be_written_has_to_wait() {
        let queue = queue(&[sql::INSERT_SAGAS.text]);
        assert!(queue.concerns(sql::CLAIMS), "it reads sagas");
        assert!(queue.concerns(sql::MOVE_ALL_SAGAS), "it writes the same table");
        assert!(!queue.concerns(sql::INSERT_RECORDS.text), "another table whose name begins alike");
        assert!(!queue.concerns(sql::FINISH));
    }
}
