//! The ledger behind a network: the real in-memory ledger, whose answers can be lost.
//!
//! A transaction keeps what it does, and tells the monitor at the moment it has committed. The
//! server's part of it outlives the node: a COMMIT on its way is done although the node died. A node
//! that is paused inside a transaction holds its partition's row until the server ends the session.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;

use crate::{
    ledger::{
        Anchor, Claimed, EpochRow, Error, Head, HeadWrite, Lease, Ledger, PartitionRow, RelationHead,
        RelationHeadWrite, RelationsOf, SagaRow, Transaction, Transition,
    },
    model::{
        ConflictKey, Declaration, Key, MemoryId, PartitionId, Position, RelationKey, Space, State, Timestamp,
    },
};

use super::{
    boundary::{Action, Boundary},
    commit::Server,
    faults::Fault,
    monitor::{Effect, Monitor, Watched},
    network::{Link, Loss, Outage, Route, Work},
};

/// A transaction's session on the server; empty once it has ended.
type Session = Arc<OpenTransaction>;

type OpenTransaction = Mutex<Option<Box<dyn Transaction>>>;

/// What one node's ledger shares with its transactions.
pub(super) struct SimulatedLedger {
    link: Link,
    inner: Arc<dyn Ledger>,
    monitor: Arc<Monitor>,
    outage: Arc<Outage>,
    sessions: Arc<Sessions>,
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

fn lost() -> Error {
    Error::Indeterminate("the connection was cut before the answer".to_owned())
}

impl SimulatedLedger {
    /// A node's way to the ledger.
    pub(super) fn new(
        link: Link,
        inner: Arc<dyn Ledger>,
        monitor: Arc<Monitor>,
        outage: Arc<Outage>,
        sessions: Arc<Sessions>,
    ) -> Self {
        Self { link, inner, monitor, outage, sessions }
    }

    /// A call that changes nothing, or nothing that matters when it is done twice.
    async fn call<T, F, R>(&self, lost_reply: Option<Fault>, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(Arc<dyn Ledger>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let route = Route {
            outage: Some(Arc::clone(&self.outage)),
            lost_request: Some(Fault::LedgerLostRequest),
            lost_reply,
            ..Route::default()
        };
        let inner = Arc::clone(&self.inner);
        let work: Work<Result<T, Error>> = Arc::new(move || work(Arc::clone(&inner)).boxed());
        match self.link.call(&route, None, work).await {
            Ok(answer) => answer,
            Err(Loss::Unknown) if lost_reply.is_some() => Err(lost()),
            Err(_) => Err(unavailable()),
        }
    }
}

#[async_trait]
impl Ledger for SimulatedLedger {
    async fn epoch(&self) -> Result<Option<EpochRow>, Error> {
        self.call(None, |ledger| async move { ledger.epoch().await }).await
    }

    async fn open_epoch(&self, epoch: &EpochRow) -> Result<(), Error> {
        let epoch = epoch.clone();
        let open = move |ledger: Arc<dyn Ledger>| {
            let epoch = epoch.clone();
            async move { ledger.open_epoch(&epoch).await }
        };
        self.call(Some(Fault::LeaseLostReply), open).await
    }

    async fn acquire(&self, partition: PartitionId, nonce: u128) -> Result<Lease, Error> {
        let acquire = move |ledger: Arc<dyn Ledger>| async move { ledger.acquire(partition, nonce).await };
        let lease = self.call(Some(Fault::LeaseLostReply), acquire).await;
        self.link.event(format_args!("ledger: acquire {partition}: {}", short(&lease)));
        lease
    }

    async fn transaction(&self, lease: &Lease) -> Result<Box<dyn Transaction>, Error> {
        if self.link.network.faults.fires(Fault::LedgerLeakyConnection) {
            self.link.node.gate().await;
            return Err(Error::Unavailable("the connection was inside a transaction already".to_owned()));
        }
        let lease = *lease;
        let open = move |ledger: Arc<dyn Ledger>| async move { ledger.transaction(&lease).await };
        let inner = self.call(None, open).await?;
        let row = inner.partition().clone();
        let session: Session = Arc::new(Mutex::new(Some(inner)));
        self.sessions.open(&session);
        Ok(Box::new(SimulatedTransaction {
            link: self.link.clone(),
            ledger: Arc::clone(&self.inner),
            monitor: Arc::clone(&self.monitor),
            partition: lease.partition,
            row,
            session,
            effects: Vec::new(),
            begins: false,
            finishes: false,
            decides: false,
            ends_undone: false,
        }))
    }

    async fn partition(&self, partition: PartitionId) -> Result<PartitionRow, Error> {
        self.call(None, move |ledger| async move { ledger.partition(partition).await }).await
    }

    async fn unfinished(
        &self,
        partition: PartitionId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<SagaRow>, Error> {
        self.call(None, move |ledger| async move { ledger.unfinished(partition, from, limit).await }).await
    }

    async fn ended_after(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<SagaRow>)>, Error> {
        self.call(None, move |ledger| async move { ledger.ended_after(partition, after, limit).await }).await
    }

    async fn saga(&self, position: Position) -> Result<Option<SagaRow>, Error> {
        self.call(None, move |ledger| async move { ledger.saga(position).await }).await
    }

    async fn claimed(&self, epoch: u32, claim: Key) -> Result<Option<Position>, Error> {
        self.call(None, move |ledger| async move { ledger.claimed(epoch, claim).await }).await
    }

    async fn heads(&self, ids: &[(Space, MemoryId)]) -> Result<Vec<Head>, Error> {
        let ids = ids.to_vec();
        let read = move |ledger: Arc<dyn Ledger>| {
            let ids = ids.clone();
            async move { ledger.heads(&ids).await }
        };
        self.call(None, read).await
    }

    async fn list(&self, space: &Space, after: Option<&MemoryId>, limit: usize) -> Result<Vec<Head>, Error> {
        let (space, after) = (space.clone(), after.cloned());
        let read = move |ledger: Arc<dyn Ledger>| {
            let (space, after) = (space.clone(), after.clone());
            async move { ledger.list(&space, after.as_ref(), limit).await }
        };
        self.call(None, read).await
    }

    async fn relations_of(&self, space: &Space, id: &MemoryId) -> Result<Vec<RelationHead>, Error> {
        let (space, id) = (space.clone(), id.clone());
        let read = move |ledger: Arc<dyn Ledger>| {
            let (space, id) = (space.clone(), id.clone());
            async move { ledger.relations_of(&space, &id).await }
        };
        self.call(None, read).await
    }

    async fn declaration(&self, space: &Space) -> Result<Option<Declaration>, Error> {
        let space = space.clone();
        let read = move |ledger: Arc<dyn Ledger>| {
            let space = space.clone();
            async move { ledger.declaration(&space).await }
        };
        self.call(None, read).await
    }

    async fn spaces(&self) -> Result<Vec<Space>, Error> {
        self.call(None, |ledger| async move { ledger.spaces().await }).await
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
        self.call(None, read).await
    }

    async fn scan_heads(&self, after: Option<Key>, limit: usize) -> Result<Vec<Head>, Error> {
        self.call(None, move |ledger| async move { ledger.scan_heads(after, limit).await }).await
    }

    async fn scan_relations(&self, after: Option<Key>, limit: usize) -> Result<Vec<RelationHead>, Error> {
        self.call(None, move |ledger| async move { ledger.scan_relations(after, limit).await }).await
    }

    async fn heads_since(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Option<(u64, Vec<Head>)>, Error> {
        self.call(None, move |ledger| async move { ledger.heads_since(partition, after, limit).await }).await
    }

    async fn sweep_images(&self, limit: usize) -> Result<u64, Error> {
        self.call(None, move |ledger| async move { ledger.sweep_images(limit).await }).await
    }

    async fn identity(&self) -> Result<String, Error> {
        self.call(None, |ledger| async move { ledger.identity().await }).await
    }
}

fn short<T: std::fmt::Debug>(answer: &Result<T, Error>) -> &'static str {
    match answer {
        Ok(_) => "ok",
        Err(Error::Fenced { .. }) => "fenced",
        Err(Error::Unavailable(_)) => "unavailable",
        Err(Error::Indeterminate(_)) => "answer lost",
        Err(Error::Corrupt(_)) => "corrupt",
    }
}

struct SimulatedTransaction {
    link: Link,
    ledger: Arc<dyn Ledger>,
    monitor: Arc<Monitor>,
    partition: PartitionId,
    row: PartitionRow,
    session: Session,
    effects: Vec<Effect>,
    begins: bool,
    finishes: bool,
    decides: bool,
    ends_undone: bool,
}

impl SimulatedTransaction {
    /// Takes the session for one statement; an error if the server has ended it, or ends it now.
    async fn enter(&self) -> Result<Box<dyn Transaction>, Error> {
        self.link.node.gate().await;
        if self.link.network.faults.fires(Fault::LedgerSerialization) {
            drop(self.session.lock().take());
            return Err(Error::Unavailable("two transactions met, and this one gave way".to_owned()));
        }
        self.session.lock().take().ok_or_else(|| Error::Unavailable("the session was ended".to_owned()))
    }

    /// Gives the session back after a statement that went well.
    fn leave<T>(&self, inner: Box<dyn Transaction>, answer: Result<T, Error>) -> Result<T, Error> {
        if answer.is_ok() {
            *self.session.lock() = Some(inner);
        }
        answer
    }

    fn note_rows(&mut self, rows: &[SagaRow]) {
        for row in rows {
            self.begins = true;
            self.finishes |= row.state.is_terminal();
            let watched = Watched { state: row.state, keys: row.keys.clone() };
            self.effects.push(Effect::Inserted(row.offset, watched));
        }
    }

    fn note_moves(&mut self, moves: &[Transition], moved: &[u64]) {
        for step in moves.iter().filter(|step| moved.contains(&step.offset)) {
            match step.to {
                State::Compensating => self.decides = true,
                State::Compensated => self.ends_undone = true,
                State::Committed | State::Failed => self.finishes = true,
                State::Pending | State::Running => {}
            }
            self.effects.push(Effect::Moved(step.offset, step.from, step.to));
        }
    }

    /// The boundaries that this commit is, before it is sent.
    fn sent(&self) -> Vec<Boundary> {
        let all = [
            (self.begins, Boundary::BeginSent),
            (self.finishes, Boundary::FinishSent),
            (self.decides, Boundary::DecideSent),
            (self.ends_undone, Boundary::UndoFinishSent),
        ];
        all.into_iter().filter(|(is, _)| *is).map(|(_, boundary)| boundary).collect()
    }

    /// The boundaries that are reached once it has committed.
    fn reached(&self) -> Vec<Boundary> {
        let inserted = |state| {
            self.effects.iter().any(|effect| matches!(effect, Effect::Inserted(_, row) if row.state == state))
        };
        let moved = |state| {
            self.effects.iter().any(|effect| matches!(effect, Effect::Moved(_, _, to) if *to == state))
        };
        let all = [
            (inserted(State::Pending), Boundary::Pending),
            (inserted(State::Running) || moved(State::Running), Boundary::Running),
            (moved(State::Compensating), Boundary::Compensating),
            (self.finishes || self.ends_undone, Boundary::Unpublished),
        ];
        all.into_iter().filter(|(is, _)| *is).map(|(_, boundary)| boundary).collect()
    }
}

/// One statement of the session.
macro_rules! statement {
    ($self:ident, $inner:ident => $call:expr) => {{
        let mut $inner = $self.enter().await?;
        let answer = $call.await;
        $self.leave($inner, answer)
    }};
}

#[async_trait]
impl Transaction for SimulatedTransaction {
    fn partition(&self) -> &PartitionRow {
        &self.row
    }

    async fn claims(&mut self, claims: &[Key]) -> Result<HashMap<Key, Claimed>, Error> {
        statement!(self, inner => inner.claims(claims))
    }

    async fn declarations(&mut self, spaces: &[Space]) -> Result<BTreeMap<Space, Declaration>, Error> {
        statement!(self, inner => inner.declarations(spaces))
    }

    async fn declare(&mut self, declarations: &[(Space, Declaration)]) -> Result<(), Error> {
        statement!(self, inner => inner.declare(declarations))
    }

    async fn heads(&mut self, ids: &[(Space, MemoryId)]) -> Result<Vec<Head>, Error> {
        statement!(self, inner => inner.heads(ids))
    }

    async fn relations(&mut self, keys: &[RelationKey]) -> Result<Vec<RelationHead>, Error> {
        statement!(self, inner => inner.relations(keys))
    }

    async fn relations_of(&mut self, questions: &[RelationsOf]) -> Result<Vec<Vec<RelationHead>>, Error> {
        statement!(self, inner => inner.relations_of(questions))
    }

    async fn count_live(&mut self, space: &Space) -> Result<u64, Error> {
        statement!(self, inner => inner.count_live(space))
    }

    async fn insert_sagas(&mut self, rows: &[SagaRow]) -> Result<(), Error> {
        self.note_rows(rows);
        statement!(self, inner => inner.insert_sagas(rows))
    }

    async fn transition(&mut self, moves: &[Transition]) -> Result<Vec<u64>, Error> {
        let moved = statement!(self, inner => inner.transition(moves))?;
        self.note_moves(moves, &moved);
        Ok(moved)
    }

    async fn sagas(&mut self, offsets: &[u64]) -> Result<Vec<SagaRow>, Error> {
        statement!(self, inner => inner.sagas(offsets))
    }

    async fn proven(&mut self) -> Result<(), Error> {
        statement!(self, inner => inner.proven())
    }

    async fn count_attempt(&mut self, offset: u64) -> Result<(), Error> {
        statement!(self, inner => inner.count_attempt(offset))
    }

    async fn write_heads(&mut self, heads: &[HeadWrite]) -> Result<(), Error> {
        statement!(self, inner => inner.write_heads(heads))
    }

    async fn write_relations(&mut self, relations: &[RelationHeadWrite]) -> Result<(), Error> {
        statement!(self, inner => inner.write_relations(relations))
    }

    async fn touch(&mut self, memories: &[(Space, MemoryId)], at: Timestamp) -> Result<(), Error> {
        statement!(self, inner => inner.touch(memories, at))
    }

    async fn advance(&mut self, watermark: u64, anchor: Option<Anchor>) -> Result<(), Error> {
        statement!(self, inner => inner.advance(watermark, anchor))
    }

    async fn finished(&mut self, number: u64, offsets: &[u64], at: Timestamp) -> Result<(), Error> {
        statement!(self, inner => inner.finished(number, offsets, at))
    }

    async fn published(&mut self, finish: u64) -> Result<(), Error> {
        statement!(self, inner => inner.published(finish))
    }

    async fn commit(mut self: Box<Self>) -> Result<(), Error> {
        let mut struck = None;
        for boundary in self.sent() {
            struck = self.link.pass(boundary).await.or(struck);
        }
        let reached = self.reached();
        let inner = self.enter().await?;
        let server = Server {
            inner: Mutex::new(Some(inner)),
            effects: std::mem::take(&mut self.effects),
            monitor: Arc::clone(&self.monitor),
            partition: self.partition,
            ledger: Arc::clone(&self.ledger),
            link: self.link.clone(),
        };
        let server = Arc::new(server);
        let work: Work<Result<(), Error>> = Arc::new(move || {
            let server = Arc::clone(&server);
            async move { server.commit().await }.boxed()
        });
        let route = Route {
            lost_request: Some(Fault::LedgerLostCommit),
            lost_reply: Some(Fault::LedgerLostCommitReply),
            late: Some(Fault::LedgerLateCommit),
            ..Route::default()
        };
        let answer = match self.link.call(&route, None, work).await {
            _ if struck == Some(Action::Unknown) => Err(lost()),
            Ok(answer) => answer,
            Err(_) => Err(lost()),
        };
        self.link.event(format_args!("ledger: commit on {}: {}", self.partition, short(&answer)));
        if answer.is_ok() {
            for boundary in reached {
                if self.link.pass(boundary).await == Some(Action::Unknown) {
                    return Err(lost());
                }
            }
        }
        answer
    }
}
