//! What a command means: the question that the ledger asks, and the room that answers it does not see it.
//!
//! A transaction reads what [`Decide::needs`] names, in bulk, and hands it to [`Decide::decide`], which
//! is pure: no clock, no store, no ledger.

use std::collections::BTreeMap;

use super::{Head, Plan, RelationHead, RelationsOf};
use crate::model::{
    Command, Header, MemoryId, Position, RelationKey, Space, Timestamp, outcome::Ending, space::Judgement,
};

/// What a command means, decided from what the transaction has read. The saga room implements it.
pub trait Decide: Send + Sync {
    /// What must be read before `row` can be decided.
    fn needs(&self, space: &Space, command: &Command) -> Needs;

    /// The after-images of a command, or its refusal. Pure: the same facts, the same decision.
    fn decide(&self, request: &Request<'_>, facts: &Facts) -> Decision;
}

/// What must be read before a command can be decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Memories.
    pub memories: Vec<MemoryId>,
    /// Relations.
    pub relations: Vec<RelationKey>,
    /// Relations by what they hang on.
    pub relations_of: Vec<RelationsOf>,
    /// Whether the number of live memories matters.
    pub count: bool,
}

/// A command that is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Where it stands.
    pub position: Position,
    /// Who asked.
    pub header: &'a Header,
    /// What is asked.
    pub command: &'a Command,
    /// What the declaration said.
    pub judgement: &'a Judgement,
    /// Wall time of the start: for `expirytime` alone.
    pub now: Timestamp,
}

/// What the transaction has read.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Heads by id, tombstones included.
    pub memories: BTreeMap<(Space, MemoryId), Head>,
    /// Relation heads, tombstones included: those that were asked for by name, and those of
    /// `relations_of`.
    pub relations: BTreeMap<RelationKey, RelationHead>,
    /// Live relations by what they hang on.
    pub relations_of: BTreeMap<RelationsOf, Vec<RelationHead>>,
    /// How many live memories a space has, with the creations of unfinished sagas, where it was asked for.
    pub counts: BTreeMap<Space, u64>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Write these; if every store takes them, it will have ended so.
    Run(Plan, Ending),
    /// Nothing for any store: it ends now, so, after these touches.
    Done(Plan, Ending),
    /// Refused: it ends now, and nothing is written.
    Refuse(Ending),
}
