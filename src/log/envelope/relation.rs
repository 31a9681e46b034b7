//! The fields of `relation.*` commands.

use super::{
    fields::{Context, Fields, Place},
    json::Json,
    values,
};
use crate::model::{
    Code, Command, RelationKey,
    command::{DecayScope, OnMissing, RelationDecay, RelationInvalidate, RelationPut, RelationStrengthen},
};

/// A relation without a weight has this one.
const WEIGHT_DEFAULT: f64 = 1.0;
/// How much of the way to 1 a strengthen goes.
const STRENGTHEN_RATE_DEFAULT: f64 = 0.1;
/// How much of its weight a relation loses at a decay.
const DECAY_RATE_DEFAULT: f64 = 0.01;
/// The weight below which a decay deletes a relation.
const PRUNE_BELOW_DEFAULT: f64 = 0.01;
/// Days without use before a relation decays.
const OLDER_THAN_DAYS_DEFAULT: u32 = 30;

pub(super) fn put(context: &Context<'_>, place: Place<'_>, data: &Json<'_>) -> Option<Command> {
    const KNOWN: &[&str] = &[
        "source",
        "type",
        "target",
        "discriminator",
        "weight",
        "properties",
        "valid_from",
        "valid_until",
        "on_missing",
    ];
    let fields = Fields::open(context, place, data, KNOWN)?;
    let (valid_from, valid_until) = (fields.time("valid_from"), fields.time("valid_until"));
    fields.ordered(valid_from, valid_until);
    let weight = fields.fraction("weight").unwrap_or(WEIGHT_DEFAULT);
    let properties = values::properties(&fields, "properties", false).unwrap_or_default();
    let on_missing = on_missing(&fields);
    Some(Command::RelationPut(RelationPut {
        relation: key(&fields)?,
        weight,
        properties,
        valid_from,
        valid_until,
        on_missing,
    }))
}

pub(super) fn delete(context: &Context<'_>, place: Place<'_>, data: &Json<'_>) -> Option<Command> {
    let fields = Fields::open(context, place, data, &["source", "type", "target", "discriminator"])?;
    key(&fields).map(Command::RelationDelete)
}

pub(super) fn strengthen(context: &Context<'_>, place: Place<'_>, data: &Json<'_>) -> Option<Command> {
    const KNOWN: &[&str] = &["source", "type", "target", "discriminator", "rate", "on_missing"];
    let fields = Fields::open(context, place, data, KNOWN)?;
    let rate = fields.fraction("rate").unwrap_or(STRENGTHEN_RATE_DEFAULT);
    let on_missing = on_missing(&fields);
    Some(Command::RelationStrengthen(RelationStrengthen { relation: key(&fields)?, rate, on_missing }))
}

pub(super) fn invalidate(context: &Context<'_>, place: Place<'_>, data: &Json<'_>) -> Option<Command> {
    const KNOWN: &[&str] = &["source", "type", "target", "discriminator", "valid_until"];
    let fields = Fields::open(context, place, data, KNOWN)?;
    let valid_until = fields.time("valid_until");
    Some(Command::RelationInvalidate(RelationInvalidate { relation: key(&fields)?, valid_until }))
}

pub(super) fn decay(context: &Context<'_>, place: Place<'_>, data: &Json<'_>) -> Option<Command> {
    const KNOWN: &[&str] = &["id", "session", "older_than_days", "rate", "prune_below"];
    let fields = Fields::open(context, place, data, KNOWN)?;
    let scope = match (fields.get("id").is_some(), fields.get("session").is_some()) {
        (true, false) => fields.memory_id("id").map(DecayScope::Memory),
        (false, true) => fields.session("session").map(DecayScope::Session),
        (true, true) => {
            fields.invalid("session", "`id` and `session` exclude each other; keep one");
            None
        }
        (false, false) => {
            fields.problem(Code::MissingField, "id", "give an `id` or a `session` whose relations decay");
            None
        }
    };
    let days = fields.integer("older_than_days", 0, i64::from(u32::MAX));
    let older_than_days = days.and_then(|days| u32::try_from(days).ok()).unwrap_or(OLDER_THAN_DAYS_DEFAULT);
    let rate = fields.fraction("rate").unwrap_or(DECAY_RATE_DEFAULT);
    let prune_below = fields.fraction("prune_below").unwrap_or(PRUNE_BELOW_DEFAULT);
    Some(Command::RelationDecay(RelationDecay { scope: scope?, older_than_days, rate, prune_below }))
}

/// What names the relation; all of it is read before the first gap ends it.
fn key(fields: &Fields<'_, '_>) -> Option<RelationKey> {
    let source = fields.required_id("source");
    let kind = fields.required("type").and_then(|_| fields.name("type"));
    let target = fields.required_id("target");
    let discriminator = fields.label("discriminator", 0).unwrap_or_default();
    let space = fields.context.space.clone();
    Some(RelationKey { space, source: source?, kind: kind?, target: target?, discriminator })
}

fn on_missing(fields: &Fields<'_, '_>) -> OnMissing {
    match fields.text("on_missing") {
        Some("stub") => OnMissing::Stub,
        None | Some("refuse") => OnMissing::Refuse,
        Some(_) => {
            fields.invalid("on_missing", "`on_missing` must be `refuse` or `stub`");
            OnMissing::Refuse
        }
    }
}
