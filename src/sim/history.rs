//! What spaces with history must have kept: every version that a memory stood at, and nothing else.
//!
//! When a space began to keep them is a matter of when its commands ended, so how far back a history
//! goes is not judged. From its oldest version on it must be whole, and each of its versions must be
//! one that the fold passed through.

use std::collections::BTreeMap;

use crate::{
    invariant::Invariant,
    ledger::{Head, Ledger, questions::Past},
    model::{Phase, Version, conflict::memory_key, memory::tombstone_hash},
};

use super::{Violation, fold::Fold};

/// The history of every head.
pub(super) async fn read(ledger: &dyn Ledger, heads: &[Head]) -> Result<Vec<Vec<Past>>, Violation> {
    let mut histories = Vec::with_capacity(heads.len());
    for head in heads {
        let found = ledger.history(memory_key(&head.space, &head.id), None, usize::MAX).await;
        let unreadable = |error: crate::ledger::Error| Violation {
            invariant: Invariant::I4,
            sentence: format!("the history of {}/{} cannot be read: {error}", head.space, head.id),
        };
        histories.push(found.map_err(unreadable)?);
    }
    Ok(histories)
}

/// What is broken, if anything.
pub(super) fn check(fold: &Fold, histories: &[Vec<Past>]) -> Vec<Violation> {
    let nothing = BTreeMap::new();
    let mut found = Vec::new();
    for history in histories {
        let Some(newest) = history.first() else { continue };
        let (space, id) = (&newest.head.space, &newest.head.id);
        let passed = fold.spaces.get(space).and_then(|space| space.passed.get(id)).unwrap_or(&nothing);
        let mut violate = |invariant, sentence: String| {
            found.push(Violation { invariant, sentence: format!("history of {space}/{id}: {sentence}") });
        };
        for past in history {
            let version = past.head.version;
            let hash = past.head.memory.as_ref().map_or_else(tombstone_hash, |memory| memory.hash());
            if hash != past.head.hash {
                violate(Invariant::I11, format!("{version} has another hash than its content"));
            }
            if passed.get(&version) != Some(&past.head.memory) {
                violate(Invariant::I4, format!("it never stood so at {version}"));
            }
        }
        if !history.is_sorted_by(|newer, older| newer.head.version > older.head.version) {
            violate(Invariant::I6, "its versions do not fall".to_owned());
        }
        if let Some(missing) = missing(passed, history) {
            violate(Invariant::I4, format!("{missing} is missing between versions that were kept"));
        }
    }
    found
}

/// A version that stood between the oldest and the newest that were kept, and was not. An undo only
/// raises the version of what stands.
fn missing<M>(passed: &BTreeMap<Version, M>, history: &[Past]) -> Option<Version> {
    let oldest = history.last()?.head.version;
    let written = |version: &Version| version.phase() == Phase::Forward;
    // What was raised is kept at its last version.
    let kept = |version: Version| {
        let until = passed.keys().copied().find(|later| *later > version && written(later));
        history
            .iter()
            .any(|past| past.head.version >= version && until.is_none_or(|end| past.head.version < end))
    };
    passed.range(oldest..).map(|(version, _)| *version).filter(written).find(|version| !kept(*version))
}
