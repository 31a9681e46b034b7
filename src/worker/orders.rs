//! What operators ask of single sagas, carried out by whoever owns their partition.
//!
//! The owner looks for orders once in a while, and at the beginning of each tenure. Each is taken away in the
//! transaction that carries it out, so that an owner that dies has done it or finds it again; of a saga that
//! has ended meanwhile it is taken away as it is.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    owner::{Interruption, Owner},
    tenure::{Tenure, Work},
};
use crate::{
    ledger::{self, Order, SagaRow, Side, compensate, orders::ORDERS_MAX, resolve::Resolution, turn::Turn},
    model::{
        Code, FieldError, PartitionId, State,
        outcome::{Ending, Verdict},
    },
};

/// What is to be done about the orders of one turn, and about what stores have refused.
#[derive(Default)]
pub(super) struct Heeded {
    /// Orders that are carried out with this turn, or mean nothing any more.
    obeyed: Vec<(u64, Order)>,
    /// Sagas that wait, and end at once.
    failed: Vec<u64>,
    /// To be ended so.
    resolved: Vec<(Arc<SagaRow>, Side)>,
    /// Sagas to turn back, with the ending that they will have: cancelled ones, and those that a store refused.
    pub(super) turned_back: Vec<(Arc<SagaRow>, Ending)>,
    /// To be sent again when the turn has committed.
    pub(super) again: Vec<Arc<SagaRow>>,
}

/// The orders that stand in a partition.
pub(super) async fn standing(owner: &Owner) -> Result<Vec<(u64, Order)>, ledger::Error> {
    let mut orders = Vec::new();
    let mut from = 0;
    loop {
        let more = owner.ports.ledger.orders(owner.partition, from).await?;
        let is_last = more.len() < ORDERS_MAX;
        from = more.last().map_or(from, |(offset, _)| offset + 1);
        orders.extend(more);
        if is_last {
            return Ok(orders);
        }
    }
}

impl Tenure<'_> {
    /// The orders that these resolved sagas end with. Ask before they are counted as ended.
    pub(super) fn obeyed_by(&self, resolved: &[u64]) -> Vec<(u64, Order)> {
        let order = |offset: &u64| Some((*offset, Order::Resolve(self.backlog.resolving(*offset)?.1)));
        resolved.iter().filter_map(order).collect()
    }

    /// Looks what each order means, now that whatever ends in this turn has ended; `obeyed`: orders that have
    /// been carried out with that.
    pub(super) fn heed(&self, work: &Work, obeyed: Vec<(u64, Order)>) -> Heeded {
        let mut heeded = Heeded { obeyed, ..Heeded::default() };
        for (offset, order) in &work.orders {
            self.heed_one(*offset, *order, &mut heeded);
        }
        // A refusal counts only where nobody has ordered anything else; after a retry it comes again.
        let stands = |saga: &SagaRow| {
            self.backlog.running_in(saga.offset, State::Running).is_some()
                && work.orders.iter().all(|(offset, _)| *offset != saga.offset)
        };
        heeded.turned_back.extend(work.refused.iter().filter(|(saga, _)| stands(saga)).cloned());
        heeded
    }

    fn heed_one(&self, offset: u64, order: Order, heeded: &mut Heeded) {
        let running = self.backlog.running_in(offset, State::Running);
        let compensating = self.backlog.running_in(offset, State::Compensating);
        match (order, running.or(compensating)) {
            // These orders stay until their sagas have ended.
            (Order::Resolve(_), None) if self.backlog.resolving(offset).is_some() => return,
            (Order::Resolve(side), Some(saga)) => {
                tracing::warn!(saga.position = %self.owner.partition.at(offset), ?side, "resolved by an operator");
                return heeded.resolved.push((Arc::clone(saga), side));
            }
            (Order::Retry, Some(saga)) => heeded.again.push(Arc::clone(saga)),
            (Order::Cancel, None) if self.backlog.is_waiting(offset) => heeded.failed.push(offset),
            (Order::Cancel, _) => {
                let ending = |saga| undone(saga, self.owner.partition);
                heeded.turned_back.extend(running.map(|saga| (Arc::clone(saga), ending(saga))));
            }
            (Order::Retry | Order::Resolve(_), None) => {}
        }
        tracing::info!(saga.position = %self.owner.partition.at(offset), ?order, "ordered by an operator");
        heeded.obeyed.push((offset, order));
    }

    /// Ends those that wait, and takes away what is carried out. Answers what is to be resolved when the turn
    /// has committed.
    pub(super) async fn obey(
        &mut self,
        turn: &mut Turn<'_>,
        heeded: &Heeded,
    ) -> Result<Vec<Resolution>, Interruption> {
        for offset in &heeded.failed {
            turn.fail_waiting(*offset, self.backlog.duplicates_of(*offset), &failed()).await?;
            self.backlog.ended(*offset);
        }
        if !heeded.obeyed.is_empty() {
            turn.obeyed(&heeded.obeyed).await?;
        }
        Ok(turn.resolutions(&heeded.resolved).await?)
    }

    /// Goes on with what an earlier owner was resolving.
    pub(super) async fn resume_resolutions(
        &mut self,
        mut orders: Vec<(u64, Order)>,
    ) -> Result<(), Interruption> {
        orders.retain(|(_, order)| matches!(order, Order::Resolve(_)));
        let heeded = self.heed(&Work { orders, ..Work::default() }, Vec::new());
        if heeded.resolved.is_empty() {
            return Ok(());
        }
        let mut turn = self.open().await?;
        let resolutions = turn.resolutions(&heeded.resolved).await?;
        drop(turn);
        self.send_resolutions(resolutions);
        Ok(())
    }

    /// From here on nothing else that is heard of these sagas counts.
    pub(super) fn send_resolutions(&mut self, resolutions: Vec<Resolution>) {
        self.backlog.resolves(&resolutions);
        self.executor.resolve(resolutions);
    }

    /// Sends sagas again as they stand. Whichever of their senders is answered first counts.
    pub(super) async fn send_again(&self, sagas: Vec<Arc<SagaRow>>) -> Result<(), Interruption> {
        let (forward, back) = sagas.into_iter().partition(|saga| saga.state == State::Running);
        self.executor.run(forward, true);
        self.resume_undos(back).await
    }
}

const DETAIL: &str = "an operator cancelled it";

fn failed() -> Ending {
    Ending::failed(Code::Cancelled, vec![FieldError::new(Code::Cancelled, "", DETAIL)])
}

fn undone(saga: &SagaRow, partition: PartitionId) -> Ending {
    Ending {
        verdict: Verdict::Compensated,
        code: Code::Cancelled,
        errors: vec![FieldError::new(Code::Cancelled, "", DETAIL)],
        records: compensate::unchanged(saga, partition),
        counts: BTreeMap::new(),
    }
}
