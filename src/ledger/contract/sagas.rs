//! Sagas: whole rows, guarded moves, claims, and the order in which they come back.

use super::world::{
    PARTITION, at, begin, claim, commit, ending, memory, pending, plan, put, running, space, step, write,
};
use crate::{
    ledger::{Error, Ledger, SagaRow, Transition},
    model::{
        Code, FieldError, State,
        outcome::{Ending, Verdict},
    },
};

async fn insert(ledger: &dyn Ledger, rows: &[SagaRow]) {
    let mut transaction = begin(ledger).await;
    transaction.insert_sagas(rows).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn moved(ledger: &dyn Ledger, moves: &[Transition]) -> Vec<u64> {
    let mut transaction = begin(ledger).await;
    let moved = transaction.transition(moves).await.unwrap();
    transaction.commit().await.unwrap();
    moved
}

async fn saga(ledger: &dyn Ledger, offset: u64) -> SagaRow {
    ledger.saga(PARTITION.at(offset)).await.unwrap().unwrap()
}

/// A plan with two images, a tombstone between them, and relations.
fn rich(offset: u64) -> SagaRow {
    let mut bare = (*memory("two")).clone();
    (bare.dense, bare.sparse, bare.session, bare.valid_until) = (None, None, None, None);
    running(
        offset,
        plan(vec![write("a", Some(memory("one"))), write("b", None), write("c", Some(bare.into()))]),
    )
}

pub(crate) async fn a_running_saga_comes_back_whole(ledger: &dyn Ledger) {
    let bare = SagaRow { plan: Some(plan(Vec::new())), claims: false, keys: Vec::new(), ..rich(3) };
    let rows = [rich(1), put(2, "d", Some("four")), bare, pending(4)];
    insert(ledger, &rows).await;
    assert_eq!(ledger.unfinished(PARTITION, 0, 10).await.unwrap(), rows);
    for row in &rows {
        assert_eq!(saga(ledger, row.offset).await, *row);
    }
    let mut transaction = begin(ledger).await;
    assert_eq!(transaction.sagas(&[2, 1, 9]).await.unwrap(), rows[..2]);
}

pub(crate) async fn a_saga_that_waited_is_completed_at_its_start(ledger: &dyn Ledger) {
    insert(ledger, &[pending(1), pending(2)]).await;
    let SagaRow { plan, ending, .. } = rich(1);
    let start = Transition { plan, ending, ..step(1, State::Pending, State::Running) };
    assert_eq!(moved(ledger, &[start]).await, vec![1]);
    assert_eq!(saga(ledger, 1).await, rich(1));
    assert_eq!(saga(ledger, 2).await, pending(2));
}

pub(crate) async fn an_ended_saga_keeps_its_answer_and_drops_its_weight(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "a", Some("one"))]).await;
    let errors = vec![FieldError::new(Code::NotFound, "/data/id", "no memory `x`")];
    let refused = SagaRow {
        state: State::Failed,
        ending: Some(Ending::failed(Code::NotFound, errors)),
        keys: Vec::new(),
        body: None,
        finish: 2,
        finished_at: Some(at(30)),
        dead_letter: true,
        ..pending(2)
    };
    let unreadable = SagaRow { offset: 3, header: None, claims: false, ..refused.clone() };
    let mut transaction = begin(ledger).await;
    transaction.insert_sagas(&[refused.clone(), unreadable.clone()]).await.unwrap();
    transaction.finished(2, &[3, 2], at(30)).await.unwrap();
    transaction.commit().await.unwrap();
    let done = SagaRow {
        state: State::Committed,
        plan: None,
        keys: Vec::new(),
        finish: 1,
        finished_at: Some(at(20)),
        ..put(1, "a", Some("one"))
    };
    assert_eq!(saga(ledger, 1).await, done);
    assert_eq!(saga(ledger, 2).await, refused);
    assert_eq!(saga(ledger, 3).await, unreadable);
    assert!(ledger.unfinished(PARTITION, 0, 10).await.unwrap().is_empty());
}

pub(crate) async fn a_move_from_another_state_does_nothing(ledger: &dyn Ledger) {
    insert(ledger, &[pending(1), put(2, "a", Some("one")), put(3, "b", Some("two"))]).await;
    let moves = [
        step(3, State::Running, State::Compensating),
        step(1, State::Running, State::Compensating),
        step(2, State::Running, State::Compensating),
        step(9, State::Running, State::Compensating),
    ];
    assert_eq!(moved(ledger, &moves).await, vec![2, 3]);
    assert_eq!(moved(ledger, &moves).await, Vec::<u64>::new());
    assert_eq!(saga(ledger, 1).await, pending(1));
    let undoing = SagaRow { state: State::Compensating, ..put(2, "a", Some("one")) };
    assert_eq!(saga(ledger, 2).await, undoing, "its images are still there");
}

pub(crate) async fn an_undone_saga_ends_otherwise_than_foreseen(ledger: &dyn Ledger) {
    insert(ledger, &[put(1, "a", Some("one"))]).await;
    let undone = Some(ending(Verdict::Compensated, Code::StoreRejected));
    let decide = Transition { ending: undone.clone(), ..step(1, State::Running, State::Compensating) };
    assert_eq!(moved(ledger, &[decide]).await, vec![1]);
    assert_eq!(saga(ledger, 1).await.ending, undone);
    let mut transaction = begin(ledger).await;
    let end = Transition {
        finish: 1,
        finished_at: Some(at(40)),
        ..step(1, State::Compensating, State::Compensated)
    };
    assert_eq!(transaction.transition(&[end]).await.unwrap(), vec![1]);
    transaction.finished(1, &[1], at(40)).await.unwrap();
    transaction.commit().await.unwrap();
    let row = saga(ledger, 1).await;
    assert_eq!((row.state, row.ending, row.finish), (State::Compensated, undone, 1));
    assert_eq!(row.finished_at, Some(at(40)));
}

pub(crate) async fn a_claim_names_the_row_that_holds_it(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "a", Some("one"))]).await;
    let duplicate = SagaRow { claims: false, duplicate_of: Some(1), keys: Vec::new(), ..pending(3) };
    insert(ledger, &[pending(2), duplicate.clone()]).await;
    let mut transaction = begin(ledger).await;
    let found = transaction.claims(&[claim("c-1"), claim("c-2"), claim("c-3")]).await.unwrap();
    assert_eq!(found.len(), 2);
    let (first, second) = (&found[&claim("c-1")], &found[&claim("c-2")]);
    assert_eq!((first.offset, first.state, first.body_hash), (1, State::Committed, pending(1).body_hash));
    assert_eq!(first.ending, Some(ending(Verdict::Committed, Code::Ok)));
    assert_eq!((second.offset, second.state, &second.ending), (2, State::Pending, &None));
    drop(transaction);
    let rival = SagaRow { claims: true, offset: 4, ..pending(1) };
    assert!(matches!(refused(ledger, rival).await, Error::Corrupt(_)), "one row a claim");
    assert!(matches!(refused(ledger, pending(1)).await, Error::Corrupt(_)), "one row a position");
    assert_eq!(ledger.claimed(1, claim("c-2")).await.unwrap(), Some(PARTITION.at(2)));
    assert_eq!(ledger.claimed(2, claim("c-2")).await.unwrap(), None);
    assert_eq!(saga(ledger, 3).await, duplicate);
}

pub(crate) async fn unfinished_sagas_come_in_log_order(ledger: &dyn Ledger) {
    insert(ledger, &[pending(7), put(5, "a", Some("one")), pending(6), rich(9)]).await;
    commit(ledger, &[(8, "z", Some("two"))]).await;
    let offsets = |rows: Vec<SagaRow>| rows.iter().map(|row| row.offset).collect::<Vec<_>>();
    assert_eq!(offsets(ledger.unfinished(PARTITION, 0, 10).await.unwrap()), vec![5, 6, 7, 9]);
    assert_eq!(offsets(ledger.unfinished(PARTITION, 6, 2).await.unwrap()), vec![6, 7]);
    assert_eq!(offsets(ledger.unfinished(PARTITION, 7, 2).await.unwrap()), vec![7, 9], "images are no rows");
    let of_space = ledger.unfinished_of(&space(), 3).await.unwrap();
    let expected = [5, 6, 7].map(|offset| (PARTITION.at(offset), pending(offset).keys));
    assert_eq!(of_space, expected);
    let other = crate::model::Space::new("other").unwrap();
    assert!(ledger.unfinished_of(&other, 3).await.unwrap().is_empty());
}

pub(crate) async fn ended_sagas_come_by_whole_finishes(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "a", Some("one")), (3, "b", Some("two"))]).await;
    commit(ledger, &[(2, "c", Some("three"))]).await;
    commit(ledger, &[(4, "d", Some("four"))]).await;
    let offsets = |after, limit| async move {
        let ended = ledger.ended_after(PARTITION, after, limit).await.unwrap();
        let rows = |rows: Vec<SagaRow>| rows.iter().map(|row| row.offset).collect::<Vec<_>>();
        ended.into_iter().map(|(number, sagas)| (number, rows(sagas))).collect::<Vec<_>>()
    };
    assert_eq!(offsets(0, 10).await, vec![(1, vec![1, 3]), (2, vec![2]), (3, vec![4])]);
    assert_eq!(offsets(0, 1).await, vec![(1, vec![1, 3])], "never part of a finish");
    assert_eq!(offsets(1, 2).await, vec![(2, vec![2]), (3, vec![4])]);
    assert_eq!(offsets(3, 10).await, vec![]);
}

pub(crate) async fn attempts_are_counted(ledger: &dyn Ledger) {
    insert(ledger, &[pending(1), pending(2), pending(3)]).await;
    for offsets in [&[2, 3][..], &[2], &[]] {
        let mut transaction = begin(ledger).await;
        transaction.count_attempts(offsets).await.unwrap();
        transaction.commit().await.unwrap();
    }
    for (offset, attempts) in [(1, 0), (2, 2), (3, 1)] {
        assert_eq!(saga(ledger, offset).await.attempts, attempts, "saga {offset}");
    }
}

/// Why a row cannot be there: told when it is inserted, or at the commit.
async fn refused(ledger: &dyn Ledger, row: SagaRow) -> Error {
    let mut transaction = begin(ledger).await;
    match transaction.insert_sagas(&[row]).await {
        Err(refused) => refused,
        Ok(()) => transaction.commit().await.expect_err("the row contradicts the others"),
    }
}
