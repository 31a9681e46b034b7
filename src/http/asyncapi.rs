//! `GET /asyncapi.yaml`: the contract of the topics, for programs that speak to Kafka instead of this server.
//!
//! The document is made where the topics are, committed at the top of the project, and served as it is
//! there. It is the same whichever log the server has.

use axum::http::{HeaderName, header};

const TEXT: &str = include_str!("../../asyncapi.yaml");

/// The document.
pub(super) async fn show() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, "application/yaml")], TEXT)
}
