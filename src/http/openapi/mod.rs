//! `GET /openapi.json`: the contract of every route, for programs.
//!
//! The document is made from the types that handlers read and answer with, and from the schemas of
//! commands; `operations` says which route takes what. It is generated when tests run, committed at
//! the top of the project, and served as it is there. A test compares it with the types, another one
//! with the routes. After a change, write it anew:
//!
//! ```text
//! ENGRAFT_WRITE_SCHEMAS=1 cargo test --profile ci --lib the_openapi_document_is_current
//! ```

#[cfg(test)]
mod document;
#[cfg(test)]
mod operations;
pub(super) mod words;

use axum::http::{HeaderName, header};

const TEXT: &str = include_str!("../../../openapi.json");

/// The document.
pub(super) async fn show() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/json")], TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "how to run the test is no setting of the server")]
    fn the_openapi_document_is_current() {
        let generated = serde_json::to_string_pretty(&operations::document()).expect("JSON") + "\n";
        if std::env::var_os("ENGRAFT_WRITE_SCHEMAS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
            std::fs::write(path, &generated).expect("it can be written");
        } else {
            assert!(TEXT == generated, "openapi.json is not what the types say; write it anew");
        }
    }
}
