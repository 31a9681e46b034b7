//! What is judged before and beside the meaning: expiry, declaration, quota, what cannot be done yet.

use super::{
    command::{batch, delete, put, put_of, relate, supersede, touch},
    world::*,
};
use crate::model::{
    Code, Command, FieldError, Timestamp,
    command::{OnMissing, SpaceCreate},
};

fn expired(given: Given) -> Given {
    Given { expires_at: Some(Timestamp::from_micros(NOW.as_micros() - 1)), ..given }
}

fn undeclared(mut given: Given) -> Given {
    let error = |code, at: &str| FieldError::new(code, at, "the declaration says no");
    given.judgement.refused = vec![error(Code::KindNotAllowed, "/data/kind")];
    given
}

#[test]
fn a_command_whose_expiry_has_passed_is_never_applied_late() {
    expired(given()).when(put("a")).refused(Code::Expired, &["/expirytime"]);
    let in_time = Given { expires_at: Some(NOW), ..given() };
    in_time.when(put("a")).runs(&["a created 1.400"], &["+a"]);
}

#[test]
fn what_the_declaration_refused_fails_with_its_first_code() {
    undeclared(given()).when(put("a")).refused(Code::KindNotAllowed, &["/data/kind"]);
}

#[test]
fn expiry_comes_before_the_declaration_and_the_declaration_before_the_meaning() {
    expired(undeclared(given())).when(touch("a")).refused(Code::Expired, &["/expirytime"]);
    undeclared(given()).when(touch("a")).refused(Code::KindNotAllowed, &["/data/kind"]);
}

#[test]
fn what_this_build_cannot_do_is_refused_by_name() {
    for command in [Command::MemoryArchive(id("a")), Command::MemoryRestore(id("a")), Command::SpaceErase] {
        given().memory("a").when(command).refused(Code::NotYetAvailable, &["/type"]);
    }
}

#[test]
fn declaring_a_space_is_done_without_any_store() {
    given().when(Command::SpaceCreate(SpaceCreate::default())).ends_at_once(&[]);
}

#[test]
fn a_space_grows_to_its_quota_and_not_beyond() {
    let full = given().memory("a").memory("b").tombstone("c").quota(2);
    full.when(put("c")).refused(Code::QuotaExceeded, &[""]);
    full.when(put("a")).runs(&["a replaced 1.400"], &["+a"]);
    full.when(supersede("a", put_of("d", |_| {}))).refused(Code::QuotaExceeded, &[""]);
    let stub = relate("a-CAUSES->d", |put| put.on_missing = OnMissing::Stub);
    full.when(stub).refused(Code::QuotaExceeded, &[""]);
    full.clone().quota(3).when(put("c")).runs(&["c created 1.400"], &["+c"]);
}

#[test]
fn what_a_batch_deletes_makes_room_for_what_it_creates() {
    let full = given().memory("a").quota(1);
    full.when(batch([put("b"), delete("a")])).runs(&["b created 1.400", "a deleted 1.400"], &["-a", "+b"]);
    full.when(batch([delete("a"), put("b"), put("c")])).refused(Code::QuotaExceeded, &[""]);
}

#[test]
fn a_quota_that_was_lowered_below_what_is_there_still_lets_memories_change_and_go() {
    let over = given().memory("a").memory("b").quota(1);
    over.when(put("a")).runs(&["a replaced 1.400"], &["+a"]);
    over.when(delete("a")).runs(&["a deleted 1.400"], &["-a"]);
    over.when(batch([delete("a"), put("c")])).runs(&["a deleted 1.400", "c created 1.400"], &["-a", "+c"]);
}
