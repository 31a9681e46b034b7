//! What the embedded log promises beyond every log: durability, one writer, trimming.

use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::{
    clock::SystemClock,
    log::{
        Headers,
        contract::{self, Letter, World},
    },
    model::version::OFFSET_MAX,
};

/// A log in a folder that goes with it.
struct Opened {
    log: EmbeddedLog,
    folder: TempDir,
}

#[async_trait]
impl World for Opened {
    fn log(&self) -> &dyn CommandLog {
        &self.log
    }

    fn outcomes(&self) -> &dyn OutcomeSink {
        &self.log
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        &self.log
    }

    async fn append_bare(&self, _partition: u32, _headers: Headers) -> Option<u64> {
        None
    }

    async fn trim(&self, partition: u32, start: u64) {
        self.log.trim_below(partition, start).await.unwrap();
    }

    async fn letters(&self) -> Vec<Letter> {
        let letter = |letter: StoredLetter| Letter {
            place: (letter.position.partition, letter.position.offset),
            key: letter.key,
            value: letter.value,
            headers: letter.headers,
            code: letter.code,
            detail: letter.detail,
        };
        self.log.letters(0, 100).await.unwrap().into_iter().map(letter).collect()
    }
}

async fn world(_test: &str) -> Option<Opened> {
    let folder = TempDir::new().unwrap();
    let log = open(&folder, 4).await.unwrap();
    Some(Opened { log, folder })
}

contract::tests!(world);

fn options(folder: &TempDir, partitions: u32) -> Options {
    Options { path: folder.path().join("log.db"), partitions, ..Options::default() }
}

async fn open(folder: &TempDir, partitions: u32) -> Result<EmbeddedLog, OpenError> {
    EmbeddedLog::open(&options(folder, partitions), Arc::new(SystemClock), &Random::from_seed(1, 0)).await
}

fn record(value: impl Into<bytes::Bytes>) -> NewRecord {
    NewRecord { key: "acme".into(), value: value.into(), headers: vec![("h".into(), "1".into())] }
}

async fn append(log: &EmbeddedLog, count: usize) -> Vec<AppendedAt> {
    let records = (0..count).map(|n| record(n.to_string())).collect();
    log.append(records).await.into_iter().map(Result::unwrap).collect()
}

async fn read(log: &EmbeddedLog, count: usize) -> Vec<Record> {
    let mut reader = log.reader(0, log.bounds(0).await.unwrap().start).await.unwrap();
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(reader.next(count - records.len()).await.unwrap());
    }
    records
}

/// The files as a process that is killed now leaves them.
fn copy_as_after_a_kill(from: &TempDir) -> TempDir {
    let to = TempDir::new().unwrap();
    for file in ["log.db", "log.db-wal"] {
        std::fs::copy(from.path().join(file), to.path().join(file)).unwrap();
    }
    to
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let Opened { log, folder } = world("").await.unwrap();
    let identity = log.topology();
    let partition = PartitionId { epoch: 3, partition: 2 };
    append(&log, 700).await;
    log.0.change(Change::Witness { partition, finish: 9 }).await.unwrap();
    log.close().await;
    assert!(matches!(log.append(vec![record("late")]).await[0], Err(AppendError::Unavailable(_))));

    let log = open(&folder, 4).await.unwrap();
    assert_eq!(log.topology(), identity);
    assert_eq!(log.witness(partition).await, Ok(Some(9)));
    let home = identity.partitioner.partition(b"acme", 4);
    assert_eq!(log.bounds(home).await, Ok(Bounds { start: 0, end: 700 }));
    assert_eq!(append(&log, 1).await[0].offset, 700);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder, 1).await.unwrap();
    append(&log, 3).await;
    append(&log, 1_030).await;
    let killed = copy_as_after_a_kill(&folder);
    let survivor = open(&killed, 1).await.unwrap();
    assert_eq!(survivor.bounds(0).await, Ok(Bounds { start: 0, end: 1_033 }));
    assert_eq!(read(&survivor, 1_033).await, read(&log, 1_033).await);
}

#[tokio::test]
async fn a_second_opener_learns_who_has_the_log() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder, 1).await.unwrap();
    let refusal = open(&folder, 1).await.err().expect("refused").to_string();
    assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
    log.close().await;
    assert!(open(&folder, 1).await.is_ok(), "a closed log can be opened while old handles are around");
}

#[tokio::test]
async fn a_handle_that_is_dropped_without_close_lets_go_of_the_file() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder, 1).await.unwrap();
    append(&log, 1).await;
    let tasks = log.0.tasks.clone();
    drop(log);
    tasks.shut_down().await;
    assert_eq!(open(&folder, 1).await.unwrap().bounds(0).await, Ok(Bounds { start: 0, end: 1 }));
}

#[tokio::test]
async fn another_number_of_partitions_is_refused_with_the_right_one() {
    let folder = TempDir::new().unwrap();
    open(&folder, 2).await.unwrap().close().await;
    let refusal = open(&folder, 3).await.err().expect("refused").to_string();
    assert!(refusal.contains("log.partitions = 2"), "{refusal}");
    for impossible in [0, 4_097] {
        let refusal = open(&TempDir::new().unwrap(), impossible).await.err().expect("refused");
        assert!(matches!(refusal, OpenError::PartitionsRange(_)), "{refusal}");
    }
}

#[tokio::test]
async fn a_file_that_is_damaged_foreign_or_newer_says_so() {
    let folder = TempDir::new().unwrap();
    let path = options(&folder, 1).path;
    std::fs::write(&path, [7; 20_000]).unwrap();
    assert!(matches!(open(&folder, 1).await.err(), Some(OpenError::Damaged { .. })));
    std::fs::remove_file(&path).unwrap();

    for (statement, foreign) in [("CREATE TABLE t (c)", true), ("PRAGMA user_version = 99", false)] {
        if !foreign {
            open(&folder, 1).await.unwrap().close().await;
        }
        let mut connection = file::writing(&path).connect().await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let refusal = open(&folder, 1).await.err();
        match foreign {
            true => assert!(matches!(refusal, Some(OpenError::Foreign(_))), "{refusal:?}"),
            false => assert!(matches!(refusal, Some(OpenError::Newer { found: 99, .. })), "{refusal:?}"),
        }
        std::fs::remove_file(&path).unwrap();
    }
}

#[tokio::test]
async fn a_torn_file_is_told_and_its_records_are_not_made_up() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder, 1).await.unwrap();
    append(&log, 3_000).await;
    log.close().await;
    let file = std::fs::OpenOptions::new().write(true).open(options(&folder, 1).path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let refusal = open(&folder, 1).await.err();
    assert!(matches!(refusal, Some(OpenError::Damaged { .. })), "{refusal:?}");
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_and_its_neighbours_are_not() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder, 1).await.unwrap();
    let answers = log.append(vec![record("a"), record(vec![0; (5 << 20) + 1]), record("b")]).await;
    assert!(matches!(answers[1], Err(AppendError::Refused(_))));
    let offsets = [&answers[0], &answers[2]].map(|answer| answer.as_ref().unwrap().offset);
    assert_eq!(offsets, [0, 1], "a refused record takes no offset");
}

#[tokio::test]
async fn a_partition_without_offsets_refuses_more() {
    let folder = TempDir::new().unwrap();
    open(&folder, 1).await.unwrap().close().await;
    let mut connection = file::writing(&options(&folder, 1).path).connect().await.unwrap();
    sqlx::query("INSERT INTO record VALUES (?, 0, x'', x'', x'')")
        .bind(row::row_id(0, OFFSET_MAX - 1))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let log = open(&folder, 1).await.unwrap();
    let answers = log.append(vec![record("last"), record("none")]).await;
    assert_eq!(answers[0].as_ref().unwrap().offset, OFFSET_MAX);
    assert!(matches!(answers[1], Err(AppendError::Refused(_))));
}

#[tokio::test]
async fn what_was_read_a_running_day_ago_is_dropped_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder, 1).await.unwrap();
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    append(&log, 2_500).await;
    log.note_watermark(0, 2_400).await;
    log.trim_tick(hours(1)).await.unwrap();
    log.note_watermark(0, 2_500).await;
    log.trim_tick(hours(24)).await.unwrap();
    assert_eq!(log.bounds(0).await, Ok(Bounds { start: 0, end: 2_500 }), "the first mark is 23 hours old");
    log.close().await;

    // The hours of the first run count in the second.
    let log = open(&folder, 1).await.unwrap();
    log.note_watermark(0, 2_500).await;
    log.trim_tick(hours(2)).await.unwrap();
    assert_eq!(log.bounds(0).await, Ok(Bounds { start: 2_400, end: 2_500 }));
    assert_eq!(log.record(0, 2_399).await, Ok(None));
    assert_eq!(read(&log, 100).await.len(), 100);
    log.trim_tick(hours(30)).await.unwrap();
    assert_eq!(log.bounds(0).await, Ok(Bounds { start: 2_499, end: 2_500 }), "the newest record stays");
    assert_eq!(append(&log, 1).await[0].offset, 2_500);
}

#[tokio::test]
async fn a_reader_that_a_trim_overtook_says_so() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder, 1).await.unwrap();
    append(&log, 10).await;
    let mut reader = log.reader(0, 0).await.unwrap();
    log.trim_below(0, 5).await.unwrap();
    let bounds = Bounds { start: 5, end: 10 };
    assert_eq!(reader.next(1).await, Err(ReadError::OutOfRange { offset: 0, bounds }));
}

#[tokio::test]
async fn one_read_brings_no_more_bytes_than_its_bound() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder, 1).await.unwrap();
    let megabytes = |n: usize| record(vec![1; n << 20]);
    for answer in log.append(vec![megabytes(4); 6]).await {
        answer.unwrap();
    }
    let mut reader = log.reader(0, 0).await.unwrap();
    assert_eq!(reader.next(100).await.unwrap().len(), 4);
    assert_eq!(reader.next(100).await.unwrap().len(), 2);
}

#[tokio::test]
async fn subscribers_hear_of_outcomes_once_durable_and_a_slow_one_holds_nobody_up() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder, 1).await.unwrap();
    let mut subscriber = log.subscribe();
    let mut slow = log.subscribe();
    let partition = PartitionId { epoch: 1, partition: 0 };
    let event = |n| contract::outcome(partition, n, n + 1);
    log.publish(partition, &[event(0), event(1)]).await.unwrap();
    for n in 0..2 {
        assert_eq!(*subscriber.recv().await.unwrap(), Published { partition, event: event(n) });
    }
    let many: Vec<OutcomeEvent> = (2..5_000).map(event).collect();
    log.publish(partition, &many).await.unwrap();
    assert_eq!(slow.recv().await, Err(broadcast::error::RecvError::Lagged(5_000 - 4_096)));
    assert_eq!(log.witness(partition).await, Ok(Some(5_000)));
}

#[tokio::test]
async fn a_letter_is_found_by_its_position_and_kept_once() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder, 1).await.unwrap();
    let at = append(&log, 1).await[0];
    let record = log.record(0, at.offset).await.unwrap().unwrap();
    let position = record.position;
    let letter = DeadLetter { record, code: crate::model::Code::Misrouted, detail: "send it there".into() };
    for _ in 0..2 {
        log.send(std::slice::from_ref(&letter)).await.unwrap();
    }
    let stored = log.letter(position).await.unwrap().unwrap();
    assert_eq!((stored.code.as_str(), stored.detail.as_str()), ("misrouted", "send it there"));
    assert_eq!(log.letters(0, 10).await.unwrap(), std::slice::from_ref(&stored));
    assert_eq!(log.letters(stored.number, 10).await.unwrap(), []);
}

#[tokio::test]
async fn closing_ends_waiting_readers_and_memberships() {
    let folder = TempDir::new().unwrap();
    let log = open(&folder, 1).await.unwrap();
    let mut reader = log.reader(0, 0).await.unwrap();
    let mut membership = log.join().await.unwrap();
    assert_eq!(membership.next().await, Some(Assignment::Assigned(0)));
    let ends = async { tokio::join!(reader.next(1), membership.next(), log.close()) };
    let (read, member, ()) = timeout(Duration::from_secs(10), ends).await.expect("everything ends");
    assert!(matches!(read, Err(ReadError::Unavailable(_))));
    assert_eq!(member, None);
}
