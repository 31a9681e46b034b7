//! Postgres' SQL: lists and rows travel as arrays.
//!
//! Every parameter tells its own type to the server, so that no text needs a cast but the rows'.

use crate::ledger::sql::{
    dialect::{Column, Dialect},
    statements as sql,
};

/// Postgres' SQL.
#[derive(Debug, Clone, Copy)]
pub(super) struct PostgresDialect;

impl Dialect for PostgresDialect {
    fn in_keys(&self, number: &str) -> String {
        format!("= ANY({number})")
    }

    fn in_list(&self, number: &str) -> String {
        format!("= ANY({number})")
    }

    fn none(&self, number: &str) -> String {
        format!("cardinality({number}) = 0")
    }

    /// One array a column, whatever the number of rows: a statement has one text.
    fn rows(&self, columns: &[Column], _: usize) -> String {
        let array = |(column, number): (&Column, usize)| {
            let element = match column {
                Column::Integer => "bigint",
                Column::Real => "double precision",
                Column::Boolean => "boolean",
                Column::Text => "text",
                Column::Bytes => "bytea",
            };
            format!("${number}::{element}[]")
        };
        let arrays: Vec<String> = columns.iter().zip(1..).map(array).collect();
        format!("SELECT * FROM UNNEST({})", arrays.join(", "))
    }

    fn greatest(&self) -> &'static str {
        "greatest("
    }

    /// Postgres takes no hints; the sessions are told to keep to indexes.
    fn by_index(&self, _: &str) -> String {
        String::new()
    }

    fn then_join(&self) -> &'static str {
        "JOIN"
    }

    fn alone(&self) -> &'static str {
        "FOR UPDATE"
    }

    fn own(&self, statement: &'static str) -> &'static str {
        if statement == sql::REACH { REACH } else { statement }
    }
}

/// A block of numbers, since several processes give them out; the last of it.
pub(super) const TAKE_NUMBERS: &str = "UPDATE numbers SET last = last + $2 WHERE name = $1 RETURNING last";

/// One hop further from `walk`, from one end of relations to the other.
macro_rules! hop {
    ($from:literal, $to:literal, $leads:literal, $types:literal) => {
        concat!(
            "SELECT relation.",
            $to,
            " AS key FROM relation WHERE ",
            $leads,
            " AND relation.",
            $from,
            " = walk.key AND relation.weight IS NOT NULL AND (cardinality(",
            $types,
            ") = 0 OR relation.kind = ANY(",
            $types,
            "))"
        )
    };
}

/// The steps from one end, which is among what was reached, to the other one, which is live.
macro_rules! steps_from {
    ($from:literal, $to:literal, $leads:literal, $types:literal) => {
        concat!(
            "SELECT relation.key, space.name, relation.source, relation.kind, relation.target, \
             relation.discriminator, relation.e, relation.s, relation.hash, relation.weight, \
             relation.properties, relation.valid_from, relation.valid_until, relation.used_at, \
             CAST((SELECT count(*) FROM reach) AS text) \
             FROM relation JOIN space ON space.n = relation.space WHERE ",
            $leads,
            " AND relation.",
            $from,
            " = ANY(ARRAY(SELECT key FROM reach)) AND relation.weight IS NOT NULL AND (cardinality(",
            $types,
            ") = 0 OR relation.kind = ANY(",
            $types,
            ")) AND (relation.",
            $to,
            " = $1 OR EXISTS (SELECT 1 FROM head WHERE head.key = relation.",
            $to,
            " AND head.image IS NOT NULL))"
        )
    };
}

/// A recursive query may name itself once, and is bounded by how many of its rows are asked for: it
/// makes no more than that.
const REACH: &str = concat!(
    "WITH RECURSIVE walk (key, hops) AS (SELECT $1, 1 UNION \
     SELECT far.key, walk.hops + 1 FROM walk CROSS JOIN LATERAL (",
    hop!("source_key", "target_key", "$4", "$5"),
    " UNION ALL ",
    hop!("target_key", "source_key", "$6", "$7"),
    ") AS far WHERE walk.hops < $2 AND EXISTS \
     (SELECT 1 FROM head WHERE head.key = far.key AND head.image IS NOT NULL)), \
     reach AS MATERIALIZED (SELECT key FROM walk LIMIT $3) ",
    steps_from!("source_key", "target_key", "$4", "$5"),
    " UNION ALL ",
    steps_from!("target_key", "source_key", "$6", "$7"),
    " ORDER BY 1"
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sql::dialect::Texts;

    #[test]
    fn lists_and_rows_are_arrays() {
        let texts = Texts::new(PostgresDialect);
        let text =
            texts.text("x IN keys($2) AND none($1) by_index(i) VALUES rows(int words) greatest(a, b)", 2);
        assert_eq!(
            &*text,
            "x = ANY($2) AND cardinality($1) = 0  SELECT * FROM UNNEST($1::bigint[], $2::bytea[]) greatest(a, b)"
        );
    }
}
