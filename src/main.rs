//! Parses the command line, loads the configuration, runs.

use std::process::ExitCode;

/// A command is many small allocations made on one thread and freed on another, which the system's
/// allocator is slow at: it cost a third of the throughput.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    engraft::cli::run()
}
