//! What a call that did not succeed says about its effect.
//!
//! The one question is whether a write may have happened. A server that answers with a refusal, or that
//! was never reached, did nothing; whatever else goes wrong leaves it open. The server's own words stay in the
//! debug log: they may hold the text of a memory, an address or a header.

use tonic::{Code, ConnectError, Status};

use super::super::Error;
use crate::model::{Answer, answer::Reason};

/// Why a call did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The server will never take these bytes.
    Refused,
    /// It did nothing, and may take the call later.
    Away(Reason),
    /// It may have done it.
    Unknown(Reason),
    /// The collection is not there.
    Missing,
}

impl Failure {
    pub(super) fn of(call: &'static str, status: &Status) -> Self {
        tracing::debug!(call, code = ?status.code(), message = status.message(), "a call to Qdrant failed");
        let away = |code, detail: &str| Self::Away(Reason::new(code, detail));
        match status.code() {
            Code::InvalidArgument | Code::OutOfRange => Self::Refused,
            Code::NotFound => Self::Missing,
            Code::Unauthenticated | Code::PermissionDenied => {
                away("access_denied", "the vector store denies access; check its key and what that may do")
            }
            Code::ResourceExhausted => away("overloaded", "the vector store has too much to do"),
            Code::FailedPrecondition => away("locked", "the vector store is locked or not ready"),
            Code::Unimplemented => away("unsupported", "the vector store does not know this call"),
            Code::Unavailable if never_reached(status) => {
                away("unreachable", "the vector store cannot be reached")
            }
            _ => Self::Unknown(Reason::new("unknown_reply", "the vector store failed on the way")),
        }
    }

    pub(super) fn deadline() -> Self {
        Self::Unknown(Reason::new("deadline", "the vector store did not answer in time"))
    }

    /// What a write that met this failure is answered.
    pub(super) fn answer(&self) -> Answer {
        match self {
            Self::Refused => Answer::Rejected(Reason::new(
                "refused_by_store",
                "the vector store refuses this point, whatever the number of attempts",
            )),
            Self::Away(reason) => Answer::Transient(reason.clone()),
            Self::Unknown(reason) => Answer::Indeterminate(reason.clone()),
            Self::Missing => Answer::Transient(missing()),
        }
    }

    /// The same for a write that was not sent: nothing can have happened to it.
    pub(super) fn unsent(self) -> Answer {
        match self {
            Self::Away(reason) | Self::Unknown(reason) => Answer::Transient(reason),
            Self::Refused => {
                Answer::Transient(Reason::new("refused_question", "the vector store refuses to be asked"))
            }
            Self::Missing => Answer::Transient(missing()),
        }
    }

    /// What a reader is told.
    pub(super) fn error(self) -> Error {
        match self {
            Self::Refused => Error::Unsupported("the vector store refuses the question".to_owned()),
            Self::Away(reason) | Self::Unknown(reason) => Error::Unavailable(reason.detail),
            Self::Missing => Error::Unavailable(missing().detail),
        }
    }
}

fn missing() -> Reason {
    Reason::new("collection_missing", "the vector store has lost the collection; it is made anew")
}

/// Whether no connection was made, so that nothing was sent.
fn never_reached(status: &Status) -> bool {
    let mut error: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    while let Some(cause) = error {
        if cause.is::<ConnectError>() {
            return true;
        }
        error = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_did_nothing_is_transient() {
        let answer = |code| Failure::of("upsert", &Status::new(code, "canary")).answer();
        assert!(matches!(answer(Code::InvalidArgument), Answer::Rejected(_)));
        for code in [Code::Unauthenticated, Code::PermissionDenied, Code::ResourceExhausted, Code::NotFound] {
            assert!(matches!(answer(code), Answer::Transient(_)), "{code:?}");
        }
        let unknown =
            [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Internal, Code::Unknown];
        for code in unknown {
            assert!(matches!(answer(code), Answer::Indeterminate(_)), "{code:?}");
        }
    }

    #[test]
    fn the_words_of_the_server_go_no_further() {
        for code in (0..=16).map(Code::from_i32) {
            let failure = Failure::of("upsert", &Status::new(code, "canary"));
            assert!(!format!("{failure:?} {:?}", failure.answer()).contains("canary"), "{code:?}");
        }
    }
}
