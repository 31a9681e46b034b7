//! The worker: takes commands from the log, and sees each to its one terminal outcome.
//!
//! ```text
//!  log ─▶ intake ─▶ owner ─▶ one ledger transaction a turn: finish · decide · start · begin
//!         decode      ▲ │
//!                     │ └─▶ saga::execute / saga::undo ─▶ stores
//!                     └──────────── acknowledged, refused ◀──┘
//!                       └─▶ relay ─▶ outcomes, dead letters
//! ```
//!
//! Each assigned partition has one owner, which alone decides for it: a loop of turns. A turn is one
//! transaction that does everything that is ready, so batches form by themselves while the last one
//! commits. Stores are called meanwhile, in bulk, for sagas that cannot conflict.
//!
//! **Invariant**: an owner that cannot know what a transaction did forgets everything and reads the
//! ledger again. Recovery after a crash is the same code.

mod backlog;
pub mod board;
mod careful;
pub mod checkpoint;
pub mod checks;
pub mod explain;
pub mod fence;
pub mod inspect;
mod intake;
mod orders;
mod owner;
mod owners;
mod relay;
mod sweep;
mod tenure;
#[cfg(test)]
mod tests;
mod window;

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    graph,
    ledger::{self, Decide, EpochRow, Ledger},
    log::{CommandLog, DeadLetters, OutcomeSink, ReadError, envelope::Limits},
    random::Random,
    tasks::Tasks,
    vector,
};

use owners::Owners;

/// Everything that the worker touches.
#[derive(Clone)]
pub struct Ports {
    /// Where commands come from.
    pub log: Arc<dyn CommandLog>,
    /// Where outcomes go.
    pub outcomes: Arc<dyn OutcomeSink>,
    /// Where records go that could not be read.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Where everything is decided.
    pub ledger: Arc<dyn Ledger>,
    /// The vector store.
    pub vectors: Arc<dyn vector::Project>,
    /// The graph store, where it is a projection; `None`: the graph is the ledger's heads.
    pub graph: Option<Arc<dyn graph::Project>>,
    /// What commands mean.
    pub decide: Arc<dyn Decide>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Nonces and jitter.
    pub random: Random,
    /// Where it says what it is doing.
    pub board: board::Board,
}

/// How much at once, and how long to wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Most records inboxed by one transaction.
    pub batch_count_max: usize,
    /// Most sagas of this process that are with the stores at once; their images are in memory.
    pub window_count_max: usize,
    /// Most bytes of these images.
    pub window_bytes_max: usize,
    /// Most unfinished sagas of a partition; beyond it intake pauses and the log keeps the rest.
    pub backlog_count_max: usize,
    /// First pause after a store or the ledger did not answer.
    pub backoff_min: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// How long a lease that was seen to hold is relied on before a store is called. Counted by a clock
    /// that goes on while the process is stopped.
    pub lease_term: Duration,
    /// How often the log is asked whether it is still the one of the epoch.
    pub log_check_interval: Duration,
    /// How often the ledger is asked for what operators order.
    pub orders_interval: Duration,
    /// How often the vector store is made durable, where acknowledging does not.
    pub checkpoint_interval: Duration,
    /// Shortest time from one round of reclaiming images to the next. A round looks at all of them.
    pub sweep_interval: Duration,
    /// What a record may be.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_count_max: 2_000,
            window_count_max: 10_000,
            window_bytes_max: 256 << 20,
            backlog_count_max: 100_000,
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(5),
            lease_term: Duration::from_secs(10),
            log_check_interval: Duration::from_secs(10),
            orders_interval: Duration::from_secs(1),
            checkpoint_interval: Duration::from_secs(5),
            sweep_interval: Duration::from_secs(60),
            limits: Limits::default(),
        }
    }
}

/// Why the worker cannot run at all. What stops one partition alone stands on the board.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log does not answer at start.
    #[error("open the log: {0}")]
    Log(#[from] ReadError),
    /// The ledger does not answer at start.
    #[error("open the ledger: {0}")]
    Ledger(#[from] ledger::Error),
    /// The vector store cannot be brought up to date.
    #[error("bring the vector store up to date: {0}")]
    Vector(#[from] vector::Error),
    /// The log is not the one that the ledger knows.
    #[error(transparent)]
    Contradiction(#[from] checks::Contradiction),
}

/// Works until `tasks` stops.
///
/// # Errors
/// [`Error`] when it cannot start.
pub async fn run(ports: Ports, options: Options, tasks: Tasks) -> Result<(), Error> {
    let epoch = open_epoch(&ports).await?;
    let recovered = checkpoint::bring_up_to_date(&*ports.ledger, &*ports.vectors, &epoch).await?;
    ports.board.vectors_are_level();
    tracing::info!(?recovered, "the vector store is up to date");
    let mut membership = ports.log.join().await?;
    tasks.spawn(sweep::run(ports.ledger.clone(), ports.board.clone(), options.sweep_interval, tasks.clone()));
    let process = ports.random.next_u64().max(1);
    let mut owners = Owners::new(ports.clone(), options.clone(), epoch.epoch, process, tasks.clone());
    let mut next_checkpoint = tokio::time::Instant::now() + options.checkpoint_interval;
    let mut log_checks = tokio::time::interval(options.log_check_interval);
    log_checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ended = Ok(());
    loop {
        tokio::select! {
            biased;
            () = tasks.stopping() => break,
            partition = owners.left() => {
                membership.released(partition).await;
                owners.released(partition);
            }
            assignment = membership.next() => match assignment {
                Some(assignment) => owners.hear(assignment),
                None => break,
            },
            _ = log_checks.tick() => if let Err(contradiction) = still_the_same(&ports, &epoch).await {
                tracing::error!(%contradiction, "the worker stops");
                ended = Err(contradiction.into());
                break;
            },
            () = tokio::time::sleep_until(next_checkpoint), if !ports.vectors.durable_when_acknowledged() => {
                if let Err(error) = checkpoint::make(&*ports.ledger, &*ports.vectors, &epoch).await {
                    tracing::warn!(%error, "no checkpoint; the earlier one stands");
                }
                next_checkpoint = tokio::time::Instant::now() + options.checkpoint_interval;
            }
        }
    }
    owners.let_all_go().await;
    // Only now may another process have them.
    drop(membership);
    if !ports.vectors.durable_when_acknowledged() {
        checkpoint::make(&*ports.ledger, &*ports.vectors, &epoch).await?;
    }
    ended
}

/// Whether the epoch is still the newest, and the log still the one of it; what does not answer may well be.
async fn still_the_same(ports: &Ports, epoch: &EpochRow) -> Result<(), checks::Contradiction> {
    if let Ok(Some(newest)) = ports.ledger.epoch().await
        && newest.epoch > epoch.epoch
    {
        return Err(checks::Contradiction::Closed { epoch: epoch.epoch, newest: newest.epoch });
    }
    match ports.log.topology_now().await {
        Ok(topology) => checks::same_log(epoch, &topology),
        Err(error) => {
            tracing::debug!(%error, "the log cannot be compared with the ledger's epoch now");
            Ok(())
        }
    }
}

/// The ledger's epoch; its first one is opened on the log as it is.
async fn open_epoch(ports: &Ports) -> Result<EpochRow, Error> {
    let topology = ports.log.topology();
    if let Some(epoch) = ports.ledger.epoch().await? {
        checks::same_log(&epoch, &topology)?;
        return Ok(epoch);
    }
    let epoch = EpochRow {
        epoch: 1,
        identity: topology.identity,
        partitions: topology.partitions,
        partitioner: topology.partitioner.to_string(),
    };
    ports.ledger.open_epoch(&epoch).await?;
    Ok(epoch)
}
