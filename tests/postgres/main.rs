//! Over a real Postgres server: whole processes and the database are killed, and nothing is lost.
//!
//! The runner says by `ENGRAFT_TEST_POSTGRES` that a server can be had; each test that kills starts one of
//! its own with `tests/stack/postgres`. Without it the tests say by their names that they were skipped.

#![cfg(all(feature = "postgres", feature = "edge"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test blocks, prints, asks the environment, and says by panicking that it cannot go on"
)]

mod serve;
#[expect(dead_code, reason = "not every test needs all of it")]
#[path = "../support/mod.rs"]
mod support;
mod tls;
