//! Who waits for which outcome: a register of wake-up calls inside one process.
//!
//! A wake-up says "look again", never what to find: the ledger alone answers. So a call that is lost
//! costs a little patience, and nothing else.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    log::{OutcomeEvent, OutcomeSink},
    model::{PartitionId, Position},
};

#[derive(Debug)]
struct Bell {
    notify: Arc<Notify>,
    waiters: usize,
}

/// The register. Its size is bounded by how many requests may wait at once.
#[derive(Debug, Clone, Default)]
pub struct Waiters(Arc<Mutex<HashMap<Position, Bell>>>);

/// One entry of the register; leaves it when dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    register: Waiters,
    position: Position,
    notify: Arc<Notify>,
}

impl Waiters {
    pub(super) fn wait_for(&self, position: Position) -> Waiting {
        let mut bells = self.0.lock();
        let bell =
            bells.entry(position).or_insert_with(|| Bell { notify: Arc::new(Notify::new()), waiters: 0 });
        bell.waiters += 1;
        Waiting { register: self.clone(), position, notify: Arc::clone(&bell.notify) }
    }

    fn tell(&self, position: Position) {
        if let Some(bell) = self.0.lock().get(&position) {
            // A permit for whoever has not begun to wait yet, and a call for all who have.
            bell.notify.notify_one();
            bell.notify.notify_waiters();
        }
    }
}

impl Waiting {
    /// Returns once the position has been told of.
    pub(super) async fn told(&mut self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut bells = self.register.0.lock();
        if let Some(bell) = bells.get_mut(&self.position) {
            bell.waiters -= 1;
            if bell.waiters == 0 {
                bells.remove(&self.position);
            }
        }
    }
}

/// An outcome sink that passes on what it gets, and then wakes who waits for it.
pub struct Announcing {
    inner: Arc<dyn OutcomeSink>,
    waiters: Waiters,
}

impl Announcing {
    /// Passes on to `inner`, wakes `waiters`.
    #[must_use]
    pub fn new(inner: Arc<dyn OutcomeSink>, waiters: Waiters) -> Self {
        Self { inner, waiters }
    }
}

#[async_trait]
impl OutcomeSink for Announcing {
    async fn publish(&self, partition: PartitionId, events: &[OutcomeEvent]) -> Result<(), String> {
        // The ledger has ended these already, whether or not the sink takes them now.
        events.iter().for_each(|event| self.waiters.tell(event.outcome.position));
        self.inner.publish(partition, events).await
    }

    async fn witness(&self, partition: PartitionId) -> Result<Option<u64>, String> {
        self.inner.witness(partition).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Position = Position { epoch: 1, partition: 0, offset: 7 };

    #[tokio::test]
    async fn a_waiter_is_woken_even_when_it_was_told_before_it_began_to_wait() {
        let waiters = Waiters::default();
        let mut waiting = waiters.wait_for(HERE);
        waiters.tell(HERE);
        waiting.told().await;
    }

    #[tokio::test]
    async fn the_register_is_empty_when_nobody_waits() {
        let waiters = Waiters::default();
        let (one, two) = (waiters.wait_for(HERE), waiters.wait_for(HERE));
        drop(one);
        assert_eq!(waiters.0.lock().len(), 1);
        drop(two);
        assert!(waiters.0.lock().is_empty());
        waiters.tell(HERE);
    }
}
