//! `engraft completions` and `engraft man`: made from the command line's own description.

use std::{fs, path::PathBuf};

use clap_mangen::Man;

use super::{Exit, Failure, output};

/// What `man` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engraft man | man -l -
  engraft man ~/.local/share/man/man1")]
pub(super) struct Arguments {
    /// Write a page for every command into this folder; without it, the first page is printed
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Prints the completion script of a shell.
pub(super) fn complete(shell: clap_complete::Shell, mut program: clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, "engraft", &mut script);
    let mut out = output::Out::new();
    out.text(&String::from_utf8_lossy(&script))?;
    out.finish()
}

/// Prints the page of the program, or writes those of all its commands.
pub(super) fn run(arguments: &Arguments, program: clap::Command) -> Result<(), Failure> {
    let Some(folder) = &arguments.folder else {
        let mut page = Vec::new();
        Man::new(program).render(&mut page)?;
        let mut out = output::Out::new();
        out.text(&String::from_utf8_lossy(&page))?;
        return out.finish();
    };
    let made = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(program, folder));
    let shown = folder.display();
    made.map_err(|error| Failure::new(Exit::Failed, format!("cannot write pages into `{shown}`: {error}")))?;
    output::say(&format!("the pages are in `{shown}`; the first is `engraft.1`"));
    Ok(())
}
