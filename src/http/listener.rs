//! Taking connections: bounded in number, in what they may say, and in how long they may say nothing.
//!
//! ```text
//! place free? ─▶ accept ─▶ head (bytes, count, time) ─▶ routes ─▶ answer (time)
//! ```
//!
//! A client that is slow, or gone without a word, holds one place until its time is up, and nothing
//! else. Bodies have bounds of their own, in [`super::body`].

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::tasks::Tasks;

use super::{Options, patience::Patient};

/// How long to wait when the system has no connection to give, for example no file left to open.
const ACCEPT_RETRY: Duration = Duration::from_millis(200);

/// The bounds of every connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    connections: usize,
    header_bytes: usize,
    header_count: usize,
    header: Duration,
    answer: Duration,
    drain: Duration,
}

impl From<&Options> for Bounds {
    fn from(options: &Options) -> Self {
        Self {
            connections: options.connections_max,
            header_bytes: options.header_bytes_max,
            header_count: options.header_count_max,
            header: Duration::from_millis(options.header_timeout_ms),
            answer: Duration::from_millis(options.answer_timeout_ms),
            drain: Duration::from_millis(options.drain_ms_max),
        }
    }
}

/// Serves until `tasks` stops. Open requests then have a while to end, each in its own task, before
/// they are cut off; whoever waits for `tasks` waits for them.
pub(super) async fn serve(listener: TcpListener, router: Router, bounds: Bounds, tasks: &Tasks) {
    let protocol = protocol(&bounds);
    let places = Arc::new(Semaphore::new(bounds.connections));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
            (accept(&listener).await, place)
        };
        let (stream, place) = tokio::select! {
            () = tasks.stopping() => return,
            next = next => next,
        };
        let io = TokioIo::new(Patient::new(stream, bounds.answer));
        let service = TowerToHyperService::new(router.clone());
        let connection = protocol.serve_connection(io, service);
        let stop = tasks.clone();
        tasks.spawn(async move {
            if let Err(error) = until_stopped(connection, &stop, bounds.drain).await {
                tracing::debug!(%error, "a connection broke");
            }
            drop(place);
        });
    }
}

type Connection = http1::Connection<TokioIo<Patient<TcpStream>>, TowerToHyperService<Router>>;

async fn until_stopped(connection: Connection, stop: &Tasks, drain: Duration) -> Result<(), hyper::Error> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.stopping() => connection.as_mut().graceful_shutdown(),
    }
    match tokio::time::timeout(drain, connection).await {
        Ok(ended) => ended,
        Err(_) => {
            tracing::warn!("a request did not end in time and is cut off");
            Ok(())
        }
    }
}

fn protocol(bounds: &Bounds) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header)
        .max_headers(bounds.header_count)
        .max_header_size(bounds.header_bytes);
    protocol
}

/// The next connection, however long it takes.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "answers may wait for a full packet");
                }
                return stream;
            }
            // The one connection is gone; the listener is well.
            Err(error) if is_of_one(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken now; see the limit on open files");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
