//! One shard of the embedded engine, with its quirks kept behind this file.
//!
//! - It panics where it cannot go on (a lock that is held, a flush that fails, a file that lies): every
//!   call is caught and becomes [`Failure::Broken`].
//! - After an error of its own it takes no more writes until it is opened again: the shards do that.
//! - It writes a log of its own, replays none of it and never shortens it. Recovery here is another
//!   (heads are applied again), so the log is only cut when the shard is opened.
//! - A write numbered below what a point has is skipped in silence, and the log gives the numbers: its
//!   last closed file must stay.

use std::{
    fs, io,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use qdrant_edge::{
    CreateIndex, Distance, EdgeConfig, EdgeShard, EdgeSparseVectorParams, EdgeVectorParams,
    FieldIndexOperations, JsonPath, OperationError, OperationResult, PayloadSchemaType, PointId,
    PointInsertOperations, PointOperations, PointStructPersisted, Record, ScoredPoint, ScrollRequest,
    SearchRequest, UpdateOperation, WalOptions, WithPayloadInterface, WithVector,
};

use super::{
    Options,
    point::{DENSE, KIND, SESSION, SPACE, SPARSE},
    shards::Place,
};
use crate::model::space::Metric;

const LOG_FOLDER: &str = "wal";

/// Why the engine did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// It will never take these bytes.
    Refused,
    /// It may have done a part, and must be opened again.
    Broken,
}

/// One open shard; `None` only while it is being closed.
#[derive(Debug)]
pub(super) struct Engine(Option<EdgeShard>);

impl Engine {
    /// Opens the shard in `folder`, which may be empty, after cutting its log.
    pub(super) fn open(folder: &Path, place: Place, options: Options) -> Result<Self, Failure> {
        let io = |error: io::Error| broken("open a shard", &error);
        fs::create_dir_all(folder).map_err(io)?;
        cut_log(&folder.join(LOG_FOLDER)).map_err(io)?;
        let engine = guarded("open a shard", || EdgeShard::load(folder, Some(config(place, options))))?;
        let engine = Self(Some(engine));
        for field in [SPACE, KIND, SESSION] {
            index_keyword(engine.shard(), field)?;
        }
        Ok(engine)
    }

    /// Writes points, whatever was there.
    pub(super) fn upsert(&self, points: Vec<PointStructPersisted>) -> Result<(), Failure> {
        let points = PointInsertOperations::PointsList(points);
        let operation = UpdateOperation::PointOperation(PointOperations::UpsertPoints(points));
        guarded("upsert points", || self.shard().update(operation))
    }

    /// Removes points with all that they have.
    pub(super) fn remove(&self, ids: Vec<PointId>) -> Result<(), Failure> {
        let operation = UpdateOperation::PointOperation(PointOperations::DeletePoints { ids });
        guarded("remove points", || self.shard().update(operation))
    }

    /// The points among `ids` that are there, with `payload` and no vectors.
    pub(super) fn retrieve(
        &self,
        ids: &[PointId],
        payload: &WithPayloadInterface,
    ) -> Result<Vec<Record>, Failure> {
        let (payload, vectors) = (payload.clone(), WithVector::Bool(false));
        guarded("retrieve points", || self.shard().retrieve(ids, Some(payload), Some(vectors)))
    }

    /// The nearest points.
    pub(super) fn search(&self, request: SearchRequest) -> Result<Vec<ScoredPoint>, Failure> {
        guarded("search", || self.shard().search(request))
    }

    /// The points among `ids` that are there, with all that they have.
    pub(super) fn points(&self, ids: &[PointId]) -> Result<Vec<Record>, Failure> {
        let (payload, vectors) = (WithPayloadInterface::Bool(true), WithVector::Bool(true));
        guarded("retrieve points", || self.shard().retrieve(ids, Some(payload), Some(vectors)))
    }

    /// Points by rising id from `from`, with all that they have or with none of it, and where to go on.
    pub(super) fn scroll(
        &self,
        from: Option<PointId>,
        limit: usize,
        content: bool,
    ) -> Result<(Vec<Record>, Option<PointId>), Failure> {
        let request = ScrollRequest {
            offset: from,
            limit: Some(limit),
            with_payload: Some(WithPayloadInterface::Bool(content)),
            with_vector: WithVector::Bool(content),
            ..ScrollRequest::default()
        };
        guarded("scroll", || self.shard().scroll(request))
    }

    /// Makes everything written so far durable.
    pub(super) fn flush(&self) -> Result<(), Failure> {
        guarded("flush", || {
            self.shard().flush();
            Ok(())
        })
    }

    /// Builds and merges segments; whether there was anything to do.
    pub(super) fn optimize(&self) -> Result<bool, Failure> {
        guarded("optimize", || self.shard().optimize())
    }

    /// Flushes and lets go of the folder.
    pub(super) fn close(mut self) -> Result<(), Failure> {
        let shard = self.0.take();
        guarded("close a shard", || {
            drop(shard);
            Ok(())
        })
    }

    fn shard(&self) -> &EdgeShard {
        self.0.as_ref().expect("only `close` and `drop` take it, and nobody asks after them")
    }
}

impl Drop for Engine {
    /// The engine flushes when it is dropped and panics when it cannot; two such panics would end the
    /// process. What is lost so is applied again from the last checkpoint on; the log line says it.
    fn drop(&mut self) {
        let shard = self.0.take();
        let closed = guarded("close a shard", || {
            drop(shard);
            Ok(())
        });
        debug_assert!(closed.is_ok() || closed == Err(Failure::Broken), "closing refuses nothing");
    }
}

/// The length of the engine's own log of the shard in `folder`, in bytes.
pub(super) fn log_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder.join(LOG_FOLDER))? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// Removes the closed files of a log but the last. The shard must not be open.
fn cut_log(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let mut closed = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let start = name.to_str().and_then(|name| name.strip_prefix("closed-"));
        if let Some(start) = start.and_then(|start| start.parse::<u64>().ok()) {
            closed.push((start, entry.path()));
        }
    }
    closed.sort_unstable();
    closed.pop();
    // From the lowest, so that a crash leaves no gap.
    closed.iter().try_for_each(|(_, path)| fs::remove_file(path))
}

fn config(place: Place, options: Options) -> EdgeConfig {
    let log = WalOptions {
        segment_capacity: options.log_file_bytes,
        segment_queue_len: 0,
        retain_closed: NonZeroUsize::MIN,
    };
    let config = EdgeConfig::builder()
        .sparse_vector(SPARSE, EdgeSparseVectorParams::builder().build())
        .wal_options(log);
    let Place::Dense(dimension, metric) = place else { return config.build() };
    let distance = match metric {
        Metric::Cosine => Distance::Cosine,
        Metric::Dot => Distance::Dot,
        Metric::Euclid => Distance::Euclid,
    };
    config.vector(DENSE, EdgeVectorParams::builder(dimension as usize, distance).build()).build()
}

fn index_keyword(engine: &EdgeShard, field: &str) -> Result<(), Failure> {
    let field_name: JsonPath = field.parse().expect("a plain name is a path");
    if engine.info().payload_schema.contains_key(&field_name) {
        return Ok(());
    }
    let field_schema = Some(PayloadSchemaType::Keyword.into());
    let create = FieldIndexOperations::CreateIndex(CreateIndex { field_name, field_schema });
    guarded("index a field", || engine.update(UpdateOperation::FieldIndexOperation(create)))
}

/// Calls the engine; neither its panics nor its words leave this file.
fn guarded<T>(what: &'static str, call: impl FnOnce() -> OperationResult<T>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(classify(what, &error)),
        Err(_) => Err(broken(what, &"it panicked")),
    }
}

fn classify(what: &'static str, error: &OperationError) -> Failure {
    match error {
        OperationError::WrongVectorDimension { .. }
        | OperationError::VectorNameNotExists { .. }
        | OperationError::TypeError { .. }
        | OperationError::ValidationError { .. }
        | OperationError::WrongSparse
        | OperationError::WrongMulti
        | OperationError::NonFiniteNumber { .. } => Failure::Refused,
        _ => broken(what, error),
    }
}

fn broken(what: &'static str, error: &dyn std::fmt::Display) -> Failure {
    tracing::error!(call = what, %error, "the vector engine failed");
    Failure::Broken
}
