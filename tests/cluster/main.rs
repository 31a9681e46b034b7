//! The whole cluster under steady load while everything in it is killed: three brokers, Postgres, workers.
//!
//! A test target of its own, because it wants the machine to itself. Its servers are its own too: what is killed here
//! would fail the tests beside it. That there are such servers is told by `ENGRAFT_TEST_KAFKA` and
//! `ENGRAFT_TEST_POSTGRES`.

#![cfg(all(feature = "kafka", feature = "edge", feature = "postgres", feature = "qdrant"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test blocks, prints, asks the environment, and says by panicking that it cannot go on"
)]

mod campaign;
mod faults;
mod outcomes;
mod servers;
mod stream;
#[expect(dead_code, reason = "failpoints and reads by token are for other tests")]
#[path = "../support/mod.rs"]
mod support;
