//! The HTTP surface: commands in, reads out.
//!
//! ```text
//! request ─▶ routes ─▶ ingest ─▶ log                    202, or waited for: 200
//!                  └─▶ reader                           200 with its provenance
//!                  └─▶ problem                          everything else, RFC 9457
//! ```
//!
//! A command is refused here only when its bytes alone say that it can never be done; what it means
//! is decided in log order, elsewhere. Status codes stand in [`problem`] and nowhere else.
//!
//! Without tokens it serves loopback alone.

mod body;
mod commands;
mod events;
mod filter;
mod find;
mod forms;
mod history;
pub mod ingest;
mod memories;
mod parameters;
mod problem;
mod relations;
mod routes;
mod schemas;
mod search;
mod spaces;
mod stats;
mod status;
mod views;
mod walks;
mod writes;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::{
    clock::Clock,
    ledger::Ledger,
    log::{CommandLog, envelope::Limits},
    random::Random,
    reader::{Feed, Reader},
    tasks::Tasks,
};

use problem::{Problem, Reason};

/// How the server listens, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Where to listen; `127.0.0.1:7878`. Port 0: any free one.
    pub address: SocketAddr,
    /// Most bytes of a request's body; 32 MiB. A single record has its own, lower limit.
    pub body_bytes_max: usize,
    /// Longest a body may take to arrive, in milliseconds; 30,000.
    pub body_timeout_ms: u64,
    /// Most requests that wait for an outcome or a token at once; 1,024. Beyond it, a command is
    /// answered 202 at once, and a read with a token 503.
    pub waiting_count_max: usize,
    /// Most streams of events that are open at once; 256. Each holds a connection and a few outcomes.
    pub streams_count_max: usize,
    /// Longest that `Prefer: wait=N` may ask for, in seconds; 60.
    pub wait_seconds_max: u64,
    /// Longest that requests may take to end when the server stops, in milliseconds; 5,000.
    pub drain_ms_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7878),
            body_bytes_max: 32 << 20,
            body_timeout_ms: 30_000,
            waiting_count_max: 1_024,
            streams_count_max: 256,
            wait_seconds_max: 60,
            drain_ms_max: 5_000,
        }
    }
}

/// What the server tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guarantees {
    /// `saga` or `acid`.
    pub guarantee: &'static str,
    /// What that means, in a sentence.
    pub meaning: &'static str,
    /// Which log, ledger, vector and graph store.
    pub backends: Backends,
}

/// Which store plays which part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backends {
    /// The command log.
    pub log: &'static str,
    /// The ledger.
    pub ledger: &'static str,
    /// The vector store.
    pub vector: &'static str,
    /// The graph.
    pub graph: &'static str,
}

/// How often the ledger is asked for new outcomes while anybody follows them.
const FEED_INTERVAL: Duration = Duration::from_millis(20);

/// Everything that the server touches.
pub struct Ports {
    /// Where commands go.
    pub log: Arc<dyn CommandLog>,
    /// For status alone; reads go through the reader.
    pub ledger: Arc<dyn Ledger>,
    /// Answers questions.
    pub reader: Reader,
    /// Wall time, for ids.
    pub clock: Arc<dyn Clock>,
    /// For ids.
    pub random: Random,
    /// What a record may be.
    pub limits: Limits,
    /// What the deployment promises.
    pub guarantees: Guarantees,
}

/// What every request sees.
struct Shared {
    ports: Ports,
    options: Options,
    partitions: u32,
    epoch: OnceLock<u32>,
    waiting: Semaphore,
    streams: Arc<Semaphore>,
    feed: Feed,
}

type State = axum::extract::State<Arc<Shared>>;

impl Shared {
    /// The log's epoch, once the worker has opened it.
    async fn epoch(&self) -> Result<u32, Problem> {
        if let Some(epoch) = self.epoch.get() {
            return Ok(*epoch);
        }
        match self.ports.ledger.epoch().await? {
            Some(row) => Ok(*self.epoch.get_or_init(|| row.epoch)),
            None => Err(Problem::new(Reason::Starting, "the worker has not opened the log yet")),
        }
    }
}

/// An address that may not be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "`http.address` is {0}, which other machines may reach; without tokens, which this version does not have \
     yet, only a loopback address such as 127.0.0.1:7878 is served"
)]
pub struct NotLoopback(pub SocketAddr);

impl Options {
    /// Refuses an address that other machines may reach.
    ///
    /// # Errors
    /// [`NotLoopback`].
    pub fn check(&self) -> Result<(), NotLoopback> {
        if self.address.ip().is_loopback() { Ok(()) } else { Err(NotLoopback(self.address)) }
    }
}

/// Serves until `tasks` stops and open requests have ended, or their time is up.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    ports: Ports,
    options: Options,
    tasks: Tasks,
) -> std::io::Result<()> {
    let drain = Duration::from_millis(options.drain_ms_max);
    let shared = Arc::new(Shared {
        partitions: ports.log.topology().partitions,
        epoch: OnceLock::new(),
        waiting: Semaphore::new(options.waiting_count_max),
        streams: Arc::new(Semaphore::new(options.streams_count_max)),
        feed: Feed::new(Arc::clone(&ports.ledger), tasks.clone(), FEED_INTERVAL),
        ports,
        options,
    });
    let stop = tasks.clone();
    let server = axum::serve(listener, routes::router(shared))
        .with_graceful_shutdown(async move { stop.stopping().await });
    tokio::select! {
        served = std::future::IntoFuture::into_future(server) => served,
        () = async { tasks.stopping().await; tokio::time::sleep(drain).await } => {
            tracing::warn!("some requests did not end in time and are cut off");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tokens_only_loopback_is_served() {
        let at =
            |address: &str| Options { address: address.parse().expect("an address"), ..Options::default() };
        assert!(Options::default().check().is_ok());
        assert!(at("[::1]:80").check().is_ok());
        for open in ["0.0.0.0:7878", "192.168.1.2:7878", "[::]:7878"] {
            let refusal = at(open).check().expect_err("refused").to_string();
            assert!(refusal.contains("loopback") && refusal.contains("http.address"), "{refusal}");
        }
    }
}
