//! One thing at a time is made wrong, its marker left as it was; the audit finds it and names it.

#[cfg(feature = "edge")]
mod embedded;
mod projected;
mod repaired;
mod tampered;
mod world;

use std::{sync::Arc, time::Duration};

use super::{
    Options, Report, Verdict,
    report::{Record, Store},
    run,
};
use crate::{
    invariant::Invariant,
    ledger::memory::MemoryLedger,
    model::{Memory, MemoryId, Phase, Sparse, Version},
    vector::memory::MemoryVectors,
};
use tampered::Tampered;
use world::{MEMORIES, PARTITION, World, id, memory, relation_key, space, version_of, writes};

const VICTIM: usize = 4;

async fn world() -> World<MemoryVectors> {
    World::new(Arc::new(MemoryLedger::new("ledger")), MemoryVectors::new()).await
}

fn of_memory(id: &MemoryId) -> Record {
    Record::memory(&space(), id)
}

/// Exactly one finding, of this invariant, record and store; answers its words.
fn found_alone(report: &Report, invariant: Invariant, record: &Record, store: Store) -> String {
    assert_eq!(report.verdict, Verdict::Violation, "{report}");
    assert_eq!(report.exit_code(), 3);
    let [finding] = report.findings.as_slice() else { panic!("not one finding: {report}") };
    assert_eq!((finding.invariant, &finding.record, finding.store), (invariant, record, store), "{report}");
    assert!(!finding.to_string().contains("the content of memory"), "memory text in `{finding}`");
    format!("{} / {}", finding.expected, finding.found)
}

fn assert_clean(report: &Report) {
    assert_eq!((report.verdict, report.exit_code()), (Verdict::Clean, 0), "{report}");
    assert_eq!((report.in_flight, report.findings.len()), (0, 0), "{report}");
}

/// A world whose vector store holds something else for the victim, under the right marker; `None`: nothing.
async fn with_point(version: Version, point: Option<Memory>) -> Report {
    let mut world = world().await;
    world.vectors = Arc::new(MemoryVectors::new());
    for number in (0..MEMORIES).filter(|number| *number != VICTIM) {
        let memory = memory(number);
        world.point(&id(number), version_of(number), memory.hash(), Some(&memory)).await;
    }
    if let Some(point) = point {
        world.point(&id(VICTIM), version, memory(VICTIM).hash(), Some(&point)).await;
    }
    world.audit().await
}

async fn with_changed_point(change: impl Fn(&mut Memory)) -> Report {
    let mut point = memory(VICTIM);
    change(&mut point);
    with_point(version_of(VICTIM), Some(point)).await
}

async fn with_ledger(tamper: impl Fn(Tampered) -> Tampered) -> Report {
    let ledger = tamper(Tampered::new(MemoryLedger::new("ledger")));
    World::new(Arc::new(ledger), MemoryVectors::new()).await.audit().await
}

#[tokio::test]
async fn what_was_written_as_promised_is_clean() {
    let report = world().await.audit().await;
    assert_clean(&report);
    let read = |what| report.read.get(what).copied();
    assert_eq!((read("heads"), read("points"), read("relations")), (Some(10), Some(10), Some(9)), "{report}");
    for invariant in [Invariant::I2, Invariant::I4, Invariant::I7, Invariant::I8, Invariant::I11] {
        assert!(report.invariants[&invariant].checked > 0, "{invariant} was not looked at: {report}");
    }
}

#[tokio::test]
async fn content_that_changed_in_the_ledger_is_found() {
    let change = |memory: &mut Memory| memory.content.push('!');
    let report = with_ledger(|ledger| {
        ledger.head(id(VICTIM), move |head| change(Arc::make_mut(head.memory.as_mut().expect("live"))))
    })
    .await;
    let words = found_alone(&report, Invariant::I11, &of_memory(&id(VICTIM)), Store::Ledger);
    assert!(words.contains("content with hash"), "{words}");
}

#[tokio::test]
async fn a_payload_that_changed_is_found() {
    let report = with_changed_point(|m| drop(m.properties.insert("turn".to_owned(), 99.into()))).await;
    let words = found_alone(&report, Invariant::I4, &of_memory(&id(VICTIM)), Store::Vector);
    assert!(words.contains("property turn"), "{words}");
    let report = with_changed_point(|m| m.session = None).await;
    found_alone(&report, Invariant::I4, &of_memory(&id(VICTIM)), Store::Vector);
}

#[tokio::test]
async fn one_component_of_a_vector_that_changed_is_found() {
    let report = with_changed_point(|m| m.dense = Some([1.0 + 4.0, 2.0, 3.0001, -4.0].into())).await;
    let words = found_alone(&report, Invariant::I4, &of_memory(&id(VICTIM)), Store::Vector);
    assert!(words.contains("component"), "{words}");
}

#[tokio::test]
async fn one_weight_of_a_sparse_vector_that_changed_is_found() {
    let report = with_changed_point(|m| {
        m.sparse = Some(Sparse { indices: [3, 70].into(), values: [0.5, 5.000_001].into(), derived: true });
    })
    .await;
    found_alone(&report, Invariant::I4, &of_memory(&id(VICTIM)), Store::Vector);
}

#[tokio::test]
async fn a_version_that_changed_is_found() {
    let (older, newer) = (PARTITION.at(0).version(Phase::Undo), PARTITION.at(99).version(Phase::Forward));
    let report = with_point(older, Some(memory(VICTIM))).await;
    found_alone(&report, Invariant::I4, &of_memory(&id(VICTIM)), Store::Vector);
    let report = with_point(newer, Some(memory(VICTIM))).await;
    found_alone(&report, Invariant::I6, &of_memory(&id(VICTIM)), Store::Vector);
}

#[tokio::test]
async fn a_marker_that_changed_is_found() {
    let mut world = world().await;
    world.vectors = Arc::new(MemoryVectors::new());
    for number in 0..MEMORIES {
        let marker = memory(if number == VICTIM { 0 } else { number }).hash();
        world.point(&id(number), version_of(number), marker, Some(&memory(number))).await;
    }
    let report = world.audit().await;
    found_alone(&report, Invariant::I11, &of_memory(&id(VICTIM)), Store::Vector);
}

#[tokio::test]
async fn a_missing_point_is_found() {
    let report = with_point(version_of(VICTIM), None).await;
    let words = found_alone(&report, Invariant::I7, &of_memory(&id(VICTIM)), Store::Vector);
    assert!(words.ends_with("nothing"), "{words}");
}

#[tokio::test]
async fn an_extra_point_is_found() {
    let world = world().await;
    let stranger = MemoryId::new("stranger").expect("an id");
    world.point(&stranger, version_of(3), memory(3).hash(), Some(&memory(3))).await;
    found_alone(&world.audit().await, Invariant::I7, &of_memory(&stranger), Store::Vector);
}

#[tokio::test]
async fn a_point_of_a_deleted_memory_is_found() {
    let mut world = world().await;
    // The relation to it goes first: a dangling one would be a second finding.
    let version = world.begin(&writes(MEMORIES, Some(memory(MEMORIES)))).await;
    world.point(&id(MEMORIES), version, memory(MEMORIES).hash(), Some(&memory(MEMORIES))).await;
    world.finish(&writes(MEMORIES, Some(memory(MEMORIES))), version).await;
    let deleted = writes(MEMORIES, None);
    let version = world.begin(&deleted).await;
    world.finish(&deleted, version).await;
    found_alone(&world.audit().await, Invariant::I9, &of_memory(&id(MEMORIES)), Store::Vector);
}

#[tokio::test]
async fn a_weight_that_changed_in_the_ledger_is_found() {
    let report = with_ledger(|ledger| {
        ledger.relation(relation_key(VICTIM), |head| head.state.as_mut().expect("live").weight = 0.26)
    })
    .await;
    found_alone(&report, Invariant::I11, &Record::relation(&relation_key(VICTIM)), Store::Ledger);
}

#[tokio::test]
async fn a_dangling_relation_is_found() {
    let mut world = world().await;
    world.commit(&writes(MEMORIES - 1, None)).await;
    let report = world.audit().await;
    let words =
        found_alone(&report, Invariant::I8, &Record::relation(&relation_key(MEMORIES - 2)), Store::Ledger);
    assert!(words.contains("a target that was deleted"), "{words}");
}

#[tokio::test]
async fn an_undone_image_that_is_still_visible_is_found() {
    let mut world = world().await;
    let plan = writes(VICTIM, Some(memory(77)));
    let forward = world.begin(&plan).await;
    world.point(&id(VICTIM), forward, memory(77).hash(), Some(&memory(77))).await;
    let undo = PARTITION.at(forward.offset()).version(Phase::Undo);
    world.finish(&plan, undo).await;
    found_alone(&world.audit().await, Invariant::I12, &of_memory(&id(VICTIM)), Store::Vector);
    // The undo arrives: the earlier image, at the undo's version.
    world.point(&id(VICTIM), undo, memory(VICTIM).hash(), Some(&memory(VICTIM))).await;
    assert_clean(&world.audit().await);
}

#[tokio::test]
async fn what_an_unfinished_saga_touches_is_counted_and_not_judged() {
    let mut world = world().await;
    let plan = writes(VICTIM, Some(memory(77)));
    let forward = world.begin(&plan).await;
    for sent in [false, true] {
        if sent {
            world.point(&id(VICTIM), forward, memory(77).hash(), Some(&memory(77))).await;
        }
        let report = world.audit().await;
        assert_eq!((report.verdict, report.in_flight), (Verdict::Clean, 1), "{report}");
        assert!(report.to_string().contains("1 records in flight, not judged"), "{report}");
    }
    world.finish(&plan, forward).await;
    assert_clean(&world.audit().await);
}

#[tokio::test]
async fn with_wait_what_was_in_flight_is_judged_when_it_has_come_to_rest() {
    let mut world = world().await;
    let plan = writes(VICTIM, Some(memory(77)));
    let forward = world.begin(&plan).await;
    let ports = world.ports();
    let options = Options { wait: Duration::from_secs(10), ..Options::default() };
    let finish = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.finish(&plan, forward).await;
    };
    let (report, ()) = futures::join!(run(&ports, &options), finish);
    // It ended without the store ever being told.
    found_alone(&report, Invariant::I4, &of_memory(&id(VICTIM)), Store::Vector);
}

#[tokio::test]
async fn a_ledger_that_does_not_answer_is_never_clean() {
    let report = with_ledger(Tampered::away).await;
    assert_eq!((report.verdict, report.exit_code()), (Verdict::CouldNotTell, 5), "{report}");
    assert_eq!(report.unreachable.len(), 1, "{report}");
}

#[tokio::test]
async fn another_space_is_not_judged() {
    let world = world().await;
    let stranger = MemoryId::new("stranger").expect("an id");
    world.point(&stranger, version_of(3), memory(3).hash(), Some(&memory(3))).await;
    let elsewhere = crate::model::Space::new("elsewhere").expect("a space");
    let report = run(&world.ports(), &Options { space: Some(elsewhere), ..Options::default() }).await;
    assert_clean(&report);
}

#[tokio::test]
async fn findings_are_listed_up_to_a_bound_and_counted_beyond() {
    let mut world = world().await;
    world.vectors = Arc::new(MemoryVectors::new());
    let report = run(&world.ports(), &Options { findings_max: 3, ..Options::default() }).await;
    assert_eq!((report.findings.len(), report.findings_left_off), (3, 7), "{report}");
    assert_eq!(report.invariants[&Invariant::I7].violated, 10, "{report}");
}

#[tokio::test]
async fn a_saga_that_overtook_an_earlier_one_is_found() {
    let mut world = world().await;
    world.begin(&writes(VICTIM, Some(memory(77)))).await;
    let second = world.begin(&writes(VICTIM, Some(memory(78)))).await;
    let position = PARTITION.at(second.offset()).to_string();
    found_alone(&world.audit().await, Invariant::I13, &Record::Saga(position), Store::Ledger);
}
