//! `engraft demo`: the whole of it in two minutes, on a temporary folder.
//!
//! ```text
//! ingest ─▶ search ─▶ walk ─▶ stall the server between two stores ─▶ kill -9 ─▶ look at what is half done
//!                                                       audit ◀─ look again ◀─ start it again ◀─┘
//! ```
//!
//! The server is a process of its own: this program, run again with `serve`. Everything is asked of
//! it over HTTP, as any client would; only what a killed server left behind is read from its files.
//! The sample and its vectors are in the program, so that it needs nothing else.

mod crash;
mod sample;
mod script;
mod server;
mod stage;

use std::{io, path::PathBuf};

use crate::cli::{Exit, Failure};

use stage::Stage;

/// What `demo` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engraft demo
  engraft demo --keep")]
pub struct Arguments {
    /// Keep the data folder, to look at it afterwards
    #[arg(long)]
    keep: bool,
}

/// Runs the demo.
///
/// # Errors
/// When a step does not come out as it must, the audit included.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = Folder::new(arguments.keep)?;
    let mut stage = Stage::new();
    let played = script::play(&mut stage, &folder.path);
    match &played {
        Ok(()) if arguments.keep => stage.say(&format!("The data is kept in {}", folder.path.display()))?,
        Ok(()) => {}
        Err(failure) if failure.is_closed_pipe() => {}
        Err(_) => stage.say(&server::last_words(&folder.path))?,
    }
    played
}

/// A folder that goes when the demo does.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn new(keep: bool) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("engraft-demo-{}", std::process::id()));
        let made = std::fs::create_dir(&path);
        made.map_err(|error: io::Error| {
            Failure::new(Exit::Failed, format!("cannot make the folder `{}`: {error}", path.display()))
        })?;
        Ok(Self { path, keep })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, "the demo's folder was not removed");
        }
    }
}
