//! A worker over the embedded stores in one folder, with a watch on the index.

use std::{path::Path, sync::Arc};

use tokio::time::Instant;

use super::{Error, at, watched::Timed, work::Work};
use crate::{
    clock::{Clock, SystemClock},
    ledger::{Decide, sqlite::SqliteLedger},
    log::{CommandLog, NewRecord, embedded::EmbeddedLog},
    random::Random,
    reader::{Announcing, Waiters},
    saga::plan::Planner,
    vector::edge::EdgeVectors,
    worker::{self, Ports},
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
    pub(super) index: EdgeVectors,
    pub(super) vectors: Timed,
    /// Who waits for an outcome.
    pub(super) waiters: Waiters,
    pub(super) work: Work,
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
        let vectors = Timed::over(Arc::new(index.clone()));
        let waiters = Waiters::default();
        let work = Work::start(options, |board| Ports {
            log: Arc::new(log.clone()),
            outcomes: Arc::new(Announcing::new(Arc::new(log.clone()), waiters.clone())),
            dead_letters: Arc::new(log.clone()),
            ledger: Arc::new(ledger.clone()),
            vectors: Arc::new(vectors.clone()),
            graph: None,
            decide: Arc::new(Planner::default()) as Arc<dyn Decide>,
            clock,
            random,
            board,
        });
        Ok(Self { log, ledger, index, vectors, waiters, work })
    }

    /// Appends in one call.
    pub(super) async fn append(&self, records: Vec<NewRecord>) -> Result<(), Error> {
        append(&self.log, records).await
    }

    /// Appends everything, a few batches at a time; seconds until the last was durable.
    pub(super) async fn append_all(&self, records: Vec<NewRecord>, batch: usize) -> Result<f64, Error> {
        append_all(&self.log, records, batch).await
    }

    /// Waits until everything below `watermark` has ended.
    pub(super) async fn until(&self, watermark: u64) -> Result<(), Error> {
        Work::until(&[&self.work], watermark).await
    }

    /// Waits until everything below `watermark` is in the ledger.
    pub(super) async fn until_inboxed(&self, watermark: u64) -> Result<(), Error> {
        Work::until_inboxed(&[&self.work], watermark).await
    }

    /// Where the time went.
    pub(super) fn spent(&self) -> Spent {
        let statuses = self.work.partitions();
        let seconds = |micros: u64| micros as f64 / 1e6;
        Spent {
            vectors: self.vectors.seconds(),
            turns: seconds(statuses.iter().map(|status| status.turns_micros).sum()),
            decode: seconds(statuses.iter().map(|status| status.decode_micros).sum()),
        }
    }

    /// Stops in good order.
    pub(super) async fn close(self) -> Result<(), Error> {
        let Self { log, ledger, index, work, .. } = self;
        work.stop().await?;
        log.close().await;
        ledger.close().await.map_err(at("close the ledger"))?;
        index.close().await;
        Ok(())
    }

    /// Kills the worker and lets go of the folder.
    pub(super) async fn kill(self) -> Result<(), Error> {
        self.work.kill();
        self.log.close().await;
        self.ledger.close().await.map_err(at("close the ledger"))?;
        self.index.close().await;
        Ok(())
    }
}

/// Appends in one call.
pub(super) async fn append(log: &dyn CommandLog, records: Vec<NewRecord>) -> Result<(), Error> {
    for answer in log.append(records).await {
        answer.map_err(at("append"))?;
    }
    Ok(())
}

/// Appends everything, a few batches at a time; seconds until the last was durable.
pub(super) async fn append_all(
    log: &dyn CommandLog,
    records: Vec<NewRecord>,
    batch: usize,
) -> Result<f64, Error> {
    use futures::{StreamExt as _, TryStreamExt as _};
    let started = Instant::now();
    let batches: Vec<Vec<NewRecord>> = records.chunks(batch).map(<[NewRecord]>::to_vec).collect();
    futures::stream::iter(batches.into_iter().map(|batch| append(log, batch)))
        .buffered(APPENDS_MAX)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(started.elapsed().as_secs_f64())
}
