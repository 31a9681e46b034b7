//! Reading one's own writes: waiting until everything up to a token has ended.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Key, MemoryId, Position, Space, Token, conflict::memory_key, conflict::space_key};

use super::{Error, Reader};

/// How fresh an answer must be, and how long to wait for that.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demand {
    /// Show nothing older than this; `None`: whatever there is.
    pub token: Option<Token>,
    /// Then the answer is [`Error::ConsistencyTimeout`].
    pub wait: Duration,
}

/// What a question reads.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// One memory.
    Memory(&'a Space, &'a MemoryId),
    /// Anything of a space: searches, lists and walks.
    Space(&'a Space),
}

impl Scope<'_> {
    fn space(&self) -> &Space {
        match self {
            Self::Memory(space, _) | Self::Space(space) => space,
        }
    }

    /// A command touches a memory when it holds the memory's key, or the whole space alone.
    fn keys(&self) -> Option<[Key; 2]> {
        match self {
            Self::Memory(space, id) => Some([memory_key(space, id), space_key(space)]),
            Self::Space(_) => None,
        }
    }
}

/// Unfinished commands that touch a scope.
pub(super) struct Pending {
    /// How many, as far as was looked.
    pub(super) count: u64,
    first: Option<Position>,
}

impl Reader {
    /// Unfinished commands that touch `scope`. Looks through a bounded number; what lies beyond that
    /// counts as touching, so that a token is never met too early.
    pub(super) async fn pending(&self, scope: Scope<'_>) -> Result<Pending, Error> {
        let limit = self.options.unfinished_count_max;
        let unfinished = self.ports.ledger.unfinished_of(scope.space(), limit).await?;
        let beyond = unfinished.last().filter(|_| unfinished.len() == limit).map(|(position, _)| *position);
        let mut pending = Pending { count: 0, first: None };
        for (position, held) in &unfinished {
            let touches = scope.keys().is_none_or(|[memory, space]| {
                use crate::model::Access::Exclusive;
                // Everybody shares the space's key; only who holds it alone touches every memory.
                held.iter().any(|one| one.key == memory || (one.key == space && one.access == Exclusive))
            });
            if touches {
                pending.count += 1;
                pending.first.get_or_insert(*position);
            }
        }
        pending.first = pending.first.or(beyond);
        Ok(pending)
    }

    /// Waits until `demand` is met for `scope`.
    ///
    /// # Errors
    /// [`Error::ConsistencyTimeout`] when the time is up first.
    pub async fn meet(&self, demand: Demand, scope: Scope<'_>) -> Result<(), Error> {
        let Some(Token(position)) = demand.token else { return Ok(()) };
        let deadline = Instant::now() + demand.wait;
        while !self.has_met(position, scope).await? {
            if Instant::now() >= deadline {
                return Err(Error::ConsistencyTimeout);
            }
            tokio::time::sleep(self.options.poll_interval().min(deadline - Instant::now())).await;
        }
        Ok(())
    }

    /// The watermark first, then what is unfinished: a command that is inboxed in between is seen by
    /// the second question.
    async fn has_met(&self, position: Position, scope: Scope<'_>) -> Result<bool, Error> {
        let partition = self.ports.ledger.partition(position.partition_id()).await?;
        if partition.watermark <= position.offset {
            return Ok(false);
        }
        let first = self.pending(scope).await?.first;
        Ok(first.is_none_or(|first| first.partition_id() != position.partition_id() || first > position))
    }
}
