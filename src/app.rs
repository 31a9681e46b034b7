//! The composition root: opens what the settings name, wires it up, and closes it in order.
//!
//! ```text
//! open:  log ─▶ ledger ─▶ vectors ─▶ reader ─▶ worker ─▶ HTTP
//! close: HTTP (no new requests) ─▶ worker (its turns end) ─▶ vectors ─▶ ledger ─▶ log
//! ```
//!
//! The only file that names concrete stores. One process may have a data folder open; each store's
//! own lock says so.

mod guarded;
mod signals;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::TcpListener;

#[cfg(feature = "postgres")]
use crate::ledger::{
    options::Kind as LedgerKind,
    postgres::{self, PostgresLedger},
};
#[cfg(feature = "kafka")]
use crate::log::kafka::{ConnectError, KafkaLog};
#[cfg(feature = "edge")]
use crate::vector::edge::{self, EdgeVectors};
#[cfg(feature = "qdrant")]
use crate::vector::qdrant::{self, QdrantVectors};
use crate::{
    clock::{Clock, SystemClock},
    config::{Config, LogKind, Role, VectorKind},
    graph::{self, heads::Heads},
    http,
    ledger::{
        self, Ledger,
        sqlite::{self, SqliteLedger},
    },
    log::{
        CommandLog, DeadLetters, OutcomeSink,
        embedded::{self, EmbeddedLog},
    },
    random::Random,
    reader::{self, Announcing, Reader, Waiters},
    saga::plan::Planner,
    tasks::Tasks,
    telemetry::prometheus,
    vector::{self, memory::MemoryVectors},
    worker::{self, board::Level},
};

use guarded::Guarded;

pub(crate) use signals::signalled;

/// Why the server cannot start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be made.
    #[error("make the data folder `{path}`")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The log cannot be opened.
    #[error("open the log")]
    Log(#[from] embedded::OpenError),
    /// The broker cannot be reached, or its topics are not as they must be.
    #[cfg(feature = "kafka")]
    #[error("connect to the log")]
    Kafka(#[from] ConnectError),
    /// The ledger cannot be opened.
    #[error("open the ledger")]
    Ledger(#[from] sqlite::OpenError),
    /// The ledger on Postgres cannot be opened.
    #[cfg(feature = "postgres")]
    #[error("open the ledger")]
    PostgresLedger(#[from] postgres::OpenError),
    /// The ledger does not answer.
    #[error("use the ledger")]
    LedgerAnswer(#[from] ledger::Error),
    /// The vector index cannot be opened.
    #[cfg(feature = "edge")]
    #[error("open the vector store")]
    Vectors(#[from] edge::OpenError),
    /// The vector store's server will not do, or its settings cannot work.
    #[cfg(feature = "qdrant")]
    #[error("open the vector store")]
    Qdrant(#[from] qdrant::OpenError),
    /// The address cannot be listened on.
    #[error("listen on {address}; `--address` names another")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The worker cannot work.
    #[error("run the worker")]
    Worker(#[from] worker::Error),
    /// The server broke.
    #[error("serve HTTP")]
    Http(#[source] std::io::Error),
}

/// The stores of one data folder, open.
#[derive(Clone)]
pub struct Stores {
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    /// The vector store, to write.
    pub vectors: Arc<dyn vector::Project>,
    /// The same store, to read.
    pub points: Arc<dyn vector::Read>,
    /// The graph, to read.
    pub graph: Arc<dyn graph::Read>,
    /// The log.
    pub log: Arc<dyn CommandLog>,
    /// Where outcomes go.
    pub outcomes: Arc<dyn OutcomeSink>,
    /// Where unreadable records go.
    pub dead_letters: Arc<dyn DeadLetters>,
    closing: Closing,
}

/// The same stores by their own types, which alone know how to close.
#[derive(Clone)]
struct Closing {
    ledger: OpenLedger,
    log: OpenLog,
    #[cfg(feature = "edge")]
    edge: Option<EdgeVectors>,
}

/// Where the embedded log lies within the data folder.
#[must_use]
pub fn log_file(data: &Path) -> PathBuf {
    data.join("log.db")
}

/// Opens the embedded log alone: for a producer beside a server that is stopped.
///
/// # Errors
/// [`Error::Log`] when another process has it, or it is not a log.
pub async fn open_log(config: &Config, clock: Arc<dyn Clock>, random: &Random) -> Result<EmbeddedLog, Error> {
    let options = embedded::Options {
        path: log_file(&config.data),
        partitions: config.log.partitions,
        retention_hours: config.log.retention_hours,
        ..embedded::Options::default()
    };
    Ok(EmbeddedLog::open(&options, clock, random).await?)
}

impl Stores {
    /// Opens every store of the data folder, making what is not there.
    ///
    /// # Errors
    /// [`Error`] when another process has one of them open, or it cannot be used.
    pub async fn open(config: &Config, clock: Arc<dyn Clock>, random: &Random) -> Result<Self, Error> {
        let data = &config.data;
        std::fs::create_dir_all(data).map_err(|source| Error::Folder { path: data.clone(), source })?;
        let log = OpenLog::open(config, clock, random).await?;
        let ledger = OpenLedger::open(config, random).await?;
        let shared = ledger.port();
        if config.ledger.kind() == LedgerKind::Sqlite {
            // One process at a time can have this ledger open.
            log.work_alone();
        }
        if let Some(epoch) = shared.epoch().await? {
            log.set_epoch(epoch.epoch);
        }
        let (commands, outcomes, dead_letters) = log.ports();
        let mut closing = Closing {
            ledger,
            log,
            #[cfg(feature = "edge")]
            edge: None,
        };
        let (vectors, points) = open_vectors(config, &mut closing).await?;
        let graph = Arc::new(Heads::new(Arc::clone(&shared)));
        Ok(Self { ledger: shared, vectors, points, graph, log: commands, outcomes, dead_letters, closing })
    }

    /// Closes every store. Without it nothing is lost; the next start has more to read.
    pub async fn close(self) {
        #[cfg(feature = "edge")]
        if let Some(edge) = &self.closing.edge {
            edge.close().await;
        }
        self.closing.ledger.close().await;
        self.closing.log.close().await;
    }
}

/// A ledger by its own type, which alone knows how to close.
#[derive(Clone)]
enum OpenLedger {
    Sqlite(SqliteLedger),
    #[cfg(feature = "postgres")]
    Postgres(PostgresLedger),
}

impl OpenLedger {
    async fn open(config: &Config, random: &Random) -> Result<Self, Error> {
        match config.ledger.kind() {
            #[cfg(feature = "postgres")]
            LedgerKind::Postgres => {
                let opened = PostgresLedger::open(&config.ledger.url, &config.ledger.postgres, random).await;
                Ok(Self::Postgres(opened?))
            }
            // The settings refuse `postgres` in a build without it.
            _ => {
                let file = config.data.join("ledger.db");
                Ok(Self::Sqlite(SqliteLedger::open(file, &sqlite::Options::default(), random).await?))
            }
        }
    }

    fn port(&self) -> Arc<dyn Ledger> {
        match self {
            Self::Sqlite(ledger) => Arc::new(ledger.clone()),
            #[cfg(feature = "postgres")]
            Self::Postgres(ledger) => Arc::new(ledger.clone()),
        }
    }

    async fn close(&self) {
        match self {
            Self::Sqlite(ledger) => {
                if let Err(error) = ledger.clone().close().await {
                    tracing::warn!(%error, "the ledger did not close cleanly; nothing is lost");
                }
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(ledger) => ledger.clone().close().await,
        }
    }
}

/// A log by its own type, which alone knows how to close.
#[derive(Clone)]
enum OpenLog {
    Embedded(EmbeddedLog),
    #[cfg(feature = "kafka")]
    Kafka(KafkaLog),
}

type LogPorts = (Arc<dyn CommandLog>, Arc<dyn OutcomeSink>, Arc<dyn DeadLetters>);

impl OpenLog {
    async fn open(config: &Config, clock: Arc<dyn Clock>, random: &Random) -> Result<Self, Error> {
        match config.log.kind {
            #[cfg(feature = "kafka")]
            LogKind::Kafka => Ok(Self::Kafka(KafkaLog::connect(&config.kafka).await?)),
            // The settings refuse `kafka` in a build without it.
            _ => Ok(Self::Embedded(open_log(config, clock, random).await?)),
        }
    }

    fn ports(&self) -> LogPorts {
        match self {
            Self::Embedded(log) => (Arc::new(log.clone()), Arc::new(log.clone()), Arc::new(log.clone())),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => (Arc::new(log.clone()), Arc::new(log.clone()), Arc::new(log.clone())),
        }
    }

    /// The ledger alone knows which epoch of the log this is.
    fn set_epoch(&self, epoch: u32) {
        match self {
            Self::Embedded(log) => log.set_epoch(epoch),
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.set_epoch(epoch),
        }
    }

    /// The ledger lets no other process work.
    fn work_alone(&self) {
        match self {
            Self::Embedded(_) => {}
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.work_alone(),
        }
    }

    async fn close(&self) {
        match self {
            Self::Embedded(log) => log.close().await,
            #[cfg(feature = "kafka")]
            Self::Kafka(log) => log.close().await,
        }
    }
}

type Vectors = (Arc<dyn vector::Project>, Arc<dyn vector::Read>);

#[cfg_attr(
    not(any(feature = "edge", feature = "qdrant")),
    expect(clippy::unused_async, reason = "only the index and the server are waited for")
)]
async fn open_vectors(config: &Config, closing: &mut Closing) -> Result<Vectors, Error> {
    match config.vector.kind {
        #[cfg(feature = "edge")]
        VectorKind::Edge => {
            let folder = config.data.join("vectors");
            let open = move || EdgeVectors::open(&folder, edge::Options::default());
            let opened = tokio::task::spawn_blocking(open).await;
            let edge = opened.map_err(|error| edge::OpenError::Io(std::io::Error::other(error)))??;
            closing.edge = Some(edge.clone());
            Ok((Arc::new(edge.clone()), Arc::new(edge)))
        }
        #[cfg(feature = "qdrant")]
        VectorKind::Qdrant => {
            let qdrant = QdrantVectors::open(&config.qdrant).await?;
            Ok((Arc::new(qdrant.clone()), Arc::new(qdrant)))
        }
        // The settings refuse `edge` and `qdrant` in a build without them.
        _ => {
            let memory = MemoryVectors::new();
            Ok((Arc::new(memory.clone()), Arc::new(memory)))
        }
    }
}

/// A server that runs.
pub struct App {
    stores: Stores,
    address: std::net::SocketAddr,
    tasks: Tasks,
    /// `None` where others work.
    worker: Option<tokio::task::JoinHandle<Result<(), worker::Error>>>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    server_tasks: Tasks,
}

impl App {
    /// Opens the stores, starts worker and server.
    ///
    /// # Errors
    /// [`Error`] when a store cannot be opened or the address cannot be listened on.
    pub async fn start(config: &Config) -> Result<Self, Error> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random = Random::from_system();
        prometheus::start();
        let stores = Stores::open(config, Arc::clone(&clock), &random).await?;
        let guards = Guarded::new(&stores, config, &random);
        let listen = |source| Error::Listen { address: config.http.address, source };
        let listener = TcpListener::bind(config.http.address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let waiters = Waiters::default();
        let board = worker::board::Board::default();
        // A process that does not work does not bring the store up to date either.
        let level = if config.role == Role::Api { Level::always() } else { board.level() };
        let worker_ports = worker::Ports {
            log: Arc::clone(&stores.log),
            outcomes: Arc::new(Announcing::new(Arc::clone(&stores.outcomes), waiters.clone())),
            dead_letters: Arc::clone(&stores.dead_letters),
            ledger: Arc::clone(&guards.ledger),
            vectors: Arc::clone(&guards.vectors),
            graph: None,
            decide: Arc::new(Planner::default()),
            clock: Arc::clone(&clock),
            random: random.clone(),
            board: board.clone(),
        };
        let worker_options = worker::Options { limits: config.limits.into(), ..worker::Options::default() };
        let http_ports = http::Ports {
            log: Arc::clone(&guards.log),
            ledger: Arc::clone(&guards.ledger),
            reader: reader(&stores, &guards, level, config, waiters),
            guards: guards.guards,
            board,
            clock,
            random,
            limits: config.limits.into(),
            guarantees: guarantees(config),
            surface: if config.role == Role::Worker { http::Surface::Health } else { http::Surface::Whole },
        };
        let (tasks, server_tasks) = (Tasks::new(), Tasks::new());
        let works = config.role != Role::Api;
        let worker = works.then(|| tasks.spawn(worker::run(worker_ports, worker_options, tasks.clone())));
        let serve = http::serve(listener, http_ports, config.http.clone(), server_tasks.clone());
        let server = server_tasks.spawn(serve);
        Ok(Self { stores, address, tasks, worker, server, server_tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// Returns when a part of it has ended by itself, which only an error makes it do.
    async fn broken(&mut self) -> Result<(), Error> {
        tokio::select! {
            worker = ended(&mut self.worker) => match worker {
                Ok(ended) => Ok(ended?),
                Err(panic) => Err(Error::Http(std::io::Error::other(panic))),
            },
            server = &mut self.server => match server {
                Ok(ended) => ended.map_err(Error::Http),
                Err(panic) => Err(Error::Http(std::io::Error::other(panic))),
            },
        }
    }

    /// Ends everything, in order: requests first, then the worker's turns, then the stores.
    pub async fn stop(self) {
        self.server_tasks.shut_down().await;
        self.tasks.shut_down().await;
        self.stores.close().await;
    }
}

/// What a task came to; never where there is none.
async fn ended<T>(task: &mut Option<tokio::task::JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

fn reader(stores: &Stores, guarded: &Guarded, level: Level, config: &Config, waiters: Waiters) -> Reader {
    let ports = reader::Ports {
        ledger: Arc::clone(&guarded.ledger),
        log: Arc::clone(&stores.log),
        vectors: Arc::clone(&guarded.points),
        graph: Arc::clone(&guarded.graph),
        waiters,
        level,
    };
    Reader::new(ports, config.reader.clone())
}

fn guarantees(config: &Config) -> http::Guarantees {
    let log = match config.log.kind {
        LogKind::Embedded => "embedded",
        LogKind::Kafka => "kafka",
    };
    let vector = match config.vector.kind {
        VectorKind::Edge => "edge",
        VectorKind::Memory => "memory",
        VectorKind::Qdrant => "qdrant",
    };
    http::Guarantees {
        guarantee: "saga",
        meaning: "what is accepted reaches exactly one outcome; every store ends up with all of a command or \
                  with none of it",
        backends: http::Backends { log, ledger: config.ledger.kind().name(), vector, graph: "heads" },
    }
}

/// `engraft serve`: runs until SIGINT or SIGTERM.
///
/// # Errors
/// [`Error`] when it cannot start, or a part of it breaks.
pub async fn serve(config: Config) -> Result<(), Error> {
    let mut app = App::start(&config).await?;
    let data = config.data.display();
    let ledger = config.ledger.kind().name();
    tracing::info!(guarantee = "saga", %data, ledger, "what is accepted reaches exactly one outcome");
    tracing::info!(address = %app.address(), "listening");
    let ended = tokio::select! {
        broken = app.broken() => broken,
        () = signalled() => Ok(()),
    };
    tracing::info!("stopping: open requests first, then the worker, then the stores");
    app.stop().await;
    tracing::info!("stopped; everything that was accepted is on disk");
    ended
}
