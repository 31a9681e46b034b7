//! A stand-in for a Qdrant server: its protocol, its engine, and faults at will.
//!
//! ```text
//! client ─▶ port (closed in an outage) ─▶ gRPC ─▶ faults ─▶ services ─▶ qdrant-edge in a folder
//! test, campaign ─▶ Faults, or the control port
//! ```
//!
//! Requests are parsed, conditions judged and vectors searched by the code that the server is built of. What it is
//! **not**: it has no update queue, no write-ahead log that is replayed, no optimiser in the background, no
//! strict mode, no replicas and no TLS; it knows the calls that this project makes and no others. Figures
//! measured against it say nothing of a server's.

mod collections;
mod control;
mod convert;
mod faults;
mod points;
mod service;
mod shard;

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::stream;
use qdrant_client::qdrant::{
    collections_server::CollectionsServer, points_server::PointsServer, qdrant_server::QdrantServer,
};
use tokio::{
    io::DuplexStream,
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tonic::{Request, Status, transport::Server};

pub use self::faults::{Faults, Plan};
use self::{service::Service, shard::Store};
use crate::tasks::Tasks;

/// Bytes on their way between a socket and the server, at most.
const PIPE_BYTES: usize = 1 << 20;
/// Connections that wait to be taken over.
const CONNECTIONS_WAITING_MAX: usize = 64;

/// How to run it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens for gRPC; port 0 takes any.
    pub listen: SocketAddr,
    /// Where its control port is, if it has one.
    pub control: Option<SocketAddr>,
    /// Its folder.
    pub data: PathBuf,
    /// The release that it says it is.
    pub release: String,
    /// The key that it wants; the empty string wants none.
    pub api_key: String,
    /// Whether every write is flushed before it is acknowledged, so that a kill loses nothing.
    pub flushes: bool,
    /// What goes wrong from the beginning.
    pub plan: Plan,
}

impl Options {
    /// On a free port of loopback, with its files in `data`.
    #[must_use]
    pub fn on_loopback(data: &Path) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            control: None,
            data: data.to_owned(),
            release: "1.19.0".to_owned(),
            api_key: String::new(),
            flushes: false,
            plan: Plan::default(),
        }
    }
}

/// A stand-in that runs.
#[derive(Debug)]
pub struct Standin {
    address: SocketAddr,
    faults: Faults,
    store: Arc<Store>,
    tasks: Tasks,
}

impl Standin {
    /// Opens its folder and its ports.
    ///
    /// # Errors
    /// When the folder cannot be used or a port cannot be listened on.
    pub async fn start(options: Options) -> io::Result<Self> {
        let (folder, flushes) = (options.data.clone(), options.flushes);
        let store = tokio::task::spawn_blocking(move || Store::open(&folder, flushes)).await;
        let store = Arc::new(store.map_err(io::Error::other)??);
        let (faults, tasks) = (Faults::new(options.plan), Tasks::new());
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let (connected, connections) = mpsc::channel(CONNECTIONS_WAITING_MAX);
        tasks.spawn_until_stopped(accept(listener, address, faults.clone(), tasks.clone(), connected));
        let service = Service {
            store: Arc::clone(&store),
            faults: faults.clone(),
            tasks: tasks.clone(),
            release: options.release.into(),
        };
        tasks.spawn_until_stopped(serve(service, options.api_key, connections));
        if let Some(control) = options.control {
            let listener = TcpListener::bind(control).await?;
            let served = axum::serve(listener, control::router(faults.clone()));
            tasks.spawn_until_stopped(async move { served.await });
        }
        Ok(Self { address, faults, store, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a client wants it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What goes wrong in it.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Cuts every connection, flushes, and lets go of its folder.
    pub async fn stop(self) {
        self.tasks.shut_down().await;
        let store = Arc::clone(&self.store);
        if tokio::task::spawn_blocking(move || store.close()).await.is_err() {
            tracing::warn!("the stand-in did not close its folder");
        }
    }
}

/// Takes connections while there is no outage; in one the port is closed.
async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    faults: Faults,
    tasks: Tasks,
    connected: mpsc::Sender<DuplexStream>,
) {
    let mut outage = faults.outage();
    let mut listener = Some(listener);
    loop {
        let away = *outage.borrow_and_update();
        if away {
            listener = None;
            if outage.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = &listener else {
            listener = TcpListener::bind(address).await.ok();
            if listener.is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            continue;
        };
        tokio::select! {
            accepted = open.accept() => {
                let Ok((socket, _)) = accepted else { continue };
                let (near, far) = tokio::io::duplex(PIPE_BYTES);
                tasks.spawn_until_stopped(pump(socket, near, faults.clone()));
                if connected.send(far).await.is_err() {
                    return;
                }
            }
            changed = outage.changed() => if changed.is_err() { return },
        }
    }
}

/// Carries bytes until one side ends or an outage cuts the line.
async fn pump(mut socket: TcpStream, mut near: DuplexStream, faults: Faults) {
    let mut outage = faults.outage();
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a connection to the stand-in is slower than it could be");
    }
    tokio::select! {
        carried = tokio::io::copy_bidirectional(&mut socket, &mut near) => {
            tracing::trace!(?carried, "a connection to the stand-in ended");
        }
        away = outage.wait_for(|away| *away) => {
            tracing::debug!(cut = away.is_ok(), "a connection to the stand-in was cut");
        }
    }
}

async fn serve(service: Service, api_key: String, connections: mpsc::Receiver<DuplexStream>) {
    let admitted = move |request: Request<()>| {
        let given = request.metadata().get("api-key").and_then(|key| key.to_str().ok());
        if api_key.is_empty() || given == Some(api_key.as_str()) {
            Ok(request)
        } else {
            Err(Status::unauthenticated("Must provide an API key or an Authorization bearer token"))
        }
    };
    let incoming = stream::unfold(connections, |mut connections| async move {
        connections.recv().await.map(|io| (Ok::<_, io::Error>(io), connections))
    });
    let points = PointsServer::new(service.clone()).max_decoding_message_size(usize::MAX);
    let points = tonic::service::interceptor::InterceptedService::new(points, admitted.clone());
    let collections = CollectionsServer::with_interceptor(service.clone(), admitted.clone());
    let server = QdrantServer::with_interceptor(service, admitted);
    let served = Server::builder()
        .add_service(points)
        .add_service(collections)
        .add_service(server)
        .serve_with_incoming(incoming)
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the stand-in ended");
    }
}

/// A stand-in whose folder goes with it, and the settings that lead to it.
#[cfg(test)]
pub(crate) async fn on_a_new_folder() -> ((tempfile::TempDir, Standin), super::Options) {
    let folder = tempfile::tempdir().expect("a folder");
    let standin = Standin::start(Options::on_loopback(folder.path())).await.expect("a stand-in");
    let options = super::Options { url: standin.url(), timeout_ms: 5_000, ..super::Options::default() };
    ((folder, standin), options)
}
