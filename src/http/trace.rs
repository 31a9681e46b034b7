//! Which trace a request belongs to: the caller's own, or a new one.
//!
//! Every problem names its trace, and every line that the server logs about a request carries it, so that
//! who reports the one finds the other. What a command brings of the caller's trace travels on to its outcome.

use axum::{
    extract::{Request, State},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use tracing::Instrument;

use crate::{log::Headers, random::Random};

/// The headers of W3C trace context.
const CONTEXT: [&str; 2] = ["traceparent", "tracestate"];
/// Longest of them that is passed on, as its specification asks of everybody.
const CONTEXT_BYTES_MAX: usize = 512;

tokio::task_local! {
    static CURRENT: String;
}

/// Runs a request within its trace.
pub(super) async fn within(State(random): State<Random>, request: Request, next: Next) -> Response {
    let id = trace_id(request.headers()).unwrap_or_else(|| format!("{:032x}", random.nonce().max(1)));
    let span = tracing::info_span!("request", trace_id = id);
    CURRENT.scope(id, next.run(request).instrument(span)).await
}

/// The trace of the request that is being answered; `None` outside of one.
pub(super) fn current() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

/// The trace context that a request brings, as headers of a record; none without a well-formed parent.
pub(super) fn context(headers: &HeaderMap) -> Headers {
    if trace_id(headers).is_none() {
        return Headers::new();
    }
    let header = |name: &str| {
        let value = headers.get(name).filter(|value| value.len() <= CONTEXT_BYTES_MAX)?;
        Some((name.to_owned(), Bytes::copy_from_slice(value.as_bytes())))
    };
    CONTEXT.into_iter().filter_map(header).collect()
}

/// The trace id within `traceparent: <version>-<trace id>-<parent id>-<flags>`; `None` when there is none, or it is
/// not of that form.
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-');
    let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_some = |text: &str| text.bytes().any(|byte| byte != b'0');
    let well_formed = is_hex(version, 2) && version != "ff" && is_hex(parent, 16) && is_hex(flags, 2);
    (well_formed && is_hex(id, 32) && is_some(id) && is_some(parent)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(traceparent: &'static str) -> Option<String> {
        trace_id(&HeaderMap::from_iter([(
            axum::http::HeaderName::from_static("traceparent"),
            HeaderValue::from_static(traceparent),
        )]))
    }

    #[test]
    fn only_a_well_formed_parent_names_the_trace() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").as_deref(), Some(id));
        assert_eq!(of("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x").as_deref(), Some(id));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
