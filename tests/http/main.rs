//! The HTTP surface, over real stores: SQLite, the embedded log and index, on a free port.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test blocks, prints, asks the environment, and says by panicking that it cannot go on"
)]

mod events;
mod examples;
mod hostile;
mod limits;
mod openapi;
mod reads;
mod recall;
mod surface;
mod world;
