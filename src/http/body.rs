//! Reading a request's body: bounded in bytes and in time, and never unpacked.

use std::{fmt, marker::PhantomData, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::model::{Code, FieldError};

use super::{Options, Problem, problem::Reason};

/// The whole body.
///
/// # Errors
/// A problem when it is packed, too large, too slow, or cut off.
pub(super) async fn read(headers: &HeaderMap, body: Body, options: &Options) -> Result<Bytes, Problem> {
    refuse_packed(headers)?;
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

/// A few packed bytes can unfold to more than any limit, and no client needs them.
fn refuse_packed(headers: &HeaderMap) -> Result<(), Problem> {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = codings.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    if codings.all(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    Err(Problem::new(Reason::UnsupportedMediaType, "send the body uncompressed, without `content-encoding`"))
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

/// A value that is told as an object. Derived code alone would also take a list of its fields' values.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Object)
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// The object that a body of JSON holds.
///
/// # Errors
/// A problem that says where it is wrong, in the words of JSON and not in those of this program.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let Object(value) = serde_path_to_error::deserialize(&mut text)
        .map_err(|error| refusal(error.inner(), &pointer(error.path())))?;
    text.end().map_err(|error| refusal(&error, ""))?;
    Ok(value)
}

fn refusal(error: &serde_json::Error, pointer: &str) -> Problem {
    let text = error.to_string();
    if error.classify() != Category::Data {
        let detail = format!("the body is not JSON: {text}");
        return Problem::refused(Code::Malformed, vec![FieldError::new(Code::Malformed, "", detail)]);
    }
    let what = text.split(" at line ").next().unwrap_or_default();
    let code = match what {
        what if what.starts_with("missing field") => Code::MissingField,
        what if what.starts_with("unknown field") => Code::UnknownField,
        what if what.starts_with("duplicate field") => Code::DuplicateKey,
        _ => Code::InvalidField,
    };
    Problem::refused(code, vec![FieldError::new(code, pointer, plain(what))])
}

/// A deserialiser's sentence without the names of types: what a client sent has other names for them.
pub(super) fn plain(sentence: &str) -> String {
    const FOUND: [(&str, &str); 3] = [
        ("type: map", "type: object"),
        ("type: sequence", "type: list"),
        ("unknown variant", "unknown word"),
    ];
    const WANTED: [(&str, &str); 9] = [
        ("a sequence", "a list"),
        ("a map", "an object"),
        ("string or map", "a word"),
        ("variant identifier", "a word"),
        ("usize", "a whole number, 0 or more"),
        ("u64", "a whole number, 0 or more"),
        ("u32", "a whole number, 0 or more"),
        ("f64", "a number"),
        ("f32", "a number"),
    ];
    // What was found may quote the client, from the first quotation mark on; that stays as it is.
    let (wanted, found) = match sentence.rfind("expected ") {
        Some(at) => (sentence.get(at..).unwrap_or_default(), sentence.get(..at).unwrap_or_default()),
        None => ("", sentence),
    };
    let (kind, quoted) = found.split_at(found.find(['`', '"']).unwrap_or(found.len()));
    let kind = FOUND.iter().fold(kind.to_owned(), |text, (from, to)| text.replace(from, to));
    let wanted = WANTED.iter().fold(wanted.to_owned(), |text, (from, to)| text.replace(from, to));
    kind + quoted + &wanted
}

fn pointer(path: &Path) -> String {
    let segments = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    segments.map(|segment| format!("/{segment}")).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_packed_body_is_refused_whatever_it_is_packed_with() {
        let with = |coding: &'static str| {
            HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(coding))])
        };
        for plain in [HeaderMap::new(), with("identity"), with("Identity, identity")] {
            assert!(refuse_packed(&plain).is_ok(), "{plain:?}");
        }
        for packed in ["gzip", "br", "identity, deflate", "x", ""] {
            assert!(refuse_packed(&with(packed)).is_err(), "{packed}");
        }
    }

    #[test]
    fn sentences_are_told_in_the_words_of_json() {
        for (said, told) in [
            ("invalid type: map, expected a sequence", "invalid type: object, expected a list"),
            (
                "invalid value: integer `-1`, expected u32",
                "invalid value: integer `-1`, expected a whole number, 0 or more",
            ),
            ("missing field `space`", "missing field `space`"),
            ("in: unknown variant `x`, expected `vectors`", "in: unknown word `x`, expected `vectors`"),
            (
                "invalid type: string \"unknown variant\", expected a map",
                "invalid type: string \"unknown variant\", expected an object",
            ),
        ] {
            assert_eq!(plain(said), told);
        }
    }
}
