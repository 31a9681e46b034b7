//! The embedded deployment: log, ledger and index in one folder, from encoded records to committed.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::{Error, Options, Row, at, baseline, cpu, load};
use crate::{
    clock::{Clock, SystemClock},
    ledger::{Decide, sqlite::SqliteLedger},
    log::{CommandLog, NewRecord, embedded::EmbeddedLog},
    model::{Answer, Digest, MemoryId, Space, Version, answer::Reason},
    random::Random,
    saga::plan::Planner,
    tasks::Tasks,
    vector::{self, Checkpoint, Layout, edge::EdgeVectors},
    worker::{self, Ports, board::Board},
};

/// Appends that are under way at once.
const APPENDS_MAX: usize = 4;

/// Measures every row, calling `done` with each as it comes.
///
/// # Errors
/// [`Error`] when a store cannot be opened or does not answer.
pub async fn embedded(options: &Options, mut done: impl FnMut(&Row)) -> Result<Vec<Row>, Error> {
    let random = Random::from_seed(7, 0);
    let flush = worker::Options::default().checkpoint_interval;
    let mut rows = Vec::new();
    let mut add = |rows: &mut Vec<Row>, row: Row| {
        done(&row);
        rows.push(row.clone());
        row
    };
    let sqlite = baseline::sqlite(options, &options.folder, &random).await?;
    let sqlite = add(&mut rows, sqlite);
    let edge = baseline::edge(options, &options.folder, &random, flush).await?;
    let edge = add(&mut rows, edge);
    let slower = if sqlite.rate < edge.rate { sqlite } else { edge };

    let batched = throughput(options, "embedded", false, &random).await?.against(&slower);
    let batched = add(&mut rows, batched);
    let with_text = throughput(options, "embedded_text", true, &random).await?.against(&slower);
    add(&mut rows, with_text);

    let single = one_by_one(options, &random).await?;
    let single = add(&mut rows, single);
    let ratio = Row::new("embedded_over_one_by_one", batched.rate, "commands/s").against(&single);
    add(&mut rows, ratio);

    let restart = restart(options, &random).await?;
    add(&mut rows, restart);
    Ok(rows)
}

/// From the first append to the last commit, everything durable.
async fn throughput(
    options: &Options,
    name: &'static str,
    text: bool,
    random: &Random,
) -> Result<Row, Error> {
    let world = World::open(&options.folder.join(name), worker::Options::default()).await?;
    world.append(vec![load::declaration(options.dimension, text)]).await?;
    world.until(1).await?;
    let records = load::puts(random, options.count, options.dimension);
    let (started, used) = (Instant::now(), cpu::seconds());
    let appended = world.append_all(records, options.batch).await?;
    world.until(1 + options.count as u64).await?;
    let (seconds, used) = (started.elapsed().as_secs_f64(), cpu::seconds() - used);
    let spent = world.spent();
    world.close().await?;
    Ok(Row::new(name, options.count as f64 / seconds, "commands/s")
        .spent("whole", seconds)
        .spent("processor", used)
        .spent("append", appended)
        .spent("vector_store", spent.vectors)
        .spent("turns", spent.turns)
        .spent("decode", spent.decode))
}

/// One command in flight: append, begin, vector call, finish, each durable, before the next.
async fn one_by_one(options: &Options, random: &Random) -> Result<Row, Error> {
    let one = worker::Options { batch_count_max: 1, window_count_max: 1, ..worker::Options::default() };
    let world = World::open(&options.folder.join("one_by_one"), one).await?;
    world.append(vec![load::declaration(options.dimension, false)]).await?;
    world.until(1).await?;
    let records = load::puts(random, options.count_single, options.dimension);
    let started = Instant::now();
    for (number, record) in records.into_iter().enumerate() {
        world.append(vec![record]).await?;
        world.until(2 + number as u64).await?;
    }
    let seconds = started.elapsed().as_secs_f64();
    world.close().await?;
    Ok(Row::new("one_by_one", options.count_single as f64 / seconds, "commands/s").spent("whole", seconds))
}

/// From the start of a worker, its ledger full of unfinished sagas, to the first write it makes.
async fn restart(options: &Options, random: &Random) -> Result<Row, Error> {
    let folder = options.folder.join("restart");
    let count = options.count_unfinished;
    let world = World::open(&folder, worker::Options::default()).await?;
    world.append(vec![load::declaration(options.dimension, false)]).await?;
    world.until(1).await?;
    world.vectors.set_down(true);
    world.append_all(load::puts(random, count, options.dimension), options.batch).await?;
    world.until_inboxed(1 + count as u64).await?;
    world.tasks.kill();
    world.let_go().await?;

    let started = Instant::now();
    let world = World::open(&folder, worker::Options::default()).await?;
    let first = loop {
        if let Some(at) = world.vectors.first_applied() {
            break at.duration_since(started).as_secs_f64();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    world.until(1 + count as u64).await?;
    let all = started.elapsed().as_secs_f64();
    world.close().await?;
    Ok(Row::new("restart_to_first_apply", first, "s").spent("to_all_committed", all))
}

/// Seconds spent, by where.
struct Spent {
    vectors: f64,
    turns: f64,
    decode: f64,
}

/// A worker over the embedded stores in one folder.
struct World {
    log: EmbeddedLog,
    ledger: SqliteLedger,
    vectors: Timed,
    board: Board,
    tasks: Tasks,
    running: tokio::task::JoinHandle<Result<(), worker::Error>>,
}

impl World {
    async fn open(folder: &Path, options: worker::Options) -> Result<Self, Error> {
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
        let (board, tasks) = (Board::default(), Tasks::new());
        let ports = Ports {
            log: Arc::new(log.clone()),
            outcomes: Arc::new(log.clone()),
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
        Ok(Self { log, ledger, vectors, board, tasks, running })
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<(), Error> {
        for answer in self.log.append(records).await {
            answer.map_err(at("append"))?;
        }
        Ok(())
    }

    /// Appends everything, a few batches at a time; seconds until the last was durable.
    async fn append_all(&self, records: Vec<NewRecord>, batch: usize) -> Result<f64, Error> {
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
    async fn until(&self, watermark: u64) -> Result<(), Error> {
        self.wait(|status| status.watermark >= watermark && status.unfinished == 0).await
    }

    async fn until_inboxed(&self, watermark: u64) -> Result<(), Error> {
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

    fn spent(&self) -> Spent {
        let statuses = self.board.partitions();
        let seconds = |micros: u64| micros as f64 / 1e6;
        Spent {
            vectors: self.vectors.0.lock_seconds(),
            turns: seconds(statuses.iter().map(|status| status.turns_micros).sum()),
            decode: seconds(statuses.iter().map(|status| status.decode_micros).sum()),
        }
    }

    /// Stops in good order.
    async fn close(self) -> Result<(), Error> {
        self.tasks.stop();
        let Self { log, ledger, vectors, running, .. } = self;
        running.await.map_err(at("join the worker"))?.map_err(at("stop the worker"))?;
        log.close().await;
        ledger.close().await.map_err(at("close the ledger"))?;
        vectors.0.inner.close().await;
        Ok(())
    }

    /// Lets go of the folder after a kill.
    async fn let_go(self) -> Result<(), Error> {
        self.log.close().await;
        self.ledger.close().await.map_err(at("close the ledger"))?;
        self.vectors.0.inner.close().await;
        Ok(())
    }
}

/// The index, with a watch on it and a switch before it.
#[derive(Clone)]
struct Timed(Arc<Watched>);

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
    fn over(inner: EdgeVectors) -> Self {
        Self(Arc::new(Watched { inner, state: Mutex::default() }))
    }

    fn set_down(&self, is_down: bool) {
        self.0.state.lock().is_down = is_down;
    }

    fn first_applied(&self) -> Option<Instant> {
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
