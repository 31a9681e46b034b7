//! The ledger behind its guard, where it is a server's.
//!
//! Reads and the opening of transactions are guarded; what happens inside an open transaction is not, since it
//! ends with its connection, and the next one has to be opened. A partition that another owner holds, and what is
//! inconsistent, is no evidence against the server: it answered.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::{
    ledger::{
        EpochRow, Error, Head, HeadCursor, Lease, Ledger, Order, Orders, PartitionRow, RelationHead, SagaRow,
        Start, Succession, Swept, Transaction,
        questions::{AsOf, CommandsQuestion, Counts, Part, Past, Questions, Selection, Steps},
    },
    model::{ConflictKey, Declaration, Key, MemoryId, PartitionId, Position, Space, Timestamp, Version},
    random::Random,
};

use super::{Evidence, Guard, Options, Stopped};

/// The ledger, guarded.
#[must_use]
pub fn ledger(inner: Arc<dyn Ledger>, options: Options, random: Random) -> (Arc<dyn Ledger>, Arc<Guard>) {
    let store = Arc::clone(&inner);
    let probe = Box::new(move || -> BoxFuture<'static, bool> {
        let store = Arc::clone(&store);
        Box::pin(async move { judged(&store.epoch().await) == Evidence::Healthy })
    });
    let guard = Guard::new("ledger", options, random, probe);
    (Arc::new(Guarded { inner, guard: Arc::clone(&guard) }), guard)
}

struct Guarded {
    inner: Arc<dyn Ledger>,
    guard: Arc<Guard>,
}

fn judged<T>(answer: &Result<T, Error>) -> Evidence {
    match answer {
        Ok(_) | Err(Error::Fenced { .. } | Error::Corrupt(_)) => Evidence::Healthy,
        Err(Error::Unavailable(_) | Error::Indeterminate(_)) => Evidence::Unhealthy,
    }
}

/// Whatever a stopped call was, it has changed nothing that its caller could rely on.
fn flat<T>(answer: Result<Result<T, Error>, Stopped>) -> Result<T, Error> {
    answer.unwrap_or_else(|stopped| Err(Error::Unavailable(stopped.sentence())))
}

impl Guarded {
    async fn read<T, F: Future<Output = Result<T, Error>>>(
        &self,
        operation: &'static str,
        work: impl Fn() -> F,
    ) -> Result<T, Error> {
        flat(self.guard.read(operation, work, judged).await)
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        flat(self.guard.call(operation, work, judged).await)
    }
}

#[async_trait]
impl Ledger for Guarded {
    async fn epoch(&self) -> Result<Option<EpochRow>, Error> {
        self.read("epoch", || self.inner.epoch()).await
    }

    /// Outside the guard: it is done once, at a start, and what it did must be known.
    async fn open_epoch(&self, epoch: &EpochRow) -> Result<(), Error> {
        self.inner.open_epoch(epoch).await
    }

    async fn acquire(&self, partition: PartitionId, nonce: u128) -> Result<Lease, Error> {
        self.call("acquire", self.inner.acquire(partition, nonce)).await
    }

    async fn transaction(&self, lease: &Lease) -> Result<Box<dyn Transaction>, Error> {
        self.call("transaction", self.inner.transaction(lease)).await
    }

    async fn partition(&self, partition: PartitionId) -> Result<PartitionRow, Error> {
        self.read("partition", || self.inner.partition(partition)).await
    }

    async fn unfinished(
        &self,
        partition: PartitionId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<SagaRow>, Error> {
        self.read("unfinished", || self.inner.unfinished(partition, from, limit)).await
    }

    async fn ended_after(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<SagaRow>)>, Error> {
        self.read("ended_after", || self.inner.ended_after(partition, after, limit)).await
    }

    async fn saga(&self, position: Position) -> Result<Option<SagaRow>, Error> {
        self.read("saga", || self.inner.saga(position)).await
    }

    async fn claimed(&self, epoch: u32, claim: Key) -> Result<Option<Position>, Error> {
        self.read("claimed", || self.inner.claimed(epoch, claim)).await
    }

    async fn heads(&self, ids: &[(Space, MemoryId)]) -> Result<Vec<Head>, Error> {
        self.read("heads", || self.inner.heads(ids)).await
    }

    async fn list(&self, space: &Space, after: Option<&MemoryId>, limit: usize) -> Result<Vec<Head>, Error> {
        self.read("list", || self.inner.list(space, after, limit)).await
    }

    async fn relations_of(&self, space: &Space, id: &MemoryId) -> Result<Vec<RelationHead>, Error> {
        self.read("relations_of", || self.inner.relations_of(space, id)).await
    }

    async fn declaration(&self, space: &Space) -> Result<Option<Declaration>, Error> {
        self.read("declaration", || self.inner.declaration(space)).await
    }

    async fn spaces(&self) -> Result<Vec<Space>, Error> {
        self.read("spaces", || self.inner.spaces()).await
    }

    async fn unfinished_of(
        &self,
        space: &Space,
        limit: usize,
    ) -> Result<Vec<(Position, Vec<ConflictKey>)>, Error> {
        self.read("unfinished_of", || self.inner.unfinished_of(space, limit)).await
    }

    async fn scan_heads(
        &self,
        from: Option<HeadCursor>,
        limit: usize,
    ) -> Result<(Vec<Head>, Option<HeadCursor>), Error> {
        self.read("scan_heads", || self.inner.scan_heads(from, limit)).await
    }

    async fn scan_relations(&self, after: Option<Key>, limit: usize) -> Result<Vec<RelationHead>, Error> {
        self.read("scan_relations", || self.inner.scan_relations(after, limit)).await
    }

    async fn heads_since(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Option<(u64, Vec<Head>)>, Error> {
        self.read("heads_since", || self.inner.heads_since(partition, after, limit)).await
    }

    async fn sweep_images(&self, limit: usize) -> Result<Swept, Error> {
        self.call("sweep_images", self.inner.sweep_images(limit)).await
    }

    /// Outside the guard: it is asked of the process, not of the server.
    async fn identity(&self) -> Result<String, Error> {
        self.inner.identity().await
    }
}

#[async_trait]
impl Orders for Guarded {
    async fn order(&self, position: Position, order: Order) -> Result<bool, Error> {
        self.call("order", self.inner.order(position, order)).await
    }

    async fn orders(&self, partition: PartitionId, from: u64) -> Result<Vec<(u64, Order)>, Error> {
        self.read("orders", || self.inner.orders(partition, from)).await
    }
}

#[async_trait]
impl Succession for Guarded {
    /// Outside the guard, as the first epoch is.
    async fn succeed(&self, epoch: &EpochRow, starts: &[Start], leases: &[Lease]) -> Result<(), Error> {
        self.inner.succeed(epoch, starts, leases).await
    }
}

#[async_trait]
impl Questions for Guarded {
    async fn list_of(
        &self,
        space: &Space,
        of: &Selection,
        after: Option<&MemoryId>,
        limit: usize,
    ) -> Result<Part<Head, MemoryId>, Error> {
        self.read("list_of", || self.inner.list_of(space, of, after, limit)).await
    }

    async fn count_of(&self, space: &Space, of: &Selection) -> Result<u64, Error> {
        self.read("count_of", || self.inner.count_of(space, of)).await
    }

    async fn commands(&self, question: &CommandsQuestion) -> Result<Part<SagaRow, u64>, Error> {
        self.read("commands", || self.inner.commands(question)).await
    }

    async fn counts(&self, space: &Space) -> Result<Counts, Error> {
        self.read("counts", || self.inner.counts(space)).await
    }

    async fn history(&self, memory: Key, before: Option<Version>, limit: usize) -> Result<Vec<Past>, Error> {
        self.read("history", || self.inner.history(memory, before, limit)).await
    }

    async fn as_of(&self, space: &Space, memory: Key, at: Timestamp) -> Result<AsOf, Error> {
        self.read("as_of", || self.inner.as_of(space, memory, at)).await
    }

    async fn head_at_rest(&self, memory: Key) -> Result<Option<Head>, Error> {
        self.read("head_at_rest", || self.inner.head_at_rest(memory)).await
    }

    async fn reach(
        &self,
        memory: Key,
        steps: &Steps,
        depth: u32,
    ) -> Result<Option<Vec<RelationHead>>, Error> {
        self.read("reach", || self.inner.reach(memory, steps, depth)).await
    }

    async fn history_since(&self, space: &Space) -> Result<Option<Timestamp>, Error> {
        self.read("history_since", || self.inner.history_since(space)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        guard::State,
        ledger::{contract, memory::MemoryLedger},
    };

    fn guarded(ledger: MemoryLedger) -> Guarded {
        let inner: Arc<dyn Ledger> = Arc::new(ledger);
        let (_, guard) = super::ledger(Arc::clone(&inner), Options::default(), Random::from_seed(1, 0));
        Guarded { inner, guard }
    }

    contract::suite!(async { (guarded(MemoryLedger::new("memory")), ()) });

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_another_holds_is_no_evidence_and_a_server_that_is_away_opens_it() {
        let guarded = guarded(MemoryLedger::new("memory"));
        let partition = PartitionId { epoch: 1, partition: 0 };
        for _ in 0..60 {
            let fenced: Result<(), Error> =
                guarded.call("transaction", async { Err(Error::Fenced { partition }) }).await;
            assert!(matches!(fenced, Err(Error::Fenced { .. })));
        }
        assert_eq!(guarded.guard.state(), State::Closed);
        for _ in 0..5 {
            let away = async { Err::<(), _>(Error::Unavailable("away".to_owned())) };
            assert!(guarded.call("transaction", away).await.is_err());
        }
        assert_eq!(guarded.guard.state(), State::Open);
        let open = guarded.epoch().await;
        assert!(matches!(&open, Err(Error::Unavailable(why)) if why.contains("breaker")), "{open:?}");
        // The ledger itself works: it is asked first, and then the callers' work goes through.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert_eq!(guarded.epoch().await, Ok(None));
        assert_eq!(guarded.guard.state(), State::Closed);
    }
}
