//! The same over what `engraft serve` keeps in its folder: SQLite is changed by SQL, behind the
//! ledger's back, and the index holds what it was told.

use std::sync::Arc;

use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use super::{
    VICTIM, assert_clean, found_alone, of_memory,
    world::{MEMORIES, World, id, memory, relation_key, version_of},
};
use crate::{
    audit::{
        Report, Verdict,
        report::{Record, Store},
    },
    invariant::Invariant,
    ledger::sqlite::{Options, SqliteLedger},
    model::{Memory, memory::f32s_to_bytes},
    random::Random,
    vector::edge::{self, EdgeVectors},
};

/// Small, so that a test leaves little behind.
const INDEX: edge::Options = edge::Options { log_file_bytes: 1 << 20, log_bytes_max: 1 << 24 };

struct Embedded {
    world: World<EdgeVectors>,
    folder: TempDir,
}

impl Embedded {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ledger.db");
        let ledger = SqliteLedger::open(file, &Options::default(), &Random::from_seed(1, 1)).await;
        let index = EdgeVectors::open(&folder.path().join("vectors"), INDEX).expect("an index");
        let world = World::new(Arc::new(ledger.expect("a ledger")), index).await;
        Self { world, folder }
    }

    /// Runs one statement on the ledger's file, `?1` being these bytes.
    async fn sql(self, statement: &'static str, bytes: &[u8]) -> Self {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join("ledger.db"));
        let mut connection = SqliteConnection::connect_with(&options).await.expect("a connection");
        let done = sqlx::query(statement).bind(bytes).execute(&mut connection).await.expect("it runs");
        assert_eq!(done.rows_affected(), 1, "{statement}");
        connection.close().await.expect("it closes");
        self
    }

    /// Fills another index, in which the victim is something else, or nothing.
    async fn with_point(mut self, point: Option<Memory>) -> Self {
        let folder = self.folder.path().join("others");
        self.world.vectors = Arc::new(EdgeVectors::open(&folder, INDEX).expect("an index"));
        for number in 0..MEMORIES {
            let (memory, marker) = (memory(number), memory(number).hash());
            let held = if number == VICTIM { point.clone() } else { Some(memory) };
            if let Some(held) = held {
                self.world.point(&id(number), version_of(number), marker, Some(&held)).await;
            }
        }
        self
    }

    async fn audit(&self) -> Report {
        self.world.audit().await
    }
}

async fn flipped(statement: &'static str, bytes: &[u8]) -> Report {
    Embedded::new().await.sql(statement, bytes).await.audit().await
}

/// A finding for this record, in this store.
fn names(report: &Report, invariant: Invariant, record: &Record, store: Store) -> bool {
    report.verdict == Verdict::Violation
        && report.findings.iter().any(|f| (f.invariant, &f.record, f.store) == (invariant, record, store))
}

#[tokio::test]
async fn what_the_embedded_stores_were_told_is_clean() {
    assert_clean(&Embedded::new().await.audit().await);
}

#[tokio::test]
async fn an_image_that_changed_in_its_file_is_found() {
    let victim = of_memory(&id(VICTIM));
    let content = "UPDATE image SET content = content || '!' \
                   WHERE n = (SELECT image FROM head WHERE id = 'm-4') AND ?1 IS NOT NULL";
    found_alone(&flipped(content, &[]).await, Invariant::I11, &victim, Store::Ledger);
    let properties = "UPDATE image SET properties = replace(properties, '\"turn\":4', '\"turn\":5') \
                      WHERE n = (SELECT image FROM head WHERE id = 'm-4') AND ?1 IS NOT NULL";
    let report = flipped(properties, &[]).await;
    assert!(names(&report, Invariant::I11, &victim, Store::Ledger), "{report}");
    assert!(names(&report, Invariant::I4, &victim, Store::Vector), "{report}");
}

#[tokio::test]
async fn one_component_and_one_term_that_changed_in_the_ledgers_file_are_found() {
    let victim = of_memory(&id(VICTIM));
    let dense = "UPDATE image SET dense = ?1 WHERE n = (SELECT image FROM head WHERE id = 'm-4')";
    let report = flipped(dense, &f32s_to_bytes(&[5.0, 2.0, 3.0001, -4.0])).await;
    assert!(names(&report, Invariant::I11, &victim, Store::Ledger), "{report}");
    assert!(names(&report, Invariant::I4, &victim, Store::Vector), "{report}");
    let sparse = "UPDATE image SET sparse_values = ?1 WHERE n = (SELECT image FROM head WHERE id = 'm-4')";
    let report = flipped(sparse, &f32s_to_bytes(&[0.5, 5.001])).await;
    assert!(names(&report, Invariant::I11, &victim, Store::Ledger), "{report}");
}

#[tokio::test]
async fn a_weight_or_a_version_that_changed_in_the_ledgers_file_is_found() {
    let weight = "UPDATE relation SET weight = 0.26 WHERE source = 'm-4' AND ?1 IS NOT NULL";
    let record = Record::relation(&relation_key(VICTIM));
    found_alone(&flipped(weight, &[]).await, Invariant::I11, &record, Store::Ledger);
    let version = "UPDATE head SET s = s + 400 WHERE id = 'm-4' AND ?1 IS NOT NULL";
    found_alone(&flipped(version, &[]).await, Invariant::I4, &of_memory(&id(VICTIM)), Store::Vector);
}

#[tokio::test]
async fn a_head_that_died_in_its_file_leaves_a_dangling_relation_and_a_point_too_many() {
    let died = "UPDATE head SET image = NULL WHERE id = 'm-9' AND ?1 IS NOT NULL";
    let report = flipped(died, &[]).await;
    let relation = Record::relation(&relation_key(MEMORIES - 2));
    assert!(names(&report, Invariant::I8, &relation, Store::Ledger), "{report}");
    assert!(names(&report, Invariant::I9, &of_memory(&id(MEMORIES - 1)), Store::Vector), "{report}");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_a_violation_and_no_shrug() {
    let broken = "UPDATE image SET properties = '{' \
                  WHERE n = (SELECT image FROM head WHERE id = 'm-4') AND ?1 IS NOT NULL";
    let report = flipped(broken, &[]).await;
    assert_eq!(report.exit_code(), 3, "{report}");
}

#[tokio::test]
async fn a_point_of_the_index_that_is_not_its_image_is_found() {
    let victim = of_memory(&id(VICTIM));
    let changed = async |change: fn(&mut Memory)| {
        let mut point = memory(VICTIM);
        change(&mut point);
        Embedded::new().await.with_point(Some(point)).await.audit().await
    };
    let payload = changed(|m| drop(m.properties.insert("turn".to_owned(), 99.into()))).await;
    found_alone(&payload, Invariant::I4, &victim, Store::Vector);
    let dense = changed(|m| m.dense = Some([5.0, 2.0, 3.0001, -4.0].into())).await;
    found_alone(&dense, Invariant::I4, &victim, Store::Vector);
    let sparse = changed(|m| m.sparse = None).await;
    found_alone(&sparse, Invariant::I4, &victim, Store::Vector);
    let missing = Embedded::new().await.with_point(None).await.audit().await;
    found_alone(&missing, Invariant::I7, &victim, Store::Vector);
}
