//! A turn: one write transaction of a partition's owner, doing everything that is ready.
//!
//! The order inside a turn is fixed, and each step stands in a file of its own:
//! [`finish`](super::finish) ends what the stores have acknowledged and frees its keys,
//! [`compensate`](super::compensate) turns back what a store refused, [`start`](super::start) decides
//! what waited, [`begin`](super::begin) inboxes what has arrived. Whatever ends in a turn ends under
//! one finish number.
//!
//! The caller frees keys as the steps say so; when the commit's answer is lost, it must forget what
//! it holds and read the ledger again.

use std::collections::BTreeSet;

use super::{
    Decide, Decision, Error, Facts, Lease, Ledger, Needs, Order, RelationsOf, Request, SagaRow, Transaction,
};
use crate::model::{MemoryId, RelationKey, Space, State, Timestamp, space::Judgement};

/// An open turn. Dropped without [`Turn::commit`], it has done nothing.
pub struct Turn<'a> {
    pub(super) lease: Lease,
    pub(super) transaction: Box<dyn Transaction>,
    pub(super) decide: &'a dyn Decide,
    /// Wall time of this turn: when what ends in it ended.
    pub(super) now: Timestamp,
    /// What ended in this turn.
    pub(super) ended: Ended,
    /// Only for a planted bug: what was read before earlier sagas had ended.
    pub(super) read_ahead: Option<Facts>,
}

impl<'a> Turn<'a> {
    /// Locks the partition and checks the lease.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the lease is not held any more.
    pub async fn open(
        ledger: &dyn Ledger,
        lease: Lease,
        decide: &'a dyn Decide,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let transaction = ledger.transaction(&lease).await?;
        Ok(Self { lease, transaction, decide, now, ended: Ended::default(), read_ahead: None })
    }

    /// The finish number of whatever ends in this turn.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.transaction.partition().finishes + 1
    }

    /// The watermark and the last finish, as they were when the turn was opened.
    #[must_use]
    pub fn stands_at(&self) -> (u64, u64) {
        let row = self.transaction.partition();
        (row.watermark, row.finishes)
    }

    /// Remembers that outcomes up to this finish are published.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer.
    pub async fn published(&mut self, finish: u64) -> Result<(), Error> {
        self.transaction.published(finish).await
    }

    /// Takes away orders that are carried out with this turn.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer.
    pub async fn obeyed(&mut self, orders: &[(u64, Order)]) -> Result<(), Error> {
        self.transaction.obeyed(orders).await
    }

    /// Remembers why the partition stands still; `None`: it does not.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer.
    pub async fn halted(&mut self, reason: Option<&str>) -> Result<(), Error> {
        self.transaction.halted(reason).await
    }

    /// Remembers that this owner has proved healthy.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer.
    pub async fn proven(&mut self) -> Result<(), Error> {
        self.transaction.proven().await
    }

    /// How often these sagas have been attempted, in the order asked.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer.
    pub async fn attempts(&mut self, offsets: &[u64]) -> Result<Vec<u32>, Error> {
        let rows = self.transaction.sagas(offsets).await?;
        let of = |offset| rows.iter().find(|row| row.offset == offset).map_or(0, |row| row.attempts);
        Ok(offsets.iter().copied().map(of).collect())
    }

    /// Counts one more attempt of sagas that are about to run.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer.
    pub async fn attempt(&mut self, offsets: &[u64]) -> Result<(), Error> {
        self.transaction.count_attempts(offsets).await
    }

    /// Commits. `Some` when anything ended.
    ///
    /// # Errors
    /// [`Error::Indeterminate`] when the answer was lost.
    pub async fn commit(mut self) -> Result<Option<Finished>, Error> {
        let number = self.number();
        let Ended { offsets, mut rows, unknown } = std::mem::take(&mut self.ended);
        if !offsets.is_empty() {
            self.transaction.finished(number, &offsets, self.now).await?;
        }
        self.transaction.commit().await?;
        if offsets.is_empty() {
            return Ok(None);
        }
        rows.sort_unstable_by_key(|row| row.offset);
        Ok(Some(Finished { number, rows: (!unknown).then_some(rows) }))
    }

    /// Reads what these commands need to know, in a few bulk statements, and decides each. They must
    /// not conflict: each is decided as if it were alone.
    pub(super) async fn decide_all(&mut self, requests: &[Request<'_>]) -> Result<Vec<Decision>, Error> {
        let facts = self.facts(requests).await?;
        Ok(requests.iter().map(|request| self.decide.decide(request, &facts)).collect())
    }

    pub(super) async fn facts(&mut self, requests: &[Request<'_>]) -> Result<Facts, Error> {
        let mut wanted = Wanted::default();
        let mut counted = BTreeSet::new();
        for request in requests {
            let needs = self.decide.needs(&request.header.space, request.command);
            // A space with a quota runs its creations one by one, so its count is right for its only
            // candidate; see `begin`.
            if needs.count && request.judgement.quota.is_some() {
                counted.insert(request.header.space.clone());
            }
            wanted.add(&request.header.space, needs);
        }
        let mut facts = Facts::default();
        if !wanted.memories.is_empty() {
            for head in self.transaction.heads(&wanted.memories).await? {
                facts.memories.insert((head.space.clone(), head.id.clone()), head);
            }
        }
        if !wanted.relations.is_empty() {
            for head in self.transaction.relations(&wanted.relations).await? {
                facts.relations.insert(head.relation.clone(), head);
            }
        }
        if !wanted.relations_of.is_empty() {
            let answers = self.transaction.relations_of(&wanted.relations_of).await?;
            for (question, heads) in wanted.relations_of.into_iter().zip(answers) {
                for head in &heads {
                    facts.relations.insert(head.relation.clone(), head.clone());
                }
                facts.relations_of.insert(question, heads);
            }
        }
        for space in counted {
            let count = self.transaction.count_live(&space).await?;
            facts.counts.insert(space, count);
        }
        Ok(facts)
    }
}

#[derive(Default)]
struct Wanted {
    memories: Vec<(Space, MemoryId)>,
    relations: Vec<RelationKey>,
    relations_of: Vec<RelationsOf>,
}

impl Wanted {
    fn add(&mut self, space: &Space, needs: Needs) {
        self.memories.extend(needs.memories.into_iter().map(|id| (space.clone(), id)));
        self.relations.extend(needs.relations);
        self.relations_of.extend(needs.relations_of);
    }
}

/// A transaction that ended sagas.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Its finish number.
    pub number: u64,
    /// Every row that it ended, as the ledger has them now, in offset order; `None`: not all of them are
    /// in memory.
    pub rows: Option<Vec<SagaRow>>,
}

/// What a turn has ended so far.
#[derive(Default)]
pub(super) struct Ended {
    offsets: Vec<u64>,
    rows: Vec<SagaRow>,
    /// Whether something ended whose row is in the ledger alone.
    unknown: bool,
}

impl Ended {
    /// A row ends that is in memory.
    pub(super) fn row(&mut self, row: &SagaRow, state: State, finish: u64, at: Timestamp) {
        self.offsets.push(row.offset);
        self.rows.push(SagaRow {
            state,
            finish,
            finished_at: Some(at),
            header: row.header.clone(),
            ending: row.ending.clone(),
            judgement: Judgement::default(),
            keys: Vec::new(),
            body: None,
            plan: None,
            ..*row
        });
    }

    /// Rows end that are in the ledger alone.
    pub(super) fn unseen(&mut self, offsets: impl IntoIterator<Item = u64>) {
        let before = self.offsets.len();
        self.offsets.extend(offsets);
        self.unknown |= self.offsets.len() > before;
    }
}

/// A saga that waits in the ledger and is free to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its offset.
    pub offset: u64,
    /// Its duplicates, which end with it should it end at once.
    pub duplicates: Vec<u64>,
}
