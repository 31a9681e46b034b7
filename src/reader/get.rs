//! Reads by id, and lists: heads and their images.

use crate::{
    ledger::{
        Head,
        questions::{Part, Selection},
    },
    model::{Declaration, MemoryId, Space, conflict::memory_key},
};

use super::{Answer, Demand, Error, Provenance, Reader, Scope};

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Live memories in id order.
    pub memories: Vec<Head>,
    /// After what the next part begins; `None`: this was the last.
    pub next: Option<MemoryId>,
}

/// A tombstone is nothing that a reader is shown.
pub(super) fn live(head: &Head) -> bool {
    head.memory.is_some()
}

impl Reader {
    /// One live memory. Absent with `pending > 0` means: something that touches it is under way.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer or the demand is not met in time.
    pub async fn get(
        &self,
        space: &Space,
        id: &MemoryId,
        demand: Demand,
    ) -> Result<Answer<Option<Head>>, Error> {
        let scope = Scope::Memory(space, id);
        self.meet(demand, scope).await?;
        if let Some(head) = self.ports.ledger.head_at_rest(memory_key(space, id)).await? {
            let provenance = Provenance::current(live(&head).then_some(head.version), 0);
            return Ok(Answer { value: Some(head).filter(live), provenance });
        }
        // What is pending first: a command that ends in between is then seen twice, never missed.
        let pending = self.pending(scope).await?.count;
        let heads = self.ports.ledger.heads(&[(space.clone(), id.clone())]).await?;
        let head = heads.into_iter().next().filter(live);
        let provenance = Provenance::current(head.as_ref().map(|head| head.version), pending);
        Ok(Answer { value: head, provenance })
    }

    /// Live memories of a space in id order, after `after`, at most `limit`. Of one kind a part may hold
    /// fewer, or none, and still have a next one.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer or the demand is not met in time.
    pub async fn list(
        &self,
        space: &Space,
        of: &Selection,
        after: Option<&MemoryId>,
        limit: usize,
        demand: Demand,
    ) -> Result<Answer<Page>, Error> {
        let provenance = self.of_space(space, demand).await?;
        let limit = limit.clamp(1, self.options.limit_max);
        let Part { found, next } = self.ports.ledger.list_of(space, of, after, limit).await?;
        Ok(Answer { value: Page { memories: found, next }, provenance })
    }

    /// The declaration of a space; `None`: no command ever named it.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer.
    pub async fn declaration(&self, space: &Space) -> Result<Option<Declaration>, Error> {
        Ok(self.ports.ledger.declaration(space).await?)
    }
}
