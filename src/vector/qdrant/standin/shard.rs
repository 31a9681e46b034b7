//! Collections in a folder, one shard of the embedded engine each.
//!
//! ```text
//! folder/engraft/meta.json   dense vectors and metadata
//! folder/engraft/shard/      the engine's files
//! ```
//!
//! The engine is flushed when a collection is closed, and after every write if asked for. A kill in between
//! loses what was acknowledged, which no real server does.

use std::{
    collections::BTreeMap,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};
use qdrant_edge::{
    CreateVectorName, Distance, EdgeConfig, EdgeShard, EdgeSparseVectorParams, EdgeVectorParams,
    OperationError, OperationResult, UpdateOperation, VectorNameConfig, VectorNameOperations,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

const META: &str = "meta.json";
const SHARD: &str = "shard";

/// Every collection of the folder.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    flushes: bool,
    collections: RwLock<BTreeMap<String, Arc<Shard>>>,
}

/// One collection.
#[derive(Debug)]
pub(super) struct Shard {
    folder: PathBuf,
    flushes: bool,
    meta: Mutex<Meta>,
    engine: RwLock<Option<EdgeShard>>,
}

/// What the engine does not keep in a form that could be asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Meta {
    /// Dense vectors: name, dimension, metric.
    pub(super) dense: BTreeMap<String, (u64, Distance)>,
    /// Sparse vectors.
    pub(super) sparse: Vec<String>,
    /// Indexed payload fields.
    pub(super) indexed: Vec<String>,
    /// What the client keeps beside its points.
    pub(super) metadata: serde_json::Map<String, serde_json::Value>,
}

impl Store {
    /// Opens every collection of `folder`.
    pub(super) fn open(folder: &Path, flushes: bool) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut collections = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(meta) = fs::read(entry.path().join(META)) else { continue };
            let meta: Meta = serde_json::from_slice(&meta)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let shard = Shard::open(&entry.path(), meta, flushes, None)
                .map_err(|failed| io::Error::other(failed.to_string()))?;
            collections.insert(name, Arc::new(shard));
        }
        Ok(Self { folder: folder.to_owned(), flushes, collections: RwLock::new(collections) })
    }

    /// The collection of this name.
    pub(super) fn get(&self, name: &str) -> Result<Arc<Shard>, Status> {
        let held = self.collections.read().get(name).cloned();
        held.ok_or_else(|| Status::not_found(format!("Collection `{name}` doesn't exist!")))
    }

    /// Makes a collection.
    pub(super) fn create(&self, name: &str, meta: Meta) -> Result<(), Status> {
        let mut collections = self.collections.write();
        if collections.contains_key(name) {
            return Err(Status::already_exists(format!("Collection `{name}` already exists!")));
        }
        let folder = self.folder.join(name);
        let config = config(&meta);
        let shard = Shard::open(&folder, meta, self.flushes, Some(config))?;
        shard.save()?;
        collections.insert(name.to_owned(), Arc::new(shard));
        Ok(())
    }

    /// Drops a collection; whether there was one.
    pub(super) fn delete(&self, name: &str) -> Result<bool, Status> {
        let Some(shard) = self.collections.write().remove(name) else { return Ok(false) };
        shard.close();
        fs::remove_dir_all(&shard.folder).map_err(|error| disk(&error))?;
        Ok(true)
    }

    /// Flushes and lets go of every file; later calls find no collection.
    pub(super) fn close(&self) {
        let collections = std::mem::take(&mut *self.collections.write());
        collections.into_values().for_each(|shard| shard.close());
    }
}

impl Shard {
    fn open(folder: &Path, meta: Meta, flushes: bool, config: Option<EdgeConfig>) -> Result<Self, Status> {
        let files = folder.join(SHARD);
        fs::create_dir_all(&files).map_err(|error| disk(&error))?;
        let engine = guarded(|| EdgeShard::load(&files, config))?;
        let (meta, engine) = (Mutex::new(meta), RwLock::new(Some(engine)));
        Ok(Self { folder: folder.to_owned(), flushes, meta, engine })
    }

    /// What is kept beside the points.
    pub(super) fn meta(&self) -> Meta {
        self.meta.lock().clone()
    }

    /// Changes what is kept beside the points, durably.
    pub(super) fn change_meta(&self, change: impl FnOnce(&mut Meta)) -> Result<(), Status> {
        change(&mut self.meta.lock());
        self.save()
    }

    /// Asks the engine.
    pub(super) fn ask<T>(&self, call: impl FnOnce(&EdgeShard) -> OperationResult<T>) -> Result<T, Status> {
        let engine = self.engine.read();
        let engine = engine.as_ref().ok_or_else(|| Status::unavailable("the stand-in is closed"))?;
        guarded(|| call(engine))
    }

    /// Changes the engine's points.
    pub(super) fn update(&self, operation: UpdateOperation) -> Result<(), Status> {
        self.ask(|engine| {
            engine.update(operation)?;
            if self.flushes {
                engine.flush();
            }
            Ok(())
        })
    }

    /// Adds a dense vector.
    pub(super) fn add_vector(&self, name: &str, config: VectorNameConfig) -> Result<(), Status> {
        let VectorNameConfig::Dense(dense) = &config else {
            return Err(Status::unimplemented("the stand-in adds dense vectors alone"));
        };
        let (size, distance) = (dense.dense.size as u64, dense.dense.distance);
        if self.meta.lock().dense.contains_key(name) {
            return Err(Status::already_exists("there is a vector of this name"));
        }
        let create = CreateVectorName { vector_name: name.to_owned(), config };
        self.update(UpdateOperation::VectorNameOperation(VectorNameOperations::CreateVectorName(create)))?;
        self.change_meta(|meta| meta.dense.extend([(name.to_owned(), (size, distance))]))
    }

    fn save(&self) -> Result<(), Status> {
        let meta = self.meta.lock();
        let bytes = serde_json::to_vec(&*meta).expect("names and numbers always serialise");
        let next = self.folder.join("meta.next");
        fs::write(&next, bytes)
            .and_then(|()| fs::rename(&next, self.folder.join(META)))
            .map_err(|error| disk(&error))
    }

    fn close(&self) {
        let engine = self.engine.write().take();
        if guarded(|| {
            drop(engine);
            Ok(())
        })
        .is_err()
        {
            tracing::warn!("a collection of the stand-in was not flushed");
        }
    }
}

impl Drop for Shard {
    /// The engine panics when it cannot flush, and two panics at once would end the process.
    fn drop(&mut self) {
        self.close();
    }
}

fn config(meta: &Meta) -> EdgeConfig {
    let mut config = EdgeConfig::builder();
    for name in &meta.sparse {
        config = config.sparse_vector(name, EdgeSparseVectorParams::builder().build());
    }
    for (name, (size, distance)) in &meta.dense {
        let size = usize::try_from(*size).unwrap_or(usize::MAX);
        config = config.vector(name, EdgeVectorParams::builder(size, *distance).build());
    }
    config.build()
}

/// Calls the engine; its panics become internal errors.
fn guarded<T>(call: impl FnOnce() -> OperationResult<T>) -> Result<T, Status> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(status(&error)),
        Err(_) => Err(Status::internal("the engine panicked")),
    }
}

/// The statuses that the server gives to the engine's errors.
fn status(error: &OperationError) -> Status {
    match error {
        OperationError::WrongVectorDimension { .. }
        | OperationError::VectorNameNotExists { .. }
        | OperationError::TypeError { .. }
        | OperationError::ValidationError { .. }
        | OperationError::WrongSparse
        | OperationError::WrongMulti
        | OperationError::NonFiniteNumber { .. } => Status::invalid_argument(error.to_string()),
        _ => Status::internal(error.to_string()),
    }
}

fn disk(error: &io::Error) -> Status {
    Status::internal(format!("the stand-in cannot use its disk: {}", error.kind()))
}
