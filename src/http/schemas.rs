//! `GET /schemas/{name}`: JSON Schemas of what is sent and answered.

use axum::http::{HeaderName, header};

use crate::log::envelope::schema::FILES;

use super::{
    Problem,
    parameters::{self, OnePart},
    problem::Reason,
};

type Schema = ([(HeaderName, &'static str); 1], &'static str);

/// One schema; `.json` after its name may be left off.
pub(super) async fn show(path: OnePart) -> Result<Schema, Problem> {
    let name = parameters::whole(path)?;
    let wanted = name.strip_suffix(".json").unwrap_or(&name);
    let Some(file) = FILES.iter().find(|file| file.name == wanted) else {
        let names: Vec<&str> = FILES.iter().map(|file| file.name).collect();
        let detail = format!("there is no schema of this name; there are {}", names.join(", "));
        return Err(Problem::new(Reason::NoSchema, detail));
    };
    Ok(([(header::CONTENT_TYPE, "application/schema+json")], file.text))
}
