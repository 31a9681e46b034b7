//! What commands mean, as promises: `given(heads).when(command)`, then what it answers and writes.

mod batches;
mod checks;
mod command;
mod laws;
mod memories;
mod relations;
mod vectors;
mod world;
