//! Decay: relations that nobody uses grow weaker, and the weakest go.
//!
//! It names no relation, so its outcome lists none and counts instead: `decayed`, those that are
//! weaker now, and `pruned`, those that are gone. Both are always there, since they are the answer.

use super::{
    overlay::{Manner, Overlay},
    relation::weight,
};
use crate::{
    ledger::RelationsOf,
    model::{
        Relation, Timestamp,
        command::{DecayScope, RelationDecay},
    },
};

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// `relation.decay`: `w *= 1 - rate` where the last use lies more than so many days before the
/// command's time; below `prune_below` the relation is deleted. What keeps its weight is not written.
pub(super) fn decay(overlay: &mut Overlay<'_>, decay: &RelationDecay) {
    let space = overlay.terms.space.clone();
    let scope = match &decay.scope {
        DecayScope::Memory(id) => RelationsOf::Memory(space, id.clone()),
        DecayScope::Session(session) => RelationsOf::Session(space, session.clone()),
    };
    let unused_before = days_before(overlay.terms.now, decay.older_than_days);
    let (mut decayed, mut pruned) = (0, 0);
    for key in overlay.relations_of(&scope) {
        let Some(relation) = overlay.relation(&key) else { continue };
        if relation.used_at >= unused_before {
            continue;
        }
        let weaker = Relation { weight: weight(relation.weight * (1.0 - decay.rate)), ..relation.clone() };
        if weaker.weight < decay.prune_below {
            pruned += 1;
            overlay.write_relation(&key, None, Manner::Whole);
        } else if weaker.weight < relation.weight {
            decayed += 1;
            overlay.write_relation(&key, Some(weaker), Manner::Parts);
        }
    }
    overlay.counts.insert("decayed".to_owned(), decayed);
    overlay.counts.insert("pruned".to_owned(), pruned);
}

/// Days so many that the calendar has no such day mean the beginning of time.
fn days_before(now: Timestamp, days: u32) -> Timestamp {
    let micros = i64::from(days).saturating_mul(DAY_MICROS);
    Timestamp::from_micros(now.as_micros().saturating_sub(micros))
}
