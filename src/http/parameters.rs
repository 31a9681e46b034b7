//! Headers, path parts and query parameters that several routes share.

use std::{str::FromStr, time::Duration};

use axum::{
    extract::{
        Path, Query,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    model::{
        MemoryId, Name, RelationKey, Space, Token, Version,
        ids::{ID_BYTES_MAX, InvalidName},
    },
    reader::Demand,
};

use super::{Options, Problem, body::plain, writes::Parallel};

/// One path part.
pub(super) type OnePart = Result<Path<String>, PathRejection>;
/// The path parts of a memory.
pub(super) type TwoParts = Result<Path<(String, String)>, PathRejection>;
/// The path parts of a relation.
pub(super) type FourParts = Result<Path<(String, String, String, String)>, PathRejection>;

/// How long a read with a token waits where `Prefer` does not say.
const READ_WAIT: Duration = Duration::from_secs(2);
/// Items of a list where `limit` does not say.
pub(super) const LIMIT_DEFAULT: usize = 50;

/// `Prefer: wait=N` (RFC 7240), in seconds, capped; `None`: not asked for.
pub(super) fn wait(headers: &HeaderMap, options: &Options) -> Result<Option<Duration>, Problem> {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let wait = preferences.flat_map(|value| value.split([',', ';'])).find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().trim_matches('"'))
    });
    let Some(seconds) = wait else { return Ok(None) };
    let seconds: u64 = seconds
        .parse()
        .map_err(|_| Problem::bad_request("`Prefer: wait=N` takes a whole number of seconds"))?;
    Ok(Some(Duration::from_secs(seconds.min(options.wait_seconds_max))))
}

/// How fresh a read must be.
pub(super) fn demand(headers: &HeaderMap, options: &Options) -> Result<Demand, Problem> {
    let token =
        headers.get("consistency-token").map(|value| value.to_str().unwrap_or_default().parse::<Token>());
    let token = token.transpose().map_err(|error| Problem::bad_request(error.to_string()))?;
    Ok(Demand { token, wait: wait(headers, options)?.unwrap_or(READ_WAIT) })
}

/// The path part of a space.
pub(super) fn space(path: OnePart) -> Result<Space, Problem> {
    part("space", &whole(path)?)
}

/// The path parts of a memory, percent-decoded: `%2F` is a slash inside an id.
pub(super) fn memory(path: TwoParts) -> Result<(Space, MemoryId), Problem> {
    let (space, id) = whole(path)?;
    Ok((part("space", &space)?, part("id", &id)?))
}

/// The path parts of a relation, and its discriminator.
pub(super) fn relation(
    path: FourParts,
    query: Result<Query<Parallel>, QueryRejection>,
) -> Result<RelationKey, Problem> {
    let (space, source, kind, target) = whole(path)?;
    let discriminator = self::query(query)?.discriminator;
    if discriminator.len() > ID_BYTES_MAX || discriminator.contains('\0') {
        let detail = format!("`discriminator` has at most {ID_BYTES_MAX} bytes, none of them zero");
        return Err(Problem::bad_request(detail));
    }
    Ok(RelationKey {
        space: part("space", &space)?,
        source: part("source", &source)?,
        kind: part("type", &kind)?,
        target: part("target", &target)?,
        discriminator,
    })
}

/// All parts of a path, percent-decoded.
pub(super) fn whole<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Problem> {
    path.map(|Path(parts)| parts).map_err(|rejection| {
        let text = rejection.body_text();
        let why = text.strip_prefix("Invalid URL: ").unwrap_or(&text);
        Problem::bad_request(format!("the path cannot be read: {why}"))
    })
}

/// One part of a path or of a query, by the name that clients know it by.
pub(super) fn part<T: FromStr<Err = InvalidName>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error: InvalidName| Problem::bad_request(format!("`{name}` {}", error.problem)))
}

/// `Idempotency-Key`.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let key = headers.get("idempotency-key").map(HeaderValue::to_str).transpose();
    key.map_err(|_| Problem::bad_request("`Idempotency-Key` holds visible ASCII characters alone"))
}

/// The query parameters, unknown ones refused.
pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(value)| value).map_err(|rejection| {
        let text = rejection.body_text();
        let why = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        Problem::bad_request(format!("the query cannot be read: {}", plain(why)))
    })
}

/// `?types=A,B`.
pub(super) fn names(text: Option<&str>) -> Result<Vec<Name>, Problem> {
    let text = text.unwrap_or_default();
    let parts = text.split(',').filter(|_| !text.is_empty());
    parts.map(|name| part("types", name)).collect()
}

/// A version as an `ETag`.
pub(super) fn etag(version: Version) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("a version is a header value")
}

/// The text form of a list's cursor.
pub(super) fn cursor_of(id: &MemoryId) -> String {
    URL_SAFE_NO_PAD.encode(id.as_str())
}

/// The id that a cursor stands for.
pub(super) fn cursor(text: Option<&str>) -> Result<Option<MemoryId>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let id = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let id = id.and_then(|id| MemoryId::new(id).ok());
    id.map(Some).ok_or_else(|| Problem::bad_request("`cursor` is not one that a list has answered with"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferring(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            axum::http::HeaderName::from_static("prefer"),
            text.parse().expect("a value"),
        )])
    }

    #[test]
    fn a_preference_to_wait_is_found_among_others_and_capped() {
        let options = Options::default();
        let seconds = |text: &str| wait(&preferring(text), &options).expect("well formed");
        assert_eq!(seconds("wait=5"), Some(Duration::from_secs(5)));
        assert_eq!(seconds("respond-async, Wait=\"7\""), Some(Duration::from_secs(7)));
        assert_eq!(seconds("wait=99999"), Some(Duration::from_secs(60)));
        assert_eq!(seconds("return=minimal"), None);
        assert!(wait(&preferring("wait=soon"), &options).is_err());
    }

    #[test]
    fn a_cursor_leads_back_to_its_id() {
        let id = MemoryId::new("a/b ü").expect("an id");
        assert_eq!(cursor(Some(&cursor_of(&id))).expect("ours"), Some(id));
        assert!(cursor(Some("…")).is_err());
    }
}
