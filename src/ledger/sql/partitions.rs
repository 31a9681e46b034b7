//! The promise that no statement of the write path joins two partitions, held by reading its texts.
//!
//! What lies in a partition (`saga`, `claim`, `finish` and the partition's own row) must be named by
//! `epoch` and `partition`, either as parameters or as equal to a table that is. Everything else must
//! be reached by the key of one thing: a number, 16 bytes, a name. A text that does neither is refused,
//! and so is a statement that the write path uses and this list does not have.

use super::statements::{self as sql, Bulk};

/// Tables whose rows belong to a partition.
const PARTITIONED: [&str; 5] = ["saga", "claim", "finish", "partition", "saga_order"];
/// The others, and by which columns their rows may be reached.
const KEYED: [(&str, &[&str]); 7] = [
    ("saga_record", &["n"]),
    ("image", &["n"]),
    ("head", &["key", "space"]),
    ("history", &["key"]),
    ("relation", &["key", "source_key", "target_key"]),
    ("space", &["n", "name"]),
    ("numbers", &["name"]),
];
/// Words that stand before the name of a table.
const BEFORE_TABLE: [&str; 4] = ["FROM", "JOIN", "UPDATE", "INTO"];

/// What a transaction reads and moves, one by one.
const SINGLE: [(&str, &str); 23] = [
    ("LOCK_PARTITION", sql::LOCK_PARTITION),
    ("WRITE_PARTITION", sql::WRITE_PARTITION),
    ("SPACE_NUMBERS", sql::SPACE_NUMBERS),
    ("DECLARATIONS", sql::DECLARATIONS),
    ("COUNT_LIVE", sql::COUNT_LIVE),
    ("START_COUNTING", sql::START_COUNTING),
    ("WATCHED", sql::WATCHED),
    ("BEGIN_HISTORY", sql::BEGIN_HISTORY),
    ("CLAIMS", sql::CLAIMS),
    ("SAGAS", sql::SAGAS),
    ("COUNT_MOVES", sql::COUNT_MOVES),
    ("MOVE_ALL_SAGAS", sql::MOVE_ALL_SAGAS),
    ("MOVE_SAGAS", sql::MOVE_SAGAS),
    ("COUNT_ATTEMPTS", sql::COUNT_ATTEMPTS),
    ("OBEYED", sql::OBEYED),
    ("SPACES_OF_SAGAS", sql::SPACES_OF_SAGAS),
    ("WRITES", sql::WRITES),
    ("FINISH", sql::FINISH),
    ("HEAD", sql::HEAD),
    ("HEADS", sql::HEADS),
    ("LIVE_AMONG", sql::LIVE_AMONG),
    ("ADD_LIVE", sql::ADD_LIVE),
    ("TOUCH", sql::TOUCH),
];
/// What reads relations, in a transaction too.
const RELATIONS: [(&str, &str); 3] = [
    ("RELATIONS", sql::RELATIONS),
    ("RELATIONS_OF_MEMORIES", sql::RELATIONS_OF_MEMORIES),
    ("RELATIONS_OF_SESSIONS", sql::RELATIONS_OF_SESSIONS),
];
/// What a transaction writes in bulk.
const BULK: [(&str, Bulk); 11] = [
    ("INSERT_SPACES", sql::INSERT_SPACES),
    ("DECLARE", sql::DECLARE),
    ("INSERT_SAGAS", sql::INSERT_SAGAS),
    ("INSERT_RECORDS", sql::INSERT_RECORDS),
    ("INSERT_CLAIMS", sql::INSERT_CLAIMS),
    ("INSERT_IMAGES", sql::INSERT_IMAGES),
    ("COMPLETE_RECORDS", sql::COMPLETE_RECORDS),
    ("WRITE_HEADS", sql::WRITE_HEADS),
    ("KEEP_HEADS", sql::KEEP_HEADS),
    ("RAISE_HEADS", sql::RAISE_HEADS),
    ("WRITE_RELATIONS", sql::WRITE_RELATIONS),
];
/// As [`BULK`].
const MORE_BULK: [(&str, Bulk); 1] = [("RAISE_RELATIONS", sql::RAISE_RELATIONS)];

/// Where the write path runs its statements.
const WRITE_PATH: [&str; 4] = [
    include_str!("transaction.rs"),
    include_str!("sagas.rs"),
    include_str!("heads.rs"),
    include_str!("relations.rs"),
];

/// A table that a statement reads or writes, by the name that it has there.
struct Used {
    table: String,
    alias: String,
}

fn words(text: &str) -> Vec<String> {
    let spaced: String = text.chars().map(|c| if "(),".contains(c) { ' ' } else { c }).collect();
    spaced.split_whitespace().map(str::to_owned).collect()
}

fn tables(text: &str) -> Vec<Used> {
    let words = words(text);
    let known = |name: &str| PARTITIONED.contains(&name) || KEYED.iter().any(|(table, _)| *table == name);
    let mut used = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let Some(table) = words.get(at + 1).filter(|name| known(name)) else { continue };
        // `DO UPDATE SET` names none; `CROSS JOIN` is spelled by the dialect.
        if BEFORE_TABLE.contains(&word.as_str()) || word == "then_join" {
            let renamed = words.get(at + 2).is_some_and(|word| word == "AS");
            let alias = if renamed { words.get(at + 3) } else { None };
            let alias = alias.unwrap_or(table).clone();
            used.push(Used { table: table.clone(), alias });
        }
    }
    used
}

/// What is wrong with a statement.
fn wrong(text: &str) -> Vec<String> {
    let used = tables(text);
    let alone = used.len() == 1;
    // A row that is inserted says itself where it belongs.
    let inserts = text.starts_with("INSERT INTO") && text.contains("VALUES");
    let mut wrong = Vec::new();
    if used.is_empty() {
        wrong.push("names no table that is known".to_owned());
    }
    for Used { table, alias } in &used {
        let names = |column: &str| {
            let qualified = format!("{alias}.{column}");
            let plain = if alone { Some(column.to_owned()) } else { None };
            std::iter::once(qualified).chain(plain).collect::<Vec<_>>()
        };
        // `a.x = b.x`, `x = $1`, `x IN keys($1)`, `x > …`: a condition on that column.
        let bound = |column: &str| {
            names(column).iter().any(|name| {
                [" = ", " IN ", " > ", " >= "].iter().any(|operator| {
                    let condition = format!("{name}{operator}");
                    let after = |before: &str| format!("{before}{condition}");
                    ["WHERE ", "AND ", "ON ", "WHERE (", "("]
                        .iter()
                        .any(|before| text.contains(&after(before)))
                }) || text.contains(&format!("= {name} "))
                    || text.contains(&format!("= {name})"))
                    || text.ends_with(&format!("= {name}"))
            })
        };
        let inserted = inserts && alone;
        if PARTITIONED.contains(&table.as_str()) {
            for column in ["epoch", "partition"] {
                let given = inserted && text.contains(column);
                if !given && !bound(column) {
                    wrong.push(format!("reads `{alias}` without its {column}"));
                }
            }
        } else {
            let (_, columns) = KEYED.iter().find(|(name, _)| name == table).expect("only known tables");
            if !inserted && !columns.iter().any(|column| bound(column)) && !kept_by(text, alias) {
                wrong.push(format!("reads `{alias}` by none of {columns:?}"));
            }
        }
    }
    wrong
}

/// Whether a table is only inserted into, from rows that another one is asked for.
fn kept_by(text: &str, alias: &str) -> bool {
    text.contains(&format!("INSERT INTO {alias} "))
}

fn all() -> Vec<(&'static str, &'static str)> {
    let bulk = BULK.iter().chain(&MORE_BULK).map(|(name, bulk)| (*name, bulk.text));
    SINGLE.iter().chain(&RELATIONS).copied().chain(bulk).collect()
}

#[test]
fn no_statement_of_the_write_path_joins_two_partitions() {
    let wrong: Vec<String> = all()
        .iter()
        .flat_map(|(name, text)| wrong(text).into_iter().map(move |what| format!("{name} {what}: {text}")))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_statement_of_the_write_path_is_looked_at() {
    let known = all();
    let mut missing = Vec::new();
    for source in WRITE_PATH {
        for after in source.split("sql::").skip(1) {
            let name: String = after.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            let outside = ["PARTITION"].contains(&name.as_str());
            if name.len() > 1 && !outside && !known.iter().any(|(known, _)| *known == name) {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "not looked at: {missing:?}");
}

#[test]
fn a_statement_that_does_join_two_partitions_is_caught() {
    for bad in [
        "SELECT log_offset FROM saga WHERE state = $1",
        "SELECT log_offset FROM saga WHERE epoch = $1 AND state = $2",
        "SELECT 1 FROM claim JOIN saga ON saga.log_offset = claim.log_offset \
         WHERE claim.epoch = $1 AND claim.partition = $2",
        "SELECT 1 FROM saga JOIN saga_record AS record ON record.ending = saga.state \
         WHERE saga.epoch = $1 AND saga.partition = $2",
        "UPDATE head SET e = $1 WHERE image IS NOT NULL",
        "DELETE FROM finish WHERE finish < $1",
        "SELECT 1 FROM elsewhere",
    ] {
        assert!(!wrong(bad).is_empty(), "{bad}");
    }
}
