//! Sagas: what a command means, and how it reaches the stores or is taken back.
//!
//! ```text
//!  plan: command + heads ─▶ after-images        (pure; asked inside the ledger's transaction)
//!  execute: after-images ─▶ vector store ─▶ graph store ─▶ Report::Acknowledged
//!                               └─refused for good─▶ Report::Refused
//!  undo: before-images ─▶ every store that may have seen them ─▶ Report::Undone
//!  resolve: whichever of both an operator chose ─▶ every store ─▶ Report::Resolved
//! ```
//!
//! A step is sent again until the store's answer is known; only a classified, permanent refusal turns
//! a saga back. Nothing here writes the ledger: the owner does, when it hears the report.
//!
//! **Invariant**: nothing in this room names a concrete store.

pub mod backoff;
pub mod execute;
pub mod plan;
pub mod resolve;
pub mod step;
pub mod undo;
