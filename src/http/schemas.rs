//! `GET /schemas/{name}`: JSON Schemas of what is sent and answered.

use axum::extract::{Path, rejection::PathRejection};

use super::{Problem, problem::Reason};

/// One schema. None is published yet.
pub(super) async fn show(path: Result<Path<String>, PathRejection>) -> Problem {
    match path {
        Ok(_) => Problem::new(Reason::NoSchema, "there is no schema of this name"),
        Err(rejection) => Problem::bad_request(rejection.body_text()),
    }
}
