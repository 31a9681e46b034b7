//! Reading a request's body: bounded in bytes and in time.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;

use super::{Options, Problem, problem::Reason};

/// The whole body.
///
/// # Errors
/// A problem when it is too large, too slow, or cut off.
pub(super) async fn read(body: Body, options: &Options) -> Result<Bytes, Problem> {
    let limit = options.body_bytes_max;
    let patience = Duration::from_millis(options.body_timeout_ms);
    match tokio::time::timeout(patience, axum::body::to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length_limit(&error) => {
            let detail = format!("the body is larger than {limit} bytes; send fewer commands at once");
            Err(Problem::new(Reason::BodyTooLarge, detail))
        }
        Ok(Err(_)) => Err(Problem::bad_request("the body was cut off")),
        Err(_) => Err(Problem::new(Reason::BodyTimeout, "the body did not arrive in time")),
    }
}

/// The limit's own error type lies in a crate below axum's; its text is all that axum passes on.
fn is_length_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string() == "length limit exceeded" {
            return true;
        }
        cause = error.source();
    }
    false
}
