//! The judgement on one register of a store, given the head that it should mirror. Pure.

use super::{compare::Difference, judge::undo_left_it, report::Mend};
use crate::{
    invariant::Invariant,
    ledger::Head,
    model::{Memory, Phase, Version},
};

/// What is wrong with a register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) invariant: Invariant,
    pub(super) difference: Difference,
    pub(super) mend: Mend,
}

fn wrong(invariant: Invariant, expected: String, found: String, mend: Mend) -> Option<Wrong> {
    Some(Wrong { invariant, difference: Difference { expected, found }, mend })
}

/// What a store holds of a register, apart from its content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holds {
    pub(super) version: Version,
    /// Whether it is live: no tombstone.
    pub(super) live: bool,
    /// Whether that version is known to have been undone.
    pub(super) undone: bool,
}

/// Judges a memory's register. `needed`: the store must show such a memory; `content`: how its content differs,
/// asked only when both are live, and whether its marker does.
pub(super) fn judge(
    head: Option<&Head>,
    holds: Holds,
    needed: impl Fn(&Memory) -> bool,
    content: impl Fn(&Memory) -> Option<(Invariant, Difference)>,
) -> Option<Wrong> {
    let Holds { version, live, undone } = holds;
    let shown =
        if live { format!("live at version {version}") } else { format!("deleted at version {version}") };
    let Some(head) = head else {
        return wrong(extra(live), "nothing: there is no head".to_owned(), shown, Mend::RemoveFromStore);
    };
    if live && (undone || is_undone_by(head.version, version)) {
        let expected = format!("what stands at version {}, after an undo", head.version);
        return wrong(Invariant::I12, expected, shown, Mend::ReapplyHead);
    }
    if version > head.version {
        let expected = format!("nothing above version {}", head.version);
        return wrong(Invariant::I6, expected, shown, Mend::ReapplyHead);
    }
    let memory = match &head.memory {
        Some(memory) if needed(memory) => memory,
        Some(_) if live => {
            let expected = format!("nothing: version {} has nothing to keep here", head.version);
            return wrong(Invariant::I4, expected, shown, Mend::ReapplyHead);
        }
        None if live => {
            let expected = format!("nothing: it was deleted at version {}", head.version);
            return wrong(Invariant::I9, expected, shown, Mend::RemoveFromStore);
        }
        Some(_) | None => return None,
    };
    let current = version == head.version || undo_left_it(head.version, version);
    if !live || !current {
        let invariant = if live { Invariant::I4 } else { Invariant::I7 };
        return wrong(invariant, format!("live at version {}", head.version), shown, Mend::ReapplyHead);
    }
    let (invariant, difference) = content(memory)?;
    Some(Wrong { invariant, difference, mend: Mend::ReapplyHead })
}

/// A record without a head breaks "in all or none" when it can be seen.
fn extra(live: bool) -> Invariant {
    if live { Invariant::I7 } else { Invariant::I4 }
}

/// Whether the head's own version is the undo of the very write at `stored`.
fn is_undone_by(head: Version, stored: Version) -> bool {
    head.phase() == Phase::Undo
        && stored.phase() == Phase::Forward
        && (head.epoch, head.offset()) == (stored.epoch, stored.offset())
}
