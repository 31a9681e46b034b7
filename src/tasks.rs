//! Every task has an owner that stops it and waits for it.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The tasks of one process, or of one simulated node.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    kill: CancellationToken,
}

impl Tasks {
    /// An owner without tasks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that watches [`Tasks::stopping`] itself and ends soon after it.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let kill = self.kill.clone();
        tokio::spawn(self.tracker.track_future(async move {
            match kill.run_until_cancelled(future).await {
                Some(output) => output,
                // Killed: this task ends here, and whoever waits for it is killed as well.
                None => std::future::pending().await,
            }
        }))
    }

    /// Starts a background task that is dropped, wherever it waits, when its owner stops. Never for a
    /// task that drives a database transaction.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn_until_stopped<F>(&self, future: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let stop = self.stop.clone();
        tokio::spawn(self.tracker.track_future(async move { stop.run_until_cancelled(future).await }))
    }

    /// Resolves when the owner stops.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the owner stops.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells every task to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Drops every task where it waits, as a killed process would. For the simulator alone.
    pub fn kill(&self) {
        self.kill.cancel();
        self.stop.cancel();
    }

    /// Tells every task to stop and waits until all have.
    pub async fn shut_down(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
