//! What becomes of a transaction when its connection, its server or its owner fails.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests and their helpers say by panicking that they cannot go on"
)]

use std::{str::FromStr as _, time::Duration};

use sqlx::{Connection as _, PgConnection, Row as _, postgres::PgConnectOptions};

use super::{proxy::Proxy, world::Place};
use crate::ledger::{
    Error, Ledger, SagaRow,
    contract::world::{self, PARTITION},
    postgres::{Options, PostgresLedger},
};

/// Ends every session of the ledger that has a transaction open; how many there were.
async fn terminate(operator: &mut PgConnection) -> i64 {
    let row = sqlx::query(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE application_name = 'engraft' AND xact_start IS NOT NULL AND pid IN \
         (SELECT pid FROM pg_locks WHERE relation = to_regclass('partition')) AND pid <> pg_backend_pid()",
    )
    .fetch_one(operator)
    .await
    .unwrap();
    row.get(0)
}

async fn is_there(ledger: &PostgresLedger, offset: u64) -> bool {
    ledger.saga(PARTITION.at(offset)).await.unwrap().is_some()
}

#[tokio::test]
async fn a_terminated_session_changed_nothing_and_says_so() {
    let Some(place) = Place::new() else { return };
    let (ledger, mut operator) = (place.open().await, place.operator().await);
    let mut doomed = world::begin(&ledger).await;
    doomed.insert_sagas(&[world::pending(1)]).await.unwrap();
    assert_eq!(terminate(&mut operator).await, 1);
    let refused = doomed.sagas(&[1]).await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
    let refused = doomed.commit().await.unwrap_err();
    assert!(
        matches!(refused, Error::Unavailable(_)),
        "what has failed before can only have failed: {refused}"
    );
    assert!(!is_there(&ledger, 1).await);
    // It ends before what was to be written went out: then nothing can be there.
    let mut doomed = world::begin(&ledger).await;
    doomed.insert_sagas(&[world::pending(1)]).await.unwrap();
    assert_eq!(terminate(&mut operator).await, 1);
    let refused = doomed.commit().await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable(_)), "{refused}");
    // The session ends between the last statement and the commit: nobody can say, but nothing is there.
    let mut doomed = world::begin(&ledger).await;
    doomed.insert_sagas(&[world::pending(1)]).await.unwrap();
    assert_eq!(doomed.sagas(&[1]).await.unwrap().len(), 1);
    assert_eq!(terminate(&mut operator).await, 1);
    let refused = doomed.commit().await.unwrap_err();
    assert!(matches!(refused, Error::Indeterminate(_)), "{refused}");
    assert!(!is_there(&ledger, 1).await);
    world::commit(&ledger, &[(1, "a", Some("one"))]).await;
}

#[tokio::test]
async fn after_one_connection_was_lost_the_others_are_asked_before_they_are_used() {
    let Some(place) = Place::new() else { return };
    let mut operator = place.operator().await;
    let url = format!("{}?application_name={}", place.url, place.schema);
    let ledger = place.open_with(&url, &place.options()).await;
    world::commit(&ledger, &[(1, "a", Some("one"))]).await;
    // Both readers are in the pool, idle.
    let (first, second) = futures::join!(ledger.saga(PARTITION.at(1)), ledger.saga(PARTITION.at(1)));
    assert!(first.unwrap().is_some() && second.unwrap().is_some());
    // As a restart of the server does: every session of this ledger ends.
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1";
    sqlx::query(end).bind(&place.schema).execute(&mut operator).await.unwrap();
    let lost = ledger.saga(PARTITION.at(1)).await;
    assert!(matches!(lost, Err(Error::Unavailable(_))), "the first to use one finds out: {lost:?}");
    for _ in 0..4 {
        assert!(ledger.saga(PARTITION.at(1)).await.unwrap().is_some(), "and nobody after it");
    }
}

#[tokio::test]
async fn sessions_may_be_terminated_at_any_moment() {
    let Some(place) = Place::new() else { return };
    let (ledger, mut operator) = (place.open().await, place.operator().await);
    world::own(&ledger).await;
    let (mut kills, mut committed, mut unknown) = (0, Vec::new(), 0);
    let killer = async {
        for pause_us in 0..120_u64 {
            tokio::time::sleep(Duration::from_micros(pause_us * 977 % 60_000)).await;
            kills += terminate(&mut operator).await;
        }
    };
    let writer = async {
        for offset in 0.. {
            let outcome = async {
                let lease = ledger.acquire(PARTITION, world::OWNER).await?;
                let mut transaction = ledger.transaction(&lease).await?;
                transaction.insert_sagas(&[world::put(offset, "a", Some("x"))]).await?;
                transaction.advance(offset + 1, None).await?;
                transaction.commit().await
            };
            let outcome = outcome.await;
            let there = loop {
                // The reader's session may have been the one that was ended.
                match ledger.saga(PARTITION.at(offset)).await {
                    Ok(saga) => break saga.is_some(),
                    Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error}"),
                }
            };
            match outcome {
                Ok(()) => {
                    assert!(there, "{offset} was committed");
                    committed.push(offset);
                }
                Err(Error::Unavailable(_)) => assert!(!there, "nothing of {offset} happened"),
                Err(Error::Indeterminate(_)) => unknown += 1,
                Err(other) => panic!("{other}"),
            }
        }
    };
    futures::future::select(Box::pin(killer), Box::pin(writer)).await;
    assert!(kills > 5, "{kills} sessions were ended");
    assert!(committed.len() > 5, "{} of them got through, {unknown} are unknown", committed.len());
}

#[tokio::test]
async fn an_answer_that_is_lost_in_commit_is_unknown_and_not_failed() {
    let Some(place) = Place::new() else { return };
    let server = PgConnectOptions::from_str(&place.url).unwrap();
    let address = format!("{}:{}", server.get_host(), server.get_port()).parse().unwrap();
    let proxy = Proxy::before(address, b"COMMIT").await;
    let url = place.url.replace(&address.to_string(), &proxy.address.to_string());
    let ledger = place.open_with(&url, &place.options()).await;
    let mut transaction = world::begin(&ledger).await;
    transaction.insert_sagas(&[world::pending(1)]).await.unwrap();
    proxy.swallow(true);
    let lost = transaction.commit().await.unwrap_err();
    assert!(matches!(lost, Error::Indeterminate(_)), "{lost}");
    proxy.swallow(false);
    assert!(is_there(&ledger, 1).await, "it was committed all the same");
    world::commit(&ledger, &[(2, "a", Some("two"))]).await;
    proxy.stop().await;
}

#[tokio::test]
async fn an_owner_that_stops_inside_a_transaction_loses_it_to_the_next() {
    let Some(place) = Place::new() else { return };
    let options = Options { idle_timeout_ms: 300, ..place.options() };
    let zombie = place.open_with(&place.url, &options).await;
    let next = place.open().await;
    let lease = world::own(&zombie).await;
    let mut stopped = zombie.transaction(&lease).await.unwrap();
    stopped.insert_sagas(&[world::put(1, "a", Some("stale"))]).await.unwrap();
    // It does nothing any more, with the row locked; the next owner waits for the server to end it.
    let taken = next.acquire(PARTITION, 9 << 64).await.unwrap();
    assert_eq!(taken.epoch, lease.epoch + 1);
    let late = stopped.commit().await.unwrap_err();
    assert!(matches!(late, Error::Unavailable(_) | Error::Indeterminate(_)), "{late}");
    assert!(!is_there(&next, 1).await);
    assert_eq!(zombie.transaction(&lease).await.err(), Some(Error::Fenced { partition: PARTITION }));
    // The same offset, begun anew: what the zombie remembers of its images is not used for it.
    let mut again = next.transaction(&taken).await.unwrap();
    again.insert_sagas(&[world::put(1, "a", Some("fresh"))]).await.unwrap();
    again.commit().await.unwrap();
    let back = zombie.acquire(PARTITION, world::OWNER).await.unwrap();
    let mut finish = zombie.transaction(&back).await.unwrap();
    finish.write_heads(&[world::forward(1, "a", Some("fresh"))]).await.unwrap();
    finish.commit().await.unwrap();
    assert_eq!(world::head(&zombie, "a").await.unwrap().memory, Some(world::memory("fresh")));
}

#[tokio::test]
async fn a_call_that_is_dropped_midway_leaves_no_transaction_behind() {
    let Some(place) = Place::new() else { return };
    let options = Options { writers: 1, readers: 1, ..place.options() };
    let ledger = place.open_with(&place.url, &options).await;
    let lease = world::own(&ledger).await;
    for polls in 0..12 {
        let mut transaction = ledger.transaction(&lease).await.unwrap();
        let rows: Vec<_> = (0..50).map(|offset| world::put(offset, "a", Some("x"))).collect();
        // A few polls, then it is dropped where it stands.
        let mut insert = transaction.insert_sagas(&rows);
        for _ in 0..polls {
            if futures::poll!(&mut insert).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(insert);
        drop(transaction);
        let mut begin = Box::pin(ledger.transaction(&lease));
        let _dropped_too = futures::poll!(&mut begin);
        drop(begin);
        assert!(!is_there(&ledger, 0).await);
    }
    let mut transaction = ledger.transaction(&lease).await.unwrap();
    transaction.insert_sagas(&[world::pending(77)]).await.unwrap();
    transaction.commit().await.unwrap();
    let mut operator = place.operator().await;
    let open = sqlx::query(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND pid IN \
         (SELECT pid FROM pg_locks WHERE relation = to_regclass('partition'))",
    );
    assert_eq!(open.fetch_one(&mut operator).await.unwrap().get::<i64, _>(0), 0);
    assert!(is_there(&ledger, 77).await, "what came after was really committed");
    operator.close().await.unwrap();
}

#[tokio::test]
async fn what_contradicts_the_tables_is_corrupt_and_names_the_constraint_alone() {
    let Some(place) = Place::new() else { return };
    let ledger = place.open().await;
    let mut transaction = world::begin(&ledger).await;
    let row = SagaRow { claims: false, ..world::pending(1) };
    transaction.insert_sagas(&[row.clone(), row]).await.unwrap();
    let refused = transaction.commit().await.unwrap_err();
    assert_eq!(refused, Error::Corrupt("`saga_pkey`: a constraint does not hold (23505)".to_owned()));
}
