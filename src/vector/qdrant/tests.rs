//! What a real wire adds to the contract: lost and doubled calls, refusals, outages, old servers, keys.

use std::sync::Arc;

use super::{
    super::{Project, Read, contract::*, point_id},
    standin::Standin,
    *,
};
use crate::model::{Answer, Phase, Version};

/// A store over a stand-in that is patient for `timeout_ms` alone.
async fn world(timeout_ms: u64) -> ((tempfile::TempDir, Standin), QdrantVectors, Options) {
    let (held, options) = standin::on_a_new_folder().await;
    let options = Options { timeout_ms, ..options };
    let store = QdrantVectors::open(&options).await.expect("a store");
    // The first write sets up what is set up once.
    all_applied(&store, &[dense("first", 1, &[1.0, 0.0])]).await;
    (held, store, options)
}

async fn held_version(store: &QdrantVectors, name: &str) -> Option<Version> {
    let asked = [(space("a"), id(name), COSINE)];
    store.markers(&asked).await.expect("markers").pop().flatten().map(|(version, _)| version)
}

#[tokio::test]
async fn a_write_whose_reply_was_lost_is_unknown_and_the_same_when_it_is_repeated() {
    let ((_folder, standin), store, _) = world(300).await;
    standin.faults().change(|plan| plan.lost_replies = 1);
    let write = dense("m", 5, &[1.0, 0.0]);
    let answer = one(&store, write.clone()).await;
    assert!(matches!(answer, Answer::Indeterminate(_)), "{answer:?}");
    assert_eq!(one(&store, write.clone()).await, Answer::Same);
    assert_eq!(held_version(&store, "m").await, Some(write.version));
}

#[tokio::test]
async fn a_write_that_never_arrived_is_unknown_and_applied_when_it_is_repeated() {
    let ((_folder, standin), store, _) = world(300).await;
    standin.faults().change(|plan| plan.lost_requests = 1);
    let write = dense("m", 5, &[1.0, 0.0]);
    let answer = one(&store, write.clone()).await;
    assert!(matches!(answer, Answer::Indeterminate(_)), "{answer:?}");
    assert_eq!(one(&store, write).await, Answer::Applied);
}

#[tokio::test]
async fn a_write_that_is_done_twice_does_not_undo_a_newer_one() {
    let ((_folder, standin), store, _) = world(5_000).await;
    standin.faults().change(|plan| (plan.doubled, plan.doubled_after_ms) = (1, 150));
    all_applied(&store, &[dense("m", 5, &[1.0, 0.0])]).await;
    let deleted = tombstone("m", 6);
    all_applied(&store, std::slice::from_ref(&deleted)).await;
    let late = tokio::time::Instant::now() + std::time::Duration::from_millis(400);
    while tokio::time::Instant::now() < late {
        assert_eq!(held_version(&store, "m").await, Some(deleted.version));
        assert_eq!(found(&store, &near_dense(&[1.0, 0.0])).await, ["first"]);
    }
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_a_bulk_names_the_one_point() {
    let ((_folder, standin), store, _) = world(5_000).await;
    standin.faults().change(|plan| {
        plan.refused.insert(point_id(&space("a"), &id("m-05")));
    });
    let writes: Vec<_> = (0..11).map(|n| dense(&format!("m-{n:02}"), 10 + n, &[1.0, 0.5])).collect();
    let answers = store.write(&writes).await;
    for (number, answer) in answers.iter().enumerate() {
        match (number, answer) {
            (5, Answer::Rejected(reason)) => assert_eq!(reason.code, "refused_by_store"),
            (_, answer) => assert_eq!(*answer, Answer::Applied, "{number}"),
        }
    }
    assert_eq!(held_version(&store, "m-05").await, None);
}

#[tokio::test]
async fn a_bulk_over_points_of_many_ages_moves_each_that_is_older_and_no_other() {
    let (_held, store, _) = world(5_000).await;
    let at = |name: &str, offset| dense(name, offset, &[1.0, 0.5]);
    all_applied(&store, &[at("old", 2), at("between", 15), at("newer", 30), at("equal", 22)]).await;
    // `between` lies above the bulk's lowest version and below its own: the bulk's filter passes it by.
    let bulk = [at("absent", 10), at("old", 11), at("between", 20), at("newer", 21), at("equal", 22)];
    let newer = version(1, 30, Phase::Forward);
    let expected =
        [Answer::Applied, Answer::Applied, Answer::Applied, Answer::Superseded(newer), Answer::Same];
    assert_eq!(store.write(&bulk).await, expected);
    assert_eq!(held_version(&store, "between").await, Some(bulk[2].version));
}

#[tokio::test]
async fn an_outage_is_transient_and_over_when_it_is_over() {
    let ((_folder, standin), store, _) = world(1_000).await;
    standin.faults().change(|plan| plan.outage = true);
    for offset in 5..8 {
        let answer = one(&store, dense("m", offset, &[1.0, 0.0])).await;
        assert!(matches!(answer, Answer::Transient(_)), "{answer:?}");
    }
    assert!(store.search(&near_dense(&[1.0, 0.0])).await.is_err());
    assert!(store.probe().await.is_err());
    standin.faults().change(|plan| plan.outage = false);
    while store.probe().await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(one(&store, dense("m", 9, &[1.0, 0.0])).await, Answer::Applied);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let ((folder, standin), store, options) = world(5_000).await;
    let writes = [
        dense("m", 5, &[1.0, 0.0]),
        tombstone("dead", 6),
        put("s", 7, memory(None, Some(sparse(&[(7, 1.0)])))),
    ];
    all_applied(&store, &writes).await;
    let (before, address) = (everything(&store).await, standin.address());
    standin.stop().await;
    let again = standin::Options { listen: address, ..standin::Options::on_loopback(folder.path()) };
    let standin = Standin::start(again).await.expect("a stand-in");
    let reopened = QdrantVectors::open(&options).await.expect("a store");
    assert_eq!(everything(&reopened).await, before);
    assert_eq!(everything(&store).await, before, "the old connection mends itself");
    let late = dense("dead", 2, &[1.0, 0.0]);
    assert_eq!(one(&reopened, late).await, Answer::Superseded(writes[1].version));
    standin.stop().await;
}

#[tokio::test]
async fn a_store_that_is_away_at_start_is_waited_for() {
    let (held, options) = standin::on_a_new_folder().await;
    held.1.faults().change(|plan| plan.outage = true);
    let store = QdrantVectors::open(&options).await.expect("a store, later");
    assert!(matches!(one(&store, dense("m", 1, &[1.0, 0.0])).await, Answer::Transient(_)));
    held.1.faults().change(|plan| plan.outage = false);
    while store.probe().await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(one(&store, dense("m", 1, &[1.0, 0.0])).await, Answer::Applied);
}

#[tokio::test]
async fn a_server_without_conditions_is_refused_by_its_release() {
    let folder = tempfile::tempdir().expect("a folder");
    let old =
        standin::Options { release: "1.15.5".to_owned(), ..standin::Options::on_loopback(folder.path()) };
    let standin = Standin::start(old).await.expect("a stand-in");
    let options = Options { url: standin.url(), ..Options::default() };
    let refusal = QdrantVectors::open(&options).await.expect_err("refused").to_string();
    assert!(refusal.contains("1.15.5") && refusal.contains("1.16"), "{refusal}");
    standin.stop().await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_shown_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let locked =
        standin::Options { api_key: "right".to_owned(), ..standin::Options::on_loopback(folder.path()) };
    let standin = Standin::start(locked).await.expect("a stand-in");
    let with = |key: &str| Options { url: standin.url(), api_key: key.to_owned(), ..Options::default() };
    let refusal = QdrantVectors::open(&with("canary")).await.expect_err("refused");
    assert!(!format!("{refusal} {refusal:?}").contains("canary"));
    let store = QdrantVectors::open(&with("right")).await.expect("a store");
    assert!(!format!("{store:?}").contains("right"));
    all_applied(&store, &[dense("m", 1, &[1.0, 0.0])]).await;
}

#[tokio::test]
async fn a_collection_that_vanished_is_made_anew() {
    let (_held, store, options) = world(5_000).await;
    let other = QdrantVectors::open(&options).await.expect("a store");
    other.clear().await.expect("cleared");
    let answer = one(&store, dense("m", 5, &[1.0, 0.0])).await;
    assert!(matches!(answer, Answer::Transient(_)), "no verdict on the point: {answer:?}");
    assert_eq!(one(&store, dense("m", 6, &[1.0, 0.0])).await, Answer::Applied);
    assert_eq!(found(&store, &near_dense(&[1.0, 0.0])).await, ["m"]);
}

#[tokio::test]
async fn writers_of_one_point_through_two_connections_leave_the_highest_version() {
    let (_held, store, options) = world(5_000).await;
    let other = QdrantVectors::open(&options).await.expect("a store");
    let writes = |odd: u64| (0..40).map(move |n| dense("m", 10 + 2 * n + odd, &[1.0, 0.5]));
    let run = |store: QdrantVectors, odd| async move {
        for write in writes(odd) {
            let answer = one(&store, write).await;
            assert!(answer.is_held(), "{answer:?}");
        }
    };
    tokio::join!(run(store.clone(), 0), run(other, 1));
    assert_eq!(held_version(&store, "m").await, Some(version(1, 89, Phase::Forward)));
    let shared: Arc<dyn Project> = Arc::new(store);
    assert!(shared.durable_when_acknowledged());
}
