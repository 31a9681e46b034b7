//! Vectors: what stands for which text, and when the vector store must be told.

use super::{
    command::{self, batch, delete, patch, put, put_with, supersede},
    world::*,
};
use crate::model::{
    Memory, Sparse,
    command::{MemoryPatch, OnMissing, Patch},
    outcome::VectorFate,
};

fn with_vector(memory: &mut Memory) {
    memory.dense = Some(vector(0.5));
}

fn with_both(memory: &mut Memory) {
    memory.dense = Some(vector(0.5));
    memory.sparse = Some(sparse(9));
}

fn new_text(patch: &mut MemoryPatch) {
    patch.content = Patch::Set("a new text".to_owned());
}

#[test]
fn the_vector_store_is_told_when_it_holds_a_point_before_or_after() {
    let vectorless = given().memory("a");
    let vectored = given().memory_with("a", with_vector);
    let put_vector = || put_with("a", |put| put.vector = Some(vector(0.1)));
    let put_sparse = || put_with("a", |put| put.sparse = Some(sparse(3)));

    given().when(put("a")).runs(&["a created 1.400"], &["+a"]);
    given().when(put_vector()).runs(&["a created 1.400"], &["+a*"]);
    given().when(put_sparse()).runs(&["a created 1.400"], &["+a*"]);
    vectorless.when(put_vector()).runs(&["a replaced 1.400"], &["+a*"]);
    vectored.when(put("a")).runs(&["a replaced 1.400"], &["+a*"]);
    vectorless.when(put("a")).runs(&["a replaced 1.400"], &["+a"]);
    vectored.when(delete("a")).runs(&["a deleted 1.400"], &["-a*"]);
    vectorless.when(delete("a")).runs(&["a deleted 1.400"], &["-a"]);
}

#[test]
fn where_the_space_says_text_a_put_without_sparse_gets_one_from_its_content() {
    let then = given().text().when(put("a")).runs(&["a created 1.400"], &["+a*"]);
    assert_eq!(then.image("a").sparse, Some(derived(3)));
    let empty = given().text().when(put_with("a", |put| put.content.clear()));
    assert_eq!(empty.runs(&["a created 1.400"], &["+a"]).image("a").sparse, None);
    assert_eq!(given().when(put("a")).image("a").sparse, None);
}

#[test]
fn a_client_s_sparse_is_kept_as_brought_and_never_taken_for_a_derived_one() {
    let brought = Sparse { derived: true, ..sparse(9) };
    let then = given().text().when(put_with("a", |put| put.sparse = Some(brought)));
    assert_eq!(then.image("a").sparse, Some(sparse(9)));
}

/// What a patch makes of a client's vectors: `(dense, sparse, what the outcome says)`.
fn patched(
    space: &Given,
    change: impl FnOnce(&mut MemoryPatch),
) -> (bool, Option<Sparse>, Option<VectorFate>) {
    let then = space.when(patch("a", change));
    let image = then.image("a");
    (image.dense.is_some(), image.sparse, then.fate("a"))
}

#[test]
fn a_new_text_drops_the_vectors_that_stood_for_the_old_one() {
    use VectorFate::Dropped;
    let space = given().memory_with("a", with_both);
    assert_eq!(patched(&space, new_text), (false, None, Some(Dropped)));
    assert_eq!(patched(&space.clone().text(), new_text), (false, Some(derived(10)), Some(Dropped)));
    space.when(patch("a", new_text)).runs(&["a patched 1.400"], &["+a*"]);
}

#[test]
fn keep_vector_keeps_a_client_s_vectors_and_derives_what_was_derived_anew() {
    use VectorFate::Kept;
    let keep = |patch: &mut MemoryPatch| {
        new_text(patch);
        patch.keep_vector = true;
    };
    let brought = given().text().memory_with("a", with_both);
    assert_eq!(patched(&brought, keep), (true, Some(sparse(9)), Some(Kept)));
    let derived_before = given().text().memory_with("a", |memory| {
        with_vector(memory);
        memory.sparse = Some(derived(3));
    });
    assert_eq!(patched(&derived_before, keep), (true, Some(derived(10)), Some(Kept)));
}

#[test]
fn a_patch_that_brings_a_vector_with_its_new_text_drops_none() {
    let space = given().text().memory_with("a", with_vector);
    let both = |patch: &mut MemoryPatch| {
        new_text(patch);
        patch.vector = Patch::Set(vector(0.9));
    };
    let then = space.when(patch("a", both));
    assert_eq!(then.image("a").dense, Some(vector(0.9)));
    assert_eq!((then.image("a").sparse, then.fate("a")), (Some(derived(10)), None));
}

#[test]
fn a_patch_that_leaves_the_text_keeps_both_vectors() {
    let space = given().text().memory_with("a", with_both);
    let other = |patch: &mut MemoryPatch| {
        patch.content = Patch::Set("old".to_owned());
        patch.importance = Patch::Set(0.1);
    };
    assert_eq!(patched(&space, other), (true, Some(sparse(9)), None));
    let none = given().text().memory("a");
    assert_eq!(patched(&none, other), (false, None, None));
}

#[test]
fn a_null_vector_goes_and_a_null_sparse_is_derived_anew() {
    let space = given().text().memory_with("a", with_both);
    assert_eq!(patched(&space, |patch| patch.vector = Patch::Remove), (false, Some(sparse(9)), None));
    assert_eq!(patched(&space, |patch| patch.sparse = Patch::Remove), (true, Some(derived(3)), None));
    let silent = given().memory_with("a", with_both);
    assert_eq!(patched(&silent, |patch| patch.sparse = Patch::Remove), (true, None, None));
}

#[test]
fn a_derived_sparse_goes_with_its_text_where_the_space_derives_no_more() {
    let space = given().memory_with("a", |memory| memory.sparse = Some(derived(3)));
    assert_eq!(patched(&space, new_text), (false, None, None));
}

#[test]
fn the_outcome_of_a_batch_tells_the_fate_of_the_vector_that_is_left() {
    let space = given().memory_with("a", with_vector);
    let bring = |patch: &mut MemoryPatch| patch.vector = Patch::Set(vector(0.9));
    let other = |patch: &mut MemoryPatch| patch.importance = Patch::Set(0.1);
    let dropped = space.when(batch([patch("a", new_text), patch("a", other)]));
    assert_eq!(dropped.fate("a"), Some(VectorFate::Dropped));
    let brought = space.when(batch([patch("a", new_text), patch("a", bring)]));
    assert_eq!(brought.fate("a"), None);
    let replaced = space.when(batch([patch("a", new_text), put("a")]));
    assert_eq!(replaced.fate("a"), None);
}

#[test]
fn ending_a_memory_s_validity_keeps_its_vectors() {
    let space = given().text().memory_with("a", with_both);
    let then = space.when(supersede("a", command::put_of("b", |_| {})));
    assert_eq!((then.image("a").dense, then.image("a").sparse), (Some(vector(0.5)), Some(sparse(9))));
    assert_eq!(then.fate("a"), None);
}

#[test]
fn a_stub_has_no_text_and_needs_no_vector_store() {
    let relate = command::relate("a-CAUSES->b", |put| put.on_missing = OnMissing::Stub);
    let then = given().text().memory("a").when(relate);
    then.runs(&["a-CAUSES->b created 1.400"], &["+b", "+a-CAUSES->b"]);
}
