//! The one thread that changes the index.
//!
//! The fence reads a version and then writes; between the two nobody else may write. One thread and a
//! short queue before it are that guarantee.

use std::{io, sync::Arc, thread::JoinHandle};

use tokio::sync::{mpsc, oneshot};

use super::shards::Shards;

/// Callers wait for their answer anyway, so a longer queue would only hide delay.
const QUEUE: usize = 4;

type Change = Box<dyn FnOnce(&Shards) + Send>;

/// A handle to the thread. When the last handle is dropped, it finishes what was queued and ends, and
/// the drop waits for it: the folder can be opened again right afterwards.
#[derive(Debug, Clone)]
pub(super) struct Writer(Arc<Thread>);

#[derive(Debug)]
struct Thread {
    queue: Option<mpsc::Sender<Change>>,
    handle: Option<JoinHandle<()>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.queue = None;
        if self.handle.take().is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("the vector index's writer had panicked");
        }
    }
}

impl Writer {
    pub(super) fn start(shards: Arc<Shards>) -> io::Result<Self> {
        let (sender, mut queue) = mpsc::channel::<Change>(QUEUE);
        let run = move || {
            while let Some(change) = queue.blocking_recv() {
                change(&shards);
            }
        };
        let handle = std::thread::Builder::new().name("vector-writer".to_owned()).spawn(run)?;
        Ok(Self(Arc::new(Thread { queue: Some(sender), handle: Some(handle) })))
    }

    /// Runs `change` on the thread; `None` when the thread ended before it answered. A caller that stops
    /// waiting does not stop the change.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Shards) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let change = move |shards: &Shards| {
            // The caller may have gone; then nobody wants the answer.
            drop(answer.send(change(shards)));
        };
        self.0.queue.as_ref()?.send(Box::new(change)).await.ok()?;
        answered.await.ok()
    }
}
