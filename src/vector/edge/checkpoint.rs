//! The checkpoint's file: how far the flushed index is, in finishes of one ledger.
//!
//! `checkpoint.json` in the index folder. Stable: the fields of [`Checkpoint`], only ever added to.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use super::super::Checkpoint;

const FILE: &str = "checkpoint.json";
const NEXT: &str = "checkpoint.json.next";

/// The checkpoint; `None` when there is none, or none that can be read: the index is rebuilt then.
pub(super) fn read(folder: &Path) -> Option<Checkpoint> {
    let bytes = fs::read(folder.join(FILE)).ok()?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| tracing::warn!(%error, "the vector index has an unreadable checkpoint"))
        .ok()
}

/// Replaces the checkpoint as a whole: a crash leaves the old one or the new one.
pub(super) fn write(folder: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    let mut file = File::create(folder.join(NEXT))?;
    file.write_all(&serde_json::to_vec(checkpoint)?)?;
    file.sync_all()?;
    fs::rename(folder.join(NEXT), folder.join(FILE))?;
    sync_folder(folder)
}

/// Removes the checkpoint, durably: from here on the index must be rebuilt.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_folder(folder),
    }
}

/// Makes the folder's list of names durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_checkpoint_is_no_checkpoint() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read(folder.path()), None);
        let checkpoint = Checkpoint { ledger: "l-1".to_owned(), finishes: vec![(1, 0, 17)] };
        write(folder.path(), &checkpoint).expect("written");
        assert_eq!(read(folder.path()), Some(checkpoint));
        fs::write(folder.path().join(FILE), br#"{"ledger":"l-1","fin"#).expect("torn");
        assert_eq!(read(folder.path()), None);
        remove(folder.path()).expect("removed");
        remove(folder.path()).expect("removed again");
    }
}
