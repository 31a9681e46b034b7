//! Every answer that is not a success: RFC 9457 problems, and the one table of status codes.
//!
//! Whatever goes wrong inside becomes a [`Reason`]; the reason alone decides status, code and whether
//! to try again. Details name the thing and the fix, and never a host, a path or a credential.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger,
    log::{AppendError, envelope::schema},
    model::{Code, FieldError, Outcome, outcome::Verdict},
    reader, vector,
    worker::inspect,
};

use super::{openapi::words::OutcomeRef, trace};

/// How long a client should wait before it tries again, in seconds.
const RETRY_AFTER_SECONDS: &str = "1";

/// Why a request did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// A command or a question that is wrong, or whose outcome was not `committed`.
    Command(Code),
    /// A header or a query parameter that is wrong.
    BadRequest,
    /// `Idempotency-Key` with several commands.
    KeyForSeveral,
    /// A body in a form that this route does not take.
    UnsupportedMediaType,
    /// A body larger than the limit.
    BodyTooLarge,
    /// A body that did not arrive in time.
    BodyTimeout,
    /// No token, or none that is known.
    Unauthenticated,
    /// A token that does not open this.
    Forbidden,
    /// No such route.
    NoRoute,
    /// Another method is meant for this route.
    MethodNotAllowed,
    /// A position that the log does not have.
    UnknownPosition,
    /// A position whose row was swept.
    Swept,
    /// What a memory was, and is not kept.
    HistoryNotKept,
    /// An order that means nothing for the command as it stands.
    OrderRefused,
    /// A schema that is not there.
    NoSchema,
    /// The log may or may not have taken the command.
    AppendUnknown,
    /// The log did not take the command.
    LogUnavailable,
    /// The log will never take the command.
    LogRefused,
    /// The ledger does not answer.
    LedgerUnavailable,
    /// The vector store does not answer.
    VectorUnavailable,
    /// The graph store does not answer.
    GraphUnavailable,
    /// What the token names was not finished in time.
    ConsistencyTimeout,
    /// As many streams are open as may.
    TooManyStreams,
    /// As many requests wait as may.
    TooManyWaiting,
    /// The worker has not opened the log yet.
    Starting,
    /// What is stored contradicts itself.
    Inconsistent,
}

impl Reason {
    /// The table.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Command(code) => of_code(code),
            Self::BadRequest | Self::KeyForSeveral => StatusCode::BAD_REQUEST,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NoRoute | Self::UnknownPosition | Self::NoSchema => StatusCode::NOT_FOUND,
            Self::OrderRefused => StatusCode::CONFLICT,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Swept | Self::HistoryNotKept => StatusCode::GONE,
            Self::LogRefused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::AppendUnknown
            | Self::LogUnavailable
            | Self::LedgerUnavailable
            | Self::VectorUnavailable
            | Self::GraphUnavailable
            | Self::ConsistencyTimeout
            | Self::TooManyWaiting
            | Self::TooManyStreams
            | Self::Starting => StatusCode::SERVICE_UNAVAILABLE,
            Self::Inconsistent => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The stable text form.
    fn code(self) -> &'static str {
        match self {
            Self::Command(code) => code.as_str(),
            Self::BadRequest => "bad_request",
            Self::KeyForSeveral => "key_for_several",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::BodyTooLarge => "too_large",
            Self::BodyTimeout => "body_timeout",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NoRoute => "no_route",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnknownPosition => "unknown_position",
            Self::Swept => "swept",
            Self::HistoryNotKept => "history_not_kept",
            Self::OrderRefused => "order_refused",
            Self::NoSchema => "no_schema",
            Self::AppendUnknown => "append_unknown",
            Self::LogUnavailable => "log_unavailable",
            Self::LogRefused => "log_refused",
            Self::LedgerUnavailable => "ledger_unavailable",
            Self::VectorUnavailable => "vector_unavailable",
            Self::GraphUnavailable => "graph_unavailable",
            Self::ConsistencyTimeout => "consistency_timeout",
            Self::TooManyWaiting => "too_many_waiting",
            Self::TooManyStreams => "too_many_streams",
            Self::Starting => "starting",
            Self::Inconsistent => "inconsistent",
        }
    }

    /// Whether the same request may succeed later.
    fn is_retryable(self) -> bool {
        matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT)
    }
}

/// The statuses of command codes: of shape before the append, of meaning after it.
fn of_code(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Malformed | Code::DuplicateKey | Code::TooDeep => StatusCode::BAD_REQUEST,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::EndpointMissing | Code::IdReused => StatusCode::CONFLICT,
        Code::IfVersion | Code::IfAbsent => StatusCode::PRECONDITION_FAILED,
        Code::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
        Code::InvalidField
        | Code::UnknownField
        | Code::MissingField
        | Code::UnknownType
        | Code::Misrouted
        | Code::KeyMissing
        | Code::KeyNotUtf8
        | Code::NullValue
        | Code::SpaceMissing
        | Code::Expired
        | Code::DimensionMismatch
        | Code::ZeroVector
        | Code::KindNotAllowed
        | Code::RelationTypeNotAllowed
        | Code::SpaceConflict
        | Code::SameEnds
        | Code::NotYetAvailable
        | Code::StoreRejected
        | Code::Cancelled
        | Code::Poison => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// A problem as it goes out.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "ProblemDetails")]
pub(super) struct Problem {
    #[serde(skip)]
    reason: Reason,
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: String,
    retryable: bool,
    /// Which trace the request belonged to: the caller's own, or a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<schema::outcome::Problem>")]
    errors: Vec<FieldError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OutcomeRef>")]
    outcome: Option<Box<Outcome>>,
}

impl Problem {
    /// A problem with its sentence.
    pub(super) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let (status, code) = (reason.status(), reason.code());
        Self {
            reason,
            kind: format!("urn:engraft:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Problem"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            retryable: reason.is_retryable(),
            trace_id: trace::current(),
            errors: Vec::new(),
            command_id: None,
            pending: None,
            outcome: None,
        }
    }

    /// A request that cannot be read.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, detail)
    }

    /// A command or a question that breaks a rule.
    pub(super) fn refused(code: Code, errors: Vec<FieldError>) -> Self {
        let detail = errors.first().map_or_else(|| code.to_string(), |first| first.detail.clone());
        Self { errors, ..Self::new(Reason::Command(code), detail) }
    }

    /// A record that is not there; `pending`: something that touches it is under way.
    pub(super) fn absent(what: &str, pending: bool) -> Self {
        let detail = if pending {
            format!("{what} is not there yet: a command that touches it is still under way")
        } else {
            format!("{what} is not there")
        };
        let problem = Self::new(Reason::Command(Code::NotFound), detail);
        Self { pending: Some(pending), retryable: pending, ..problem }
    }

    /// A command that was waited for, and did not commit.
    pub(super) fn outcome(outcome: Outcome) -> Self {
        let word = match outcome.verdict {
            Verdict::Committed => "was committed",
            Verdict::Compensated => "was undone",
            Verdict::Failed => "was refused",
        };
        let because = outcome.errors.first().map_or_else(String::new, |first| format!(": {}", first.detail));
        let detail = format!("the command {word}{because}");
        let problem = Self::new(Reason::Command(outcome.code), detail);
        Self { errors: outcome.errors.clone(), outcome: Some(Box::new(outcome)), ..problem }
    }

    /// An append that has no position.
    pub(super) fn append(error: &AppendError, command_id: &str) -> Self {
        let (reason, detail) = match error {
            AppendError::Refused(_) => (Reason::LogRefused, "the log refused the record".to_owned()),
            AppendError::Unavailable(_) => {
                (Reason::LogUnavailable, "the log is not available; nothing was written".to_owned())
            }
            AppendError::Unknown(_) => (
                Reason::AppendUnknown,
                "the log's answer was lost; send the command again with the same id".to_owned(),
            ),
        };
        Self { command_id: Some(command_id.to_owned()), ..Self::new(reason, detail) }
    }
}

impl From<inspect::Error> for Problem {
    fn from(error: inspect::Error) -> Self {
        match error {
            inspect::Error::Ledger(error) => error.into(),
            inspect::Error::Log(error) => reader::Error::from(error).into(),
        }
    }
}

impl From<reader::Error> for Problem {
    fn from(error: reader::Error) -> Self {
        match error {
            reader::Error::Ledger(error) => error.into(),
            reader::Error::Log(_) => Self::new(Reason::LogUnavailable, "the log cannot be read now"),
            reader::Error::Vector(vector::Error::Unavailable(_)) => {
                Self::new(Reason::VectorUnavailable, "the vector store does not answer")
            }
            reader::Error::Vector(vector::Error::Unsupported(detail)) => {
                Self::new(Reason::Command(Code::InvalidField), detail)
            }
            reader::Error::Graph(_) => Self::new(Reason::GraphUnavailable, "the graph store does not answer"),
            reader::Error::ConsistencyTimeout => Self::new(
                Reason::ConsistencyTimeout,
                "what the token names was not finished in time; try again, or wait longer with `Prefer: wait=N`",
            ),
            reader::Error::Question(errors) => {
                Self::refused(errors.first().map_or(Code::InvalidField, |first| first.code), errors)
            }
        }
    }
}

impl From<ledger::Error> for Problem {
    fn from(error: ledger::Error) -> Self {
        tracing::warn!(error = %error, "a read of the ledger failed");
        match error {
            ledger::Error::Unavailable(_)
            | ledger::Error::Indeterminate(_)
            | ledger::Error::Fenced { .. } => {
                Self::new(Reason::LedgerUnavailable, "the ledger does not answer")
            }
            ledger::Error::Corrupt(_) => {
                Self::new(Reason::Inconsistent, "the ledger contradicts itself; see the server's log")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retryable) = (self.reason.status(), self.retryable);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if retryable {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the tables in `docs/errors.md`: the codes of the first cell, and the last cell.
    fn documented() -> Vec<(&'static str, &'static str)> {
        let rows = include_str!("../../docs/errors.md").lines().filter(|line| line.starts_with("| `"));
        rows.flat_map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let (first, last) = (cells[0], cells[cells.len() - 1]);
            first.split(", ").map(move |code| (code.trim_matches('`'), last))
        })
        .collect()
    }

    #[test]
    fn every_code_of_an_outcome_is_documented_with_its_status() {
        let source = include_str!("../model/outcome.rs");
        let codes = source.lines().filter_map(|line| {
            let (variant, text) = line.trim().split_once(" => ")?;
            variant.starts_with("Self::").then(|| text.trim_matches(['"', ',']))
        });
        let documented = documented();
        let mut count = 0;
        for text in codes {
            let Ok(code) = serde_json::from_value::<Code>(text.into()) else { continue };
            let status = documented.iter().find(|(name, _)| *name == text).map(|(_, status)| *status);
            assert_eq!(status, Some(of_code(code).as_str()), "{text}");
            count += 1;
        }
        assert!(count > 25, "only {count} codes were found in the source");
    }

    #[test]
    fn every_code_of_http_alone_is_documented_with_its_status() {
        let reasons = [
            Reason::BadRequest,
            Reason::KeyForSeveral,
            Reason::UnsupportedMediaType,
            Reason::BodyTimeout,
            Reason::Unauthenticated,
            Reason::Forbidden,
            Reason::NoRoute,
            Reason::MethodNotAllowed,
            Reason::UnknownPosition,
            Reason::Swept,
            Reason::HistoryNotKept,
            Reason::NoSchema,
            Reason::AppendUnknown,
            Reason::LogUnavailable,
            Reason::LogRefused,
            Reason::LedgerUnavailable,
            Reason::VectorUnavailable,
            Reason::GraphUnavailable,
            Reason::ConsistencyTimeout,
            Reason::TooManyWaiting,
            Reason::Starting,
            Reason::Inconsistent,
        ];
        for reason in reasons {
            let row = (reason.code(), reason.status().as_str().to_owned());
            assert!(documented().contains(&(row.0, row.1.as_str())), "{row:?}");
        }
    }
}
