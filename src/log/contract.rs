//! What every command log promises, as tests that each backend runs, the one in memory first.
//!
//! A backend shows itself as a [`World`]: its three ports, and what only a test may do to it. Then
//! `contract::tests!(open)` writes one test per promise; `open` gets the test's name and returns a
//! fresh, empty log of at least two partitions, or `None` when the backend cannot be reached (it has
//! then said so itself).
//!
//! What a backend promises beyond this (durability, its own errors) is tested beside it.
#![expect(clippy::indexing_slicing, reason = "a test that cannot go on says so by panicking")]

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::join_all;
use tokio::time::timeout;

use super::{
    AppendedAt, Assignment, CommandLog, DeadLetter, DeadLetters, Headers, NewRecord, OutcomeEvent,
    OutcomeSink, ReadError, Record,
};
use crate::model::{
    Code, Effect, MemoryId, Outcome, PartitionId, Phase, Space, Timestamp,
    command::Trace,
    outcome::{CommandName, RecordName, RecordOutcome, Verdict},
};

pub use crate::log_contract_tests as tests;

/// Far more than any backend needs; only a hang gets here.
const PATIENCE: Duration = Duration::from_secs(30);

/// A backend under test.
#[async_trait]
pub trait World: Send + Sync {
    /// Its log.
    fn log(&self) -> &dyn CommandLog;

    /// Where it publishes outcomes.
    fn outcomes(&self) -> &dyn OutcomeSink;

    /// Where it sends dead letters.
    fn dead_letters(&self) -> &dyn DeadLetters;

    /// Appends a record without key and value, as a foreign producer may; its offset. `None` where
    /// nothing but this log's own `append` can write.
    async fn append_bare(&self, partition: u32, headers: Headers) -> Option<u64>;

    /// Drops every record below `start`, as retention does.
    async fn trim(&self, partition: u32, start: u64);

    /// The dead letters that were sent, oldest first within a partition.
    async fn letters(&self) -> Vec<Letter>;
}

/// A dead letter as it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Where its record stood: partition and offset.
    pub place: (u32, u64),
    /// The record's key.
    pub key: Option<Bytes>,
    /// The record's value.
    pub value: Option<Bytes>,
    /// The record's own headers.
    pub headers: Headers,
    /// The code's text.
    pub code: String,
    /// What to change.
    pub detail: String,
}

impl From<DeadLetter> for Letter {
    fn from(letter: DeadLetter) -> Self {
        let Record { position, key, value, headers, .. } = letter.record;
        Self {
            place: (position.partition, position.offset),
            key,
            value,
            headers,
            code: letter.code.to_string(),
            detail: letter.detail,
        }
    }
}

/// Writes one test for each promise; `$open` is an async function from a test's name to `Option<World>`.
#[macro_export]
#[doc(hidden)]
macro_rules! log_contract_tests {
    ($open:path) => {
        $crate::log_contract_tests! { @each $open:
            offsets_of_a_partition_rise_in_the_order_of_appends,
            a_key_stays_in_the_partition_that_every_client_computes,
            a_record_comes_back_byte_for_byte,
            a_record_without_key_and_value_comes_back_without_them,
            a_reader_starts_where_it_is_told_and_gives_no_more_than_asked,
            a_reader_waits_for_the_next_record,
            a_wait_that_was_cancelled_loses_nothing,
            records_of_one_call_keep_their_order_among_concurrent_calls,
            bounds_and_single_records_say_what_is_there,
            an_offset_outside_of_the_log_is_told_and_never_skipped,
            every_partition_is_assigned_once,
            a_noted_watermark_changes_nothing_that_is_read,
            a_published_outcome_leaves_its_finish_as_witness,
            a_dead_letter_keeps_the_record_and_says_why,
        }
    };
    (@each $open:path: $($promise:ident,)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                if let Some(world) = $open(stringify!($promise)).await {
                    $crate::log::contract::$promise(&world).await;
                }
            }
        )*
    };
}

/// Offsets are strictly rising within a partition; gaps are allowed.
pub async fn offsets_of_a_partition_rise_in_the_order_of_appends(world: &dyn World) {
    let mut last = None;
    for round in 0..3 {
        for at in append(world, &["acme"; 4], round).await {
            assert!(last < Some(at.offset), "{at:?} after {last:?}");
            last = Some(at.offset);
        }
    }
}

/// The partition of a key is the partitioner's, whoever appends.
pub async fn a_key_stays_in_the_partition_that_every_client_computes(world: &dyn World) {
    let topology = world.log().topology();
    let keys: Vec<String> = (0..32).map(|n| format!("space-{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    for (key, at) in keys.iter().zip(append(world, &keys, 0).await) {
        assert_eq!(at.partition, topology.partitioner.partition(key.as_bytes(), topology.partitions));
    }
}

/// Key, value and headers are bytes to the log: order, repetition and emptiness are kept.
pub async fn a_record_comes_back_byte_for_byte(world: &dyn World) {
    let sent = NewRecord {
        key: Bytes::from_static(b"acme"),
        value: Bytes::from_static(b"\0\xff{\"not\": json\n"),
        headers: vec![
            ("ce_id".into(), Bytes::from_static(b"c-1")),
            ("twice".into(), Bytes::from_static(b"\xf0\x28")),
            ("twice".into(), Bytes::new()),
        ],
    };
    let empty = NewRecord { key: sent.key.clone(), value: Bytes::new(), headers: Vec::new() };
    let at = all_appended(world.log().append(vec![sent.clone(), empty]).await);
    let first = at.first().expect("two answers");
    let records = read(world, first.partition, first.offset, 2).await;
    let [one, two] = records.as_slice() else { panic!("two records, not {}", records.len()) };
    assert_eq!(one.key.as_ref(), Some(&sent.key));
    assert_eq!(one.value.as_ref(), Some(&sent.value));
    assert_eq!(one.headers, sent.headers);
    assert_eq!(one.appended_at.as_millis(), first.at.as_millis(), "both say when the log took it");
    assert_eq!((one.position.partition, one.position.offset), (first.partition, first.offset));
    assert_eq!((two.value.clone(), two.headers.len()), (Some(Bytes::new()), 0), "empty is not absent");
}

/// A foreign producer may leave out both.
pub async fn a_record_without_key_and_value_comes_back_without_them(world: &dyn World) {
    let headers: Headers = vec![("h".into(), Bytes::from_static(b"1"))];
    let Some(offset) = world.append_bare(1, headers.clone()).await else { return };
    let records = read(world, 1, offset, 1).await;
    let record = records.first().expect("one record");
    assert_eq!((&record.key, &record.value, &record.headers), (&None, &None, &headers));
}

/// Reading begins at the offset given, whatever was read before, by whomever.
pub async fn a_reader_starts_where_it_is_told_and_gives_no_more_than_asked(world: &dyn World) {
    let at = append(world, &["acme"; 10], 0).await;
    let (partition, from) = (at[0].partition, at[4].offset);
    for _ in 0..2 {
        let mut reader = world.log().reader(partition, from).await.expect("within the log");
        let mut offsets = Vec::new();
        while offsets.len() < 6 {
            let records = patiently(reader.next(4)).await.expect("readable");
            assert!((1..=4).contains(&records.len()));
            offsets.extend(records.iter().map(|record| record.position.offset));
        }
        assert_eq!(offsets, at[4..].iter().map(|at| at.offset).collect::<Vec<_>>());
    }
}

/// At the end of the log a reader waits, and an append wakes it.
pub async fn a_reader_waits_for_the_next_record(world: &dyn World) {
    let first = append(world, &["acme"], 0).await[0];
    let end = world.log().bounds(first.partition).await.expect("bounds").end;
    let mut reader = world.log().reader(first.partition, end).await.expect("the end is within the log");
    let (records, at) = tokio::join!(patiently(reader.next(5)), async {
        tokio::task::yield_now().await;
        append(world, &["acme"], 1).await[0]
    });
    let records = records.expect("readable");
    assert_eq!(records.iter().map(|record| record.position.offset).collect::<Vec<_>>(), [at.offset]);
}

/// `next` may be dropped at any of its waits; what it had in hand comes with the next call.
pub async fn a_wait_that_was_cancelled_loses_nothing(world: &dyn World) {
    let partition = append(world, &["acme"], 0).await[0].partition;
    let end = world.log().bounds(partition).await.expect("bounds").end;
    let mut reader = world.log().reader(partition, end).await.expect("the end is within the log");
    let (mut sent, mut got) = (Vec::new(), Vec::new());
    for round in 0..40 {
        // Dropped at once, before, while and after the records come in.
        for wait_us in [0, 50, 500] {
            if let Ok(records) = timeout(Duration::from_micros(wait_us), reader.next(3)).await {
                got.extend(records.expect("readable").iter().map(|record| record.position.offset));
            }
        }
        sent.extend(append(world, &["acme"; 2], round).await.iter().map(|at| at.offset));
    }
    while got.len() < sent.len() {
        let records = patiently(reader.next(100)).await.expect("readable");
        got.extend(records.iter().map(|record| record.position.offset));
    }
    assert_eq!(got, sent);
}

/// Callers do not disturb each other's order.
pub async fn records_of_one_call_keep_their_order_among_concurrent_calls(world: &dyn World) {
    let calls = join_all((0..20).map(|call| append(world, &["acme"; 10], call))).await;
    for at in &calls {
        assert!(at.windows(2).all(|pair| pair[0].offset < pair[1].offset), "{at:?}");
    }
    let offsets: BTreeSet<u64> = calls.iter().flatten().map(|at| at.offset).collect();
    assert_eq!(offsets.len(), 200, "no two records share an offset");
    let records = read(world, calls[0][0].partition, offsets.first().copied().unwrap_or(0), 200).await;
    for (call, at) in calls.iter().enumerate() {
        let expected: Vec<Bytes> = (0..10).map(|n| value(call, n)).collect();
        let of_call = records.iter().filter(|record| at.iter().any(|at| at.offset == record.position.offset));
        assert_eq!(of_call.filter_map(|record| record.value.clone()).collect::<Vec<_>>(), expected);
    }
}

/// `start <= offset < end`, and `None` outside of it.
pub async fn bounds_and_single_records_say_what_is_there(world: &dyn World) {
    let log = world.log();
    let empty = log.bounds(0).await.expect("bounds");
    assert_eq!(empty.start, empty.end, "a new log is empty");
    let at = append(world, &["acme"; 3], 0).await;
    let partition = at[0].partition;
    let bounds = log.bounds(partition).await.expect("bounds");
    assert_eq!((bounds.start, bounds.end), (at[0].offset, at[2].offset + 1));
    let record = log.record(partition, at[1].offset).await.expect("readable").expect("there");
    assert_eq!((record.position.offset, record.value), (at[1].offset, Some(value(0, 1))));
    assert_eq!(log.record(partition, bounds.end).await, Ok(None));
    assert_eq!(log.record(partition, bounds.end + 7).await, Ok(None));
    world.trim(partition, at[2].offset).await;
    assert_eq!(log.record(partition, at[1].offset).await, Ok(None), "aged out");
    assert!(log.record(partition, at[2].offset).await.expect("readable").is_some());
}

/// Below the start and above the end nothing can be read, and the caller learns why.
pub async fn an_offset_outside_of_the_log_is_told_and_never_skipped(world: &dyn World) {
    let at = append(world, &["acme"; 4], 0).await;
    let partition = at[0].partition;
    world.trim(partition, at[2].offset).await;
    let bounds = world.log().bounds(partition).await.expect("bounds");
    assert_eq!(bounds.start, at[2].offset);
    for offset in [at[1].offset, bounds.end + 1, bounds.end + 1_000_000] {
        let error = world.log().reader(partition, offset).await.err();
        assert_eq!(error, Some(ReadError::OutOfRange { offset, bounds }));
    }
    assert!(world.log().reader(partition, bounds.end).await.is_ok(), "the end itself can be waited at");
    assert_eq!(read(world, partition, bounds.start, 2).await.len(), 2);
}

/// One process works on all of them.
pub async fn every_partition_is_assigned_once(world: &dyn World) {
    let mut membership = world.log().join().await.expect("joined");
    let partitions = world.log().topology().partitions;
    let mut assigned = BTreeSet::new();
    for _ in 0..partitions {
        match patiently(membership.next()).await {
            Some(Assignment::Assigned(partition)) => assert!(assigned.insert(partition)),
            other => panic!("{other:?} instead of an assignment"),
        }
    }
    assert_eq!(assigned, (0..partitions).collect());
    assert!(timeout(Duration::from_millis(20), membership.next()).await.is_err(), "nothing else happens");
}

/// The log's own idea of how far someone has read decides nothing.
pub async fn a_noted_watermark_changes_nothing_that_is_read(world: &dyn World) {
    let at = append(world, &["acme"; 3], 0).await;
    world.log().note_watermark(at[0].partition, at[2].offset + 1).await;
    assert_eq!(read(world, at[0].partition, at[0].offset, 3).await.len(), 3);
}

/// The witness is per partition, and it is there before `publish` returns.
pub async fn a_published_outcome_leaves_its_finish_as_witness(world: &dyn World) {
    let [first, second] = [0, 1].map(|partition| PartitionId { epoch: 1, partition });
    let outcomes = world.outcomes();
    assert_eq!(outcomes.witness(first).await, Ok(None));
    let events: Vec<OutcomeEvent> = (0..3).map(|n| outcome(first, n, n + 10)).collect();
    outcomes.publish(first, &events).await.expect("published");
    assert_eq!(outcomes.witness(first).await, Ok(Some(12)));
    assert_eq!(outcomes.witness(second).await, Ok(None), "partitions do not mix");
    outcomes.publish(first, &events).await.expect("a copy is published like the first");
    assert_eq!(outcomes.witness(first).await, Ok(Some(12)));
    outcomes.publish(second, &[outcome(second, 0, 1)]).await.expect("published");
    outcomes.publish(second, &[]).await.expect("nothing is published as well");
    assert_eq!(outcomes.witness(second).await, Ok(Some(1)));
}

/// Key, value and headers of the record, whatever they are, and beside them the reason.
pub async fn a_dead_letter_keeps_the_record_and_says_why(world: &dyn World) {
    let record = |partition, offset, key, value, headers| Record {
        position: PartitionId { epoch: 1, partition }.at(offset),
        key,
        value,
        headers,
        appended_at: Timestamp::from_millis(1_700_000_000_123),
    };
    let headers: Headers = vec![("ce_id".into(), Bytes::from_static(b"\xff\0")), ("e".into(), Bytes::new())];
    let unreadable = DeadLetter {
        record: record(1, 7, Some(Bytes::from_static(b"\xff")), Some(Bytes::from_static(b"{")), headers),
        code: Code::KeyNotUtf8,
        detail: "the key is not UTF-8: it must be the space, e.g. \u{201c}acme\u{201d}".into(),
    };
    let bare = DeadLetter {
        record: record(0, 8, None, None, Vec::new()),
        code: Code::NullValue,
        detail: "the record has no value; to delete a memory send `memory.delete`".into(),
    };
    world.dead_letters().send(&[unreadable.clone(), bare.clone()]).await.expect("sent");
    let mut letters = world.letters().await;
    letters.sort_by_key(|letter| letter.place);
    assert_eq!(letters, [Letter::from(bare), Letter::from(unreadable)]);
}

/// Appends one record per key in one call; the value tells `call` and its place in it.
async fn append(world: &dyn World, keys: &[&str], call: usize) -> Vec<AppendedAt> {
    let record = |(n, key): (usize, &&str)| NewRecord {
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: value(call, n),
        headers: Vec::new(),
    };
    all_appended(patiently(world.log().append(keys.iter().enumerate().map(record).collect())).await)
}

fn value(call: usize, n: usize) -> Bytes {
    Bytes::from(format!("{call}/{n}"))
}

fn all_appended<E: std::fmt::Debug>(answers: Vec<Result<AppendedAt, E>>) -> Vec<AppendedAt> {
    answers.into_iter().map(|answer| answer.expect("appended")).collect()
}

/// The next `count` records from `offset` on.
async fn read(world: &dyn World, partition: u32, offset: u64, count: usize) -> Vec<Record> {
    let mut reader = world.log().reader(partition, offset).await.expect("within the log");
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(patiently(reader.next(count - records.len())).await.expect("readable"));
    }
    records
}

async fn patiently<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("an answer within half a minute")
}

/// An outcome as a put of a memory ends.
#[must_use]
pub fn outcome(partition: PartitionId, offset: u64, finish: u64) -> OutcomeEvent {
    let position = partition.at(offset);
    let memory = MemoryId::new("m-1").expect("an id");
    OutcomeEvent {
        outcome: Outcome {
            command: CommandName {
                id: format!("c-{offset}"),
                source: "/agents/ada".into(),
                kind: "engraft.memory.put.v1".into(),
            },
            space: Space::new("acme").expect("a space"),
            position,
            verdict: Verdict::Committed,
            code: Code::Ok,
            duplicate_of: None,
            errors: Vec::new(),
            records: vec![RecordOutcome {
                record: RecordName::Memory(memory),
                version: Some(position.version(Phase::Forward)),
                effect: Effect::Created,
                vector: None,
            }],
            counts: Default::default(),
            token: "AbC".into(),
            accepted_at: Timestamp::from_millis(1_700_000_000_000),
            finished_at: Timestamp::from_millis(1_700_000_000_020),
        },
        finish,
        trace: Trace { correlation_id: Some("r-1".into()), ..Trace::default() },
    }
}
