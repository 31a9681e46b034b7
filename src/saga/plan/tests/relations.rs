//! Relations: put, strengthen, delete, invalidate, decay.

use super::{
    command::{decay, invalidate, relate, strengthen, unrelate},
    world::*,
};
use crate::model::{
    Code, Relation, Timestamp,
    command::{DecayScope, OnMissing, RelationDecay},
};

fn ends() -> Given {
    given().memory("a").memory("b")
}

fn days_ago(days: i64) -> Timestamp {
    Timestamp::from_micros(NOW.as_micros() - days * DAY_MICROS)
}

#[test]
fn a_relation_put_creates_or_replaces_the_whole_relation() {
    ends().when(relate("a-CAUSES->b", |_| {})).runs(&["a-CAUSES->b created 1.400"], &["+a-CAUSES->b"]);
    let then = ends().relation("a-CAUSES->b", 0.2).when(relate("a-CAUSES->b", |put| put.weight = 0.4));
    let then = then.runs(&["a-CAUSES->b replaced 1.400"], &["+a-CAUSES->b"]);
    assert_eq!(then.edge("a-CAUSES->b"), Relation { valid_from: NOW, used_at: NOW, ..edge(0.4) });
}

#[test]
fn weights_stay_between_nothing_and_one() {
    for (given, kept) in [(-0.5, 0.0), (1.5, 1.0), (0.25, 0.25)] {
        let then = ends().when(relate("a-CAUSES->b", |put| put.weight = given));
        assert_eq!(then.edge("a-CAUSES->b").weight, kept);
    }
}

#[test]
fn a_relation_is_refused_for_every_end_that_is_missing() {
    let table: [(Given, &[&str]); 4] = [
        (given().memory("a"), &["/data/target"]),
        (given().memory("b"), &["/data/source"]),
        (given().tombstone("a").memory("b"), &["/data/source"]),
        (given(), &["/data/source", "/data/target"]),
    ];
    for (space, pointers) in table {
        space.when(relate("a-CAUSES->b", |_| {})).refused(Code::EndpointMissing, pointers);
        let command = strengthen("a-CAUSES->b", 0.1, OnMissing::Refuse);
        space.when(command).refused(Code::EndpointMissing, pointers);
    }
}

#[test]
fn a_stub_is_an_empty_memory_that_the_outcome_counts_and_does_not_list() {
    let stub = |put: &mut crate::model::command::RelationPut| put.on_missing = OnMissing::Stub;
    let then = given()
        .memory("a")
        .tombstone("b")
        .when(relate("a-CAUSES->b", stub))
        .runs(&["a-CAUSES->b created 1.400"], &["+b", "+a-CAUSES->b"])
        .counts(&[("memories_created", 1)]);
    let made = then.image("b");
    assert_eq!((made.kind, made.content, made.importance), (name("Episode"), String::new(), 0.5));
    assert_eq!((made.occurred_at, made.valid_from, made.valid_until), (NOW, NOW, None));
    given()
        .when(strengthen("a-CAUSES->b", 0.1, OnMissing::Stub))
        .runs(&["a-CAUSES->b created 1.400"], &["+a", "+b", "+a-CAUSES->b"])
        .counts(&[("memories_created", 2)]);
    ends().when(relate("a-CAUSES->b", stub)).counts(&[]);
}

#[test]
fn a_strengthen_closes_a_share_of_the_gap_to_one_and_counts_as_use() {
    let table = [(0.5, 0.1, 0.55), (0.5, 1.0, 1.0), (1.0, 0.3, 1.0), (0.2, 0.0, 0.2)];
    for (weight, rate, expected) in table {
        let space = ends().relation("a-CAUSES->b", weight);
        let then = space.when(strengthen("a-CAUSES->b", rate, OnMissing::Refuse));
        let then = then.runs(&["a-CAUSES->b patched 1.400"], &["+a-CAUSES->b"]);
        let relation = then.edge("a-CAUSES->b");
        assert!((relation.weight - expected).abs() < 1e-12, "{weight} at {rate}: {}", relation.weight);
        assert_eq!((relation.used_at, relation.valid_from), (NOW, BEFORE));
    }
}

#[test]
fn a_strengthen_makes_a_relation_that_is_absent_at_a_tenth() {
    let then = ends().when(strengthen("a-CAUSES->b", 0.9, OnMissing::Refuse));
    let then = then.runs(&["a-CAUSES->b created 1.400"], &["+a-CAUSES->b"]);
    let expected = Relation { valid_from: NOW, used_at: NOW, ..edge(0.1) };
    assert_eq!(then.edge("a-CAUSES->b"), expected);
}

#[test]
fn deleting_a_relation_leaves_a_tombstone_and_deleting_none_changes_nothing() {
    let space = ends().relation("a-CAUSES->b", 1.0);
    space.when(unrelate("a-CAUSES->b")).runs(&["a-CAUSES->b deleted 1.400"], &["-a-CAUSES->b"]);
    ends().when(unrelate("a-CAUSES->b")).ends_at_once(&["a-CAUSES->b unchanged"]);
    given().when(unrelate("a-CAUSES->b")).ends_at_once(&["a-CAUSES->b unchanged"]);
}

#[test]
fn an_invalidate_ends_the_validity_and_keeps_the_relation() {
    let space = ends().relation("a-CAUSES->b", 0.5);
    let then = space.when(invalidate("a-CAUSES->b", None));
    let then = then.runs(&["a-CAUSES->b patched 1.400"], &["+a-CAUSES->b"]);
    assert_eq!(then.edge("a-CAUSES->b"), Relation { valid_until: Some(NOW), ..edge(0.5) });
    let then = space.when(invalidate("a-CAUSES->b", Some(BEFORE)));
    assert_eq!(then.edge("a-CAUSES->b").valid_until, Some(BEFORE));
    let ended = ends().relation_with("a-CAUSES->b", |state| state.valid_until = Some(NOW));
    ended.when(invalidate("a-CAUSES->b", None)).ends_at_once(&["a-CAUSES->b unchanged 1.4"]);
    ends().when(invalidate("a-CAUSES->b", None)).refused(Code::NotFound, &["/data"]);
}

#[test]
fn a_decay_weakens_what_was_not_used_for_so_long_and_prunes_the_weakest() {
    let of_a = |change: fn(&mut RelationDecay)| decay(DecayScope::Memory(id("a")), change);
    let used = |text: &str, weight: f64, days: i64, space: Given| {
        space.relation_with(text, |state| (state.weight, state.used_at) = (weight, days_ago(days)))
    };
    let space = used("a-CAUSES->b", 0.5, 31, ends());
    let space = used("b-CAUSES->a", 0.5, 30, space);
    let space = used("b-USES->a", 0.010_05, 31, space);
    let space = used("b-USES->b", 0.5, 99, space);
    let then = space
        .when(of_a(|_| {}))
        .runs(&[], &["+a-CAUSES->b", "-b-USES->a"])
        .counts(&[("decayed", 1), ("pruned", 1)]);
    let weaker = then.edge("a-CAUSES->b");
    assert!((weaker.weight - 0.495).abs() < 1e-12);
    assert_eq!(weaker.used_at, days_ago(31), "weakening is no use");
    let nothing = space.when(of_a(|decay| decay.older_than_days = u32::MAX));
    nothing.ends_at_once(&[]).counts(&[("decayed", 0), ("pruned", 0)]);
    let kept = space.when(of_a(|decay| (decay.rate, decay.prune_below) = (0.0, 0.0)));
    kept.ends_at_once(&[]).counts(&[("decayed", 0), ("pruned", 0)]);
    given().when(of_a(|_| {})).ends_at_once(&[]).counts(&[("decayed", 0), ("pruned", 0)]);
}

#[test]
fn a_decay_of_a_session_is_about_relations_that_start_in_it() {
    ends()
        .memory_with("c", |memory| memory.session = Some("s-2".to_owned()))
        .relation("a-CAUSES->c", 0.5)
        .relation("c-CAUSES->a", 0.5)
        .when(decay(DecayScope::Session("s-2".to_owned()), |_| {}))
        .runs(&[], &["+c-CAUSES->a"])
        .counts(&[("decayed", 1), ("pruned", 0)]);
}
