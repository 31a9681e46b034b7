//! `GET /v1/spaces/{space}`.

use axum::{
    Json,
    extract::{Path, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::model::{Code, Declaration, Space};

use super::{Problem, State, parameters, problem::Reason};

#[derive(Debug, Serialize)]
struct Shown {
    space: Space,
    #[serde(flatten)]
    declaration: Declaration,
}

/// What a space is declared to be, by `space.create` or by first use.
pub(super) async fn show(
    shared: State,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let space = parameters::space(path)?;
    match shared.ports.reader.declaration(&space).await? {
        Some(declaration) => Ok(Json(Shown { space, declaration }).into_response()),
        None => Err(Problem::new(Reason::Command(Code::NotFound), "no command ever named this space")),
    }
}
