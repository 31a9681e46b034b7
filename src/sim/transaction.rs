//! One ledger transaction behind a network.
//!
//! It keeps what it does, and tells the monitor at the moment it has committed. The server's part of
//! it outlives the node: a COMMIT on its way is done although the node died. A node that is paused
//! inside a transaction holds its partition's row until the server ends the session.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use futures::FutureExt;
use parking_lot::Mutex;

use crate::{
    ledger::{
        Anchor, Claimed, Error, Head, HeadWrite, Lease, Ledger, Order, PartitionRow, RelationHead,
        RelationHeadWrite, RelationsOf, SagaRow, Transaction, Transition,
    },
    model::{Declaration, Key, MemoryId, RelationKey, Space, State, Timestamp},
};

use super::{
    boundary::{Action, Boundary},
    commit::{Server, Statements},
    faults::Fault,
    ledger::{lost, short},
    monitor::{Effect, Monitor, Watched},
    network::{Link, Route, Work},
};

/// A transaction's session on the server; empty once it has ended.
pub(super) type Session = Arc<OpenTransaction>;

pub(super) type OpenTransaction = Mutex<Option<Box<dyn Transaction>>>;

/// A node's way to one transaction.
pub(super) struct SimulatedTransaction {
    link: Link,
    ledger: Arc<dyn Ledger>,
    monitor: Arc<Monitor>,
    lease: Lease,
    row: PartitionRow,
    session: Session,
    effects: Vec<Effect>,
    begins: bool,
    finishes: bool,
    decides: bool,
    ends_undone: bool,
    /// What may arrive once more.
    again: Statements,
}

impl SimulatedTransaction {
    /// A transaction that has just been opened, with the partition's row as it was locked.
    pub(super) fn new(
        link: Link,
        ledger: Arc<dyn Ledger>,
        monitor: Arc<Monitor>,
        lease: Lease,
        row: PartitionRow,
        session: Session,
    ) -> Self {
        Self {
            link,
            ledger,
            monitor,
            lease,
            row,
            session,
            effects: Vec::new(),
            begins: false,
            finishes: false,
            decides: false,
            ends_undone: false,
            again: Statements::default(),
        }
    }

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
        self.again.moves.extend_from_slice(moves);
        Ok(moved)
    }

    async fn sagas(&mut self, offsets: &[u64]) -> Result<Vec<SagaRow>, Error> {
        statement!(self, inner => inner.sagas(offsets))
    }

    async fn proven(&mut self) -> Result<(), Error> {
        statement!(self, inner => inner.proven())
    }

    async fn count_attempts(&mut self, offsets: &[u64]) -> Result<(), Error> {
        statement!(self, inner => inner.count_attempts(offsets))
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
        self.again.advance = Some((watermark, anchor));
        statement!(self, inner => inner.advance(watermark, anchor))
    }

    async fn finished(&mut self, number: u64, offsets: &[u64], at: Timestamp) -> Result<(), Error> {
        statement!(self, inner => inner.finished(number, offsets, at))
    }

    async fn published(&mut self, finish: u64) -> Result<(), Error> {
        statement!(self, inner => inner.published(finish))
    }

    async fn obeyed(&mut self, orders: &[(u64, Order)]) -> Result<(), Error> {
        statement!(self, inner => inner.obeyed(orders))
    }

    async fn halted(&mut self, reason: Option<&str>) -> Result<(), Error> {
        self.effects.extend(reason.map(|_| Effect::Halted));
        statement!(self, inner => inner.halted(reason))
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
            lease: self.lease,
            ledger: Arc::clone(&self.ledger),
            link: self.link.clone(),
            again: std::mem::take(&mut self.again),
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
        self.link.event(format_args!("ledger: commit on {}: {}", self.lease.partition, short(&answer)));
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
