//! What a command means: from a command and the heads to after-images and its prospective ending.
//!
//! ```text
//! command ─▶ needs ─▶ the ledger reads ─▶ facts ─┐
//! header, the declaration's judgement ───────────┴▶ expired? refused? ─▶ applied to an overlay
//!                                                                              │
//!                     Run (images, ending) | Done (touches, ending) ◀── close ◀┘
//!                     Refuse (ending)                        ◀── any of the above
//! ```
//!
//! [`Planner`] is a pure function of values: no clock, no store, no randomness. Deltas (a patch, a
//! strengthen, a decay) become absolute images here, so that every executor and every retry writes
//! the same bytes. A command acts on an overlay over the facts, a batch with one item after the
//! other; closing then compares the overlay with the heads, which gives one image a record and
//! the *net* effect on it.
//!
//! The checks come in this order, and the first that fails ends the command:
//!
//! 1. `expirytime` has passed when the saga starts: `expired`;
//! 2. the declaration refused it when it was inboxed: the code of its first error;
//! 3. its meaning: what this build cannot do, records that are absent, preconditions, ends, limits
//!    that a merge would break;
//! 4. the quota, since only then the net number of creations is known.
//!
//! A batch stops at its first item that cannot be done; nothing of it is written.
//!
//! This room decides nothing about stores beyond whether the vector store must be told.

mod batch;
mod close;
mod decay;
mod memory;
mod needs;
mod overlay;
mod patch;
mod relation;
#[cfg(test)]
mod tests;

use crate::{
    ledger::{Decide, Decision, Facts, Needs, Request},
    log::envelope::Limits,
    model::{Code, Command, FieldError, Space, Sparse, outcome::Ending},
    vector::text,
};
use overlay::{Overlay, Terms};

/// How a sparse vector comes from content.
pub type Derive = fn(&str) -> Option<Sparse>;

/// Decides what commands mean.
#[derive(Debug, Clone, Copy)]
pub struct Planner {
    limits: Limits,
    derive: Derive,
}

impl Default for Planner {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Planner {
    /// A planner under the limits that commands are decoded with: what a merge makes must keep
    /// them too.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, derive: text::derive }
    }

    fn settle(&self, request: &Request<'_>, facts: &Facts) -> Result<Decision, Refusal> {
        check_expiry(request)?;
        check_declaration(request)?;
        let terms = Terms {
            space: &request.header.space,
            now: request.header.time,
            derive: request.judgement.text.then_some(self.derive),
            limits: &self.limits,
        };
        let mut overlay = Overlay::over(facts, request.position, terms);
        apply(&mut overlay, request.command, "/data")?;
        close::close(&overlay, request.judgement.quota)
    }
}

impl Decide for Planner {
    /// The count is asked for by every command that can create a memory; a caller whose space has
    /// no quota need not read it.
    fn needs(&self, space: &Space, command: &Command) -> Needs {
        needs::of(space, command)
    }

    fn decide(&self, request: &Request<'_>, facts: &Facts) -> Decision {
        self.settle(request, facts)
            .unwrap_or_else(|refusal| Decision::Refuse(Ending::failed(refusal.code, refusal.errors)))
    }
}

/// Why a command cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refusal {
    /// The outcome's code.
    code: Code,
    /// What is wrong, at least one thing.
    errors: Vec<FieldError>,
}

impl Refusal {
    /// One thing that is wrong, at one place.
    fn new(code: Code, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code, errors: vec![FieldError::new(code, pointer, detail)] }
    }
}

fn check_expiry(request: &Request<'_>) -> Result<(), Refusal> {
    match request.header.expires_at {
        Some(expires_at) if expires_at < request.now => {
            let detail = format!("the command expired at {expires_at}, before it could start");
            Err(Refusal::new(Code::Expired, "/expirytime", detail))
        }
        _ => Ok(()),
    }
}

fn check_declaration(request: &Request<'_>) -> Result<(), Refusal> {
    match request.judgement.refused.first() {
        Some(first) => Err(Refusal { code: first.code, errors: request.judgement.refused.clone() }),
        None => Ok(()),
    }
}

/// Applies one command. `at` is the JSON Pointer of its `data`.
fn apply(overlay: &mut Overlay<'_>, command: &Command, at: &str) -> Result<(), Refusal> {
    match command {
        Command::MemoryPut(put) => memory::put(overlay, put, at),
        Command::MemoryPatch(patch) => memory::patch(overlay, patch, at),
        Command::MemoryTouch(touch) => memory::touch(overlay, touch, at),
        Command::MemoryDelete(delete) => memory::delete(overlay, delete, at),
        Command::MemorySupersede(supersede) => memory::supersede(overlay, supersede, at),
        Command::RelationPut(put) => relation::put(overlay, put, at),
        Command::RelationDelete(relation) => {
            relation::delete(overlay, relation);
            Ok(())
        }
        Command::RelationStrengthen(strengthen) => relation::strengthen(overlay, strengthen, at),
        Command::RelationInvalidate(invalidate) => relation::invalidate(overlay, invalidate, at),
        Command::RelationDecay(decay) => {
            decay::decay(overlay, decay);
            Ok(())
        }
        Command::Batch(batch) => batch::fold(overlay, batch),
        // The declaration was folded when the command was inboxed; no record changes.
        Command::SpaceCreate(_) => Ok(()),
        Command::MemoryArchive(_) | Command::MemoryRestore(_) | Command::SpaceErase => {
            let detail = "this build cannot do commands of this type yet";
            Err(Refusal::new(Code::NotYetAvailable, "/type", detail))
        }
    }
}
