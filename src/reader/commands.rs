//! What became of a command.

use std::time::Duration;

use tokio::time::Instant;

use crate::{ledger::SagaRow, model::Position};

use super::{Error, Reader};

/// How often a waiter asks the ledger although nobody told it to: another process may have finished
/// its command.
const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// How far a command has come.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandState {
    /// In the log; no worker has taken it in yet.
    Accepted,
    /// In the ledger.
    Known(Box<SagaRow>),
    /// It ended so long ago that its row has been swept.
    Swept,
    /// The log has no such position (yet).
    Unknown,
}

impl CommandState {
    /// Whether nothing more will happen to it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Accepted => false,
            Self::Known(row) => row.state.is_terminal(),
            Self::Swept | Self::Unknown => true,
        }
    }
}

impl Reader {
    /// How far the command at `position` has come.
    ///
    /// # Errors
    /// [`Error`] when ledger or log do not answer.
    pub async fn command(&self, position: Position) -> Result<CommandState, Error> {
        // The watermark is read before the row: a row that is inserted in between is then found.
        let watermark = self.watermark(position).await?;
        if let Some(row) = self.ports.ledger.saga(position).await? {
            return Ok(CommandState::Known(Box::new(row)));
        }
        let Some(watermark) = watermark else { return Ok(CommandState::Unknown) };
        if position.offset < watermark {
            return Ok(CommandState::Swept);
        }
        let bounds = self.ports.log.bounds(position.partition).await?;
        Ok(if position.offset < bounds.end { CommandState::Accepted } else { CommandState::Unknown })
    }

    /// The watermark of the position's partition; `None` when the present epoch has no such partition.
    async fn watermark(&self, position: Position) -> Result<Option<u64>, Error> {
        let epoch = self.ports.ledger.epoch().await?;
        let exists =
            epoch.is_some_and(|row| row.epoch == position.epoch && position.partition < row.partitions);
        if !exists {
            return Ok(None);
        }
        Ok(Some(self.ports.ledger.partition(position.partition_id()).await?.watermark))
    }

    /// Waits until the command has ended, at most `wait`; answers how far it came.
    ///
    /// # Errors
    /// [`Error`] when ledger or log do not answer.
    pub async fn wait_for(&self, position: Position, wait: Duration) -> Result<CommandState, Error> {
        let deadline = Instant::now() + wait;
        // Registered before the first look, so that an end in between wakes it.
        let mut waiting = self.ports.waiters.wait_for(position);
        loop {
            let state = self.command(position).await?;
            let now = Instant::now();
            if state.has_ended() || now >= deadline {
                return Ok(state);
            }
            let patience = ASK_INTERVAL.min(deadline - now);
            match tokio::time::timeout(patience, waiting.told()).await {
                Ok(()) | Err(_) => {}
            }
        }
    }
}
