//! Where log lines go: standard error, one line an event, fields to filter by.
//!
//! Metrics and traces are not here yet.

pub mod prometheus;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is said when nobody asks for more.
const LEVEL: &str = "info";

/// Starts logging to standard error. `level`: `error` … `trace`, or directives such as
/// `engraft::worker=debug`; a value that cannot be read counts as `info`. Called once, at start.
pub fn start(level: Option<&str>, color: bool) {
    let filter = EnvFilter::try_new(level.unwrap_or(LEVEL)).unwrap_or_else(|_| EnvFilter::new(LEVEL));
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color && std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    if let Err(error) = started {
        tracing::debug!(%error, "logging was started already");
    }
}
