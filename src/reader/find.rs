//! Finding commands: by the key that they hold, or by how far they have come.

use crate::{
    ledger::{
        SagaRow,
        questions::{CommandsQuestion, Part},
    },
    model::{Key, PartitionId, Position, Space, State},
};

use super::{Answer, Demand, Error, Provenance, Reader, Scope};

/// Which commands of a space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandsWanted {
    /// The space.
    pub space: Space,
    /// In one of these states; empty: in any.
    pub states: Vec<State>,
    /// Against the order of the log.
    pub newest_first: bool,
    /// Beyond this position, in that order.
    pub after: Option<Position>,
    /// At most so many.
    pub limit: usize,
}

/// Commands with their positions, and where the next part begins.
pub type Commands = Part<(Position, SagaRow), Position>;

impl Reader {
    /// The one command that holds the key of (space, source, id), where a worker has taken it in.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer or the demand is not met in time.
    pub async fn command_named(
        &self,
        space: &Space,
        source: &str,
        id: &str,
        demand: Demand,
    ) -> Result<Answer<Option<(Position, SagaRow)>>, Error> {
        let provenance = self.of_space(space, demand).await?;
        let claim = Key::of(&[space.as_str(), source, id]);
        let held = match self.ports.ledger.epoch().await? {
            Some(epoch) => self.ports.ledger.claimed(epoch.epoch, claim).await?,
            None => None,
        };
        let value = match held {
            Some(position) => self.ports.ledger.saga(position).await?.map(|row| (position, row)),
            None => None,
        };
        Ok(Answer { value, provenance })
    }

    /// Commands of a space of this epoch, in the order of the log or against it. A part may hold fewer
    /// than asked for, or none, and still have a next one.
    ///
    /// # Errors
    /// [`Error`] when the ledger does not answer or the demand is not met in time.
    pub async fn commands(&self, wanted: &CommandsWanted, demand: Demand) -> Result<Answer<Commands>, Error> {
        let provenance = self.of_space(&wanted.space, demand).await?;
        let Some(partition) = self.partition_of(&wanted.space).await? else {
            return Ok(Answer { value: Part { found: Vec::new(), next: None }, provenance });
        };
        // A list that was begun in another epoch, of other partitions, has no more.
        if wanted.after.is_some_and(|after| after.partition_id() != partition) {
            return Ok(Answer { value: Part { found: Vec::new(), next: None }, provenance });
        }
        let question = CommandsQuestion {
            space: wanted.space.clone(),
            partition,
            states: wanted.states.clone(),
            newest_first: wanted.newest_first,
            after: wanted.after.map(|position| position.offset),
            limit: wanted.limit.clamp(1, self.options.limit_max),
        };
        let Part { found, next } = self.ports.ledger.commands(&question).await?;
        let found = found.into_iter().map(|row| (partition.at(row.offset), row)).collect();
        let next = next.map(|offset| partition.at(offset));
        Ok(Answer { value: Part { found, next }, provenance })
    }

    /// Where a space lies in the present epoch; `None`: no epoch was opened yet.
    pub(super) async fn partition_of(&self, space: &Space) -> Result<Option<PartitionId>, Error> {
        let Some(epoch) = self.ports.ledger.epoch().await? else { return Ok(None) };
        let partitioner = self.ports.log.topology().partitioner;
        let partition = partitioner.partition(space.as_str().as_bytes(), epoch.partitions);
        Ok(Some(PartitionId { epoch: epoch.epoch, partition }))
    }

    /// Meets the demand for anything of a space; what the answer says of itself.
    pub(super) async fn of_space(&self, space: &Space, demand: Demand) -> Result<Provenance, Error> {
        self.meet(demand, Scope::Space(space)).await?;
        let pending = self.pending(Scope::Space(space)).await?.count;
        Ok(Provenance::current(None, pending))
    }
}
