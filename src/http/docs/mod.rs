//! `GET /docs`: the whole surface, to read and to try, in a browser.
//!
//! Swagger UI (5.35.0, Apache-2.0) lies in `vendor/swagger-ui` as it was published, so that the page works
//! where nothing but this server can be reached.

use axum::{
    http::{HeaderName, header},
    response::Html,
};

use super::{
    Problem,
    parameters::{self, OnePart},
    problem::Reason,
};

type Asset = ([(HeaderName, &'static str); 1], &'static str);

const PAGE: &str = include_str!("page.html");
/// Name, media type and text of what the page asks for.
const ASSETS: [(&str, &str, &str); 3] = [
    ("swagger-ui.css", "text/css", include_str!("../../../vendor/swagger-ui/swagger-ui.css")),
    (
        "swagger-ui-bundle.js",
        "text/javascript",
        include_str!("../../../vendor/swagger-ui/swagger-ui-bundle.js"),
    ),
    ("start.js", "text/javascript", include_str!("start.js")),
];

/// The page.
pub(super) async fn page() -> Html<&'static str> {
    Html(PAGE)
}

/// `GET /docs/{file}`: what the page is made of.
pub(super) async fn asset(path: OnePart) -> Result<Asset, Problem> {
    let name = parameters::whole(path)?;
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, media, text)) => Ok(([(header::CONTENT_TYPE, media)], text)),
        None => Err(Problem::new(Reason::NoRoute, "the page has no such part")),
    }
}
