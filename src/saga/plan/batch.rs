//! A batch: its items applied in order to one overlay, all or none.
//!
//! An item reads what the items before it wrote. What a record is at the end is its one image, and
//! what the batch did to it is told against its head: put and then deleted, a memory that was not
//! there is `unchanged` and nothing is written for it.

use super::{Refusal, apply, overlay::Overlay};
use crate::model::{Code, Command, command::Batch};

/// Applies the items of `batch`; the first that cannot be done ends it.
pub(super) fn fold(overlay: &mut Overlay<'_>, batch: &Batch) -> Result<(), Refusal> {
    for (index, item) in batch.items.iter().enumerate() {
        let at = format!("/data/items/{index}");
        if !is_item(item) {
            let detail = "a command of this type cannot stand in a batch; send it alone";
            return Err(Refusal::new(Code::InvalidField, format!("{at}/type"), detail));
        }
        apply(overlay, item, &format!("{at}/data"))?;
    }
    Ok(())
}

/// Whether a command may stand in a batch. Its shape was checked already; this keeps a mistake
/// there from reaching the stores.
fn is_item(command: &Command) -> bool {
    match command {
        Command::MemoryPut(_)
        | Command::MemoryPatch(_)
        | Command::MemoryTouch(_)
        | Command::MemoryDelete(_)
        | Command::MemorySupersede(_)
        | Command::RelationPut(_)
        | Command::RelationDelete(_)
        | Command::RelationStrengthen(_)
        | Command::RelationInvalidate(_) => true,
        Command::MemoryArchive(_)
        | Command::MemoryRestore(_)
        | Command::RelationDecay(_)
        | Command::Batch(_)
        | Command::SpaceCreate(_)
        | Command::SpaceErase => false,
    }
}
