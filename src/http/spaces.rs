//! `GET /v1/spaces/{space}`.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{Code, Declaration, Space};

use super::{
    Problem,
    access::Access,
    openapi::words::{DeclarationParts, SpaceName},
    parameters::{self, OnePart},
    problem::Reason,
};

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OneSpace")]
pub(super) struct Shown {
    #[schemars(with = "SpaceName")]
    space: Space,
    #[serde(flatten)]
    #[schemars(with = "DeclarationParts")]
    declaration: Declaration,
}

/// What a space is declared to be, by `space.create` or by first use.
pub(super) async fn show(access: Access, path: OnePart) -> Result<Response, Problem> {
    let space = access.read(parameters::space(path)?)?;
    match space.reader().declaration(&space).await? {
        Some(declaration) => Ok(Json(Shown { space: space.clone(), declaration }).into_response()),
        None => Err(Problem::new(Reason::Command(Code::NotFound), "no command ever named this space")),
    }
}
