//! What an error of the driver or the server means to a caller.
//!
//! | what | outside COMMIT | at COMMIT |
//! |---|---|---|
//! | cannot connect, pool is empty | `Unavailable` | – |
//! | connection lost, no answer in time, server stops | `Unavailable`: rolled back | `Indeterminate` |
//! | conflict with another transaction, the session was ended while idle | `Unavailable` | `Unavailable` |
//! | constraint, or a value that cannot be | `Corrupt` | `Corrupt` |
//!
//! The server's own words may name hosts, paths, users and values. They are never repeated: an error
//! says the SQLSTATE, what it means in our words, and the name of a constraint or table of ours.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::ledger::Error;

/// What a failed statement means. Whatever it was, its transaction is over and changed nothing.
pub(super) fn failed(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(refusal) => {
            let refusal = refusal.downcast_ref::<PgDatabaseError>();
            if contradicts(refusal.code()) {
                Error::Corrupt(described(refusal))
            } else {
                Error::Unavailable(described(refusal))
            }
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            Error::Corrupt("a column is not of the type that was expected".to_owned())
        }
        other => Error::Unavailable(words(other).to_owned()),
    }
}

/// What a failed COMMIT means. Only a refusal that the server gives instead of committing says that
/// nothing happened.
pub(super) fn commit_failed(error: &sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(refusal) => {
            let refusal = refusal.downcast_ref::<PgDatabaseError>();
            let code = refusal.code();
            if contradicts(code) {
                Error::Corrupt(described(refusal))
            } else if code.starts_with("40") && code != "40003" || code.starts_with("25") {
                Error::Unavailable(described(refusal))
            } else {
                Error::Indeterminate(described(refusal))
            }
        }
        other => Error::Indeterminate(words(other).to_owned()),
    }
}

/// Whether the server refused a statement and goes on listening.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    let refusal = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    refusal.is_some_and(|refusal| matches!(refusal.severity(), PgSeverity::Error))
}

/// No answer came in time, and the connection is given up.
pub(super) const NO_ANSWER: &str = "the server did not answer in time";

/// Constraints of ours, values that cannot be, tables that are not as they were made. It would be so
/// again.
fn contradicts(code: &str) -> bool {
    matches!(code.get(..2), Some("22" | "23" | "42")) && code != "42501"
}

fn described(refusal: &PgDatabaseError) -> String {
    let code = refusal.code();
    let meaning = match code {
        "40001" | "40P01" => "another transaction was in the way",
        "55P03" => "a lock was not free in time",
        "57014" => "a statement took too long",
        "25P03" => "a transaction was left idle for too long",
        "25006" => "the server takes no writes; it may be a standby",
        "57P01" | "57P02" | "57P03" => "the server is stopping or starting",
        "57P05" => "a session was idle for too long",
        "53100" => "the server's disk is full",
        "53300" => "the server has no connection left",
        "28000" => "the server refuses the user, or connections that are made so: it may want TLS",
        "28P01" => "the server refuses the user or password",
        "3D000" => "there is no such database",
        "42501" => "the user may not do this",
        _ => match code.get(..2) {
            Some("08") => "the connection failed",
            Some("22") => "a value cannot be stored",
            Some("23") => "a constraint does not hold",
            Some("40") => "the transaction was rolled back",
            Some("42") => "the schema is not what it should be",
            Some("53") => "the server lacks resources",
            Some("57" | "58" | "XX") => "the server failed",
            _ => "the server refused",
        },
    };
    let name = refusal.constraint().or(refusal.table());
    name.map_or_else(|| format!("{meaning} ({code})"), |name| format!("`{name}`: {meaning} ({code})"))
}

/// Of errors that are the driver's own.
fn words(error: &sqlx::Error) -> &'static str {
    use std::io::ErrorKind;
    match error {
        sqlx::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => "the server refuses connections",
            ErrorKind::NotFound | ErrorKind::AddrNotAvailable => "the server is not to be found",
            ErrorKind::TimedOut => NO_ANSWER,
            // As rustls says that a certificate is not to be trusted.
            ErrorKind::InvalidData => "no secure connection could be made: the certificate is not trusted",
            _ => "the connection was lost",
        },
        sqlx::Error::PoolTimedOut => "no connection was free in time",
        sqlx::Error::PoolClosed => "the ledger is closed",
        sqlx::Error::Tls(_) => "no secure connection could be made",
        sqlx::Error::Configuration(_) => "the address is none",
        sqlx::Error::Protocol(_) => "the connection broke",
        _ => "the driver failed",
    }
}
