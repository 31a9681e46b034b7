//! Vectors in a folder of this machine, through the embedded engine: no server, no network.
//!
//! ```text
//! write ─▶ queue ─▶ writer thread: look up versions ─▶ fence ─▶ one bulk upsert a shard
//! search, scan, markers ─▶ blocking threads, side by side with the writer
//! checkpoint ─▶ writer thread: flush ─▶ remember how far the ledger's finishes are held
//! ```
//!
//! The engine knows no fence, so it stands here ([`apply`]), and holds because there is one writer: a
//! folder is locked by the process that opened it. Acknowledged means applied, not durable: nothing is
//! flushed until [`checkpoint`](Project::checkpoint), and whoever opens the folder applies again what
//! finished after the last one. A process that is killed therefore loses nothing; a folder that cannot
//! be opened any more is emptied and says that it has no checkpoint, so that it is rebuilt.
//!
//! Under cosine the engine keeps dense vectors at unit length, and scans give them back so.

mod apply;
mod bulk;
mod checkpoint;
mod condition;
mod engine;
mod point;
mod question;
mod shards;
#[cfg(test)]
mod tests;
mod writer;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use qdrant_edge::PointId;
use uuid::Uuid;

pub use self::bulk::bulk_seconds;
use self::{shards::Shards, writer::Writer};
use super::{Checkpoint, Error, Hit, Layout, Project, Read, Search, Stored, Write};
use crate::model::{Answer, Digest, MemoryId, Space, Version, answer::Reason};

/// How the index uses its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Size of one file of the engine's own log, in bytes; each shard preallocates one. Default 8 MiB.
    pub log_file_bytes: usize,
    /// A checkpoint drops what it can of a shard's engine log once it is this long, in bytes: the engine
    /// never does, and recovery does not need it. Default 512 MiB.
    pub log_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { log_file_bytes: 8 << 20, log_bytes_max: 512 << 20 }
    }
}

/// Why an index could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the folder.
    #[error("the vector index is in use by another process")]
    InUse,
    /// The folder cannot be read or written.
    #[error("open the vector index")]
    Io(#[from] std::io::Error),
}

/// The vector store in a folder. Clones share it.
#[derive(Debug, Clone)]
pub struct EdgeVectors {
    // Dropped first: the shards must not be let go under its thread.
    writer: Writer,
    shards: Arc<Shards>,
}

impl EdgeVectors {
    /// Opens the index in `folder`, or makes one. Blocks while it reads the index.
    ///
    /// # Errors
    /// [`OpenError`] when another process has it, or the folder cannot be used at all. A damaged index is
    /// no error: it is emptied, and [`Project::last_checkpoint`] answers that there is none.
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        let shards = Arc::new(Shards::open(folder, options)?);
        let writer = Writer::start(Arc::clone(&shards))?;
        Ok(Self { writer, shards })
    }

    /// Builds search graphs over what has grown large, and reclaims what was rewritten. Minutes at a
    /// million points, idle below some twenty thousand; writes and searches go on, checkpoints fail
    /// meanwhile. Answers whether there was anything to do.
    ///
    /// # Errors
    /// [`Error`] when the engine could not.
    pub async fn optimize(&self) -> Result<bool, Error> {
        self.read(Shards::optimize).await
    }

    /// Flushes and lets go of the folder, so that it can be opened again. Later calls are refused.
    pub async fn close(&self) {
        if self.writer.run(|shards| shards.close()).await.is_none() {
            tracing::warn!("the vector index was closed while its writer was gone");
        }
    }

    /// Runs a question beside the writer, on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Shards) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shards = Arc::clone(&self.shards);
        let answer = tokio::task::spawn_blocking(move || question(&shards)).await;
        answer.unwrap_or_else(|_| Err(Error::Unavailable("the vector index did not answer".to_owned())))
    }

    /// Runs a change on the writer's thread.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Shards) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let gone = || Err(Error::Unavailable("the vector index has no writer".to_owned()));
        self.writer.run(change).await.unwrap_or_else(gone)
    }
}

#[async_trait]
impl Project for EdgeVectors {
    async fn write(&self, writes: &[Write]) -> Vec<Answer> {
        let owned = writes.to_vec();
        let lost = || {
            let reason = Reason::new("writer_lost", "the vector index stopped before it answered");
            vec![Answer::Indeterminate(reason); writes.len()]
        };
        self.writer.run(move |shards| apply::apply(shards, &owned)).await.unwrap_or_else(lost)
    }

    async fn markers(
        &self,
        points: &[(Space, MemoryId, Layout)],
    ) -> Result<Vec<Option<(Version, Digest)>>, Error> {
        let points = points.to_vec();
        self.read(move |shards| apply::markers(shards, &points)).await
    }

    async fn remove(&self, points: &[(Space, MemoryId, Version)]) -> Result<Vec<bool>, Error> {
        let points = points.to_vec();
        self.change(move |shards| apply::remove(shards, &points)).await
    }

    fn durable_when_acknowledged(&self) -> bool {
        false
    }

    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let checkpoint = checkpoint.clone();
        self.change(move |shards| shards.checkpoint(&checkpoint)).await
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        self.change(|shards| Ok(checkpoint::read(shards.folder()))).await
    }

    async fn clear(&self) -> Result<(), Error> {
        self.change(Shards::clear).await
    }
}

#[async_trait]
impl Read for EdgeVectors {
    async fn search(&self, search: &Search) -> Result<Vec<Hit>, Error> {
        let search = search.clone();
        self.read(move |shards| question::search(shards, &search)).await
    }

    async fn ids(&self, cursor: Option<String>, limit: usize) -> Result<(Vec<Uuid>, Option<String>), Error> {
        self.read(move |shards| shards.ids(cursor.as_deref(), limit)).await
    }

    async fn points(&self, ids: &[Uuid]) -> Result<Vec<Stored>, Error> {
        let ids: Vec<PointId> = ids.iter().copied().map(PointId::Uuid).collect();
        self.read(move |shards| shards.points(&ids)).await
    }

    async fn scan(
        &self,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Stored>, Option<String>), Error> {
        self.read(move |shards| shards.scan(cursor.as_deref(), limit)).await
    }
}
