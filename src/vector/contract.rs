//! What every vector backend must do: one suite, run against each.
//!
//! A new backend adds one line at the end. Each test gets an empty store.

#![cfg(test)]

mod filters;

use std::{f32::consts::FRAC_1_SQRT_2, sync::Arc};

use serde_json::json;

use self::filters::{
    filters_keep_what_fulfils_every_condition, random_filters_find_what_an_exact_search_finds,
};
use super::{Checkpoint, Filter, Hit, Layout, Point, Project, Query, Read, Search, Stored, Write};
use crate::model::{
    Answer, Memory, MemoryId, Name, PartitionId, Phase, Space, Sparse, Timestamp, Version,
    memory::{Properties, tombstone_hash},
    space::Metric,
};

/// A backend under test.
pub(crate) trait Store: Project + Read {}
impl<S: Project + Read> Store for S {}

pub(crate) fn space(name: &str) -> Space {
    Space::new(name).expect("a space")
}

pub(crate) fn id(name: &str) -> MemoryId {
    MemoryId::new(name).expect("an id")
}

pub(crate) fn version(epoch: u32, offset: u64, phase: Phase) -> Version {
    PartitionId { epoch, partition: 0 }.at(offset).version(phase)
}

pub(crate) fn sparse(terms: &[(u32, f32)]) -> Sparse {
    let (indices, values): (Vec<u32>, Vec<f32>) = terms.iter().copied().unzip();
    Sparse { indices: indices.into(), values: values.into(), derived: false }
}

pub(crate) fn memory(dense: Option<&[f32]>, sparse: Option<Sparse>) -> Memory {
    Memory {
        kind: Name::new("Episode").expect("a name"),
        content: String::new(),
        properties: Properties::new(),
        session: None,
        importance: 0.5,
        dense: dense.map(Arc::from),
        sparse,
        occurred_at: Timestamp::from_micros(1),
        valid_from: Timestamp::from_micros(1),
        valid_until: None,
    }
}

pub(crate) const COSINE: Layout = Layout { dimension: Some(2), metric: Metric::Cosine };

/// A write in space `a`, at offset `offset`.
pub(crate) fn put(name: &str, offset: u64, memory: Memory) -> Write {
    let hash = memory.hash();
    Write {
        space: space("a"),
        id: id(name),
        version: version(1, offset, Phase::Forward),
        hash,
        layout: COSINE,
        after: Some(Arc::new(memory)),
    }
}

pub(crate) fn dense(name: &str, offset: u64, values: &[f32]) -> Write {
    put(name, offset, memory(Some(values), None))
}

pub(crate) fn tombstone(name: &str, offset: u64) -> Write {
    Write { hash: tombstone_hash(), after: None, ..put(name, offset, memory(None, None)) }
}

pub(crate) async fn one(store: &dyn Store, write: Write) -> Answer {
    store.write(&[write]).await.pop().expect("one answer")
}

pub(crate) async fn all_applied(store: &dyn Store, writes: &[Write]) {
    assert_eq!(store.write(writes).await, vec![Answer::Applied; writes.len()]);
}

pub(crate) fn near(query: Query) -> Search {
    Search { space: space("a"), layout: COSINE, query, limit: 10, filter: Filter::default(), min_score: None }
}

pub(crate) fn near_dense(values: &[f32]) -> Search {
    near(Query::Dense(Arc::from(values)))
}

pub(crate) fn near_sparse(terms: &[(u32, f32)]) -> Search {
    near(Query::Sparse(sparse(terms)))
}

pub(crate) async fn found(store: &dyn Store, search: &Search) -> Vec<String> {
    let hits = store.search(search).await.expect("an answer");
    hits.into_iter().map(|hit: Hit| hit.id.as_str().to_owned()).collect()
}

/// Everything a store holds, by pages of two, sorted by space and id.
pub(crate) async fn everything(store: &dyn Store) -> Vec<Stored> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let (page, next) = store.scan(cursor, 2).await.expect("a page");
        assert!(page.len() <= 2);
        all.extend(page);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    all.sort_by(|a: &Stored, b: &Stored| (&a.space, &a.id).cmp(&(&b.space, &b.id)));
    all
}

async fn a_write_takes_effect_only_over_a_lower_version(store: &dyn Store) {
    let first = dense("m", 5, &[1.0, 0.0]);
    assert_eq!(one(store, first.clone()).await, Answer::Applied);
    assert_eq!(one(store, first.clone()).await, Answer::Same);
    let older = dense("m", 4, &[0.0, 1.0]);
    assert_eq!(one(store, older).await, Answer::Superseded(first.version));
    let newer = dense("m", 6, &[0.0, 1.0]);
    assert_eq!(one(store, newer.clone()).await, Answer::Applied);
    let hits = store.search(&near_dense(&[0.0, 1.0])).await.expect("hits");
    assert_eq!(hits.first().map(|hit| hit.version), Some(newer.version));
}

async fn ids_lead_to_points_with_their_content(store: &dyn Store) {
    all_applied(store, &[dense("m", 1, &[1.0, 0.0]), put("s", 2, memory(None, Some(sparse(&[(7, 0.5)]))))])
        .await;
    all_applied(store, &[dense("n", 3, &[0.0, 1.0]), dense("d", 4, &[1.0, 0.0])]).await;
    all_applied(store, &[tombstone("d", 5)]).await;
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let (page, next) = store.ids(cursor, 3).await.expect("a page");
        assert!(page.len() <= 3);
        ids.extend(page);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let mut expected: Vec<_> =
        ["m", "s", "n", "d"].map(|name| super::point_id(&space("a"), &id(name))).into();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    ids.push(super::point_id(&space("a"), &id("absent")));
    let mut points = store.points(&ids).await.expect("points");
    points.sort_by(|a, b| (&a.space, &a.id).cmp(&(&b.space, &b.id)));
    assert_eq!(points, everything(store).await);
}

async fn a_point_is_removed_only_while_it_is_what_was_seen(store: &dyn Store) {
    let (live, dead) = (dense("live", 5, &[1.0, 0.0]), tombstone("dead", 6));
    all_applied(store, &[live.clone(), dense("dead", 5, &[1.0, 0.0])]).await;
    all_applied(store, std::slice::from_ref(&dead)).await;
    let at = |write: &Write, version| (write.space.clone(), write.id.clone(), version);
    let absent = (live.space.clone(), id("absent"), live.version);
    let asked = [at(&live, dead.version), at(&dead, dead.version), absent];
    assert_eq!(store.remove(&asked).await.expect("an answer"), [false, true, true]);
    let left: Vec<_> = everything(store).await.into_iter().map(|stored| stored.id).collect();
    assert_eq!(left, std::slice::from_ref(&live.id));
    assert_eq!(store.remove(&[at(&live, live.version)]).await.expect("an answer"), [true]);
    assert_eq!(everything(store).await, []);
    let older = dense("live", 1, &[0.0, 1.0]);
    assert_eq!(one(store, older).await, Answer::Applied, "its fence is gone with it");
}

async fn an_undo_is_newer_than_what_it_undoes_and_a_new_epoch_than_all_before(store: &dyn Store) {
    let at = |epoch, offset, phase| Write {
        version: version(epoch, offset, phase),
        ..dense("m", 0, &[1.0, f32::from(phase as u8)])
    };
    all_applied(store, &[at(1, 9, Phase::Forward)]).await;
    all_applied(store, &[at(1, 9, Phase::Undo)]).await;
    let undone = version(1, 9, Phase::Undo);
    assert_eq!(one(store, at(1, 9, Phase::Forward)).await, Answer::Superseded(undone));
    all_applied(store, &[at(1, 9, Phase::RecoveredUndo)]).await;
    all_applied(store, &[at(2, 1, Phase::Forward)]).await;
    let next = version(2, 1, Phase::Forward);
    assert_eq!(one(store, at(1, 1_000_000, Phase::Forward)).await, Answer::Superseded(next));
}

async fn a_late_upsert_does_not_bring_back_what_was_deleted(store: &dyn Store) {
    all_applied(store, &[tombstone("never", 7)]).await;
    let late = dense("never", 3, &[1.0, 0.0]);
    assert_eq!(one(store, late).await, Answer::Superseded(version(1, 7, Phase::Forward)));

    all_applied(store, &[dense("m", 1, &[1.0, 0.0])]).await;
    all_applied(store, &[tombstone("m", 8)]).await;
    all_applied(store, &[dense("other", 9, &[0.5, 0.5])]).await;
    assert_eq!(
        one(store, dense("m", 2, &[1.0, 0.0])).await,
        Answer::Superseded(version(1, 8, Phase::Forward))
    );
    assert_eq!(found(store, &near_dense(&[1.0, 0.0])).await, ["other"]);

    all_applied(store, &[dense("m", 10, &[1.0, 0.0])]).await;
    assert_eq!(found(store, &near_dense(&[1.0, 0.0])).await, ["m", "other"]);
}

async fn a_memory_without_any_vector_is_a_tombstone(store: &dyn Store) {
    all_applied(store, &[put("m", 1, memory(Some(&[1.0, 0.0]), Some(sparse(&[(7, 1.0)]))))]).await;
    all_applied(store, &[put("m", 2, memory(None, None))]).await;
    assert!(found(store, &near_dense(&[1.0, 0.0])).await.is_empty());
    assert!(found(store, &near_sparse(&[(7, 1.0)])).await.is_empty());
    let all = everything(store).await;
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].version, &all[0].point), (version(1, 2, Phase::Forward), &None));
    let late = put("m", 1, memory(None, Some(sparse(&[(7, 1.0)]))));
    assert_eq!(one(store, late).await, Answer::Superseded(version(1, 2, Phase::Forward)));
}

async fn each_vector_is_found_by_its_own_kind_of_query(store: &dyn Store) {
    let both = memory(Some(&[1.0, 0.0]), Some(sparse(&[(7, 1.0), (9, 2.0)])));
    let only_sparse = memory(None, Some(sparse(&[(9, 1.0)])));
    all_applied(
        store,
        &[put("both", 1, both), put("sparse", 2, only_sparse), dense("dense", 3, &[0.0, 1.0])],
    )
    .await;
    assert_eq!(found(store, &near_dense(&[1.0, 0.1])).await, ["both", "dense"]);
    assert_eq!(found(store, &near_sparse(&[(9, 1.0), (1000, 5.0)])).await, ["both", "sparse"]);
    assert!(found(store, &near_sparse(&[(8, 1.0)])).await.is_empty());
}

async fn a_vector_that_was_taken_away_is_not_found_any_more(store: &dyn Store) {
    let both = || memory(Some(&[1.0, 0.0]), Some(sparse(&[(7, 1.0)])));
    all_applied(store, &[put("m", 1, both()), put("n", 2, both())]).await;
    all_applied(store, &[dense("m", 3, &[1.0, 0.0]), put("n", 4, memory(None, Some(sparse(&[(7, 1.0)]))))])
        .await;
    assert_eq!(found(store, &near_sparse(&[(7, 1.0)])).await, ["n"]);
    assert_eq!(found(store, &near_dense(&[1.0, 0.0])).await, ["m"]);
    let all = everything(store).await;
    let vectors = |at: usize| {
        let Point { dense, sparse, .. } = all[at].point.clone().expect("live");
        (dense.is_some(), sparse.is_some())
    };
    assert_eq!((vectors(0), vectors(1)), ((true, false), (false, true)));
}

async fn each_metric_orders_as_it_should(store: &dyn Store) {
    let angles: [&[f32]; 3] = [&[3.0, 0.3], &[0.5, 0.5], &[0.0, 9.0]];
    let expected = [
        (Metric::Cosine, [("x", 0.995_037), ("y", FRAC_1_SQRT_2), ("z", 0.0)]),
        (Metric::Dot, [("x", 3.0), ("y", 0.5), ("z", 0.0)]),
        (Metric::Euclid, [("y", FRAC_1_SQRT_2), ("x", 2.022_375), ("z", 9.055_385)]),
    ];
    for (metric, order) in expected {
        let layout = Layout { dimension: Some(2), metric };
        let space = space(&format!("{metric:?}"));
        for (name, values) in ["x", "y", "z"].into_iter().zip(angles) {
            let write = Write { space: space.clone(), layout, ..dense(name, 1, values) };
            all_applied(store, &[write]).await;
        }
        let search = Search { space: space.clone(), layout, ..near_dense(&[1.0, 0.0]) };
        let hits = store.search(&search).await.expect("hits");
        for (hit, (name, score)) in hits.iter().zip(order) {
            assert_eq!(hit.id.as_str(), name, "{metric:?}");
            assert!((hit.score - score).abs() < 1e-4, "{metric:?} {hit:?}");
        }
        assert_eq!(hits.len(), 3);
        // The bound is a score that must be reached: from below by distances, from above by the rest.
        let bound = Search { min_score: Some(order[1].1 + 1e-4), ..search.clone() };
        let reached = if metric == Metric::Euclid { 2 } else { 1 };
        assert_eq!(found(store, &bound).await.len(), reached, "{metric:?}");
        assert_eq!(found(store, &Search { limit: 2, ..search.clone() }).await.len(), 2);
        assert!(found(store, &Search { limit: 0, ..search }).await.is_empty());
    }
}

async fn sparse_scores_are_inner_products(store: &dyn Store) {
    let terms = |terms: &[(u32, f32)]| memory(None, Some(sparse(terms)));
    all_applied(
        store,
        &[put("low", 1, terms(&[(1, 0.5), (u32::MAX, 0.5)])), put("high", 2, terms(&[(1, 2.0)]))],
    )
    .await;
    let hits = store.search(&near_sparse(&[(1, 1.0), (u32::MAX, 2.0)])).await.expect("hits");
    let scores: Vec<(&str, f32)> = hits.iter().map(|hit| (hit.id.as_str(), hit.score)).collect();
    assert_eq!(scores, [("high", 2.0), ("low", 1.5)]);
}

async fn no_space_sees_another_ones_points(store: &dyn Store) {
    let elsewhere = |write: Write| Write { space: space("b"), ..write };
    all_applied(store, &[dense("m", 1, &[1.0, 0.0]), elsewhere(dense("m", 50, &[0.0, 1.0]))]).await;
    all_applied(store, &[elsewhere(put("n", 51, memory(None, Some(sparse(&[(7, 1.0)])))))]).await;
    let hits = store.search(&near_dense(&[0.0, 1.0])).await.expect("hits");
    assert_eq!(hits.len(), 1);
    assert_eq!((hits[0].id.as_str(), hits[0].version), ("m", version(1, 1, Phase::Forward)));
    assert!(found(store, &near_sparse(&[(7, 1.0)])).await.is_empty());
    // Deleting one leaves the other.
    all_applied(store, &[tombstone("m", 60)]).await;
    let there = Search { space: space("b"), ..near_dense(&[0.0, 1.0]) };
    assert_eq!(found(store, &there).await, ["m"]);
}

async fn an_item_that_can_never_be_held_is_refused_alone(store: &dyn Store) {
    let bad_sparse =
        Sparse { indices: Arc::from([2_u32, 1]), values: Arc::from([1.0_f32, 1.0]), derived: false };
    let writes = [
        dense("ok-1", 1, &[1.0, 0.0]),
        dense("long", 2, &[1.0, 0.0, 0.0]),
        dense("nan", 3, &[f32::NAN, 0.0]),
        dense("endless", 4, &[f32::INFINITY, 0.0]),
        dense("zero", 5, &[0.0, 0.0]),
        put("unsorted", 6, memory(None, Some(bad_sparse))),
        put("nan-term", 7, memory(None, Some(sparse(&[(1, f32::NAN)])))),
        dense("ok-2", 8, &[0.0, 1.0]),
    ];
    let answers = store.write(&writes).await;
    let codes: Vec<&str> = answers
        .iter()
        .map(|answer| match answer {
            Answer::Applied => "applied",
            Answer::Rejected(reason) => reason.code,
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        "applied",
        "dimension_mismatch",
        "not_finite",
        "not_finite",
        "zero_vector",
        "bad_sparse",
        "not_finite",
        "applied",
    ];
    assert_eq!(codes, expected);
    assert_eq!(found(store, &near_dense(&[1.0, 0.0])).await, ["ok-1", "ok-2"]);
    assert!(store.search(&near_dense(&[1.0])).await.is_err(), "a query of another dimension");
}

async fn a_scan_shows_every_point_once_with_its_content(store: &dyn Store) {
    let mut full = memory(Some(&[0.6, 0.8]), Some(sparse(&[(7, 1.5), (u32::MAX, -2.0)])));
    full.session = Some("s-1".to_owned());
    full.properties =
        serde_json::from_value(json!({"topic": "té", "list": [1, 2], "box": {"a": 1}})).expect("object");
    let writes = [
        put("full", 1, full.clone()),
        put("sparse", 2, memory(None, Some(sparse(&[(1, 1.0)])))),
        tombstone("dead", 3),
        Write { space: space("b"), ..dense("full", 4, &[0.0, 1.0]) },
        put("empty", 5, memory(Some(&[1.0, 0.0]), Some(sparse(&[])))),
    ];
    all_applied(store, &writes).await;
    let all = everything(store).await;
    let names: Vec<&str> = all.iter().map(|stored| stored.id.as_str()).collect();
    assert_eq!(names, ["dead", "empty", "full", "sparse", "full"]);
    assert_eq!(all[0].hash, tombstone_hash());
    assert_eq!(all[0].point, None);
    let point = all[2].point.clone().expect("live");
    assert_eq!((all[2].version, all[2].hash), (writes[0].version, writes[0].hash));
    assert_eq!(point.payload, super::Payload::of(&full));
    assert_eq!(point.sparse, full.sparse);
    let dense = point.dense.expect("dense");
    assert!(dense.iter().zip([0.6, 0.8]).all(|(a, b)| (a - b).abs() < 1e-6), "{dense:?}");
    assert_eq!(all[1].point.clone().expect("live").sparse, Some(sparse(&[])));
    assert_eq!(all[4].space, space("b"));
    assert!(store.scan(Some("nonsense".to_owned()), 2).await.is_err());
}

async fn markers_tell_version_and_hash_of_live_and_dead(store: &dyn Store) {
    let live = dense("live", 1, &[1.0, 0.0]);
    all_applied(store, &[live.clone(), tombstone("dead", 2)]).await;
    let ask = |name| (space("a"), id(name), COSINE);
    let markers = store.markers(&[ask("dead"), ask("none"), ask("live")]).await.expect("markers");
    let dead = (version(1, 2, Phase::Forward), tombstone_hash());
    assert_eq!(markers, [Some(dead), None, Some((live.version, live.hash))]);
}

async fn a_write_under_an_older_layout_meets_the_same_point(store: &dyn Store) {
    all_applied(store, &[dense("m", 5, &[1.0, 0.0])]).await;
    let before = Layout { dimension: None, metric: Metric::Cosine };
    let late = Write { layout: before, ..put("m", 4, memory(None, Some(sparse(&[(7, 1.0)])))) };
    assert_eq!(one(store, late.clone()).await, Answer::Superseded(version(1, 5, Phase::Forward)));
    let newer = Write { version: version(1, 6, Phase::Forward), ..late };
    assert_eq!(one(store, newer).await, Answer::Applied);
    assert!(found(store, &near_dense(&[1.0, 0.0])).await.is_empty());
    assert_eq!(found(store, &near_sparse(&[(7, 1.0)])).await, ["m"]);
    assert_eq!(everything(store).await.len(), 1);
}

async fn a_cleared_store_is_empty_and_has_no_checkpoint(store: &dyn Store) {
    assert_eq!(store.last_checkpoint().await, Ok(None));
    all_applied(store, &[dense("m", 9, &[1.0, 0.0]), tombstone("dead", 9)]).await;
    let checkpoint = Checkpoint { ledger: "l".to_owned(), finishes: vec![(1, 0, 3), (1, 2, 9)] };
    store.checkpoint(&checkpoint).await.expect("a checkpoint");
    assert_eq!(store.last_checkpoint().await, Ok(Some(checkpoint)));
    store.clear().await.expect("cleared");
    assert_eq!(store.last_checkpoint().await, Ok(None));
    assert!(everything(store).await.is_empty());
    all_applied(store, &[dense("m", 1, &[1.0, 0.0]), dense("dead", 1, &[1.0, 0.0])]).await;
    assert_eq!(found(store, &near_dense(&[1.0, 0.0])).await.len(), 2);
}

/// The suite has teeth: each mistake that can be planted in a store breaks one of its promises.
#[cfg(feature = "bugs")]
#[test]
fn planted_bugs_break_promises() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use futures::future::BoxFuture;

    use crate::{
        fault::{Bug, with_planted},
        vector::memory::MemoryVectors,
    };

    type Promise = fn(&MemoryVectors) -> BoxFuture<'_, ()>;
    let order: Promise =
        |store| Box::pin(an_undo_is_newer_than_what_it_undoes_and_a_new_epoch_than_all_before(store));
    let deletion: Promise = |store| Box::pin(a_late_upsert_does_not_bring_back_what_was_deleted(store));
    let cases = [
        (Bug::NoFence, order),
        (Bug::FenceIgnoresPhase, order),
        (Bug::FenceIgnoresEpoch, order),
        (Bug::HardDelete, deletion),
        (Bug::TombstoneCollectedEarly, deletion),
    ];
    for (bug, promise) in cases {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let held = catch_unwind(AssertUnwindSafe(|| runtime.block_on(promise(&MemoryVectors::new()))));
            held.is_ok()
        };
        assert!(run(), "without {}", bug.name());
        assert!(!with_planted(&[bug], run), "with {}", bug.name());
    }
}

/// One module of tests a backend: `$make` gives an empty store after whatever must outlive it.
macro_rules! backend {
    ($name:ident, $make:expr, [$($promise:ident,)*]) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $promise() {
                    let (_held, store) = $make;
                    super::$promise(&store).await;
                }
            )*
        }
    };
}

macro_rules! backends {
    ($($(#[$when:meta])* $name:ident => $make:expr;)*) => {
        $(
            $(#[$when])*
            backend! { $name, $make, [
                a_write_takes_effect_only_over_a_lower_version,
                an_undo_is_newer_than_what_it_undoes_and_a_new_epoch_than_all_before,
                a_late_upsert_does_not_bring_back_what_was_deleted,
                a_memory_without_any_vector_is_a_tombstone,
                each_vector_is_found_by_its_own_kind_of_query,
                a_vector_that_was_taken_away_is_not_found_any_more,
                each_metric_orders_as_it_should,
                sparse_scores_are_inner_products,
                no_space_sees_another_ones_points,
                filters_keep_what_fulfils_every_condition,
                random_filters_find_what_an_exact_search_finds,
                an_item_that_can_never_be_held_is_refused_alone,
                a_scan_shows_every_point_once_with_its_content,
                markers_tell_version_and_hash_of_live_and_dead,
                a_write_under_an_older_layout_meets_the_same_point,
                ids_lead_to_points_with_their_content,
                a_point_is_removed_only_while_it_is_what_was_seen,
                a_cleared_store_is_empty_and_has_no_checkpoint,
            ] }
        )*
    };
}

backends! {
    memory => ((), crate::vector::memory::MemoryVectors::new());
    #[cfg(feature = "edge")]
    edge => {
        let folder = tempfile::tempdir().expect("a folder");
        let options = crate::vector::edge::Options::default();
        let store = crate::vector::edge::EdgeVectors::open(folder.path(), options).expect("an index");
        (folder, store)
    };
    #[cfg(all(feature = "edge", feature = "qdrant"))]
    qdrant => {
        let (standin, options) = crate::vector::qdrant::standin::on_a_new_folder().await;
        let store = crate::vector::qdrant::QdrantVectors::open(&options).await.expect("a store");
        (standin, store)
    };
}
