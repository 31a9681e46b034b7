//! How much there is: of a space, and of a part of it.

use crate::{
    ledger::questions::{Counts, Selection},
    model::Space,
};

use super::{Answer, Demand, Error, Reader};

impl Reader {
    /// How much there is of a space; `None`: no command ever named it. Costs a step of an index for
    /// each memory and each relation.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer or the demand is not met in time.
    pub async fn stats(&self, space: &Space, demand: Demand) -> Result<Answer<Option<Counts>>, Error> {
        let provenance = self.of_space(space, demand).await?;
        let value = match self.declaration(space).await? {
            Some(_) => Some(self.ports.ledger.counts(space).await?),
            None => None,
        };
        Ok(Answer { value, provenance })
    }

    /// How many live memories of a space are of a selection. Costs as [`Reader::stats`], or what a
    /// session holds.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer.
    pub async fn count(&self, space: &Space, of: &Selection) -> Result<u64, Error> {
        Ok(self.ports.ledger.count_of(space, of).await?)
    }
}
