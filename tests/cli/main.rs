//! The command line, by running the program.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test blocks, prints, asks the environment, and says by panicking that it cannot go on"
)]

mod answers;
mod examples;
mod memories;
mod program;
mod readme;
mod settings;
#[expect(dead_code, reason = "the load and the history are for the tests that kill")]
#[path = "../support/mod.rs"]
mod support;
mod watch;
mod world;
