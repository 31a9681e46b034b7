//! Parses the command line, loads the configuration, runs.

use std::process::ExitCode;

fn main() -> ExitCode {
    engraft::cli::run()
}
