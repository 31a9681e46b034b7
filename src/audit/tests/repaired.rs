//! Whatever is wrong with a point, and can be known from the heads, a repair puts right; a later audit says so.

use std::sync::Arc;

use super::{
    MEMORIES, PARTITION, VICTIM, assert_clean,
    world::{World, id, memory, version_of, writes},
};
use crate::{
    audit::{
        repair::{Done, Plan, carry_out},
        report::Store,
    },
    invariant::Invariant,
    ledger::memory::MemoryLedger,
    model::{Memory, MemoryId, Phase, Version},
    vector::{self, memory::MemoryVectors},
};

/// What a store holds for the victim instead of what it should: under which version, and which content.
type Damage = (&'static str, Version, Option<fn(&mut Memory)>);

fn damages() -> [Damage; 5] {
    let right = version_of(VICTIM);
    let (older, newer) = (PARTITION.at(0).version(Phase::Undo), PARTITION.at(99).version(Phase::Forward));
    [
        ("another payload", right, Some(|m| drop(m.properties.insert("turn".to_owned(), 99.into())))),
        ("another vector", right, Some(|m| m.dense = Some([5.0, 2.0, 3.5, -4.0].into()))),
        ("an older version", older, Some(|_| {})),
        ("a newer version", newer, Some(|_| {})),
        ("nothing", right, None),
    ]
}

async fn damage<V: vector::Project + vector::Read + 'static>(world: &World<V>, (_, version, point): &Damage) {
    let victim = (super::space(), id(VICTIM), version_of(VICTIM));
    assert_eq!(world.vectors.remove(&[victim]).await.expect("an answer"), [true]);
    if let Some(change) = point {
        let mut wrong = memory(VICTIM);
        change(&mut wrong);
        world.point(&id(VICTIM), *version, memory(VICTIM).hash(), Some(&wrong)).await;
    }
}

async fn repaired<V: vector::Project + vector::Read + 'static>(world: &World<V>) -> Done {
    let plan = Plan::of(&world.audit().await);
    assert_eq!(plan.left, [], "everything here can be repaired");
    carry_out(&world.ports(), &plan, |_| {}).await.expect("the stores answer")
}

async fn a_store_is_put_right<V: vector::Project + vector::Read + 'static>(mut world: World<V>) {
    for wrong in damages() {
        damage(&world, &wrong).await;
        let done = repaired(&world).await;
        assert_eq!(done, Done { repaired: 1, moved: 0 }, "{}", wrong.0);
        assert_clean(&world.audit().await);
    }
    let stranger = MemoryId::new("stranger").expect("an id");
    world.point(&stranger, version_of(3), memory(3).hash(), Some(&memory(3))).await;
    assert_eq!(repaired(&world).await.repaired, 1);
    assert_clean(&world.audit().await);
    // Deleted in the ledger, and the store was never told.
    world.commit(&writes(MEMORIES, Some(memory(MEMORIES)))).await;
    let deleted = writes(MEMORIES, None);
    let version = world.begin(&deleted).await;
    world.finish(&deleted, version).await;
    assert_eq!(repaired(&world).await.repaired, 1);
    assert_clean(&world.audit().await);
    // Its tombstone fences what comes late.
    world.point(&id(MEMORIES), version_of(0), memory(0).hash(), Some(&memory(0))).await;
    assert_clean(&world.audit().await);
}

#[tokio::test]
async fn a_store_in_memory_is_put_right() {
    a_store_is_put_right(World::new(Arc::new(MemoryLedger::new("ledger")), MemoryVectors::new()).await).await;
}

#[cfg(feature = "edge")]
#[tokio::test]
async fn an_embedded_index_is_put_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = vector::edge::Options { log_file_bytes: 1 << 20, log_bytes_max: 1 << 24 };
    let index = vector::edge::EdgeVectors::open(folder.path(), options).expect("an index");
    a_store_is_put_right(World::new(Arc::new(MemoryLedger::new("ledger")), index).await).await;
}

#[tokio::test]
async fn a_point_that_a_saga_is_about_to_change_is_left_to_it() {
    let mut world = super::world().await;
    damage(&world, &damages()[0]).await;
    let plan = Plan::of(&world.audit().await);
    let write = writes(VICTIM, Some(memory(77)));
    let forward = world.begin(&write).await;
    let done = carry_out(&world.ports(), &plan, |_| {}).await.expect("the stores answer");
    assert_eq!(done, Done { repaired: 0, moved: 1 });
    world.point(&id(VICTIM), forward, memory(77).hash(), Some(&memory(77))).await;
    world.finish(&write, forward).await;
    assert_clean(&world.audit().await);
}

#[tokio::test]
async fn what_the_ledger_lost_is_not_repaired_and_is_named() {
    let report = super::with_ledger(|ledger| {
        ledger.head(id(VICTIM), |head| {
            Arc::make_mut(head.memory.as_mut().expect("live")).content.push('!');
        })
    })
    .await;
    let plan = Plan::of(&report);
    assert!(plan.records.is_empty());
    assert_eq!(
        plan.left.iter().map(|f| (f.invariant, f.store)).collect::<Vec<_>>(),
        [(Invariant::I11, Store::Ledger)]
    );
}
