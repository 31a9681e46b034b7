//! Heads, relations and images.

use std::collections::BTreeSet;

use super::world::{
    PARTITION, at, begin, commit, forward, head, id, memory, put, relation, relation_head, relation_key,
    space, step, undo, version,
};
use crate::{
    ledger::{Error, Head, Ledger, RelationHeadWrite, RelationState, RelationsOf, Transition},
    model::{Phase, RelationKey, Space, State, memory::tombstone_hash},
};

pub(crate) async fn a_head_is_written_over_a_lower_version_alone(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "a", Some("one"))]).await;
    commit(ledger, &[(5, "a", Some("five"))]).await;
    let five = Head {
        space: space(),
        id: id("a"),
        version: version(5, Phase::Forward),
        memory: Some(memory("five")),
        hash: memory("five").hash(),
        created_at: at(1),
        updated_at: at(5),
        accessed_at: None,
    };
    assert_eq!(head(ledger, "a").await, Some(five.clone()));
    // Late writes of earlier and of the same version change nothing.
    commit(ledger, &[(3, "a", Some("three"))]).await;
    let mut transaction = begin(ledger).await;
    transaction.write_heads(&[forward(5, "a", None), undo(4, "a")]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(head(ledger, "a").await, Some(five));
    let mut transaction = begin(ledger).await;
    let unknown = transaction.write_heads(&[forward(9, "a", Some("nine"))]).await;
    assert!(matches!(unknown, Err(Error::Corrupt(_))), "no saga wrote that image");
}

pub(crate) async fn an_undo_raises_the_version_and_leaves_the_rest(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "a", Some("one"))]).await;
    let before = head(ledger, "a").await.unwrap();
    let mut transaction = begin(ledger).await;
    transaction.insert_sagas(&[put(2, "a", Some("two")), put(3, "b", Some("three"))]).await.unwrap();
    transaction.write_heads(&[undo(2, "a"), undo(3, "b")]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(head(ledger, "a").await, Some(Head { version: version(2, Phase::Undo), ..before }));
    let never = head(ledger, "b").await.unwrap();
    assert_eq!((never.version, never.memory, never.hash), (version(3, Phase::Undo), None, tombstone_hash()));
}

pub(crate) async fn creation_is_kept_until_a_deletion(ledger: &dyn Ledger) {
    for (offset, content, created) in
        [(1, Some("one"), 1), (2, Some("two"), 1), (3, None, 3), (4, Some("four"), 4), (5, Some("five"), 4)]
    {
        commit(ledger, &[(offset, "a", content)]).await;
        let head = head(ledger, "a").await.unwrap();
        assert_eq!(head.memory, content.map(memory));
        assert_eq!(head.created_at, at(created), "after {offset}");
        assert_eq!(head.updated_at, at(i64::try_from(offset).unwrap()));
    }
}

pub(crate) async fn a_touch_moves_forward_only_and_never_wakes_the_dead(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "a", Some("one")), (2, "dead", None)]).await;
    let all = [(space(), id("a")), (space(), id("dead")), (space(), id("never"))];
    for time in [50, 40] {
        let mut transaction = begin(ledger).await;
        transaction.touch(&all, at(time)).await.unwrap();
        transaction.commit().await.unwrap();
    }
    assert_eq!(head(ledger, "a").await.unwrap().accessed_at, Some(at(50)));
    assert_eq!(head(ledger, "dead").await.unwrap().accessed_at, None);
    assert!(head(ledger, "never").await.is_none());
    commit(ledger, &[(3, "a", Some("three"))]).await;
    assert_eq!(head(ledger, "a").await.unwrap().accessed_at, Some(at(50)), "a write is no new life");
}

pub(crate) async fn live_memories_are_counted_and_listed(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "b", Some("b")), (2, "a", Some("a")), (3, "c", Some("c")), (4, "ü", Some("u"))])
        .await;
    commit(ledger, &[(5, "c", None), (6, "a", Some("again")), (7, "d", None), (8, "e", Some("e"))]).await;
    let names = |heads: Vec<Head>| heads.iter().map(|head| head.id.to_string()).collect::<Vec<_>>();
    assert_eq!(names(ledger.list(&space(), None, 10).await.unwrap()), ["a", "b", "e", "ü"]);
    assert_eq!(names(ledger.list(&space(), Some(&id("a")), 2).await.unwrap()), ["b", "e"]);
    let nowhere = Space::new("nowhere").unwrap();
    assert!(ledger.list(&nowhere, None, 10).await.unwrap().is_empty());
    let mut transaction = begin(ledger).await;
    assert_eq!(transaction.count_live(&space()).await.unwrap(), 4);
    assert_eq!(transaction.count_live(&nowhere).await.unwrap(), 0);
    // A write that the fence stops counts for nothing; an undo leaves the count as it is.
    transaction.insert_sagas(&[put(9, "f", Some("f"))]).await.unwrap();
    transaction.write_heads(&[forward(3, "b", None), forward(3, "e", None), undo(9, "f")]).await.unwrap();
    assert_eq!(transaction.count_live(&space()).await.unwrap(), 3, "`b` alone was older");
    let asked = [(space(), id("e")), (space(), id("none")), (space(), id("c"))];
    assert_eq!(names(transaction.heads(&asked).await.unwrap()), ["e", "c"], "in the order asked");
}

pub(crate) async fn heads_since_a_finish_are_those_that_it_wrote(ledger: &dyn Ledger) {
    assert_eq!(ledger.heads_since(PARTITION, 0, 10).await.unwrap(), None);
    commit(ledger, &[(1, "a", Some("one")), (2, "b", Some("two"))]).await;
    commit(ledger, &[(3, "a", None)]).await;
    let mut undone = begin(ledger).await;
    undone.insert_sagas(&[put(4, "c", Some("four"))]).await.unwrap();
    let decide = step(4, State::Running, State::Compensating);
    let end = Transition { finish: 3, ..step(4, State::Compensating, State::Compensated) };
    undone.transition(&[decide]).await.unwrap();
    undone.transition(&[end]).await.unwrap();
    undone.write_heads(&[undo(4, "c")]).await.unwrap();
    undone.finished(3, &[4], at(0)).await.unwrap();
    undone.commit().await.unwrap();
    let (mut after, mut seen) = (0, Vec::new());
    while let Some((last, heads)) = ledger.heads_since(PARTITION, after, 1).await.unwrap() {
        assert!(last > after);
        after = last;
        let mut names: Vec<_> = heads.iter().map(|head| (head.id.to_string(), head.version)).collect();
        names.sort();
        seen.push(names);
    }
    let deleted = ("a".to_owned(), version(3, Phase::Forward));
    let kept = ("b".to_owned(), version(2, Phase::Forward));
    let undone = ("c".to_owned(), version(4, Phase::Undo));
    assert_eq!(seen, vec![vec![deleted.clone(), kept], vec![deleted], vec![undone]], "as they are now");
}

pub(crate) async fn scans_go_over_everything_once(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "a", Some("a")), (2, "b", None), (3, "c", Some("c")), (4, "d", Some("d"))]).await;
    let mut transaction = begin(ledger).await;
    let writes = ["a", "b", "c"].map(|target| {
        relation_head(
            5,
            relation_key("d", target),
            RelationState::Forward((target != "b").then(|| relation(0.5))),
        )
    });
    transaction.write_relations(&writes).await.unwrap();
    transaction.commit().await.unwrap();
    let (mut ids, mut cursor) = (BTreeSet::new(), None);
    loop {
        let (page, next) = ledger.scan_heads(cursor, 3).await.unwrap();
        assert!(page.len() <= 3);
        for head in page {
            assert!(ids.insert(head.id.to_string()), "each head once");
        }
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(ids, ["a", "b", "c", "d"].map(str::to_owned).into());
    let first = ledger.scan_relations(None, 2).await.unwrap();
    let rest = ledger.scan_relations(Some(first[1].relation.key()), 2).await.unwrap();
    let keys: Vec<_> = first.iter().chain(&rest).map(|head| head.relation.key()).collect();
    assert_eq!((keys.len(), keys.is_sorted()), (3, true));
}

pub(crate) async fn relations_are_fenced_and_found_by_what_they_hang_on(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "a", Some("a")), (2, "b", Some("b")), (3, "c", None)]).await;
    let live = |offset, key: &RelationKey, weight| {
        relation_head(offset, key.clone(), RelationState::Forward(Some(relation(weight))))
    };
    let raised = |offset, key: &RelationKey| RelationHeadWrite {
        version: version(offset, Phase::Undo),
        ..relation_head(offset, key.clone(), RelationState::Untouched)
    };
    let (ab, bc, ca, own) =
        (relation_key("a", "b"), relation_key("b", "c"), relation_key("c", "a"), relation_key("a", "a"));
    let mut transaction = begin(ledger).await;
    let writes = [live(5, &ab, 0.1 + 0.7), live(5, &bc, 0.2), live(5, &ca, 0.3), live(5, &own, 0.4)];
    transaction.write_relations(&writes).await.unwrap();
    transaction
        .write_relations(&[live(4, &ab, 0.9), raised(6, &ab), raised(6, &relation_key("x", "y"))])
        .await
        .unwrap();
    transaction.write_relations(&[relation_head(7, bc.clone(), RelationState::Forward(None))]).await.unwrap();
    transaction.commit().await.unwrap();
    let mut transaction = begin(ledger).await;
    let found = transaction
        .relations(&[bc, ab.clone(), relation_key("x", "y"), relation_key("y", "x")])
        .await
        .unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!((found[0].version, &found[0].state), (version(7, Phase::Forward), &None));
    assert_eq!((found[1].version, &found[1].state), (version(6, Phase::Undo), &Some(relation(0.1 + 0.7))));
    assert_eq!((found[2].version, &found[2].state), (version(6, Phase::Undo), &None));
    let nowhere = Space::new("nowhere").unwrap();
    let questions = [
        RelationsOf::Memory(space(), id("a")),
        RelationsOf::Session(space(), "s-42".to_owned()),
        RelationsOf::Memory(space(), id("b")),
        RelationsOf::Session(space(), "other".to_owned()),
        RelationsOf::Memory(nowhere, id("a")),
    ];
    let sorted = |mut keys: Vec<RelationKey>| {
        keys.sort_by_key(RelationKey::key);
        keys
    };
    let expected = [
        sorted(vec![ab.clone(), ca.clone(), own.clone()]),
        sorted(vec![ab.clone(), own]),
        vec![ab],
        vec![],
        vec![],
    ];
    let found = transaction.relations_of(&questions).await.unwrap();
    let keys: Vec<Vec<_>> =
        found.iter().map(|heads| heads.iter().map(|head| head.relation.clone()).collect()).collect();
    assert_eq!(keys, expected, "`c` is dead, so its session's relations are not of a live memory");
    drop(transaction);
    assert_eq!(ledger.relations_of(&space(), &id("a")).await.unwrap(), found[0]);
}

async fn dropped(ledger: &dyn Ledger, limit: usize) -> u64 {
    ledger.sweep_images(limit).await.unwrap().dropped
}

pub(crate) async fn a_sweep_drops_what_nothing_points_at(ledger: &dyn Ledger) {
    assert_eq!(dropped(ledger, 10).await, 0);
    commit(ledger, &[(1, "a", Some("one")), (2, "b", Some("two")), (3, "c", Some("three"))]).await;
    commit(ledger, &[(4, "a", Some("four")), (5, "b", None)]).await;
    let mut transaction = begin(ledger).await;
    transaction.insert_sagas(&[put(6, "a", Some("six"))]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(dropped(ledger, 1).await, 1, "at most as many as asked");
    assert_eq!(dropped(ledger, 10).await, 1);
    assert_eq!(dropped(ledger, 10).await, 0);
    assert_eq!(head(ledger, "a").await.unwrap().memory, Some(memory("four")));
    assert_eq!(head(ledger, "c").await.unwrap().memory, Some(memory("three")));
    let running = ledger.saga(PARTITION.at(6)).await.unwrap();
    assert_eq!(running, Some(put(6, "a", Some("six"))), "what a saga still needs is kept");
}
