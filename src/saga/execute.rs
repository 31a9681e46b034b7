//! Forward: a saga's after-images go to the vector store, then to the graph store.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    backoff::Backoff,
    step::{Item, Store, Stores, forward_writes, send},
};
use crate::{
    fault,
    fault::{Bug, planted},
    ledger::{self, SagaRow, lease},
    model::{Answer, PartitionId, Phase, Version},
    random::Random,
    tasks::Tasks,
};

/// What the owner hears of sagas that are with the stores.
#[derive(Debug)]
pub enum Report {
    /// Every required store holds them.
    Acknowledged(Vec<u64>),
    /// A store refuses one for good, and does not hold it.
    Refused {
        /// Which saga.
        offset: u64,
        /// Which store.
        store: Store,
        /// What it said.
        answer: Answer,
    },
    /// Every store that may have seen them holds what stood before.
    Undone(Vec<u64>),
    /// Every store holds the image that an operator chose for it.
    Resolved(u64),
    /// Another owner has moved a saga on: read the ledger.
    Overtaken(u64),
    /// Another owner has the partition: nothing more is sent.
    Fenced,
}

/// What runs sagas for one owner, for as long as it owns.
#[derive(Clone)]
pub struct Executor {
    /// The partition.
    pub partition: PartitionId,
    /// The stores.
    pub stores: Stores,
    /// Where reports go; closed: nobody wants them any more.
    pub reports: mpsc::Sender<Report>,
    /// The owner's right to write, which is looked at before each call.
    pub lease: Arc<lease::Watch>,
    /// Cancelled when the owner has let go: no further call is made.
    pub let_go: CancellationToken,
    /// Runs the calls.
    pub tasks: Tasks,
    /// First and longest pause between attempts.
    pub backoff: (Duration, Duration),
    /// Jitter.
    pub random: Random,
}

impl Executor {
    /// Sends sagas, which cannot conflict with each other or with any that are out, to their stores.
    /// `resumed`: an earlier owner may have sent some already; everything is sent again.
    pub fn run(&self, sagas: Vec<Arc<SagaRow>>, resumed: bool) {
        if sagas.is_empty() {
            return;
        }
        let store = match resumed && planted(Bug::SkipStepOnResume) {
            true => Store::Graph,
            false => Store::Vector,
        };
        self.spawn(store, sagas);
    }

    fn spawn(&self, store: Store, sagas: Vec<Arc<SagaRow>>) {
        let executor = self.clone();
        self.tasks.spawn(async move { executor.step(store, sagas).await });
    }

    /// One store for many sagas, until its answer is known for each.
    async fn step(self, store: Store, sagas: Vec<Arc<SagaRow>>) {
        let mut backoff = self.new_backoff();
        let mut items: Vec<Item<Arc<SagaRow>>> = sagas
            .into_iter()
            .map(|saga| Item { writes: forward_writes(&saga, self.version(&saga), store), work: saga })
            .collect();
        let version = |saga: &Arc<SagaRow>| self.version(saga);
        while !items.is_empty() && self.may_send(&mut backoff).await {
            if store == Store::Vector {
                fault::point("vector.sent").await;
            }
            let sorted = send(&self.stores, store, version, items).await;
            if !sorted.held.is_empty() {
                self.passed(store, sorted.held.into_iter().map(|item| item.work).collect()).await;
            }
            for (item, answer) in sorted.refused {
                let offset = item.work.offset;
                tracing::warn!(
                    saga.offset = offset,
                    store.name = store.as_str(),
                    ?answer,
                    "refused for good"
                );
                self.report(Report::Refused { offset, store, answer }).await;
            }
            for item in sorted.overtaken {
                self.report(Report::Overtaken(item.work.offset)).await;
            }
            items = sorted.again;
            if !items.is_empty() {
                tracing::debug!(sagas = items.len(), store.name = store.as_str(), "the store did not answer");
                self.pause(&mut backoff).await;
            }
        }
    }

    /// The version of a saga's forward writes.
    fn version(&self, saga: &SagaRow) -> Version {
        self.partition.at(saga.offset).version(Phase::Forward)
    }

    /// These sagas are done with `store`: on to the next, or back to the owner.
    async fn passed(&self, store: Store, sagas: Vec<Arc<SagaRow>>) {
        match store {
            Store::Vector => {
                if sagas.iter().any(|saga| touches_vectors(saga)) {
                    fault::point("vector.acknowledged").await;
                }
                if self.stores.graph.is_some() {
                    // The next store is called beside the retries of this one, never behind them.
                    self.spawn(Store::Graph, sagas);
                    return;
                }
            }
            Store::Graph => fault::point("graph.acknowledged").await,
        }
        self.report(Report::Acknowledged(sagas.iter().map(|saga| saga.offset).collect())).await;
    }

    /// Whether the stores may be called: not when the owner has let go, nor when another has the partition.
    /// While the ledger cannot say so, and the lease was not seen for its term, nobody knows; then it waits.
    pub(super) async fn may_send(&self, backoff: &mut Backoff) -> bool {
        while !self.let_go.is_cancelled() {
            if planted(Bug::StoreCalledUnasked) {
                return true;
            }
            match self.lease.check().await {
                // It may have been given back while the ledger was asked.
                Ok(()) => return !self.let_go.is_cancelled(),
                Err(ledger::Error::Fenced { .. }) => {
                    self.report(Report::Fenced).await;
                    self.let_go.cancel();
                }
                Err(error) => {
                    tracing::debug!(%error, "whether the lease holds is not known; nothing is sent");
                    self.pause(backoff).await;
                }
            }
        }
        false
    }

    pub(super) fn new_backoff(&self) -> Backoff {
        Backoff::new(self.backoff.0, self.backoff.1, self.random.clone())
    }

    pub(super) async fn pause(&self, backoff: &mut Backoff) {
        self.let_go.run_until_cancelled(backoff.wait()).await;
    }

    pub(super) async fn report(&self, report: Report) {
        if self.reports.send(report).await.is_err() {
            // The owner has let go; the next one reads the ledger and sends everything again.
            self.let_go.cancel();
        }
    }
}

fn touches_vectors(saga: &SagaRow) -> bool {
    saga.plan.as_ref().is_some_and(|plan| plan.memories.iter().any(|write| write.vector))
}
