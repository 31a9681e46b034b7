//! A TCP proxy before the server, which can swallow answers.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests and their helpers say by panicking that they cannot go on"
)]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::tasks::Tasks;

/// Forwards to a server. While it is told to, a connection that asks for what it is told dies after
/// the server has answered, and before that answer arrives.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    swallow: Arc<AtomicBool>,
    tasks: Tasks,
}

impl Proxy {
    /// Before `server`; `marker` is what a request must hold to lose its answer.
    pub(super) async fn before(server: SocketAddr, marker: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (swallow, tasks) = (Arc::new(AtomicBool::new(false)), Tasks::new());
        let (told, within) = (Arc::clone(&swallow), tasks.clone());
        tasks.spawn_until_stopped(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(server).await.unwrap();
                within.spawn_until_stopped(forward(client, upstream, marker, Arc::clone(&told)));
            }
        });
        Self { address, swallow, tasks }
    }

    /// From now on, answers are lost, or not.
    pub(super) fn swallow(&self, on: bool) {
        self.swallow.store(on, Ordering::SeqCst);
    }

    pub(super) async fn stop(self) {
        self.tasks.shut_down().await;
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, marker: &[u8], swallow: Arc<AtomicBool>) {
    let (mut request, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(count @ 1..) = read else { return };
                let bytes = &request[..count];
                let lost = swallow.load(Ordering::SeqCst)
                    && bytes.windows(marker.len()).any(|window| window == marker);
                if server.write_all(bytes).await.is_err() {
                    return;
                }
                if lost {
                    // The server has done it once it answers; both sockets close here.
                    let answered = server.read(&mut answer).await;
                    assert!(matches!(answered, Ok(1..)), "the server answered");
                    return;
                }
            }
            read = server.read(&mut answer) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&answer[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
