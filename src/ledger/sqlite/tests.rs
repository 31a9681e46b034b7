//! The contract, and what only a file can promise.

use tempfile::TempDir;

use super::{OpenError, Options, SqliteLedger};
use crate::{
    ledger::{
        Ledger, Questions,
        contract::{self, world},
        questions::Selection,
    },
    model::{Declaration, conflict},
    random::Random,
};

async fn open(folder: &TempDir) -> Result<SqliteLedger, OpenError> {
    let path = folder.path().join("ledger.db");
    SqliteLedger::open(path, &Options::default(), &Random::from_seed(7, 1)).await
}

async fn new() -> (SqliteLedger, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (open(&folder).await.unwrap(), folder)
}

contract::suite!(new());

#[tokio::test]
async fn what_was_committed_is_there_after_the_process_died() {
    let (ledger, folder) = new().await;
    world::commit(&ledger, &[(1, "a", Some("one")), (2, "b", None)]).await;
    let mut transaction = world::begin(&ledger).await;
    transaction.insert_sagas(&[world::put(3, "a", Some("three"))]).await.unwrap();
    transaction.commit().await.unwrap();
    let identity = ledger.identity().await.unwrap();
    let partition = ledger.partition(world::PARTITION).await.unwrap();
    // Dropped inside a transaction, and without a word to SQLite.
    let mut lost = world::begin(&ledger).await;
    lost.insert_sagas(&[world::pending(4)]).await.unwrap();
    drop(lost);
    drop(ledger);
    let ledger = open(&folder).await.unwrap();
    assert_eq!(ledger.identity().await.unwrap(), identity);
    assert_eq!(ledger.partition(world::PARTITION).await.unwrap(), partition);
    assert_eq!(ledger.unfinished(world::PARTITION, 0, 9).await.unwrap(), [world::put(3, "a", Some("three"))]);
    world::commit(&ledger, &[(4, "c", Some("four"))]).await;
    let contents = ledger.list(&world::space(), None, 9).await.unwrap();
    let contents: Vec<_> = contents.iter().filter_map(|head| head.memory.clone()).collect();
    assert_eq!(contents, [world::memory("one"), world::memory("four")], "numbers go on where they were");
    ledger.close().await.unwrap();
}

/// Takes back every later migration, in a ledger that has data: what a program of the first schema left behind.
const BACK_TO_FIRST: &str = "
    DROP INDEX head_list; ALTER TABLE head DROP COLUMN kind; CREATE INDEX head_list ON head (space, id);
    DROP INDEX relation_kind; DROP INDEX relation_dead; DROP TABLE history;
    ALTER TABLE space DROP COLUMN history; ALTER TABLE space DROP COLUMN history_since;
    DROP TABLE saga_order; ALTER TABLE partition DROP COLUMN halt;
    ALTER TABLE partition DROP COLUMN first_offset;
    DELETE FROM _sqlx_migrations WHERE version > 1;";

#[tokio::test]
async fn a_filled_ledger_of_the_first_schema_is_brought_up_to_date() {
    let (ledger, folder) = new().await;
    world::commit(&ledger, &[(1, "a", Some("one")), (2, "b", None), (3, "c", Some("three"))]).await;
    let mut declared = world::begin(&ledger).await;
    let declaration = Declaration { history: true, ..Declaration::default() };
    declared.declare(&[(world::space(), declaration)]).await.unwrap();
    declared.insert_sagas(&[world::put(4, "a", Some("four"))]).await.unwrap();
    declared.commit().await.unwrap();
    let before = ledger.list(&world::space(), None, 9).await.unwrap();
    ledger.close().await.unwrap();
    let file = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
    file.execute_batch(BACK_TO_FIRST).unwrap();
    drop(file);

    let ledger = open(&folder).await.unwrap();
    assert_eq!(ledger.list(&world::space(), None, 9).await.unwrap(), before);
    assert_eq!(ledger.unfinished(world::PARTITION, 0, 9).await.unwrap(), [world::put(4, "a", Some("four"))]);
    let counts = ledger.counts(&world::space()).await.unwrap();
    let kind = world::memory("x").kind.clone();
    assert_eq!(
        (counts.kinds.get(&kind), counts.tombstones),
        (Some(&2), 1),
        "kinds are taken from the images"
    );
    let of = Selection { kind: Some(kind), session: None };
    assert_eq!(ledger.count_of(&world::space(), &of).await.unwrap(), 2);
    let mut transaction = world::begin(&ledger).await;
    transaction.write_heads(&[world::forward(4, "a", Some("four"))]).await.unwrap();
    transaction.commit().await.unwrap();
    let memory = conflict::memory_key(&world::space(), &world::id("a"));
    let kept = ledger.history(memory, None, 9).await.unwrap();
    assert_eq!(kept.len(), 2, "a space that asked for its history before the upgrade keeps it from then on");
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_who_has_it() {
    let (ledger, folder) = new().await;
    let Err(refused) = open(&folder).await else { panic!("two owners of one ledger") };
    let text = refused.to_string();
    assert!(text.contains("in use by process") && text.contains(&std::process::id().to_string()), "{text}");
    drop(ledger);
    assert!(open(&folder).await.is_ok(), "the lock goes with its holder");
}

#[tokio::test]
async fn batches_of_every_length_are_written_whole() {
    let (ledger, _folder) = new().await;
    let lease = world::own(&ledger).await;
    let mut offset = 0;
    for length in [1, 2, 3, 255, 256, 257, 700] {
        let mut transaction = ledger.transaction(&lease).await.unwrap();
        let rows: Vec<_> =
            (offset..offset + length).map(|offset| world::put(offset, "a", Some("x"))).collect();
        transaction.insert_sagas(&rows).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(ledger.unfinished(world::PARTITION, offset, 2000).await.unwrap(), rows);
        offset += length;
    }
}
