//! Promises of whole processes, which are killed at any instruction and started again on what they left.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test blocks, prints, asks the environment, and says by panicking that it cannot go on"
)]

mod kill;
mod model;
#[expect(dead_code, reason = "what others need who have servers to be told of")]
#[path = "../support/mod.rs"]
mod support;
