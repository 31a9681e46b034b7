//! The two sides of the port, over one collection.

use async_trait::async_trait;
use uuid::Uuid;

use super::{
    super::{Checkpoint, Error, Hit, Layout, Project, Read, Search, Stored, Write, point_id},
    Options,
    collection::Collection,
    connection::Connection,
    failure::Failure,
    question, write,
};
use crate::model::{Answer, Digest, MemoryId, Space, Version};

/// Why a store could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The address is none.
    #[error("`qdrant.url` is no address")]
    Address,
    /// The key holds a character that no header may.
    #[error("`qdrant.api_key` holds a character that a header cannot carry")]
    Key,
    /// TLS could not be set up.
    #[error("TLS for `qdrant.url` cannot be set up")]
    Tls,
    /// The server answered, and will not do.
    #[error("{0}")]
    Server(String),
}

/// The vector store on a server. Clones share the connection.
#[derive(Debug, Clone)]
pub struct QdrantVectors {
    collection: Collection,
}

impl QdrantVectors {
    /// Connects and sets the collection up. A server that cannot be reached is no error: it may come later,
    /// and until then every write is `Transient`.
    ///
    /// # Errors
    /// [`OpenError`] when the settings cannot work, the key is refused, or the server is too old.
    pub async fn open(options: &Options) -> Result<Self, OpenError> {
        let collection = Collection::new(Connection::new(options)?, options);
        match collection.ready().await {
            Ok(()) => {}
            Err(Failure::Away(reason)) if ["server_too_old", "access_denied"].contains(&reason.code) => {
                return Err(OpenError::Server(reason.detail));
            }
            Err(failure) => {
                let error = failure.error();
                tracing::warn!(%error, "the vector store is away at start; what needs it waits for it");
            }
        }
        Ok(Self { collection })
    }
}

#[async_trait]
impl Project for QdrantVectors {
    async fn write(&self, writes: &[Write]) -> Vec<Answer> {
        write::apply(&self.collection, writes).await
    }

    async fn markers(
        &self,
        points: &[(Space, MemoryId, Layout)],
    ) -> Result<Vec<Option<(Version, Digest)>>, Error> {
        self.collection.ready().await.map_err(Failure::error)?;
        let ids: Vec<Uuid> = points.iter().map(|(space, id, _)| point_id(space, id)).collect();
        let held = write::held(&self.collection, &ids).await.map_err(Failure::error)?;
        Ok(ids.iter().map(|id| held.get(id).copied()).collect())
    }

    async fn remove(&self, points: &[(Space, MemoryId, Version)]) -> Result<Vec<bool>, Error> {
        write::remove(&self.collection, points).await
    }

    fn durable_when_acknowledged(&self) -> bool {
        true
    }

    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.collection.remember(checkpoint).await.map_err(Failure::error)
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        self.collection.remembered().await.map_err(Failure::error)
    }

    async fn clear(&self) -> Result<(), Error> {
        self.collection.clear().await.map_err(Failure::error)
    }

    async fn probe(&self) -> Result<(), Error> {
        write::probe(&self.collection).await.map_err(Failure::error)
    }
}

#[async_trait]
impl Read for QdrantVectors {
    async fn search(&self, search: &Search) -> Result<Vec<Hit>, Error> {
        Box::pin(question::search(&self.collection, search)).await
    }

    async fn ids(&self, cursor: Option<String>, limit: usize) -> Result<(Vec<Uuid>, Option<String>), Error> {
        question::ids(&self.collection, cursor.as_deref(), limit).await
    }

    async fn points(&self, ids: &[Uuid]) -> Result<Vec<Stored>, Error> {
        question::points(&self.collection, ids).await
    }

    async fn scan(
        &self,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Stored>, Option<String>), Error> {
        question::scan(&self.collection, cursor.as_deref(), limit).await
    }
}
