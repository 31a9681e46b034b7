//! Mistakes of a turn that only a test build can make, kept out of the path that they corrupt.
//!
//! Nothing here is called unless its bug is planted; see [`crate::fault`].

use std::sync::Arc;

use super::{
    Decision, Error, Facts, Head, Plan, RelationHead, Request, SagaRow, begin::Inbound, start::revive,
    turn::Turn,
};
use crate::{
    log::envelope::Decoded,
    model::{Phase, Space, Version, memory::tombstone_hash, space::Judgement},
};

impl Turn<'_> {
    /// Reads what these records need to know before the turn has ended anything.
    ///
    /// # Errors
    /// [`Error`] of the ledger; the turn is over then.
    pub async fn read_ahead(&mut self, records: &[Inbound]) -> Result<(), Error> {
        let (judgement, now) = (Judgement::default(), self.now);
        let requests: Vec<Request<'_>> = records
            .iter()
            .filter_map(|record| {
                let Decoded::Command(envelope) = &record.decoded else { return None };
                let (header, command) = (&envelope.header, &envelope.command);
                Some(Request { position: record.position, header, command, judgement: &judgement, now })
            })
            .collect();
        self.read_ahead = Some(self.facts(&requests).await?);
        Ok(())
    }

    /// Decides by what was read ahead. Counts alone are fresh: they hang on a judgement of this turn.
    pub(super) async fn decide_by(
        &mut self,
        requests: &[Request<'_>],
        stale: Facts,
    ) -> Result<Vec<Decision>, Error> {
        let fresh = self.facts(requests).await?;
        let facts = Facts { counts: fresh.counts, ..stale };
        Ok(requests.iter().map(|request| self.decide.decide(request, &facts)).collect())
    }

    /// Decides running sagas again, from what their own first attempt has left behind.
    ///
    /// # Errors
    /// [`Error`] of the ledger; the turn is over then.
    pub async fn decide_again(&mut self, sagas: Vec<Arc<SagaRow>>) -> Result<Vec<Arc<SagaRow>>, Error> {
        let mut again = Vec::with_capacity(sagas.len());
        for saga in sagas {
            let (Some(header), Some(plan)) = (&saga.header, &saga.plan) else { continue };
            let command = revive(&saga)?;
            let position = self.lease.partition.at(saga.offset);
            let (judgement, now) = (&saga.judgement, self.now);
            let request = Request { position, header, command: &command, judgement, now };
            let mut facts = self.facts(&[request]).await?;
            apply(&mut facts, &header.space, plan, position.version(Phase::Forward));
            let mut row = SagaRow::clone(&saga);
            if let Decision::Run(plan, _) = self.decide.decide(&request, &facts) {
                row.plan = Some(plan);
            }
            again.push(Arc::new(row));
        }
        Ok(again)
    }
}

/// As if the heads were what the stores hold: the saga's own images.
fn apply(facts: &mut Facts, space: &Space, plan: &Plan, version: Version) {
    for write in &plan.memories {
        let head = Head {
            space: space.clone(),
            id: write.id.clone(),
            version,
            memory: write.after.clone(),
            hash: write.hash,
            created_at: plan.now,
            updated_at: plan.now,
            accessed_at: None,
        };
        facts.memories.insert((space.clone(), write.id.clone()), head);
    }
    for write in &plan.relations {
        let hash = write.after.as_ref().map_or_else(tombstone_hash, |after| after.hash());
        let (relation, state) = (write.relation.clone(), write.after.clone());
        let head = RelationHead { relation, version, state, hash };
        for heads in facts.relations_of.values_mut() {
            heads.iter_mut().filter(|old| old.relation == head.relation).for_each(|old| *old = head.clone());
        }
        facts.relations.insert(head.relation.clone(), head);
    }
}
