//! From `type` and `data` to a command, with its defaults filled in.

use super::{
    fields::{Context, Fields, Place},
    json::Json,
    kind::Kind,
    memory, relation, space,
    suggest::{hint, quoted},
};
use crate::model::{Code, Command, command::Batch};

/// Reads `data` as a command of type `kind`. `None` or a noted problem: there is no command.
pub(super) fn read(context: &Context<'_>, kind: Kind, data: &Json<'_>) -> Option<Command> {
    match kind {
        Kind::Batch => batch(context, data),
        Kind::SpaceCreate => space::create(context, Place::Data, data),
        Kind::SpaceErase => space::erase(context, Place::Data, data),
        _ => single(context, kind, Place::Data, data, 0),
    }
}

/// A command on memories or relations; `index` is its place in the batch, 0 outside one.
fn single(
    context: &Context<'_>,
    kind: Kind,
    place: Place<'_>,
    data: &Json<'_>,
    index: usize,
) -> Option<Command> {
    match kind {
        Kind::MemoryPut => memory::put(context, place, data, index).map(Command::MemoryPut),
        Kind::MemoryPatch => memory::patch(context, place, data),
        Kind::MemoryTouch => memory::touch(context, place, data),
        Kind::MemoryDelete => memory::delete(context, place, data),
        Kind::MemorySupersede => memory::supersede(context, place, data, index),
        Kind::MemoryArchive => memory::only_id(context, place, data).map(Command::MemoryArchive),
        Kind::MemoryRestore => memory::only_id(context, place, data).map(Command::MemoryRestore),
        Kind::RelationPut => relation::put(context, place, data),
        Kind::RelationDelete => relation::delete(context, place, data),
        Kind::RelationStrengthen => relation::strengthen(context, place, data),
        Kind::RelationDecay => relation::decay(context, place, data),
        Kind::RelationInvalidate => relation::invalidate(context, place, data),
        Kind::Batch | Kind::SpaceCreate | Kind::SpaceErase => None,
    }
}

fn batch(context: &Context<'_>, data: &Json<'_>) -> Option<Command> {
    let fields = Fields::open(context, Place::Data, data, &["items"])?;
    let items = match fields.required("items")? {
        Json::List(items) => items,
        other => {
            fields.invalid("items", format!("`items` must be a list, and is {}", other.noun()));
            return None;
        }
    };
    let most = context.limits.batch_items_max;
    if items.is_empty() {
        fields.invalid("items", "`items` is empty; a batch has at least one");
    }
    if items.len() > most {
        let detail = format!("`items` has {} items, and at most {most} are allowed; split it", items.len());
        fields.problem(Code::TooLarge, "items", detail);
        return None;
    }
    let list = Place::Key(&fields.place, "items");
    let commands: Vec<Command> = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| batch_item(context, Place::Index(&list, index), item, index))
        .collect();
    (commands.len() == items.len()).then_some(Command::Batch(Batch { items: commands }))
}

fn batch_item(context: &Context<'_>, place: Place<'_>, item: &Json<'_>, index: usize) -> Option<Command> {
    let fields = Fields::open(context, place, item, &["type", "data"])?;
    let data = fields.required("data");
    fields.required("type")?;
    let text = fields.text("type")?;
    let Some(kind) = Kind::named(text) else {
        fields.problem(Code::UnknownType, "type", unknown(text));
        return None;
    };
    if !kind.may_be_batched() {
        fields.invalid("type", format!("`{}` cannot stand in a batch; send it alone", kind.short()));
        return None;
    }
    single(context, kind, Place::Key(&place, "data"), data?, index)
}

/// Says that there is no such type, and which was probably meant.
pub(super) fn unknown(text: &str) -> String {
    let short = text.strip_prefix("engraft.").unwrap_or(text);
    let short = short.strip_suffix(".v1").unwrap_or(short);
    format!(
        "there is no command type {}{}",
        quoted(text),
        hint(short, Kind::ALL.iter().map(|kind| kind.short()))
    )
}
