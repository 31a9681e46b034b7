//! `engraft memory …`: reads and writes of memories, through a running server.

mod read;
mod write;

use crate::model::{MemoryId, Space};

use super::Failure;

/// What can be done with memories.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show one memory
    #[command(after_help = "\
Examples:
  engraft memory get acme m-1
  engraft memory get acme m-1 --vectors -o json")]
    Get(read::Get),
    /// List the memories of a space by id
    #[command(after_help = "\
Examples:
  engraft memory list acme --limit 10
  engraft memory list acme --all -o jsonl")]
    List(read::List),
    /// Put a memory, in the place of one that has its id
    #[command(after_help = "\
Examples:
  engraft memory put acme m-1 'Ada likes green tea'
  engraft memory put acme m-1 --content-file notes.md --property topic=tea --property turn=3
  engraft memory put acme m-1 'Tea' --vector '[0.1,0.9]' --if-absent")]
    Put(write::Put),
    /// Change some fields of a memory
    #[command(after_help = "\
Examples:
  engraft memory patch acme m-1 --importance 0.9 --property topic=null
  engraft memory patch acme m-1 'Ada likes black tea' --if-version 1.40")]
    Patch(write::Patch),
    /// Delete a memory and its relations
    #[command(after_help = "\
Examples:
  engraft memory delete acme m-1
  engraft memory delete acme m-1 --if-version 1.40")]
    Delete(write::Delete),
    /// Find what is nearest to some words or to a vector
    #[command(after_help = "\
Examples:
  engraft memory search acme 'green tea'
  engraft memory search acme --vector query.json --limit 3 --where 'turn>=3' --where topic=tea
  engraft memory search acme 'green tea' --vector '[0.1,0.9]' -o jsonl")]
    Search(read::Search),
    /// Walk to what lies within some hops
    #[command(after_help = "\
Examples:
  engraft memory neighbors acme m-1 --depth 2
  engraft memory neighbors acme m-1 --direction out --types CAUSES,RELATES_TO")]
    Neighbors(read::Neighbors),
    /// Tell what a memory came from, and what came of it
    #[command(after_help = "\
Examples:
  engraft memory lineage acme m-1
  engraft memory lineage acme m-1 --direction backward --depth 3")]
    Lineage(read::Lineage),
    /// Show the versions of a memory, where its space keeps them
    #[command(after_help = "\
Examples:
  engraft memory history acme m-1
  engraft memory history acme m-1 -o jsonl")]
    History(read::History),
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Get(arguments) => arguments.run(),
        Command::List(arguments) => arguments.run(),
        Command::Put(arguments) => arguments.run(),
        Command::Patch(arguments) => arguments.run(),
        Command::Delete(arguments) => arguments.run(),
        Command::Search(arguments) => arguments.run(),
        Command::Neighbors(arguments) => arguments.run(),
        Command::Lineage(arguments) => arguments.run(),
        Command::History(arguments) => arguments.run(),
    }
}

/// A memory, in a message.
fn name(space: &Space, id: &MemoryId) -> String {
    format!("memory `{id}` in `{space}`")
}
