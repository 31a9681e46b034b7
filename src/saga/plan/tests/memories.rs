//! Put, patch, touch, delete, supersede.

use serde_json::json;

use super::{
    command::{delete, delete_at, patch, put, put_of, put_with, relate, supersede, touch},
    world::*,
};
use crate::model::{Code, Memory, Timestamp, command::Patch, memory::Properties};

#[test]
fn a_put_creates_or_replaces_the_whole_memory() {
    given().when(put("a")).runs(&["a created 1.400"], &["+a"]);
    given().tombstone("a").when(put("a")).runs(&["a created 1.400"], &["+a"]);
    let then = given().memory("a").when(put("a")).runs(&["a replaced 1.400"], &["+a"]);
    let expected = Memory {
        kind: name("Episode"),
        content: "new".to_owned(),
        properties: Properties::new(),
        session: None,
        importance: 0.5,
        dense: None,
        sparse: None,
        occurred_at: NOW,
        valid_from: NOW,
        valid_until: None,
    };
    assert_eq!(then.image("a"), expected);
}

#[test]
fn a_put_of_equal_content_is_still_a_new_version() {
    let same = put_with("a", |put| {
        let head = plain();
        put.kind = head.kind;
        put.content = head.content;
        put.properties = head.properties;
        put.session = head.session;
        put.importance = head.importance;
        put.occurred_at = Some(BEFORE);
        put.valid_from = Some(BEFORE);
    });
    let then = given().memory("a").when(same).runs(&["a replaced 1.400"], &["+a"]);
    assert_eq!(then.image("a"), plain());
}

#[test]
fn if_absent_refuses_a_memory_that_is_there() {
    let careful = || put_with("a", |put| put.if_absent = true);
    given().memory("a").when(careful()).refused(Code::IfAbsent, &["/data/if_absent"]);
    given().tombstone("a").when(careful()).runs(&["a created 1.400"], &["+a"]);
    given().when(careful()).runs(&["a created 1.400"], &["+a"]);
}

#[test]
fn if_version_refuses_any_other_version_and_absence() {
    let put_at = |version| put_with("a", |put| put.if_version = Some(version));
    let there = given().memory("a");
    there.when(put_at(old())).runs(&["a replaced 1.400"], &["+a"]);
    there.when(put_at(new())).refused(Code::IfVersion, &["/data/if_version"]);
    given().when(put_at(old())).refused(Code::IfVersion, &["/data/if_version"]);
    given().tombstone("a").when(put_at(old())).refused(Code::IfVersion, &["/data/if_version"]);

    there.when(delete_at("a", old())).runs(&["a deleted 1.400"], &["-a"]);
    there.when(delete_at("a", new())).refused(Code::IfVersion, &["/data/if_version"]);
    given().when(delete_at("a", old())).refused(Code::IfVersion, &["/data/if_version"]);

    let patch_at = |version| {
        patch("a", |patch| {
            patch.if_version = Some(version);
            patch.importance = Patch::Set(0.1);
        })
    };
    there.when(patch_at(old())).runs(&["a patched 1.400"], &["+a"]);
    there.when(patch_at(new())).refused(Code::IfVersion, &["/data/if_version"]);
    given().when(patch_at(old())).refused(Code::NotFound, &["/data/id"]);
}

#[test]
fn a_patch_changes_what_it_names_and_keeps_the_rest() {
    let command = patch("a", |patch| {
        patch.importance = Patch::Set(0.1);
        patch.properties = Patch::Set(properties(json!({"topic": null, "turn": 3})));
    });
    let then = given().memory("a").when(command).runs(&["a patched 1.400"], &["+a"]);
    let expected = Memory { importance: 0.1, properties: properties(json!({"turn": 3})), ..plain() };
    assert_eq!(then.image("a"), expected);
}

#[test]
fn a_patch_of_null_brings_back_each_default() {
    let command = patch("a", |patch| {
        patch.kind = Patch::Remove;
        patch.content = Patch::Remove;
        patch.properties = Patch::Remove;
        patch.session = Patch::Remove;
        patch.importance = Patch::Remove;
        patch.occurred_at = Patch::Remove;
        patch.valid_from = Patch::Remove;
        patch.valid_until = Patch::Remove;
    });
    let then = given().memory_with("a", |memory| memory.valid_until = Some(NOW)).when(command);
    let expected = Memory {
        kind: name("Episode"),
        content: String::new(),
        properties: Properties::new(),
        session: None,
        importance: 0.5,
        dense: None,
        sparse: None,
        occurred_at: NOW,
        valid_from: NOW,
        valid_until: None,
    };
    assert_eq!(then.image("a"), expected);
}

#[test]
fn a_patch_that_changes_nothing_is_no_new_version() {
    given().memory("a").when(patch("a", |_| {})).ends_at_once(&["a unchanged 1.4"]);
    let same = patch("a", |patch| {
        patch.content = Patch::Set("old".to_owned());
        patch.properties = Patch::Set(properties(json!({"topic": "tea", "gone": null})));
    });
    given().memory("a").when(same).ends_at_once(&["a unchanged 1.4"]);
}

#[test]
fn a_patch_or_touch_of_what_is_absent_is_not_found() {
    for space in [given(), given().tombstone("a")] {
        space.when(patch("a", |_| {})).refused(Code::NotFound, &["/data/id"]);
        space.when(touch("a")).refused(Code::NotFound, &["/data/id"]);
    }
}

#[test]
fn a_merge_cannot_grow_a_memory_beyond_what_a_put_may_bring() {
    let mut small = given().memory("a");
    small.limits.properties_max = 2;
    small.limits.record_bytes_max = 64;
    let add = |value| patch("a", |patch| patch.properties = Patch::Set(properties(value)));
    small.when(add(json!({"b": 1}))).runs(&["a patched 1.400"], &["+a"]);
    small.when(add(json!({"b": 1, "c": 2}))).refused(Code::TooLarge, &["/data/properties"]);
    small.when(add(json!({"b": 1, "c": 2, "topic": null}))).runs(&["a patched 1.400"], &["+a"]);
    small.when(add(json!({"b": "x".repeat(64)}))).refused(Code::TooLarge, &["/data/properties"]);
}

#[test]
fn a_touch_sets_the_last_access_and_nothing_else() {
    given().memory("a").when(touch("a")).ends_at_once(&["a unchanged 1.4"]).touches(&["a"]);
}

#[test]
fn a_delete_takes_every_relation_of_the_memory_with_it() {
    given()
        .memory("a")
        .memory("b")
        .memory("c")
        .relation("a-CAUSES->b", 1.0)
        .relation("c-USES->a", 1.0)
        .relation("a-USES->a", 1.0)
        .relation("b-USES->c", 1.0)
        .when(delete("a"))
        .runs(&["a deleted 1.400"], &["-a", "-a-CAUSES->b", "-a-USES->a", "-c-USES->a"])
        .counts(&[("relations_deleted", 3)]);
}

#[test]
fn deleting_what_is_absent_is_done_at_no_version() {
    given().when(delete("a")).ends_at_once(&["a unchanged"]).counts(&[]);
    given().tombstone("a").when(delete("a")).ends_at_once(&["a unchanged"]);
}

#[test]
fn a_supersede_ends_the_old_memory_and_relates_the_new_one_to_it() {
    let then = given().memory("a").when(supersede("a", put_of("b", |_| {}))).runs(
        &["a patched 1.400", "b created 1.400", "b-SUPERSEDES->a created 1.400"],
        &["+a", "+b", "+b-SUPERSEDES->a"],
    );
    assert_eq!(then.image("a"), Memory { valid_until: Some(NOW), ..plain() });
    assert_eq!(then.image("b").content, "new");
    let relation = then.edge("b-SUPERSEDES->a");
    assert_eq!((relation.weight, relation.valid_from, relation.used_at), (1.0, NOW, NOW));
}

#[test]
fn a_supersede_replaces_what_is_there_under_the_new_names() {
    given()
        .memory_with("a", |memory| memory.valid_until = Some(NOW))
        .memory("b")
        .relation("b-SUPERSEDES->a", 0.2)
        .when(supersede("a", put_of("b", |_| {})))
        .runs(
            &["a unchanged 1.4", "b replaced 1.400", "b-SUPERSEDES->a replaced 1.400"],
            &["+b", "+b-SUPERSEDES->a"],
        );
}

#[test]
fn a_supersede_needs_the_old_memory_another_id_and_the_preconditions_of_the_new_one() {
    given().when(supersede("a", put_of("b", |_| {}))).refused(Code::NotFound, &["/data/id"]);
    let there = given().memory("a").memory("b");
    there.when(supersede("a", put_of("a", |_| {}))).refused(Code::SameEnds, &["/data/by/id"]);
    let careful = put_of("b", |put| put.if_absent = true);
    there.when(supersede("a", careful)).refused(Code::IfAbsent, &["/data/by/if_absent"]);
    let stale = put_of("b", |put| put.if_version = Some(new()));
    there.when(supersede("a", stale)).refused(Code::IfVersion, &["/data/by/if_version"]);
}

#[test]
fn times_that_a_command_gives_win_over_its_own_time() {
    let moment = Timestamp::from_micros(5);
    let then = given().when(put_with("a", |put| {
        put.occurred_at = Some(moment);
        put.valid_from = Some(BEFORE);
        put.valid_until = Some(NOW);
    }));
    let image = then.image("a");
    assert_eq!((image.occurred_at, image.valid_from, image.valid_until), (moment, BEFORE, Some(NOW)));
    let ends = given().memory("a").memory("b");
    let relation = ends.when(relate("a-CAUSES->b", |put| put.valid_from = Some(moment))).edge("a-CAUSES->b");
    assert_eq!((relation.valid_from, relation.valid_until, relation.used_at), (moment, None, NOW));
}
