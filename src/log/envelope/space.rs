//! The fields of `space.*` commands.

use super::{
    fields::{Context, Fields, Place},
    json::Json,
    values,
};
use crate::model::{Command, command::SpaceCreate, space::Metric};

/// Longest dense vector that any store takes.
const DIMENSION_MAX: i64 = 65_536;

pub(super) fn create(context: &Context<'_>, place: Place<'_>, data: &Json<'_>) -> Option<Command> {
    const KNOWN: &[&str] =
        &["dimension", "metric", "kinds", "relation_types", "indexed", "text", "open", "history", "quota"];
    let fields = Fields::open(context, place, data, KNOWN)?;
    let dimension = fields.integer("dimension", 1, DIMENSION_MAX);
    let quota = fields.integer("quota", 0, i64::MAX);
    Some(Command::SpaceCreate(SpaceCreate {
        dimension: dimension.and_then(|dimension| u32::try_from(dimension).ok()),
        metric: metric(&fields),
        kinds: values::names(&fields, "kinds"),
        relation_types: values::names(&fields, "relation_types"),
        indexed: values::names(&fields, "indexed"),
        text: fields.flag("text"),
        open: fields.flag("open"),
        history: fields.flag("history"),
        quota: quota.and_then(|quota| u64::try_from(quota).ok()),
    }))
}

pub(super) fn erase(context: &Context<'_>, place: Place<'_>, data: &Json<'_>) -> Option<Command> {
    Fields::open(context, place, data, &[]).map(|_| Command::SpaceErase)
}

fn metric(fields: &Fields<'_, '_>) -> Option<Metric> {
    match fields.text("metric")? {
        "cosine" => Some(Metric::Cosine),
        "dot" => Some(Metric::Dot),
        "euclid" => Some(Metric::Euclid),
        _ => {
            fields.invalid("metric", "`metric` must be `cosine`, `dot` or `euclid`");
            None
        }
    }
}
