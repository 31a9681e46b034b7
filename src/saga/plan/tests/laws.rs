//! Laws that hold for any heads and any commands.

use std::{collections::BTreeSet, sync::Arc};

use proptest::prelude::*;
use serde_json::json;

use super::{
    command::{
        batch, delete, invalidate, patch, put_of, put_with, relate, strengthen, supersede, touch, unrelate,
    },
    world::*,
};
use crate::{
    ledger::{Decision, Plan},
    model::{
        Command, Memory, MemoryId, Phase, Relation, RelationKey,
        command::{MemoryPut, OnMissing, Patch},
        outcome::Ending,
    },
};

fn memory_id() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn relation_text() -> impl Strategy<Value = String> {
    (memory_id(), memory_id()).prop_map(|(source, target)| format!("{source}-CAUSES->{target}"))
}

fn on_missing() -> impl Strategy<Value = OnMissing> {
    prop::sample::select(vec![OnMissing::Stub, OnMissing::Refuse])
}

fn changed_put(length: usize, has_vector: bool) -> impl FnOnce(&mut MemoryPut) {
    move |put| {
        put.content = "x".repeat(length);
        put.vector = has_vector.then(|| vector(0.25));
        put.properties = properties(json!({"turn": length}));
    }
}

/// Any item of a batch but those with `if_version`: what version a record has before the last item
/// is exactly what a batch and its items alone do not share.
fn item() -> impl Strategy<Value = Command> {
    let small = || 0..4_usize;
    prop_oneof![
        4 => (memory_id(), small(), any::<bool>())
            .prop_map(|(id, length, vector)| put_with(id, changed_put(length, vector))),
        1 => memory_id().prop_map(|id| put_with(id, |put| put.if_absent = true)),
        3 => (memory_id(), small(), any::<bool>()).prop_map(|(id, length, keep)| patch(id, |patch| {
            patch.content = Patch::Set("x".repeat(length));
            patch.keep_vector = keep;
            patch.properties = Patch::Set(properties(json!({"turn": null, "topic": {"n": length}})));
        })),
        1 => memory_id().prop_map(touch),
        3 => memory_id().prop_map(delete),
        1 => (memory_id(), memory_id(), small())
            .prop_map(|(id, by, length)| supersede(id, put_of(by, changed_put(length, true)))),
        4 => (relation_text(), on_missing())
            .prop_map(|(relation, ends)| relate(&relation, |put| put.on_missing = ends)),
        2 => (relation_text(), on_missing()).prop_map(|(relation, ends)| strengthen(&relation, 0.5, ends)),
        2 => relation_text().prop_map(|relation| unrelate(&relation)),
        1 => relation_text().prop_map(|relation| invalidate(&relation, None)),
    ]
}

/// Heads whose relations have both their ends.
fn heads() -> impl Strategy<Value = Given> {
    let one = prop::option::weighted(0.8, any::<bool>());
    (prop::collection::vec(one, 3), prop::collection::vec(relation_text(), 0..4), any::<bool>()).prop_map(
        |(memories, relations, text)| {
            let mut space = given();
            space.judgement.text = text;
            for (id, memory) in ["a", "b", "c"].into_iter().zip(memories) {
                space = match memory {
                    Some(true) => space.memory_with(id, |memory| memory.dense = Some(vector(0.5))),
                    Some(false) => space.memory(id),
                    None => space.tombstone(id),
                };
            }
            for text in relations {
                let key = relation(&text);
                if is_live(&space, &key.source) && is_live(&space, &key.target) {
                    space = space.relation(&text, 0.5);
                }
            }
            space
        },
    )
}

fn is_live(space: &Given, id: &MemoryId) -> bool {
    space.memories.get(id).is_some_and(|head| head.memory.is_some())
}

type Content = (Vec<(MemoryId, Arc<Memory>)>, Vec<(RelationKey, Relation)>);

/// What is live, whatever its versions.
fn content(space: &Given) -> Content {
    let memories = space.memories.values().filter_map(|head| Some((head.id.clone(), head.memory.clone()?)));
    let relations =
        space.relations.values().filter_map(|head| Some((head.relation.clone(), head.state.clone()?)));
    (memories.collect(), relations.collect())
}

fn succeeded(decision: Decision) -> Option<(Plan, Ending)> {
    match decision {
        Decision::Run(plan, ending) | Decision::Done(plan, ending) => Some((plan, ending)),
        Decision::Refuse(_) => None,
    }
}

/// The items one after another, each a command of its own; `None` when one is refused.
fn one_by_one(mut space: Given, items: &[Command]) -> Option<(Given, BTreeSet<MemoryId>)> {
    let mut touched = BTreeSet::new();
    for (offset, item) in (100..).zip(items) {
        let (plan, _) = succeeded(space.decide(item, at(offset)))?;
        touched.extend(plan.touched.iter().cloned());
        space.apply(&plan, at(offset).version(Phase::Forward));
        touched.retain(|id| is_live(&space, id));
    }
    Some((space, touched))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_comes_to_what_its_items_come_to_one_after_another(
        space in heads(),
        items in prop::collection::vec(item(), 1..8),
    ) {
        let command = batch(items.clone());
        let folded = succeeded(space.decide(&command, at(100)));
        let applied = one_by_one(space.clone(), &items);
        prop_assert_eq!(folded.is_some(), applied.is_some(), "both succeed, or neither");
        if let (Some((plan, _)), Some((expected, touched))) = (folded, applied) {
            let mut result = space;
            result.apply(&plan, new());
            prop_assert_eq!(content(&result), content(&expected));
            prop_assert_eq!(plan.touched, touched.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_same_facts_give_the_same_decision(space in heads(), items in prop::collection::vec(item(), 1..8)) {
        let command = batch(items);
        prop_assert_eq!(space.decide(&command, at(100)), space.decide(&command, at(100)));
    }

    #[test]
    fn no_command_leaves_a_relation_without_its_ends(
        mut space in heads(),
        items in prop::collection::vec(item(), 1..8),
    ) {
        if let Some((plan, _)) = succeeded(space.decide(&batch(items), at(100))) {
            space.apply(&plan, new());
            for (relation, _) in content(&space).1 {
                prop_assert!(is_live(&space, &relation.source) && is_live(&space, &relation.target));
            }
        }
    }

    #[test]
    fn every_record_is_written_once_and_the_vector_store_is_told_of_what_it_holds(
        space in heads(),
        items in prop::collection::vec(item(), 1..8),
    ) {
        if let Some((plan, ending)) = succeeded(space.decide(&batch(items), at(100))) {
            let ids: BTreeSet<_> = plan.memories.iter().map(|write| &write.id).collect();
            let keys: BTreeSet<_> = plan.relations.iter().map(|write| &write.relation).collect();
            let named: BTreeSet<_> = ending.records.iter().map(|record| &record.record).collect();
            prop_assert_eq!(ids.len(), plan.memories.len());
            prop_assert_eq!(keys.len(), plan.relations.len());
            prop_assert_eq!(named.len(), ending.records.len());
            for write in &plan.memories {
                let before = space.memories.get(&write.id).and_then(|head| head.memory.as_ref());
                let either = [before, write.after.as_ref()];
                let holds = either.into_iter().flatten().any(|memory| memory.needs_vector_store());
                prop_assert_eq!(write.vector, holds);
            }
        }
    }
}
