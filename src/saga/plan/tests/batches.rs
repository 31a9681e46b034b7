//! Batches: items in order over one another, one image a record, all or nothing.

use super::{
    command::{
        batch, decay, delete, delete_at, invalidate, patch, put, put_of, put_with, relate, strengthen,
        supersede, touch, unrelate,
    },
    world::*,
};
use crate::{
    ledger::{Decide, Needs, RelationsOf},
    model::{
        Code, Command, MemoryId,
        command::{DecayScope, OnMissing, Patch},
    },
    saga::plan::Planner,
};

#[test]
fn an_item_may_use_what_an_earlier_item_put() {
    let items = [put("b"), relate("a-CAUSES->b", |_| {}), touch("b")];
    given()
        .memory("a")
        .when(batch(items))
        .runs(&["b created 1.400", "a-CAUSES->b created 1.400"], &["+b", "+a-CAUSES->b"])
        .touches(&["b"]);
    let wrong_order = [relate("a-CAUSES->b", |_| {}), put("b")];
    given()
        .memory("a")
        .when(batch(wrong_order))
        .refused(Code::EndpointMissing, &["/data/items/0/data/target"]);
}

#[test]
fn several_items_on_one_record_are_one_image_and_one_answer() {
    let importance = |value| patch("a", move |patch| patch.importance = Patch::Set(value));
    let then = given().when(batch([put("a"), importance(0.1), put("b"), importance(0.2)]));
    let then = then.runs(&["a created 1.400", "b created 1.400"], &["+a", "+b"]);
    assert_eq!((then.image("a").content.as_str(), then.image("a").importance), ("new", 0.2));
}

#[test]
fn the_answer_is_the_net_effect_against_the_head() {
    let low = || patch("a", |patch| patch.importance = Patch::Set(0.1));
    let high = || patch("a", |patch| patch.importance = Patch::Set(0.7));
    let there = given().memory("a");
    let absent = given().tombstone("a");
    let table: [(&Given, Vec<Command>, &str, &str); 8] = [
        (&absent, vec![put("a"), delete("a"), put("a")], "a created 1.400", "+a"),
        (&absent, vec![put("a"), low()], "a created 1.400", "+a"),
        (&there, vec![put("a"), low()], "a replaced 1.400", "+a"),
        (&there, vec![low(), put("a")], "a replaced 1.400", "+a"),
        (&there, vec![delete("a"), put("a")], "a replaced 1.400", "+a"),
        (&there, vec![low(), touch("a")], "a patched 1.400", "+a"),
        (&there, vec![put("a"), delete("a")], "a deleted 1.400", "-a"),
        (&there, vec![delete("a"), delete("a")], "a deleted 1.400", "-a"),
    ];
    for (space, items, answer, write) in table {
        space.when(batch(items)).runs(&[answer], &[write]);
    }
    there.when(batch([low(), high()])).ends_at_once(&["a unchanged 1.4"]);
}

#[test]
fn what_was_absent_and_is_absent_again_is_not_written() {
    given().when(batch([put("a"), touch("a"), delete("a")])).ends_at_once(&["a unchanged"]).touches(&[]);
    let items = [put("b"), relate("a-CAUSES->b", |_| {}), delete("b")];
    given()
        .memory("a")
        .when(batch(items))
        .ends_at_once(&["b unchanged", "a-CAUSES->b unchanged"])
        .counts(&[]);
}

#[test]
fn a_deletion_also_takes_relations_that_earlier_items_made() {
    let items = [put("c"), relate("c-USES->a", |_| {}), relate("b-USES->c", |_| {}), delete("a")];
    let then = given().memory("a").memory("b").relation("a-CAUSES->b", 1.0).when(batch(items));
    then.runs(
        &["c created 1.400", "c-USES->a unchanged", "b-USES->c created 1.400", "a deleted 1.400"],
        &["-a", "+c", "-a-CAUSES->b", "+b-USES->c"],
    )
    .counts(&[("relations_deleted", 1)]);
}

#[test]
fn a_relation_stays_deleted_when_its_memory_comes_back_in_the_same_batch() {
    given()
        .memory("a")
        .memory("b")
        .relation("a-CAUSES->b", 1.0)
        .when(batch([delete("a"), put("a")]))
        .runs(&["a replaced 1.400"], &["+a", "-a-CAUSES->b"])
        .counts(&[("relations_deleted", 1)]);
}

#[test]
fn what_an_item_names_is_listed_and_not_counted() {
    let stub = || relate("a-CAUSES->b", |put| put.on_missing = OnMissing::Stub);
    given()
        .memory("a")
        .when(batch([stub(), put("b")]))
        .runs(&["a-CAUSES->b created 1.400", "b created 1.400"], &["+b", "+a-CAUSES->b"])
        .counts(&[]);
    given()
        .memory("a")
        .memory("b")
        .relation("a-CAUSES->b", 0.5)
        .when(batch([strengthen("a-CAUSES->b", 0.1, OnMissing::Refuse), delete("b")]))
        .runs(&["a-CAUSES->b deleted 1.400", "b deleted 1.400"], &["-b", "-a-CAUSES->b"])
        .counts(&[]);
}

#[test]
fn strengthens_of_one_relation_add_up_within_a_batch() {
    let twice = [
        strengthen("a-CAUSES->b", 0.5, OnMissing::Refuse),
        strengthen("a-CAUSES->b", 0.5, OnMissing::Refuse),
    ];
    let space = given().memory("a").memory("b").relation("a-CAUSES->b", 0.5);
    assert!((space.when(batch(twice)).edge("a-CAUSES->b").weight - 0.875).abs() < 1e-12);
}

#[test]
fn preconditions_are_judged_after_the_items_before_them() {
    let careful = || put_with("a", |put| put.if_absent = true);
    let there = given().memory("a");
    there.when(batch([delete("a"), careful()])).runs(&["a replaced 1.400"], &["+a"]);
    given().when(batch([put("a"), careful()])).refused(Code::IfAbsent, &["/data/items/1/data/if_absent"]);
    there.when(batch([touch("a"), delete_at("a", old())])).runs(&["a deleted 1.400"], &["-a"]);
    there
        .when(batch([put("a"), delete_at("a", old())]))
        .refused(Code::IfVersion, &["/data/items/1/data/if_version"]);
}

#[test]
fn the_first_item_that_cannot_be_done_undoes_the_batch_and_is_named() {
    let table: [(Command, Code, &str); 4] = [
        (patch("z", |_| {}), Code::NotFound, "/data/items/1/data/id"),
        (invalidate("a-CAUSES->z", None), Code::NotFound, "/data/items/1/data"),
        (supersede("z", put_of("y", |_| {})), Code::NotFound, "/data/items/1/data/id"),
        (decay(DecayScope::Memory(id("a")), |_| {}), Code::InvalidField, "/data/items/1/type"),
    ];
    for (item, code, pointer) in table {
        given().memory("a").when(batch([put("a"), item, touch("x")])).refused(code, &[pointer]);
    }
}

#[test]
fn a_batch_needs_what_its_items_need_each_once() {
    let command = batch([
        put("b"),
        relate("b-CAUSES->a", |_| {}),
        patch("a", |_| {}),
        unrelate("b-CAUSES->a"),
        delete("c"),
    ]);
    let expected = Needs {
        memories: ["a", "b", "c"].map(id).to_vec(),
        relations: vec![relation("b-CAUSES->a")],
        relations_of: vec![RelationsOf::Memory(space(), id("c"))],
        count: true,
    };
    assert_eq!(Planner::default().needs(&space(), &command), expected);
}

#[test]
fn the_count_is_asked_for_by_what_can_create_a_memory() {
    let counts = |command: Command| Planner::default().needs(&space(), &command).count;
    assert!(counts(put("a")) && counts(supersede("a", put_of("b", |_| {}))));
    assert!(counts(strengthen("a-CAUSES->b", 0.1, OnMissing::Stub)));
    assert!(!counts(strengthen("a-CAUSES->b", 0.1, OnMissing::Refuse)));
    for command in [patch("a", |_| {}), touch("a"), delete("a"), unrelate("a-CAUSES->b")] {
        assert!(!counts(command));
    }
}

#[test]
fn a_batch_of_a_thousand_deletions_lists_each_once_and_cascades() {
    let ids: Vec<String> = (0..1_000).map(|n| format!("m{n:04}")).collect();
    let space = ids.iter().fold(given(), |space, id| space.memory(id));
    let chain = ids.windows(2).map(|pair| format!("{}-CAUSES->{}", pair[0], pair[1]));
    let space = chain.fold(space, |space, relation| space.relation(&relation, 1.0));
    let then = space.when(batch(ids.iter().map(|id| delete(id)).collect::<Vec<_>>()));
    let then = then.counts(&[("relations_deleted", 999)]);
    let written: Vec<&str> = then.plan().memories.iter().map(|write| MemoryId::as_str(&write.id)).collect();
    assert_eq!(written, ids);
}
