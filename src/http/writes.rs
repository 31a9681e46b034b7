//! Writes by resource: each is one command, made of the path, the preconditions and the body.
//!
//! ```text
//! PUT /v1/memories/acme/m-1   {"content":"…"}   If-Match: "1.40"
//!   └─▶ {"type":"memory.put","space":"acme","data":{"id":"m-1","if_version":"1.40","content":"…"}}
//! ```
//!
//! The body's own text goes into the command unread, so that the one strict check sees every byte of
//! it: a member that the path names as well is a key that comes twice.

use axum::{
    body::Body,
    extract::{Query, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::model::{Code, FieldError, RelationKey, Space};

use super::{
    Problem,
    access::Access,
    body, commands,
    ingest::Item,
    parameters::{self, FourParts, OnePart, TwoParts},
    problem::Reason,
    trace,
};

/// What a body may be called.
const JSON_TYPES: [&str; 2] = ["application/json", "application/merge-patch+json"];
/// The body of a write that has none.
const NO_FIELDS: Bytes = Bytes::from_static(b"{}");

/// `PUT /v1/memories/{space}/{id}`.
pub(super) async fn put_memory(
    access: Access,
    path: TwoParts,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = object(&access, &headers, body);
    memory(&access, "memory.put", path, &headers, body).await
}

/// `PATCH /v1/memories/{space}/{id}`.
pub(super) async fn patch_memory(
    access: Access,
    path: TwoParts,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    refuse(&headers, &header::IF_NONE_MATCH, "a patch changes what is there")?;
    let body = object(&access, &headers, body);
    memory(&access, "memory.patch", path, &headers, body).await
}

/// `DELETE /v1/memories/{space}/{id}`.
pub(super) async fn delete_memory(
    access: Access,
    path: TwoParts,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    refuse(&headers, &header::IF_NONE_MATCH, "a deletion is of what is there")?;
    memory(&access, "memory.delete", path, &headers, async { Ok(NO_FIELDS) }).await
}

/// One memory's write, under the preconditions of its headers; the body is read once they are known
/// to be good.
async fn memory(
    access: &Access,
    kind: &str,
    path: TwoParts,
    headers: &HeaderMap,
    body: impl Future<Output = Result<Bytes, Problem>>,
) -> Result<Response, Problem> {
    let (space, id) = parameters::memory(path)?;
    let mut members = vec![("id", json!(id))];
    members.extend(if_version(headers)?);
    members.extend(if_absent(headers)?);
    send(access, headers, kind, &space, &members, &body.await?).await
}

/// What a relation's path leaves to the query.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Parallel {
    /// Tells parallel relations apart.
    #[schemars(length(max = 255))]
    pub(super) discriminator: String,
}

/// `PUT /v1/relations/{space}/{source}/{type}/{target}`.
pub(super) async fn put_relation(
    access: Access,
    path: FourParts,
    query: Result<Query<Parallel>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let relation = parameters::relation(path, query)?;
    no_preconditions(&headers)?;
    let body = object(&access, &headers, body).await?;
    send(&access, &headers, "relation.put", &relation.space, &names(&relation), &body).await
}

/// `DELETE /v1/relations/{space}/{source}/{type}/{target}`.
pub(super) async fn delete_relation(
    access: Access,
    path: FourParts,
    query: Result<Query<Parallel>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let relation = parameters::relation(path, query)?;
    no_preconditions(&headers)?;
    send(&access, &headers, "relation.delete", &relation.space, &names(&relation), &NO_FIELDS).await
}

/// `PUT /v1/spaces/{space}`.
pub(super) async fn create_space(
    access: Access,
    path: OnePart,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let space = parameters::space(path)?;
    no_preconditions(&headers)?;
    let body = object(&access, &headers, body).await?;
    send(&access, &headers, "space.create", &space, &[], &body).await
}

fn names(relation: &RelationKey) -> Vec<(&'static str, Value)> {
    vec![
        ("source", json!(relation.source)),
        ("type", json!(relation.kind)),
        ("target", json!(relation.target)),
        ("discriminator", json!(relation.discriminator)),
    ]
}

async fn send(
    access: &Access,
    headers: &HeaderMap,
    kind: &str,
    space: &Space,
    members: &[(&str, Value)],
    body: &[u8],
) -> Result<Response, Problem> {
    let wait = parameters::wait(headers, access.options())?;
    let key = parameters::idempotency_key(headers)?;
    let item = Item::json(command(kind, space, members, body)).traced(trace::context(headers));
    commands::one(access, &item, key, wait, StatusCode::CREATED).await
}

/// The command's text: `body` is that of one JSON object.
fn command(kind: &str, space: &Space, members: &[(&str, Value)], body: &[u8]) -> Bytes {
    let rest = body.trim_ascii().strip_prefix(b"{").unwrap_or_default().trim_ascii_start();
    let mut text = format!(r#"{{"type":"{kind}","space":"{space}","data":{{"#).into_bytes();
    for (index, (name, value)) in members.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        text.extend_from_slice(format!(r#"{comma}"{name}":{value}"#).as_bytes());
    }
    if !members.is_empty() && rest != b"}" {
        text.push(b',');
    }
    text.extend_from_slice(rest);
    text.push(b'}');
    text.into()
}

/// The body, which must be one JSON object and nothing else.
async fn object(access: &Access, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).map_or("application/json", |value| {
        value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim()
    });
    if !JSON_TYPES.iter().any(|known| known.eq_ignore_ascii_case(media_type)) {
        let detail = "send the body as `content-type: application/json`";
        return Err(Problem::new(Reason::UnsupportedMediaType, detail));
    }
    let bytes = body::read(headers, body, access.options()).await?;
    let malformed = |detail: String| {
        Problem::refused(Code::Malformed, vec![FieldError::new(Code::Malformed, "", detail)])
    };
    let whole: &RawValue = serde_json::from_slice(&bytes).map_err(|error| {
        malformed(format!("the body is not JSON: {error}; send an object, `{{}}` at least"))
    })?;
    if whole.get().starts_with('{') {
        Ok(bytes.slice_ref(whole.get().as_bytes()))
    } else {
        Err(malformed("the body is a JSON object of the fields to write".to_owned()))
    }
}

/// `If-Match: "<version>"`.
fn if_version(headers: &HeaderMap) -> Result<Option<(&'static str, Value)>, Problem> {
    let Some(tag) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let version = tag.to_str().ok().and_then(|tag| tag.strip_prefix('"')?.strip_suffix('"'));
    match version.filter(|version| !version.contains('"')) {
        Some(version) => Ok(Some(("if_version", json!(version)))),
        None => Err(Problem::bad_request("`If-Match` takes the one `ETag` of the record, with its quotes")),
    }
}

/// `If-None-Match: *`.
fn if_absent(headers: &HeaderMap) -> Result<Option<(&'static str, Value)>, Problem> {
    match headers.get(header::IF_NONE_MATCH).map(HeaderValue::as_bytes) {
        None => Ok(None),
        Some(b"*") => Ok(Some(("if_absent", json!(true)))),
        Some(_) => Err(Problem::bad_request("a write takes `If-None-Match: *` and no other value")),
    }
}

fn no_preconditions(headers: &HeaderMap) -> Result<(), Problem> {
    refuse(headers, &header::IF_MATCH, "this write has no precondition")?;
    refuse(headers, &header::IF_NONE_MATCH, "this write has no precondition")
}

fn refuse(headers: &HeaderMap, name: &header::HeaderName, why: &str) -> Result<(), Problem> {
    match headers.contains_key(name) {
        true => Err(Problem::bad_request(format!("leave out the header `{name}`: {why}"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(members: &[(&str, Value)], body: &str) -> String {
        let space = Space::new("acme").expect("a space");
        String::from_utf8(command("memory.put", &space, members, body.as_bytes()).to_vec()).expect("UTF-8")
    }

    #[test]
    fn the_path_goes_before_the_fields_of_the_body() {
        let id = [("id", json!("m/\"1"))];
        let frame = |data: &str| format!(r#"{{"type":"memory.put","space":"acme","data":{data}}}"#);
        assert_eq!(text(&id, r#"{"content":"x"}"#), frame(r#"{"id":"m/\"1","content":"x"}"#));
        assert_eq!(text(&id, " { } "), frame(r#"{"id":"m/\"1"}"#));
        assert_eq!(text(&[], "{}"), frame("{}"));
    }

    #[test]
    fn preconditions_become_fields() {
        let with = |name: header::HeaderName, value: &'static str| {
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        let version = if_version(&with(header::IF_MATCH, "\"1.40\"")).expect("one tag");
        assert_eq!(version, Some(("if_version", json!("1.40"))));
        for bad in ["*", "1.40", "\"1.40\", \"1.44\"", "W/\"1.40\""] {
            assert!(if_version(&with(header::IF_MATCH, bad)).is_err(), "{bad}");
        }
        let absent = if_absent(&with(header::IF_NONE_MATCH, "*")).expect("any");
        assert_eq!(absent, Some(("if_absent", json!(true))));
        assert!(if_absent(&with(header::IF_NONE_MATCH, "\"1.40\"")).is_err());
    }
}
