//! A worker over the embedded stores in one folder, with a watch on the index.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::{Error, at};
use crate::{
    clock::{Clock, SystemClock},
    ledger::{Decide, sqlite::SqliteLedger},
    log::{CommandLog, NewRecord, embedded::EmbeddedLog},
    model::{Answer, Digest, MemoryId, Space, Version, answer::Reason},
    random::Random,
    reader::{Announcing, Waiters},
    saga::plan::Planner,
    tasks::Tasks,
    vector::{self, Checkpoint, Layout, edge::EdgeVectors},
    worker::{self, Ports, board::Board},
};

/// Appends that are under way at once.
const APPENDS_MAX: usize = 4;

/// Seconds spent, by where.
pub(super) struct Spent {
    pub(super) vectors: f64,
    pub(super) turns: f64,
    pub(super) decode: f64,
}

/// A worker over the embedded stores in one folder.
pub(super) struct World {
    pub(super) log: EmbeddedLog,
    pub(super) ledger: SqliteLedger,
    pub(super) vectors: Timed,
    /// Who waits for an outcome.
    pub(super) waiters: Waiters,
    board: Board,
    pub(super) tasks: Tasks,
    running: tokio::task::JoinHandle<Result<(), worker::Error>>,
}

impl World {
    /// Opens the folder, making it, and starts a worker.
    pub(super) async fn open(folder: &Path, options: worker::Options) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(at("make a folder"))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random = Random::from_system();
        let settings = crate::log::embedded::Options {
            path: folder.join("log.db"),
            ..crate::log::embedded::Options::default()
        };
        let log = EmbeddedLog::open(&settings, clock.clone(), &random).await.map_err(at("open the log"))?;
        let ledger = SqliteLedger::open(folder.join("ledger.db"), &Default::default(), &random)
            .await
            .map_err(at("open the ledger"))?;
        let index =
            EdgeVectors::open(&folder.join("index"), Default::default()).map_err(at("open the index"))?;
        let vectors = Timed::over(index);
        let waiters = Waiters::default();
        let (board, tasks) = (Board::default(), Tasks::new());
        let ports = Ports {
            log: Arc::new(log.clone()),
            outcomes: Arc::new(Announcing::new(Arc::new(log.clone()), waiters.clone())),
            dead_letters: Arc::new(log.clone()),
            ledger: Arc::new(ledger.clone()),
            vectors: Arc::new(vectors.clone()),
            graph: None,
            decide: Arc::new(Planner::default()) as Arc<dyn Decide>,
            clock,
            random,
            board: board.clone(),
        };
        let running = tasks.spawn(worker::run(ports, options, tasks.clone()));
        Ok(Self { log, ledger, vectors, waiters, board, tasks, running })
    }

    /// Appends in one call.
    pub(super) async fn append(&self, records: Vec<NewRecord>) -> Result<(), Error> {
        for answer in self.log.append(records).await {
            answer.map_err(at("append"))?;
        }
        Ok(())
    }

    /// Appends everything, a few batches at a time; seconds until the last was durable.
    pub(super) async fn append_all(&self, records: Vec<NewRecord>, batch: usize) -> Result<f64, Error> {
        use futures::{StreamExt as _, TryStreamExt as _};
        let started = Instant::now();
        let batches: Vec<Vec<NewRecord>> = records.chunks(batch).map(<[NewRecord]>::to_vec).collect();
        futures::stream::iter(batches.into_iter().map(|batch| self.append(batch)))
            .buffered(APPENDS_MAX)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Waits until everything below `watermark` has ended.
    pub(super) async fn until(&self, watermark: u64) -> Result<(), Error> {
        self.wait(|status| status.watermark >= watermark && status.unfinished == 0).await
    }

    /// Waits until everything below `watermark` is in the ledger.
    pub(super) async fn until_inboxed(&self, watermark: u64) -> Result<(), Error> {
        self.wait(|status| status.watermark >= watermark).await
    }

    async fn wait(&self, ready: impl Fn(&worker::board::PartitionStatus) -> bool) -> Result<(), Error> {
        loop {
            if self.board.partitions().iter().any(&ready) {
                return Ok(());
            }
            if self.running.is_finished() {
                return Err(Error { step: "wait for the worker", why: "it has ended".to_owned() });
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    /// Where the time went.
    pub(super) fn spent(&self) -> Spent {
        let statuses = self.board.partitions();
        let seconds = |micros: u64| micros as f64 / 1e6;
        Spent {
            vectors: self.vectors.0.lock_seconds(),
            turns: seconds(statuses.iter().map(|status| status.turns_micros).sum()),
            decode: seconds(statuses.iter().map(|status| status.decode_micros).sum()),
        }
    }

    /// Stops in good order.
    pub(super) async fn close(self) -> Result<(), Error> {
        self.tasks.stop();
        let Self { log, ledger, vectors, running, .. } = self;
        running.await.map_err(at("join the worker"))?.map_err(at("stop the worker"))?;
        log.close().await;
        ledger.close().await.map_err(at("close the ledger"))?;
        vectors.0.inner.close().await;
        Ok(())
    }

    /// Lets go of the folder after a kill.
    pub(super) async fn let_go(self) -> Result<(), Error> {
        self.log.close().await;
        self.ledger.close().await.map_err(at("close the ledger"))?;
        self.vectors.0.inner.close().await;
        Ok(())
    }
}

/// The index, with a watch on it and a switch before it.
#[derive(Clone)]
pub(super) struct Timed(Arc<Watched>);

struct Watched {
    inner: EdgeVectors,
    state: Mutex<Watch>,
}

#[derive(Default)]
struct Watch {
    is_down: bool,
    spent: Duration,
    first_applied: Option<Instant>,
}

impl Watched {
    fn lock_seconds(&self) -> f64 {
        self.state.lock().spent.as_secs_f64()
    }
}

impl Timed {
    /// The index itself.
    pub(super) fn index(&self) -> &EdgeVectors {
        &self.0.inner
    }

    fn over(inner: EdgeVectors) -> Self {
        Self(Arc::new(Watched { inner, state: Mutex::default() }))
    }

    /// Switches it off, or on.
    pub(super) fn set_down(&self, is_down: bool) {
        self.0.state.lock().is_down = is_down;
    }

    /// When it first applied anything.
    pub(super) fn first_applied(&self) -> Option<Instant> {
        self.0.state.lock().first_applied
    }
}

#[async_trait]
impl vector::Project for Timed {
    async fn write(&self, writes: &[vector::Write]) -> Vec<Answer> {
        if self.0.state.lock().is_down {
            return vec![Answer::Transient(Reason::new("down", "switched off")); writes.len()];
        }
        let started = Instant::now();
        let answers = self.0.inner.write(writes).await;
        let mut state = self.0.state.lock();
        state.spent += started.elapsed();
        if answers.contains(&Answer::Applied) {
            state.first_applied.get_or_insert_with(Instant::now);
        }
        answers
    }

    async fn markers(
        &self,
        points: &[(Space, MemoryId, Layout)],
    ) -> Result<Vec<Option<(Version, Digest)>>, vector::Error> {
        self.0.inner.markers(points).await
    }

    async fn remove(&self, points: &[(Space, MemoryId, Version)]) -> Result<Vec<bool>, vector::Error> {
        self.0.inner.remove(points).await
    }

    fn durable_when_acknowledged(&self) -> bool {
        self.0.inner.durable_when_acknowledged()
    }

    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), vector::Error> {
        self.0.inner.checkpoint(checkpoint).await
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, vector::Error> {
        self.0.inner.last_checkpoint().await
    }

    async fn clear(&self) -> Result<(), vector::Error> {
        self.0.inner.clear().await
    }
}
