//! What the commands on relations do.
//!
//! A relation has both its ends or is not there: a command that may make one checks them, or makes
//! them when it says `on_missing: stub`.

use super::{
    Refusal, memory,
    overlay::{Manner, Overlay, Record},
};
use crate::model::{
    Code, FieldError, Relation, RelationKey,
    command::{OnMissing, RelationInvalidate, RelationPut, RelationStrengthen},
    memory::Properties,
};

/// The weight of a relation that a strengthen makes.
const FIRST_WEIGHT: f64 = 0.1;

/// `relation.put`: writes the whole relation, whatever was there.
pub(super) fn put(overlay: &mut Overlay<'_>, put: &RelationPut, at: &str) -> Result<(), Refusal> {
    overlay.name(Record::Relation(put.relation.clone()));
    settle_ends(overlay, &put.relation, put.on_missing, at)?;
    let relation = Relation {
        weight: weight(put.weight),
        properties: put.properties.clone(),
        valid_from: put.valid_from.unwrap_or(overlay.terms.now),
        valid_until: put.valid_until,
        used_at: overlay.terms.now,
    };
    overlay.write_relation(&put.relation, Some(relation), Manner::Whole);
    Ok(())
}

/// `relation.strengthen`: `w += rate * (1 - w)`, and the relation was used. One that is absent is
/// made with the first weight, whatever the rate.
pub(super) fn strengthen(
    overlay: &mut Overlay<'_>,
    strengthen: &RelationStrengthen,
    at: &str,
) -> Result<(), Refusal> {
    let key = &strengthen.relation;
    overlay.name(Record::Relation(key.clone()));
    settle_ends(overlay, key, strengthen.on_missing, at)?;
    let now = overlay.terms.now;
    let relation = match overlay.relation(key) {
        Some(relation) => Relation {
            weight: weight(relation.weight + strengthen.rate * (1.0 - relation.weight)),
            used_at: now,
            ..relation.clone()
        },
        None => fresh(overlay, FIRST_WEIGHT),
    };
    overlay.write_relation(key, Some(relation), Manner::Parts);
    Ok(())
}

/// `relation.delete`: deleting what is absent changes nothing.
pub(super) fn delete(overlay: &mut Overlay<'_>, relation: &RelationKey) {
    overlay.name(Record::Relation(relation.clone()));
    if overlay.relation(relation).is_some() {
        overlay.write_relation(relation, None, Manner::Whole);
    }
}

/// `relation.invalidate`: ends its validity. It stays, for questions about the past.
pub(super) fn invalidate(
    overlay: &mut Overlay<'_>,
    invalidate: &RelationInvalidate,
    at: &str,
) -> Result<(), Refusal> {
    let key = &invalidate.relation;
    overlay.name(Record::Relation(key.clone()));
    let Some(relation) = overlay.relation(key) else {
        return Err(Refusal::new(Code::NotFound, at, format!("there is no relation `{key}` in this space")));
    };
    let until = invalidate.valid_until.unwrap_or(overlay.terms.now);
    let ended = Relation { valid_until: Some(until), ..relation.clone() };
    overlay.write_relation(key, Some(ended), Manner::Parts);
    Ok(())
}

/// The relation that a supersede writes; both its ends are there.
pub(super) fn supersedes(overlay: &mut Overlay<'_>, relation: RelationKey) {
    let fresh = fresh(overlay, 1.0);
    overlay.write_relation(&relation, Some(fresh), Manner::Whole);
    overlay.name(Record::Relation(relation));
}

fn fresh(overlay: &Overlay<'_>, weight: f64) -> Relation {
    let now = overlay.terms.now;
    Relation { weight, properties: Properties::new(), valid_from: now, valid_until: None, used_at: now }
}

/// Rounding must not carry a weight out of its range.
pub(super) fn weight(weight: f64) -> f64 {
    weight.clamp(0.0, 1.0)
}

/// Both ends are there after this, or the command is refused with every one that is not.
fn settle_ends(
    overlay: &mut Overlay<'_>,
    relation: &RelationKey,
    on_missing: OnMissing,
    at: &str,
) -> Result<(), Refusal> {
    let ends = [("source", &relation.source), ("target", &relation.target)];
    let missing = ends.into_iter().filter(|(_, id)| overlay.memory(id).is_none()).collect::<Vec<_>>();
    if missing.is_empty() {
        return Ok(());
    }
    match on_missing {
        OnMissing::Stub => {
            missing.into_iter().for_each(|(_, id)| memory::stub(overlay, id));
            Ok(())
        }
        OnMissing::Refuse => {
            let error = |(field, id)| {
                let detail = format!(
                    "there is no memory `{id}` in this space; put it first, or say `on_missing`: `stub`"
                );
                FieldError::new(Code::EndpointMissing, format!("{at}/{field}"), detail)
            };
            Err(Refusal { code: Code::EndpointMissing, errors: missing.into_iter().map(error).collect() })
        }
    }
}
