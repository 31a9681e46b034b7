//! What readers may ask: lists, counts, commands and history.

use std::{collections::BTreeMap, sync::Arc};

use super::world::{
    PARTITION, at, begin, commit, forward, head, id, memory, pending, plan, put, relation, relation_head,
    relation_key, running, space, step, undo, version, write,
};
use crate::{
    ledger::{
        HeadWrite, ImagePointer, Ledger, RelationState, SagaRow, Transition,
        questions::{AsOf, CommandsQuestion, Counts, Part, Past, Selection},
    },
    model::{Declaration, Memory, Name, Phase, Space, State, Timestamp, Version, conflict::memory_key},
};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn of(kind: Option<&str>, session: Option<&str>) -> Selection {
    Selection { kind: kind.map(name), session: session.map(str::to_owned) }
}

/// Begins and finishes one saga that writes these memories, `(name, kind, session)`.
async fn commit_described(ledger: &dyn Ledger, offset: u64, memories: &[(&str, &str, Option<&str>)]) {
    let described = |(_, kind, session): &(&str, &str, Option<&str>)| {
        let plain = Memory::clone(&memory("x"));
        Arc::new(Memory { kind: name(kind), session: session.map(str::to_owned), ..plain })
    };
    let mut transaction = begin(ledger).await;
    let writes = memories.iter().map(|one| write(one.0, Some(described(one)))).collect();
    transaction.insert_sagas(&[running(offset, plan(writes))]).await.unwrap();
    let heads: Vec<HeadWrite> = memories
        .iter()
        .map(|one| HeadWrite {
            image: ImagePointer::Forward { after: Some(described(one)) },
            ..forward(offset, one.0, None)
        })
        .collect();
    transaction.write_heads(&heads).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Every page of a list, one after the other.
async fn listed(ledger: &dyn Ledger, of: &Selection, limit: usize) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let Part { found, next } = ledger.list_of(&space(), of, after.as_ref(), limit).await.unwrap();
        assert!(found.len() <= limit && found.iter().all(|head| of.holds(head)));
        names.extend(found.iter().map(|head| head.id.to_string()));
        let Some(next) = next else { return names };
        assert!(after.is_none_or(|after| next > after), "a list goes on");
        after = Some(next);
    }
}

pub(crate) async fn a_head_is_at_rest_when_nothing_of_its_space_is_unfinished(ledger: &dyn Ledger) {
    let key = |name| memory_key(&space(), &id(name));
    assert_eq!(ledger.head_at_rest(key("a")).await, Ok(None));
    commit(ledger, &[(1, "a", Some("x")), (2, "b", Some("y"))]).await;
    commit(ledger, &[(3, "b", None)]).await;
    for name in ["a", "b"] {
        let head = ledger.heads(&[(space(), id(name))]).await.unwrap().pop();
        assert!(head.is_some());
        assert_eq!(ledger.head_at_rest(key(name)).await, Ok(head));
    }
    let mut transaction = begin(ledger).await;
    transaction.insert_sagas(&[pending(4)]).await.unwrap();
    assert_eq!(ledger.head_at_rest(key("a")).await.map(|head| head.is_some()), Ok(true), "not committed");
    transaction.commit().await.unwrap();
    assert_eq!(ledger.head_at_rest(key("a")).await, Ok(None));
}

pub(crate) async fn lists_and_counts_keep_to_kind_and_session(ledger: &dyn Ledger) {
    let memories = [
        ("e", "Episode", Some("s-1")),
        ("a", "Episode", Some("s-2")),
        ("c", "Entity", Some("s-1")),
        ("b", "Entity", None),
        ("d", "Episode", Some("s-1")),
        ("f", "Episode", Some("s-1")),
    ];
    commit_described(ledger, 1, &memories).await;
    commit(ledger, &[(2, "f", None)]).await;
    // What changes its kind and its session is listed by its new ones.
    commit_described(ledger, 3, &[("a", "Entity", Some("s-1"))]).await;
    let cases: [(Selection, &[&str]); 7] = [
        (of(None, None), &["a", "b", "c", "d", "e"]),
        (of(Some("Episode"), None), &["d", "e"]),
        (of(Some("Entity"), None), &["a", "b", "c"]),
        (of(None, Some("s-1")), &["a", "c", "d", "e"]),
        (of(None, Some("s-2")), &[]),
        (of(Some("Entity"), Some("s-1")), &["a", "c"]),
        (of(Some("Procedure"), None), &[]),
    ];
    for (of, expected) in cases {
        for limit in [1, 2, 3, 100] {
            assert_eq!(listed(ledger, &of, limit).await, expected, "{of:?} by {limit}");
        }
        assert_eq!(ledger.count_of(&space(), &of).await.unwrap(), expected.len() as u64, "{of:?}");
    }
    let nowhere = Space::new("nowhere").unwrap();
    assert!(ledger.list_of(&nowhere, &of(None, None), None, 9).await.unwrap().found.is_empty());
    assert_eq!(ledger.count_of(&nowhere, &of(None, None)).await.unwrap(), 0);
}

pub(crate) async fn counts_tell_what_lives_by_kind_and_by_type(ledger: &dyn Ledger) {
    assert_eq!(ledger.counts(&space()).await.unwrap(), Counts::default());
    commit_described(ledger, 1, &[("a", "Episode", None), ("b", "Entity", None), ("c", "Entity", None)])
        .await;
    commit(ledger, &[(2, "c", None), (3, "d", None)]).await;
    let mut transaction = begin(ledger).await;
    let live = || RelationState::Forward(Some(relation(0.5)));
    let causes = |source, target| relation_key(source, target);
    let uses = crate::model::RelationKey { kind: name("USES"), ..causes("a", "b") };
    let writes = [
        relation_head(5, causes("a", "b"), live()),
        relation_head(5, causes("b", "a"), live()),
        relation_head(5, causes("a", "a"), RelationState::Forward(None)),
        relation_head(5, uses, live()),
    ];
    transaction.write_relations(&writes).await.unwrap();
    transaction
        .write_relations(&[relation_head(6, causes("b", "a"), RelationState::Forward(None))])
        .await
        .unwrap();
    transaction.insert_sagas(&[pending(7), put(8, "a", Some("later"))]).await.unwrap();
    transaction.commit().await.unwrap();
    let expected = Counts {
        kinds: [(name("Episode"), 1), (name("Entity"), 1)].into(),
        tombstones: 2,
        relation_types: [(name("CAUSES"), 1), (name("USES"), 1)].into(),
        // The saga that wrote the three memories was left running, too.
        unfinished: 3,
    };
    assert_eq!(ledger.counts(&space()).await.unwrap(), expected);
    assert_eq!(ledger.counts(&Space::new("nowhere").unwrap()).await.unwrap(), Counts::default());
}

/// The offsets that a question finds, page by page.
async fn found(ledger: &dyn Ledger, question: &CommandsQuestion) -> Vec<u64> {
    let (mut offsets, mut question) = (Vec::new(), question.clone());
    loop {
        let Part { found, next } = ledger.commands(&question).await.unwrap();
        assert!(found.len() <= question.limit);
        offsets.extend(found.iter().map(|row: &SagaRow| row.offset));
        let Some(next) = next else { return offsets };
        question.after = Some(next);
    }
}

pub(crate) async fn commands_are_found_by_state_in_log_order(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "a", Some("one")), (2, "b", Some("two")), (6, "c", None)]).await;
    let mut transaction = begin(ledger).await;
    let mut elsewhere = pending(5);
    let header = elsewhere.header.as_mut().unwrap();
    header.space = Space::new("elsewhere").unwrap();
    let unreadable = SagaRow { header: None, claims: false, ..pending(9) };
    let rows = [
        pending(3),
        put(4, "d", Some("four")),
        elsewhere,
        pending(7),
        put(8, "e", Some("eight")),
        unreadable,
    ];
    transaction.insert_sagas(&rows).await.unwrap();
    transaction.commit().await.unwrap();
    let mut failed = begin(ledger).await;
    let number = failed.partition().finishes + 1;
    let end =
        Transition { finish: number, finished_at: Some(at(30)), ..step(7, State::Pending, State::Failed) };
    failed.transition(&[end, step(8, State::Running, State::Compensating)]).await.unwrap();
    failed.finished(number, &[7], at(30)).await.unwrap();
    failed.commit().await.unwrap();

    use State::{Committed, Compensated, Compensating, Failed, Pending, Running};
    let cases: [(&[State], &[u64]); 7] = [
        (&[], &[1, 2, 3, 4, 6, 7, 8]),
        (&[Pending], &[3]),
        (&[Pending, Running, Compensating], &[3, 4, 8]),
        (&[Committed], &[1, 2, 6]),
        (&[Committed, Failed], &[1, 2, 6, 7]),
        (&[Compensated], &[]),
        (&[Running, Failed], &[4, 7]),
    ];
    for (states, expected) in cases {
        for (newest_first, limit) in [(false, 1), (false, 2), (false, 100), (true, 1), (true, 3)] {
            let question = CommandsQuestion {
                space: space(),
                partition: PARTITION,
                states: states.to_vec(),
                newest_first,
                after: None,
                limit,
            };
            let mut expected = expected.to_vec();
            if newest_first {
                expected.reverse();
            }
            assert_eq!(found(ledger, &question).await, expected, "{question:?}");
        }
    }
    let whole = CommandsQuestion {
        space: space(),
        partition: PARTITION,
        states: vec![Running],
        newest_first: false,
        after: None,
        limit: 9,
    };
    assert_eq!(ledger.commands(&whole).await.unwrap().found, [put(4, "d", Some("four"))], "rows come whole");
}

async fn declare(ledger: &dyn Ledger, history: bool) {
    let mut transaction = begin(ledger).await;
    let declaration = Declaration { history, ..Declaration::default() };
    transaction.declare(&[(space(), declaration)]).await.unwrap();
    transaction.commit().await.unwrap();
}

/// The versions of `a`, newest first: version, content, from when, until when.
type Seen = Vec<(Version, Option<Arc<Memory>>, Timestamp, Option<Timestamp>)>;

async fn versions(ledger: &dyn Ledger, before: Option<Version>, limit: usize) -> Seen {
    let pasts = ledger.history(memory_key(&space(), &id("a")), before, limit).await.unwrap();
    let seen = |past: Past| (past.head.version, past.head.memory, past.head.updated_at, past.until);
    pasts.into_iter().map(seen).collect()
}

async fn as_of(ledger: &dyn Ledger, micros: i64) -> AsOf {
    ledger.as_of(&space(), memory_key(&space(), &id("a")), at(micros)).await.unwrap()
}

async fn undo_of(ledger: &dyn Ledger, offset: u64, name: &str) {
    let mut undone = begin(ledger).await;
    undone.insert_sagas(&[put(offset, name, Some("undone"))]).await.unwrap();
    let end = Transition { finish: 1, ..step(offset, State::Compensating, State::Compensated) };
    undone.transition(&[step(offset, State::Running, State::Compensating)]).await.unwrap();
    undone.transition(&[end]).await.unwrap();
    undone.write_heads(&[undo(offset, name)]).await.unwrap();
    undone.commit().await.unwrap();
}

pub(crate) async fn a_space_with_history_keeps_what_was_replaced(ledger: &dyn Ledger) {
    declare(ledger, true).await;
    assert_eq!(ledger.history_since(&space()).await.unwrap(), None, "nothing was written since");
    commit(ledger, &[(10, "a", Some("ten")), (11, "b", Some("other"))]).await;
    commit(ledger, &[(20, "a", Some("twenty"))]).await;
    commit(ledger, &[(30, "a", None)]).await;
    commit(ledger, &[(40, "a", Some("forty"))]).await;
    undo_of(ledger, 45, "a").await;
    commit(ledger, &[(50, "a", Some("fifty"))]).await;
    // A late write, that the fence stops, replaces nothing.
    commit(ledger, &[(15, "a", Some("fifteen"))]).await;

    let forward = |offset| version(offset, Phase::Forward);
    let expected: Seen = vec![
        (forward(50), Some(memory("fifty")), at(50), None),
        (version(45, Phase::Undo), Some(memory("forty")), at(40), Some(at(50))),
        (forward(30), None, at(30), Some(at(40))),
        (forward(20), Some(memory("twenty")), at(20), Some(at(30))),
        (forward(10), Some(memory("ten")), at(10), Some(at(20))),
    ];
    let garbage = ledger.sweep_images(100).await.unwrap().dropped;
    assert_eq!(garbage, 2, "of the undone one and of the late one; history keeps the rest");
    assert_eq!(versions(ledger, None, 10).await, expected);
    assert_eq!(versions(ledger, None, 2).await, expected[..2]);
    assert_eq!(versions(ledger, Some(forward(30)), 10).await, expected[3..]);
    let writers: Vec<_> = ledger.history(memory_key(&space(), &id("a")), None, 10).await.unwrap();
    let writers: Vec<_> =
        writers.iter().map(|past| past.written_by.map(|position| position.offset)).collect();
    assert_eq!(writers, [Some(50), Some(40), None, Some(20), Some(10)], "the undo wrote nothing");
    let created: BTreeMap<i64, Timestamp> = [(15, at(10)), (25, at(10)), (45, at(40)), (99, at(40))].into();
    for (moment, created) in created {
        let past = as_of(ledger, moment).await.past.unwrap();
        assert_eq!(past.head.created_at, created, "at {moment}");
    }

    assert_eq!(ledger.history_since(&space()).await.unwrap(), Some(at(10)));
    let contents =
        [(9, None), (10, Some("ten")), (19, Some("ten")), (20, Some("twenty")), (45, Some("forty"))];
    for (moment, content) in
        contents.into_iter().chain([(50, Some("fifty")), (i64::MAX >> 12, Some("fifty"))])
    {
        let AsOf { past, whole_since } = as_of(ledger, moment).await;
        assert_eq!(past.and_then(|past| past.head.memory), content.map(memory), "at {moment}");
        assert_eq!(whole_since, Some(at(10)));
    }
    let deleted = as_of(ledger, 35).await.past.unwrap();
    assert_eq!(
        (deleted.head.memory, deleted.head.version),
        (None, forward(30)),
        "known to have been deleted"
    );
}

pub(crate) async fn history_that_was_switched_off_is_not_whole_any_more(ledger: &dyn Ledger) {
    commit(ledger, &[(5, "a", Some("five"))]).await;
    commit(ledger, &[(10, "a", Some("ten"))]).await;
    assert_eq!(versions(ledger, None, 9).await.len(), 1, "undeclared: nothing is kept");
    assert_eq!(as_of(ledger, 7).await, AsOf { past: None, whole_since: None });
    assert_eq!(ledger.sweep_images(9).await.unwrap().dropped, 1);

    declare(ledger, true).await;
    commit(ledger, &[(20, "a", Some("twenty"))]).await;
    assert_eq!(versions(ledger, None, 9).await.len(), 2, "what stood when it was switched on is kept");
    declare(ledger, true).await;
    assert_eq!(
        ledger.history_since(&space()).await.unwrap(),
        Some(at(20)),
        "saying it again changes nothing"
    );

    declare(ledger, false).await;
    commit(ledger, &[(30, "a", Some("thirty"))]).await;
    commit(ledger, &[(40, "a", Some("forty"))]).await;
    assert_eq!(as_of(ledger, 35).await, AsOf { past: None, whole_since: None });
    declare(ledger, true).await;
    commit(ledger, &[(50, "a", Some("fifty"))]).await;

    let contents = |moment| async move { as_of(ledger, moment).await.past.and_then(|past| past.head.memory) };
    assert_eq!(contents(15).await, Some(memory("ten")), "what was kept stays");
    assert_eq!(contents(25).await, None, "it is not known until when `twenty` stood: its end was not kept");
    assert_eq!(contents(35).await, None, "`thirty` is gone, and `twenty` must not stand in for it");
    assert_eq!(contents(45).await, Some(memory("forty")));
    assert_eq!(ledger.history_since(&space()).await.unwrap(), Some(at(50)));
    assert_eq!(head(ledger, "a").await.unwrap().memory, Some(memory("fifty")));
}
