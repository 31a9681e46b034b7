//! Who may do what: the one place that decides it.
//!
//! ```text
//! request ─▶ Access: whose request ─▶ Granted: a space that is open to it ─▶ reader
//!                                 ├─▶ Admitted: a command that it may send ─▶ log
//!                                 └─▶ Operator: the server itself
//! ```
//!
//! Reader, ledger and log are private to this module. A handler reaches them through one of these
//! types alone, and none of them can be had without the question whether this caller may: a handler
//! that forgets to ask does not compile.
//!
//! **What a caller may not see does not exist for it.** A space that is not the caller's is refused
//! by its name alone, before anything is read, so that the answer is one and the same whether there
//! is such a space or not. A position of another space is answered like one that the log never had.
//! A consistency token of another space is passed over, as one that never was.

mod shared;
mod tokens;

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request},
};
use tokio::sync::SemaphorePermit;

use crate::{
    guard::Guards,
    ledger::Ledger,
    log::{AppendError, AppendedAt, CommandLog, NewRecord},
    model::{PartitionId, Position, Space, Timestamp, Token},
    reader::{CommandState, Cursor, Demand, Follow, FollowError, Reader},
    worker::board::Board,
};

use super::{
    Problem,
    ingest::{self, Item},
    parameters,
    problem::Reason,
};

pub(super) use shared::Shared;
pub(super) use tokens::Tokens;
pub use tokens::{Role, Spaces, TokenOptions};

/// Whose request it is. An extractor: without a token that is known, no handler that has it runs.
pub(super) struct Access {
    shared: Arc<Shared>,
    /// `None`: no tokens are configured, and whoever reaches the loopback may do everything.
    holder: Option<Arc<tokens::Holder>>,
}

/// A space that is open to the caller, in the role that was asked for.
pub(super) struct Granted<'a> {
    access: &'a Access,
    space: Space,
}

/// A command that the caller may send.
pub(super) struct Admitted {
    /// Its idempotency key.
    pub(super) command_id: String,
    record: NewRecord,
}

/// The right to see and change the server itself: what is of no space, or of all.
pub(super) struct Operator<'a>(&'a Shared);

impl FromRequestParts<Arc<Shared>> for Access {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let holder = shared.holder(&parts.headers)?;
        Ok(Self { shared: Arc::clone(shared), holder })
    }
}

/// What is not guarded, for everybody.
impl Deref for Access {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Access {
    /// The space, to read.
    pub(super) fn read(&self, space: Space) -> Result<Granted<'_>, Problem> {
        self.grant(Role::Read, space)
    }

    /// Checks a command's shape, and that the caller may send it: to create or erase a space takes
    /// an admin.
    pub(super) fn admit(&self, item: &Item, key: Option<&str>) -> Result<Admitted, Problem> {
        let prepared = ingest::prepare(item, key, self.rules())
            .map_err(|refusal| Problem::refused(refusal.code, refusal.errors))?;
        let role = if prepared.is_of_space { Role::Admin } else { Role::Write };
        self.grant(role, prepared.space)?;
        Ok(Admitted { command_id: prepared.command_id, record: prepared.record })
    }

    /// Appends what was admitted; one answer each, in order.
    pub(super) async fn append(&self, admitted: Vec<Admitted>) -> Vec<Result<AppendedAt, AppendError>> {
        self.shared.log().append(admitted.into_iter().map(|one| one.record).collect()).await
    }

    /// How far a command has come, waiting for its end; one that the caller may not see is unknown,
    /// and unknown at once.
    pub(super) async fn command(&self, position: Position, wait: Duration) -> Result<CommandState, Problem> {
        if !self.sees_all() && !self.sees(position).await? {
            return Ok(CommandState::Unknown);
        }
        let state = self.shared.reader().wait_for(position, wait).await?;
        match &state {
            CommandState::Known(row) if !self.sees_all() => {
                let space = row.header.as_ref().map(|header| &header.space);
                let visible = space.is_some_and(|space| self.may(Role::Read, space));
                Ok(if visible { state } else { CommandState::Unknown })
            }
            _ => Ok(state),
        }
    }

    /// The server itself: for an admin of all spaces.
    pub(super) fn operator(&self) -> Result<Operator<'_>, Problem> {
        match &self.holder {
            Some(holder) if holder.role < Role::Admin || !holder.spaces.are_all() => {
                Err(Problem::new(Reason::Forbidden, "this takes a token of an admin of all spaces"))
            }
            _ => Ok(Operator(&self.shared)),
        }
    }

    fn grant(&self, role: Role, space: Space) -> Result<Granted<'_>, Problem> {
        if self.may(role, &space) {
            return Ok(Granted { access: self, space });
        }
        let verb = match role {
            Role::Read => "read",
            Role::Write => "write",
            Role::Admin => "declare or erase",
        };
        Err(Problem::new(Reason::Forbidden, format!("this token may not {verb} the space `{space}`")))
    }

    fn may(&self, role: Role, space: &Space) -> bool {
        self.holder.as_ref().is_none_or(|holder| holder.role >= role && holder.spaces.contain(space))
    }

    fn sees_all(&self) -> bool {
        self.holder.as_ref().is_none_or(|holder| holder.spaces.are_all())
    }

    async fn sees(&self, position: Position) -> Result<bool, Problem> {
        let space = self.shared.space_of(position).await?;
        Ok(space.is_some_and(|space| self.may(Role::Read, &space)))
    }
}

impl Deref for Granted<'_> {
    type Target = Space;
    fn deref(&self) -> &Space {
        &self.space
    }
}

impl Granted<'_> {
    /// Answers questions about this space. Ask about no other.
    pub(super) fn reader(&self) -> &Reader {
        self.access.shared.reader()
    }

    /// Its outcomes as they come, behind `from`; `None`: from now on.
    pub(super) async fn follow(
        &self,
        partition: PartitionId,
        from: Option<Cursor>,
    ) -> Result<Follow, FollowError> {
        self.access.shared.feed().follow(self.space.clone(), partition, from).await
    }

    /// How fresh a read must be, and the right to wait for that.
    pub(super) async fn demand(
        &self,
        headers: &HeaderMap,
    ) -> Result<(Demand, Option<SemaphorePermit<'_>>), Problem> {
        let mut demand = parameters::demand(headers, self.access.options())?;
        if let Some(Token(position)) = demand.token
            && !self.access.sees_all()
            && self.access.shared.space_of(position).await?.as_ref() != Some(&self.space)
        {
            demand.token = None;
        }
        let permit = self.access.permit(demand)?;
        Ok((demand, permit))
    }
}

impl Operator<'_> {
    /// The ledger, every space of it.
    pub(super) fn ledger(&self) -> &dyn Ledger {
        self.0.ledger()
    }

    /// Answers questions about every space.
    pub(super) fn reader(&self) -> &Reader {
        self.0.reader()
    }

    /// The log, every partition of it.
    pub(super) fn log(&self) -> &dyn CommandLog {
        self.0.log()
    }

    /// What stands before the stores.
    pub(super) fn guards(&self) -> &Guards {
        &self.0.ports().guards
    }

    /// What the worker does.
    pub(super) fn board(&self) -> &Board {
        &self.0.ports().board
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        self.0.ports().clock.now()
    }
}
