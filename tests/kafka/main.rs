//! Over a real broker: the log's promises, and the way of a record from any client to its outcome.
//!
//! The broker's address is in `ENGRAFT_TEST_KAFKA`, kcat's path in `ENGRAFT_TEST_KCAT`; a test that lacks one says
//! by its name that it was skipped. Every test makes topics of its own.

#![cfg(feature = "kafka")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test blocks, prints, asks the environment, and says by panicking that it cannot go on"
)]

mod broker;
mod checks;
mod group;
mod log;
#[cfg(all(feature = "edge", feature = "postgres", feature = "qdrant"))]
mod processes;
mod producers;
mod serve;
#[expect(dead_code, reason = "the load and the history are for the tests that kill")]
#[path = "../support/mod.rs"]
mod support;
mod workers;
