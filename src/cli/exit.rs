//! How a run ended: exit codes, and failures that name their fix.

use std::{fmt, io};

/// Exit codes. Stable: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It was done.
    Ok = 0,
    /// It failed.
    Failed = 1,
    /// The command line or the settings are wrong.
    Usage = 2,
    /// It looked, and found something that should not be.
    Findings = 3,
    /// What was asked for is not there.
    NotFound = 4,
    /// The server did not answer, took too long, or could not tell.
    Unreachable = 5,
    /// The user interrupted it.
    Interrupted = 130,
}

/// A run that did not end well. What is displayed is for people, with the fix in it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    message: String,
    closed_pipe: bool,
}

impl Failure {
    /// A failure with its sentence.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), closed_pipe: false }
    }

    /// A command line or settings that are wrong.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// An error with its causes, outermost first. A cause that its effect repeats is said once.
    #[must_use]
    pub fn chain(exit: Exit, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self::new(exit, message)
    }

    /// The same, naming what it was about: unless nobody could be asked about it.
    #[must_use]
    pub(super) fn about(mut self, thing: &str) -> Self {
        if self.exit != Exit::Unreachable {
            self.message = format!("{thing}: {}", self.message);
        }
        self
    }

    /// Whether whoever read our output has stopped reading: nothing to complain about.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        self.closed_pipe
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "engraft: {}", self.message)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let closed_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        Self { exit: Exit::Failed, message: error.to_string(), closed_pipe }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_says_every_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("open the ledger")]
        struct Outer(#[source] io::Error);
        let failure = Failure::chain(Exit::Failed, &Outer(io::Error::other("disk full")));
        assert_eq!(failure.to_string(), "engraft: open the ledger: disk full");
    }
}
