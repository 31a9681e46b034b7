//! The ledger behind a network: the real in-memory ledger, whose answers can be lost.
//!
//! Reads, leases, and the sessions of a node. What a session does is [`transaction`](super::transaction)'s.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    ledger::{
        EpochRow, Error, Head, HeadCursor, Lease, Ledger, PartitionRow, RelationHead, SagaRow, Swept,
        Transaction,
    },
    model::{ConflictKey, Declaration, Key, MemoryId, PartitionId, Position, Space},
};

use super::{
    faults::Fault,
    monitor::Monitor,
    network::{Link, Loss, Outage, Route, Work},
    senders::Rights,
    transaction::{OpenTransaction, Session, SimulatedTransaction},
};

/// What one node's ledger shares with its transactions.
pub(super) struct SimulatedLedger {
    link: Link,
    inner: Arc<dyn Ledger>,
    monitor: Arc<Monitor>,
    outage: Arc<Outage>,
    sessions: Arc<Sessions>,
    rights: Arc<Rights>,
}

/// The open sessions of one node.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Vec<Weak<OpenTransaction>>>);

impl Sessions {
    fn open(&self, session: &Session) {
        let mut sessions = self.0.lock();
        sessions.retain(|session| session.strong_count() > 0);
        sessions.push(Arc::downgrade(session));
    }

    /// The server ends every session that stands idle inside a transaction.
    pub(super) fn end_all(&self) {
        let sessions = std::mem::take(&mut *self.0.lock());
        for session in sessions.iter().filter_map(Weak::upgrade) {
            drop(session.lock().take());
        }
    }
}

fn unavailable() -> Error {
    Error::Unavailable("the ledger did not answer".to_owned())
}

/// The answer to whoever cannot know what was done.
pub(super) fn lost() -> Error {
    Error::Indeterminate("the connection was cut before the answer".to_owned())
}

/// What can befall a request for a lease.
fn lease_route(double: Option<Fault>) -> Route {
    Route { lost_reply: Some(Fault::LeaseLostReply), double, ..Route::default() }
}

impl SimulatedLedger {
    /// A node's way to the ledger.
    pub(super) fn new(
        link: Link,
        inner: Arc<dyn Ledger>,
        monitor: Arc<Monitor>,
        outage: Arc<Outage>,
        sessions: Arc<Sessions>,
        rights: Arc<Rights>,
    ) -> Self {
        Self { link, inner, monitor, outage, sessions, rights }
    }

    /// A call that changes nothing.
    pub(super) async fn read<T, F, R>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(Arc<dyn Ledger>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.call(Route::default(), work).await
    }

    /// A call that changes nothing, or nothing that matters when it is done twice. `route` adds what
    /// can befall it beside the ledger's absence and a lost request.
    async fn call<T, F, R>(&self, route: Route, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(Arc<dyn Ledger>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let route = Route {
            outage: Some(Arc::clone(&self.outage)),
            lost_request: Some(Fault::LedgerLostRequest),
            ..route
        };
        let inner = Arc::clone(&self.inner);
        let work: Work<Result<T, Error>> = Arc::new(move || work(Arc::clone(&inner)).boxed());
        match self.link.call(&route, None, work).await {
            Ok(answer) => answer,
            Err(Loss::Unknown) if route.lost_reply.is_some() => Err(lost()),
            Err(_) => Err(unavailable()),
        }
    }
}

#[async_trait]
impl Ledger for SimulatedLedger {
    async fn epoch(&self) -> Result<Option<EpochRow>, Error> {
        self.read(|ledger| async move { ledger.epoch().await }).await
    }

    async fn open_epoch(&self, epoch: &EpochRow) -> Result<(), Error> {
        let epoch = epoch.clone();
        let open = move |ledger: Arc<dyn Ledger>| {
            let epoch = epoch.clone();
            async move { ledger.open_epoch(&epoch).await }
        };
        self.call(lease_route(None), open).await
    }

    async fn acquire(&self, partition: PartitionId, nonce: u128) -> Result<Lease, Error> {
        let asked = Instant::now();
        self.rights.asks(partition, nonce, self.inner.partition(partition).await.ok().as_ref());
        let monitor = Arc::clone(&self.monitor);
        let acquire = move |ledger: Arc<dyn Ledger>| {
            let monitor = Arc::clone(&monitor);
            async move {
                let lease = ledger.acquire(partition, nonce).await?;
                monitor.leased(&lease);
                Ok(lease)
            }
        };
        let lease = self.call(lease_route(Some(Fault::LeaseDouble)), acquire).await;
        self.link.event(format_args!("ledger: acquire {partition}: {}", short(&lease)));
        if let Ok(lease) = &lease {
            self.rights.given(*lease, asked);
        }
        lease
    }

    async fn transaction(&self, lease: &Lease) -> Result<Box<dyn Transaction>, Error> {
        if self.link.network.faults.fires(Fault::LedgerLeakyConnection) {
            self.link.node.gate().await;
            return Err(Error::Unavailable("the connection was inside a transaction already".to_owned()));
        }
        let (lease, asked) = (*lease, Instant::now());
        let open = move |ledger: Arc<dyn Ledger>| async move { ledger.transaction(&lease).await };
        let inner = self.read(open).await?;
        self.rights.confirmed(&lease, asked);
        let row = inner.partition().clone();
        let session: Session = Arc::new(Mutex::new(Some(inner)));
        self.sessions.open(&session);
        let (ledger, monitor) = (Arc::clone(&self.inner), Arc::clone(&self.monitor));
        Ok(Box::new(SimulatedTransaction::new(self.link.clone(), ledger, monitor, lease, row, session)))
    }

    async fn partition(&self, partition: PartitionId) -> Result<PartitionRow, Error> {
        let asked = Instant::now();
        let row = self.read(move |ledger| async move { ledger.partition(partition).await }).await?;
        self.rights.read(partition, &row, asked);
        Ok(row)
    }

    async fn unfinished(
        &self,
        partition: PartitionId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<SagaRow>, Error> {
        self.read(move |ledger| async move { ledger.unfinished(partition, from, limit).await }).await
    }

    async fn ended_after(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<SagaRow>)>, Error> {
        self.read(move |ledger| async move { ledger.ended_after(partition, after, limit).await }).await
    }

    async fn saga(&self, position: Position) -> Result<Option<SagaRow>, Error> {
        self.read(move |ledger| async move { ledger.saga(position).await }).await
    }

    async fn claimed(&self, epoch: u32, claim: Key) -> Result<Option<Position>, Error> {
        self.read(move |ledger| async move { ledger.claimed(epoch, claim).await }).await
    }

    async fn heads(&self, ids: &[(Space, MemoryId)]) -> Result<Vec<Head>, Error> {
        let ids = ids.to_vec();
        let read = move |ledger: Arc<dyn Ledger>| {
            let ids = ids.clone();
            async move { ledger.heads(&ids).await }
        };
        self.read(read).await
    }

    async fn list(&self, space: &Space, after: Option<&MemoryId>, limit: usize) -> Result<Vec<Head>, Error> {
        let (space, after) = (space.clone(), after.cloned());
        let read = move |ledger: Arc<dyn Ledger>| {
            let (space, after) = (space.clone(), after.clone());
            async move { ledger.list(&space, after.as_ref(), limit).await }
        };
        self.read(read).await
    }

    async fn relations_of(&self, space: &Space, id: &MemoryId) -> Result<Vec<RelationHead>, Error> {
        let (space, id) = (space.clone(), id.clone());
        let read = move |ledger: Arc<dyn Ledger>| {
            let (space, id) = (space.clone(), id.clone());
            async move { ledger.relations_of(&space, &id).await }
        };
        self.read(read).await
    }

    async fn declaration(&self, space: &Space) -> Result<Option<Declaration>, Error> {
        let space = space.clone();
        let read = move |ledger: Arc<dyn Ledger>| {
            let space = space.clone();
            async move { ledger.declaration(&space).await }
        };
        self.read(read).await
    }

    async fn spaces(&self) -> Result<Vec<Space>, Error> {
        self.read(|ledger| async move { ledger.spaces().await }).await
    }

    async fn unfinished_of(
        &self,
        space: &Space,
        limit: usize,
    ) -> Result<Vec<(Position, Vec<ConflictKey>)>, Error> {
        let space = space.clone();
        let read = move |ledger: Arc<dyn Ledger>| {
            let space = space.clone();
            async move { ledger.unfinished_of(&space, limit).await }
        };
        self.read(read).await
    }

    async fn scan_heads(
        &self,
        from: Option<HeadCursor>,
        limit: usize,
    ) -> Result<(Vec<Head>, Option<HeadCursor>), Error> {
        self.read(move |ledger| async move { ledger.scan_heads(from, limit).await }).await
    }

    async fn scan_relations(&self, after: Option<Key>, limit: usize) -> Result<Vec<RelationHead>, Error> {
        self.read(move |ledger| async move { ledger.scan_relations(after, limit).await }).await
    }

    async fn heads_since(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Option<(u64, Vec<Head>)>, Error> {
        self.read(move |ledger| async move { ledger.heads_since(partition, after, limit).await }).await
    }

    async fn sweep_images(&self, limit: usize) -> Result<Swept, Error> {
        self.read(move |ledger| async move { ledger.sweep_images(limit).await }).await
    }

    async fn identity(&self) -> Result<String, Error> {
        self.read(|ledger| async move { ledger.identity().await }).await
    }
}

/// An answer in one word or two.
pub(super) fn short<T: std::fmt::Debug>(answer: &Result<T, Error>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(Error::Fenced { .. }) => "fenced",
        Err(Error::Unavailable(_)) => "unavailable",
        Err(Error::Indeterminate(_)) => "answer lost",
        Err(Error::Corrupt(_)) => "corrupt",
    }
}
