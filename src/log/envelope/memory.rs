//! The fields of `memory.*` commands.

use super::{
    fields::{Context, Fields, Place},
    json::Json,
    values,
};
use crate::model::{
    Code, Command, MemoryId, Name,
    command::{MemoryDelete, MemoryPatch, MemoryPut, MemorySupersede, MemoryTouch, Patch},
    hash::derived_uuid,
};

const PUT: &[&str] = &[
    "id",
    "kind",
    "content",
    "properties",
    "session",
    "importance",
    "vector",
    "sparse",
    "occurred_at",
    "valid_from",
    "valid_until",
    "if_absent",
    "if_version",
];

const PATCH: &[&str] = &[
    "id",
    "kind",
    "content",
    "properties",
    "session",
    "importance",
    "vector",
    "sparse",
    "occurred_at",
    "valid_from",
    "valid_until",
    "keep_vector",
    "if_version",
];

/// The kind of a memory that names none.
const KIND_DEFAULT: &str = "Episode";
/// The importance of a memory that names none.
const IMPORTANCE_DEFAULT: f64 = 0.5;

/// A whole memory. `index` is the item's place in its batch, 0 outside one: where the client gave
/// no id, the memory's is derived from it and the command's, so that a resend writes the same one.
pub(super) fn put(
    context: &Context<'_>,
    place: Place<'_>,
    data: &Json<'_>,
    index: usize,
) -> Option<MemoryPut> {
    let fields = Fields::open(context, place, data, PUT)?;
    let id = match fields.get("id") {
        Some(_) => fields.memory_id("id"),
        None => Some(derived_id(context, index)),
    };
    let (valid_from, valid_until) = (fields.time("valid_from"), fields.time("valid_until"));
    fields.ordered(valid_from, valid_until);
    Some(MemoryPut {
        id: id.unwrap_or_else(|| derived_id(context, index)),
        kind: fields.name("kind").unwrap_or_else(default_kind),
        content: fields.content("content").unwrap_or_default(),
        properties: values::properties(&fields, "properties", false).unwrap_or_default(),
        session: fields.session("session"),
        importance: fields.fraction("importance").unwrap_or(IMPORTANCE_DEFAULT),
        vector: values::vector(&fields, "vector"),
        sparse: values::sparse(&fields, "sparse"),
        occurred_at: fields.time("occurred_at"),
        valid_from,
        valid_until,
        if_absent: fields.flag("if_absent").unwrap_or_default(),
        if_version: fields.version("if_version"),
    })
}

pub(super) fn patch(context: &Context<'_>, place: Place<'_>, data: &Json<'_>) -> Option<Command> {
    let fields = Fields::open(context, place, data, PATCH)?;
    let valid_from = fields.patch("valid_from", Fields::time);
    let valid_until = fields.patch("valid_until", Fields::time);
    fields.ordered(valid_from.set().copied(), valid_until.set().copied());
    let kind = fields.patch("kind", Fields::name);
    let content = fields.patch("content", Fields::content);
    let properties = fields.patch("properties", |fields, key| values::properties(fields, key, true));
    let session = fields.patch("session", Fields::session);
    let importance = fields.patch("importance", Fields::fraction);
    let vector = fields.patch("vector", values::vector);
    let sparse = fields.patch("sparse", values::sparse);
    let occurred_at: Patch<_> = fields.patch("occurred_at", Fields::time);
    let keep_vector = fields.flag("keep_vector").unwrap_or_default();
    let if_version = fields.version("if_version");
    Some(Command::MemoryPatch(MemoryPatch {
        id: fields.required_id("id")?,
        kind,
        content,
        properties,
        session,
        importance,
        vector,
        sparse,
        occurred_at,
        valid_from,
        valid_until,
        keep_vector,
        if_version,
    }))
}

pub(super) fn touch(context: &Context<'_>, place: Place<'_>, data: &Json<'_>) -> Option<Command> {
    only_id(context, place, data).map(|id| Command::MemoryTouch(MemoryTouch { id }))
}

pub(super) fn delete(context: &Context<'_>, place: Place<'_>, data: &Json<'_>) -> Option<Command> {
    let fields = Fields::open(context, place, data, &["id", "if_version"])?;
    let if_version = fields.version("if_version");
    Some(Command::MemoryDelete(MemoryDelete { id: fields.required_id("id")?, if_version }))
}

pub(super) fn supersede(
    context: &Context<'_>,
    place: Place<'_>,
    data: &Json<'_>,
    index: usize,
) -> Option<Command> {
    let fields = Fields::open(context, place, data, &["id", "by"])?;
    let id = fields.required_id("id");
    let by = put(context, Place::Key(&place, "by"), fields.required("by")?, index)?;
    let id = id?;
    if by.id == id {
        let detail = "a memory cannot supersede itself; give `by` another id, or leave its id out";
        context.problem(Code::SameEnds, Place::Key(&Place::Key(&place, "by"), "id"), detail);
    }
    Some(Command::MemorySupersede(MemorySupersede { space: context.space.clone(), id, by }))
}

/// A command whose data is an id and nothing else.
pub(super) fn only_id(context: &Context<'_>, place: Place<'_>, data: &Json<'_>) -> Option<MemoryId> {
    Fields::open(context, place, data, &["id"])?.required_id("id")
}

fn default_kind() -> Name {
    Name::new(KIND_DEFAULT).expect("a constant name")
}

fn derived_id(context: &Context<'_>, index: usize) -> MemoryId {
    let index = index.to_string();
    let uuid = derived_uuid(&[context.space.as_str(), context.source, context.command_id, &index]);
    MemoryId::new(uuid.to_string()).expect("a UUID is a memory id")
}
