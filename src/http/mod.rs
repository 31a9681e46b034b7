//! The HTTP surface: commands in, reads out.
//!
//! ```text
//! listener ─▶ routes ─▶ ingest ─▶ log                   202, or waited for: 200
//!                  ├──▶ reader                         200 with its provenance
//!                  └──▶ problem                        everything else, RFC 9457
//! ```
//!
//! A command is refused here only when its bytes alone say that it can never be done; what it means
//! is decided in log order, elsewhere. Status codes stand in [`problem`] and nowhere else.
//!
//! Without tokens it serves loopback alone. With them, [`access`] decides who may touch which space;
//! no handler reaches a store past it.

mod access;
mod asyncapi;
mod body;
mod breakers;
mod commands;
mod docs;
mod events;
mod filter;
mod find;
mod forms;
mod history;
pub mod ingest;
mod listener;
mod memories;
mod metrics;
mod openapi;
mod orders;
mod parameters;
mod patience;
mod problem;
mod relations;
mod routes;
mod schemas;
mod search;
mod spaces;
mod stats;
mod status;
mod trace;
mod views;
mod walks;
mod writes;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::{
    clock::Clock,
    guard::Guards,
    ledger::Ledger,
    log::{CommandLog, envelope::Limits},
    random::Random,
    reader::Reader,
    tasks::Tasks,
    worker::board::Board,
};

use access::{Shared, Tokens};
use problem::Problem;

pub use access::{Role, Spaces, TokenOptions};

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
    /// Most bytes of a request's head: its first line and its headers; 65,536.
    pub header_bytes_max: usize,
    /// Most headers of a request; 100.
    pub header_count_max: usize,
    /// Longest a head may take to arrive, and longest that a connection may be silent between two
    /// requests, in milliseconds; 30,000.
    pub header_timeout_ms: u64,
    /// Longest that a client may take in nothing of its answer, in milliseconds; 30,000.
    pub answer_timeout_ms: u64,
    /// Most connections at once; 900, below the 1,024 files that a process commonly may have open.
    /// More wait in the system's queue until one ends.
    pub connections_max: usize,
    /// Most requests that wait for an outcome or a token at once; 1,024. Beyond it, a command is
    /// answered 202 at once, and a read with a token 503.
    pub waiting_count_max: usize,
    /// Most streams of events that are open at once; 256. Each holds a connection and a few outcomes.
    pub streams_count_max: usize,
    /// Longest that `Prefer: wait=N` may ask for, in seconds; 60.
    pub wait_seconds_max: u64,
    /// Longest that requests may take to end when the server stops, in milliseconds; 5,000.
    pub drain_ms_max: u64,
    /// Who may do what; none: everybody everything, and loopback alone is served.
    pub tokens: Vec<TokenOptions>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7878),
            body_bytes_max: 32 << 20,
            body_timeout_ms: 30_000,
            header_bytes_max: 64 << 10,
            header_count_max: 100,
            header_timeout_ms: 30_000,
            answer_timeout_ms: 30_000,
            connections_max: 900,
            waiting_count_max: 1_024,
            streams_count_max: 256,
            wait_seconds_max: 60,
            drain_ms_max: 5_000,
            tokens: Vec::new(),
        }
    }
}

/// What the server tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Guarantees {
    /// `saga` or `acid`.
    pub guarantee: &'static str,
    /// What that means, in a sentence.
    pub meaning: &'static str,
    /// Which log, ledger, vector and graph store.
    pub backends: Backends,
}

/// Which store plays which part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
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

/// Everything that the server touches.
pub struct Ports {
    /// Where commands go.
    pub log: Arc<dyn CommandLog>,
    /// For status alone; reads go through the reader.
    pub ledger: Arc<dyn Ledger>,
    /// Answers questions.
    pub reader: Reader,
    /// What stands before the stores, for operators.
    pub guards: Guards,
    /// What the worker does, for metrics.
    pub board: Board,
    /// Wall time, for ids.
    pub clock: Arc<dyn Clock>,
    /// For ids.
    pub random: Random,
    /// What a record may be.
    pub limits: Limits,
    /// What the deployment promises.
    pub guarantees: Guarantees,
    /// How much is served.
    pub surface: Surface,
}

/// How much of the surface a process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// All of it.
    Whole,
    /// What tells whether the process is well, and no more.
    Health,
}

type State = axum::extract::State<Arc<Shared>>;

/// Options that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// An address that other machines may reach, and nobody to keep out.
    #[error(
        "`http.address` is {0}, which other machines may reach; without `[[http.tokens]]` only a loopback \
         address such as 127.0.0.1:7878 is served"
    )]
    NotLoopback(SocketAddr),
    /// A token that cannot be used.
    #[error("{0}")]
    Token(String),
    /// A bound that lets nothing through.
    #[error("`http.{0}` is 0, which lets no request through")]
    Bound(&'static str),
}

impl Options {
    /// Refuses tokens that cannot be used, and without tokens an address that other machines may reach.
    ///
    /// # Errors
    /// [`OptionsError`], which names the setting and the fix.
    pub fn check(&self) -> Result<(), OptionsError> {
        let tokens = Tokens::new(&self.tokens).map_err(OptionsError::Token)?;
        let bounds = [
            ("connections_max", self.connections_max),
            ("header_bytes_max", self.header_bytes_max),
            ("header_count_max", self.header_count_max),
        ];
        if let Some((name, _)) = bounds.into_iter().find(|(_, bound)| *bound == 0) {
            return Err(OptionsError::Bound(name));
        }
        if tokens.is_empty() && !self.address.ip().is_loopback() {
            return Err(OptionsError::NotLoopback(self.address));
        }
        Ok(())
    }
}

/// Serves until `tasks` stops and open requests have ended, or their time is up.
///
/// # Errors
/// When the options cannot be used.
pub async fn serve(
    listener: TcpListener,
    ports: Ports,
    options: Options,
    tasks: Tasks,
) -> std::io::Result<()> {
    let tokens = Tokens::new(&options.tokens).map_err(std::io::Error::other)?;
    let bounds = listener::Bounds::from(&options);
    let within = axum::middleware::from_fn_with_state(ports.random.clone(), trace::within);
    let surface = ports.surface;
    let shared = Arc::new(Shared::new(ports, options, tokens, tasks.clone()));
    let router = match surface {
        Surface::Whole => routes::router(shared),
        Surface::Health => routes::health(shared),
    };
    let router = router.layer(within);
    listener::serve(listener, router, bounds, &tasks).await;
    Ok(())
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
            let spaces = Spaces::One("*".to_owned());
            let token =
                TokenOptions { name: "a".into(), token_sha256: "0".repeat(64), spaces, role: Role::Read };
            assert!(Options { tokens: vec![token], ..at(open) }.check().is_ok());
        }
    }
}
