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

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    graph,
    ledger::{self, Decide, Ledger},
    log::{CommandLog, DeadLetters, OutcomeSink, ReadError, envelope::Limits},
    random::Random,
    tasks::Tasks,
    vector,
};

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
}

/// How much at once, and how long to wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Most records inboxed by one transaction.
    pub batch_count_max: usize,
    /// Most sagas that are with the stores at once; their images are in memory.
    pub window_count_max: usize,
    /// Most unfinished sagas of a partition; beyond it intake pauses and the log keeps the rest.
    pub backlog_count_max: usize,
    /// First pause after a store or the ledger did not answer.
    pub backoff_min: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// How often the vector store is made durable, where acknowledging does not.
    pub checkpoint_interval: Duration,
    /// What a record may be.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_count_max: 1_000,
            window_count_max: 10_000,
            backlog_count_max: 100_000,
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(5),
            checkpoint_interval: Duration::from_secs(5),
            limits: Limits::default(),
        }
    }
}

/// Why the worker cannot run at all. What stops one partition alone stands in its status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log does not answer at start.
    #[error("open the log")]
    Log(#[from] ReadError),
    /// The ledger does not answer at start.
    #[error("open the ledger")]
    Ledger(#[from] ledger::Error),
    /// The vector store cannot be brought up to date.
    #[error("bring the vector store up to date")]
    Vector(#[from] vector::Error),
}

/// Works until `tasks` stops.
///
/// # Errors
/// [`Error`] when it cannot start.
pub async fn run(_ports: Ports, _options: Options, tasks: Tasks) -> Result<(), Error> {
    tasks.stopping().await;
    Ok(())
}
