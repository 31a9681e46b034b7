//! The simulator. Stub while it is being written.
#![allow(dead_code, reason = "being written")]

use crate::invariant::Invariant;

mod boundary;
mod clock;
mod faults;
mod ledger;
mod log;
mod monitor;
mod network;
mod stores;
mod trace;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What happened, in one sentence.
    pub sentence: String,
}
