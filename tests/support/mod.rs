//! What the tests with real processes share: a server that can be killed, and a client that keeps a history.

use std::{env, fs::OpenOptions, io::Write};

pub(crate) mod client;
pub(crate) mod load;
pub(crate) mod server;

/// A setting of the run, as a number; `default` when it is not set.
///
/// # Panics
/// When it is set to what is no number: a campaign that silently ran another number proves nothing.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, which is no number")),
        Err(_) => default,
    }
}

/// Where the tests' server is, or `None` after saying that `test` was skipped.
pub(crate) fn told(variable: &str, test: &str) -> Option<String> {
    if let Ok(value) = env::var(variable) {
        return Some(value);
    }
    skip(test, &format!("{variable} is not set"));
    None
}

/// Says by its name that a test cannot run, and why.
pub(crate) fn skip(test: &str, reason: &str) {
    eprintln!("skipped {test}: {reason}");
    if let Ok(path) = env::var("ENGRAFT_TEST_SKIP_LOG") {
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{test}: {reason}").unwrap();
    }
}
