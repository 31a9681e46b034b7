//! Readers' questions in the simulator: as slow and as lossy as every other read of the ledger.

use std::sync::Arc;

use async_trait::async_trait;

use super::ledger::SimulatedLedger;
use crate::{
    ledger::{
        EpochRow, Error, Head, Lease, Ledger, Order, Orders, SagaRow, Start, Succession,
        questions::{AsOf, CommandsQuestion, Counts, Part, Past, Questions, Selection},
    },
    model::{Key, MemoryId, PartitionId, Position, Space, Timestamp, Version},
};

#[async_trait]
impl Questions for SimulatedLedger {
    async fn list_of(
        &self,
        space: &Space,
        of: &Selection,
        after: Option<&MemoryId>,
        limit: usize,
    ) -> Result<Part<Head, MemoryId>, Error> {
        let (space, of, after) = (space.clone(), of.clone(), after.cloned());
        let read = move |ledger: Arc<dyn Ledger>| {
            let (space, of, after) = (space.clone(), of.clone(), after.clone());
            async move { ledger.list_of(&space, &of, after.as_ref(), limit).await }
        };
        self.read(read).await
    }

    async fn count_of(&self, space: &Space, of: &Selection) -> Result<u64, Error> {
        let (space, of) = (space.clone(), of.clone());
        let read = move |ledger: Arc<dyn Ledger>| {
            let (space, of) = (space.clone(), of.clone());
            async move { ledger.count_of(&space, &of).await }
        };
        self.read(read).await
    }

    async fn commands(&self, question: &CommandsQuestion) -> Result<Part<SagaRow, u64>, Error> {
        let question = question.clone();
        let read = move |ledger: Arc<dyn Ledger>| {
            let question = question.clone();
            async move { ledger.commands(&question).await }
        };
        self.read(read).await
    }

    async fn counts(&self, space: &Space) -> Result<Counts, Error> {
        let space = space.clone();
        let read = move |ledger: Arc<dyn Ledger>| {
            let space = space.clone();
            async move { ledger.counts(&space).await }
        };
        self.read(read).await
    }

    async fn history(&self, memory: Key, before: Option<Version>, limit: usize) -> Result<Vec<Past>, Error> {
        self.read(move |ledger| async move { ledger.history(memory, before, limit).await }).await
    }

    async fn as_of(&self, space: &Space, memory: Key, at: Timestamp) -> Result<AsOf, Error> {
        let space = space.clone();
        let read = move |ledger: Arc<dyn Ledger>| {
            let space = space.clone();
            async move { ledger.as_of(&space, memory, at).await }
        };
        self.read(read).await
    }

    async fn head_at_rest(&self, memory: Key) -> Result<Option<Head>, Error> {
        self.read(move |ledger| async move { ledger.head_at_rest(memory).await }).await
    }

    async fn history_since(&self, space: &Space) -> Result<Option<Timestamp>, Error> {
        let space = space.clone();
        let read = move |ledger: Arc<dyn Ledger>| {
            let space = space.clone();
            async move { ledger.history_since(&space).await }
        };
        self.read(read).await
    }
}

#[async_trait]
impl Orders for SimulatedLedger {
    async fn order(&self, position: Position, order: Order) -> Result<bool, Error> {
        self.read(move |ledger| async move { ledger.order(position, order).await }).await
    }

    async fn orders(&self, partition: PartitionId, from: u64) -> Result<Vec<(u64, Order)>, Error> {
        self.read(move |ledger| async move { ledger.orders(partition, from).await }).await
    }
}

#[async_trait]
impl Succession for SimulatedLedger {
    async fn succeed(&self, epoch: &EpochRow, starts: &[Start], leases: &[Lease]) -> Result<(), Error> {
        let (epoch, starts, leases) = (epoch.clone(), starts.to_vec(), leases.to_vec());
        let open = move |ledger: Arc<dyn Ledger>| {
            let (epoch, starts, leases) = (epoch.clone(), starts.clone(), leases.clone());
            async move { ledger.succeed(&epoch, &starts, &leases).await }
        };
        self.read(open).await
    }
}
