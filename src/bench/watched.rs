//! A vector store whose calls are timed, and which can be switched off or be made slow.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use crate::{
    model::{Answer, Digest, MemoryId, Space, Version, answer::Reason},
    vector::{self, Checkpoint, Layout},
};

/// A vector store, with a watch on it and a switch before it.
#[derive(Clone)]
pub(super) struct Timed(Arc<Watched>);

struct Watched {
    inner: Arc<dyn vector::Project>,
    delay: Duration,
    state: Mutex<Watch>,
}

#[derive(Default)]
struct Watch {
    is_down: bool,
    spent: Duration,
    calls: u64,
    first_applied: Option<Instant>,
}

impl Timed {
    pub(super) fn over(inner: Arc<dyn vector::Project>) -> Self {
        Self(Arc::new(Watched { inner, delay: Duration::ZERO, state: Mutex::default() }))
    }

    /// A store far away: every write takes `delay` more.
    #[cfg(all(feature = "postgres", feature = "qdrant"))]
    pub(super) fn slow(inner: Arc<dyn vector::Project>, delay: Duration) -> Self {
        Self(Arc::new(Watched { inner, delay, state: Mutex::default() }))
    }

    /// Seconds spent in writes, of all calls together.
    pub(super) fn seconds(&self) -> f64 {
        self.0.state.lock().spent.as_secs_f64()
    }

    /// Writes so far, in calls.
    #[cfg(all(feature = "postgres", feature = "qdrant"))]
    pub(super) fn calls(&self) -> u64 {
        self.0.state.lock().calls
    }

    /// Switches it off, or on.
    pub(super) fn set_down(&self, is_down: bool) {
        self.0.state.lock().is_down = is_down;
    }

    /// When it first applied anything.
    pub(super) fn first_applied(&self) -> Option<Instant> {
        self.0.state.lock().first_applied
    }
}

#[async_trait]
impl vector::Project for Timed {
    async fn write(&self, writes: &[vector::Write]) -> Vec<Answer> {
        if self.0.state.lock().is_down {
            return vec![Answer::Transient(Reason::new("down", "switched off")); writes.len()];
        }
        let started = Instant::now();
        if !self.0.delay.is_zero() {
            tokio::time::sleep(self.0.delay).await;
        }
        let answers = self.0.inner.write(writes).await;
        let mut state = self.0.state.lock();
        state.spent += started.elapsed();
        state.calls += 1;
        if answers.contains(&Answer::Applied) {
            state.first_applied.get_or_insert_with(Instant::now);
        }
        answers
    }

    async fn markers(
        &self,
        points: &[(Space, MemoryId, Layout)],
    ) -> Result<Vec<Option<(Version, Digest)>>, vector::Error> {
        self.0.inner.markers(points).await
    }

    async fn remove(&self, points: &[(Space, MemoryId, Version)]) -> Result<Vec<bool>, vector::Error> {
        self.0.inner.remove(points).await
    }

    fn durable_when_acknowledged(&self) -> bool {
        self.0.inner.durable_when_acknowledged()
    }

    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), vector::Error> {
        self.0.inner.checkpoint(checkpoint).await
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, vector::Error> {
        self.0.inner.last_checkpoint().await
    }

    async fn clear(&self) -> Result<(), vector::Error> {
        self.0.inner.clear().await
    }
}
