//! What readers ask of a ledger beside what writing needs: lists, counts, commands and history.
//!
//! No write waits for these. Each says what it costs, so that a caller knows what it may ask for
//! while somebody waits.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Error, Head, RelationHead, SagaRow};
use crate::model::{Key, MemoryId, Name, PartitionId, Position, Space, State, Timestamp, Version};

/// Which relations a question is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelationsOf {
    /// Live ones with this memory as an end.
    Memory(Space, MemoryId),
    /// Live ones whose source is a live memory of the session so named.
    Session(Space, String),
}

/// Which memories of a space.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Of this kind.
    pub kind: Option<Name>,
    /// Of the session so named.
    pub session: Option<String>,
}

impl Selection {
    /// Whether it leaves nothing out.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a live head is of it.
    #[must_use]
    pub fn holds(&self, head: &Head) -> bool {
        head.memory.as_ref().is_some_and(|memory| {
            self.kind.as_ref().is_none_or(|kind| memory.kind == *kind)
                && self.session.as_ref().is_none_or(|session| memory.session.as_ref() == Some(session))
        })
    }
}

/// A part of a list that looks at so many rows and no more.
#[derive(Debug, Clone, PartialEq)]
pub struct Part<T, C> {
    /// What was found: fewer than asked for, or none, does not mean that there are no more.
    pub found: Vec<T>,
    /// After what the next part begins; `None`: this was the last.
    pub next: Option<C>,
}

/// Which commands of a space, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandsQuestion {
    /// The space.
    pub space: Space,
    /// The partition that the space lies in.
    pub partition: PartitionId,
    /// In one of these states; empty: in any.
    pub states: Vec<State>,
    /// By falling offset rather than rising.
    pub newest_first: bool,
    /// Beyond this offset, in that order; `None`: from the beginning.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

impl CommandsQuestion {
    /// Whether every state asked for is an unfinished one.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        !self.states.is_empty() && self.states.iter().all(|state| !state.is_terminal())
    }
}

/// Which relations a walk follows. `None`: of any type; an empty list: none at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Steps {
    /// From their source to their target.
    pub out: Option<Vec<Name>>,
    /// From their target to their source.
    pub back: Option<Vec<Name>>,
}

/// How much there is of a space.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Live memories by kind.
    pub kinds: BTreeMap<Name, u64>,
    /// Deleted memories whose tombstones are still kept.
    pub tombstones: u64,
    /// Live relations by type.
    pub relation_types: BTreeMap<Name, u64>,
    /// Commands that have not ended.
    pub unfinished: u64,
}

/// A memory as it stood for a while.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Its head as it was, without its last access.
    pub head: Head,
    /// The command that wrote its image; `None` of a tombstone.
    pub written_by: Option<Position>,
    /// When another head took its place; `None`: it stands.
    pub until: Option<Timestamp>,
}

/// What was at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct AsOf {
    /// What stood; `None`: nothing is known to have.
    pub past: Option<Past>,
    /// Since when the space's history is whole: later, nothing known means that nothing was. `None`:
    /// it keeps none.
    pub whole_since: Option<Timestamp>,
}

/// What one call of a sweep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// How many images were dropped.
    pub dropped: u64,
    /// Whether every image has been looked at since the last round was over. If not, the next call goes
    /// on where this one stopped.
    pub round_over: bool,
}

/// Questions of readers. Every answer is of one committed state, and never waits for a transaction.
#[async_trait]
pub trait Questions: Send + Sync {
    /// Live heads of a space in id order, after `after`, at most `limit`. Costs what it finds; of a
    /// session, what the session holds; of a kind, at most [`LOOKED_AT_MAX`] heads, so that a part may
    /// hold fewer than asked for and still have a next one.
    async fn list_of(
        &self,
        space: &Space,
        of: &Selection,
        after: Option<&MemoryId>,
        limit: usize,
    ) -> Result<Part<Head, MemoryId>, Error>;

    /// How many live memories of a space there are. Costs a step of an index for each of them; of a
    /// session, a look at each of its heads.
    async fn count_of(&self, space: &Space, of: &Selection) -> Result<u64, Error>;

    /// Sagas of a space, whole, in log order or against it. Unfinished ones cost what is found; others
    /// a look at the partition's sagas in their order, at most [`LOOKED_AT_MAX`] of them.
    async fn commands(&self, question: &CommandsQuestion) -> Result<Part<SagaRow, u64>, Error>;

    /// How much there is of a space. Costs a step of an index for each head and each relation: about
    /// half a second for a million heads.
    async fn counts(&self, space: &Space) -> Result<Counts, Error>;

    /// A memory's head and the heads that were, tombstones included, newest first, below version
    /// `before`, at most `limit`. Costs what it finds.
    async fn history(&self, memory: Key, before: Option<Version>, limit: usize) -> Result<Vec<Past>, Error>;

    /// What stood at a time. Costs a look at each head of the memory that was kept.
    async fn as_of(&self, space: &Space, memory: Key, at: Timestamp) -> Result<AsOf, Error>;

    /// The head of a memory in whose space nothing is unfinished: one question tells all there is to know of it.
    /// `None`: there is no head, or something is unfinished; then ask what is, and then for the head.
    async fn head_at_rest(&self, memory: Key) -> Result<Option<Head>, Error>;

    /// The live relations that a walk of `depth` hops from a memory may follow by these steps, and perhaps more: all of
    /// their types that touch a memory fewer hops away, but for those that lead to what is not live. `None`: there
    /// may be more than [`REACHED_MAX`] memories, or the ledger cannot tell at once; then go hop by hop.
    async fn reach(
        &self,
        memory: Key,
        steps: &Steps,
        depth: u32,
    ) -> Result<Option<Vec<RelationHead>>, Error> {
        let (_, _, _) = (memory, steps, depth);
        Ok(None)
    }

    /// Since when the space's history is whole; `None`: it keeps none, or was not written since it does.
    async fn history_since(&self, space: &Space) -> Result<Option<Timestamp>, Error>;
}

/// Most memories that are reached at once: some milliseconds.
pub const REACHED_MAX: usize = 2_000;

/// Most rows that one part of a list looks at: some tens of milliseconds.
pub const LOOKED_AT_MAX: usize = 50_000;
