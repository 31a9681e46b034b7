//! The guard around a store that does as it is told, with time that stands still.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::{vectors::judged, *};
use crate::{
    model::{Answer, answer::Reason},
    tasks::Tasks,
};

/// A store that works or not, and counts who asked it what.
#[derive(Default)]
struct Store {
    works: AtomicBool,
    probes: AtomicU32,
    calls: AtomicU32,
    probes_at_once: AtomicU32,
    most_probes_at_once: AtomicU32,
}

fn guarded(options: Options) -> (Arc<Store>, Arc<Guard>) {
    let store = Arc::new(Store { works: AtomicBool::new(true), ..Store::default() });
    let probed = Arc::clone(&store);
    let probe = Box::new(move || -> BoxFuture<'static, bool> {
        let store = Arc::clone(&probed);
        Box::pin(async move {
            store.probes.fetch_add(1, Ordering::Relaxed);
            let now = store.probes_at_once.fetch_add(1, Ordering::Relaxed) + 1;
            store.most_probes_at_once.fetch_max(now, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
            store.probes_at_once.fetch_sub(1, Ordering::Relaxed);
            store.works.load(Ordering::Relaxed)
        })
    });
    (store, Guard::new("vector", options, Random::from_seed(3, 0), probe))
}

async fn call(store: &Store, guard: &Guard) -> Result<bool, Stopped> {
    let work = async {
        store.calls.fetch_add(1, Ordering::Relaxed);
        store.works.load(Ordering::Relaxed)
    };
    guard.call("write", work, |works| if *works { Evidence::Healthy } else { Evidence::Unhealthy }).await
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_answers_at_once_and_leaves_the_store_alone() {
    let (store, guard) = guarded(Options::default());
    store.works.store(false, Ordering::Relaxed);
    for _ in 0..5 {
        assert_eq!(call(&store, &guard).await, Ok(false));
    }
    let before = Instant::now();
    guard.obey(Order::Open);
    for _ in 0..100 {
        assert_eq!(call(&store, &guard).await, Err(Stopped::Open));
    }
    assert_eq!(Instant::now(), before);
    assert_eq!(store.calls.load(Ordering::Relaxed), 5);
}

#[tokio::test(start_paused = true)]
async fn of_200_callers_that_come_at_once_one_probes_and_work_goes_through_when_it_is_closed() {
    let (store, guard) = guarded(Options::default());
    store.works.store(false, Ordering::Relaxed);
    for _ in 0..5 {
        assert!(call(&store, &guard).await.is_ok());
    }
    assert_eq!(guard.state(), State::Open);
    store.works.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let callers = (0..200).map(|_| call(&store, &guard));
    let answers = futures::future::join_all(callers).await;
    // The one that probed twice goes on with its own work; the others were turned away.
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert_eq!(store.most_probes_at_once.load(Ordering::Relaxed), 1);
    assert_eq!(store.probes.load(Ordering::Relaxed), 2);
    assert_eq!(guard.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_dropped_while_it_probes_does_not_wedge_the_breaker() {
    let (store, guard) = guarded(Options::default());
    store.works.store(false, Ordering::Relaxed);
    for _ in 0..5 {
        assert!(call(&store, &guard).await.is_ok());
    }
    store.works.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..10 {
        assert!(timeout(Duration::from_millis(10), call(&store, &guard)).await.is_err(), "dropped");
    }
    assert_eq!(call(&store, &guard).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_opens_the_breaker() {
    let (_, guard) = guarded(Options::default());
    for _ in 0..5 {
        let hung = guard.call("write", std::future::pending::<bool>(), |_| Evidence::Healthy).await;
        assert_eq!(hung, Err(Stopped::Late));
    }
    assert_eq!(guard.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_up_says_nothing_of_the_store() {
    let (_, guard) = guarded(Options::default());
    for _ in 0..50 {
        let work = guard.call("search", std::future::pending::<bool>(), |_| Evidence::Healthy);
        assert!(timeout(Duration::from_millis(10), work).await.is_err());
    }
    assert_eq!(guard.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_than_places_are_with_the_store() {
    let (_, guard) = guarded(Options { calls_max: 3, ..Options::default() });
    let (at_once, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let work = || async {
        most.fetch_max(at_once.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(10)).await;
        at_once.fetch_sub(1, Ordering::Relaxed);
    };
    let calls = (0..40).map(|_| guard.call("write", work(), |()| Evidence::Healthy));
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(most.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_place_when_the_breaker_opens_is_turned_away() {
    let (store, guard) = guarded(Options { calls_max: 1, ..Options::default() });
    let slow = || async {
        store.calls.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(10)).await;
        false
    };
    let calls = (0..40).map(|_| guard.call("write", slow(), |_| Evidence::Unhealthy));
    let answers = futures::future::join_all(calls).await;
    assert_eq!(guard.state(), State::Open);
    assert_eq!(store.calls.load(Ordering::Relaxed), 5, "those that opened it");
    assert_eq!(answers.iter().filter(|answer| **answer == Err(Stopped::Open)).count(), 35);
}

#[tokio::test(start_paused = true)]
async fn reads_are_repeated_while_the_budget_lasts_and_writes_are_not() {
    let (store, guard) =
        guarded(Options { failures_in_row: 1_000_000, recent_calls: 1_000_000, ..Options::default() });
    store.works.store(false, Ordering::Relaxed);
    let read = || async {
        store.calls.fetch_add(1, Ordering::Relaxed);
        store.works.load(Ordering::Relaxed)
    };
    let judge = |works: &bool| if *works { Evidence::Healthy } else { Evidence::Unhealthy };
    for _ in 0..1_000 {
        assert_eq!(guard.read("search", read, judge).await, Ok(false));
    }
    let repeated = store.calls.load(Ordering::Relaxed) - 1_000;
    assert!((100..=110).contains(&repeated), "{repeated}");
    store.calls.store(0, Ordering::Relaxed);
    assert_eq!(call(&store, &guard).await, Ok(false));
    assert_eq!(store.calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_watches_sees_the_states_as_they_change() {
    let (_, guard) = guarded(Options::default());
    let mut states = guard.states();
    guard.obey(Order::Open);
    states.changed().await.expect("a state");
    assert_eq!(*states.borrow_and_update(), State::Open);
    assert_eq!(
        guard.standing(),
        Standing { store: "vector", state: State::Open, probe_in_ms: None, held_open: true }
    );
    guard.obey(Order::Reset);
    states.changed().await.expect("a state");
    assert_eq!(*states.borrow_and_update(), State::Closed);
    Tasks::new().shut_down().await;
}

#[test]
fn refusals_are_their_items_own_and_one_that_is_held_shows_that_the_store_works() {
    let reason = || Reason::new("x", "y");
    let (held, refused) = (Answer::Same, Answer::Rejected(reason()));
    let (away, unknown) = (Answer::Transient(reason()), Answer::Indeterminate(reason()));
    assert_eq!(judged(&vec![refused.clone(); 5]), Evidence::None);
    assert_eq!(judged(&Vec::new()), Evidence::None);
    assert_eq!(judged(&vec![away.clone(), refused.clone()]), Evidence::Unhealthy);
    assert_eq!(judged(&vec![unknown.clone(); 2]), Evidence::Unhealthy);
    assert_eq!(judged(&vec![away, unknown, refused, held]), Evidence::Healthy);
}

#[cfg(feature = "bugs")]
#[test]
fn a_breaker_that_counts_bad_requests_is_caught() {
    let refused = vec![Answer::Rejected(Reason::new("x", "y"))];
    let run = || judged(&refused) == Evidence::None;
    assert!(run());
    assert!(!crate::fault::with_planted(&[crate::fault::Bug::BreakerCountsBadRequests], run));
}
