//! Records from parts, for our own producers: HTTP, the command line, tests.
//!
//! A record that is built here decodes to the same command in every form; the key is the space.

use bytes::Bytes;
use serde_json::Value;

use super::form::{ATTRIBUTES, HEADER_PREFIX, SPECVERSION, STRUCTURED};
use crate::{
    log::{Headers, NewRecord},
    model::{Space, Timestamp, canonical::write_text, command::Trace},
};

/// A command on its way to the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The space, which becomes the record's key.
    pub space: Space,
    /// The type, short or long.
    pub kind: String,
    /// The idempotency key; `None`: the position becomes the id, and a resend is a new command.
    /// A CloudEvent must have one.
    pub id: Option<String>,
    /// The producer's source, a URI reference; `""`: none. A CloudEvent must have one.
    pub source: String,
    /// Every "now" inside the command; `None`: the log's append time.
    pub time: Option<Timestamp>,
    /// Past when the command must not start any more.
    pub expires_at: Option<Timestamp>,
    /// Carried to the outcome.
    pub trace: Trace,
    /// JSON text of the command's `data`.
    pub data: Bytes,
}

impl Draft {
    /// A command of type `kind` with nothing around it.
    #[must_use]
    pub fn new(space: Space, kind: impl Into<String>, data: &Value) -> Self {
        Self {
            space,
            kind: kind.into(),
            id: None,
            source: String::new(),
            time: None,
            expires_at: None,
            trace: Trace::default(),
            data: data.to_string().into(),
        }
    }

    /// The same with an idempotency key.
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// The same from a source.
    #[must_use]
    pub fn from_source(self, source: impl Into<String>) -> Self {
        Self { source: source.into(), ..self }
    }

    /// A bare JSON record.
    #[must_use]
    pub fn bare(&self) -> NewRecord {
        self.record(self.object(false), "application/json", Vec::new())
    }

    /// A structured CloudEvent.
    #[must_use]
    pub fn structured(&self) -> NewRecord {
        self.record(self.object(true), STRUCTURED, Vec::new())
    }

    /// A binary CloudEvent: attributes in `ce_*` headers, `data` as the value.
    #[must_use]
    pub fn binary(&self) -> NewRecord {
        let mut headers = vec![(format!("{HEADER_PREFIX}{SPECVERSION}"), Bytes::from_static(b"1.0"))];
        for name in ATTRIBUTES {
            if let Some(value) = self.attribute(name) {
                headers.push((format!("{HEADER_PREFIX}{name}"), value.into()));
            }
        }
        self.record(self.data.clone(), "application/json", headers)
    }

    fn record(&self, value: Bytes, content_type: &'static str, mut headers: Headers) -> NewRecord {
        headers.push(("content-type".to_owned(), Bytes::from_static(content_type.as_bytes())));
        NewRecord { key: Bytes::copy_from_slice(self.space.as_str().as_bytes()), value, headers }
    }

    fn object(&self, structured: bool) -> Bytes {
        let mut out = Vec::with_capacity(self.data.len() + 256);
        out.push(b'{');
        if structured {
            out.extend_from_slice(b"\"specversion\":\"1.0\",");
        }
        for name in ATTRIBUTES {
            if let Some(value) = self.attribute(name) {
                write_text(name, &mut out);
                out.push(b':');
                write_text(&value, &mut out);
                out.push(b',');
            }
        }
        out.extend_from_slice(b"\"data\":");
        out.extend_from_slice(&self.data);
        out.push(b'}');
        out.into()
    }

    fn attribute(&self, name: &str) -> Option<String> {
        match name {
            "type" => Some(self.kind.clone()),
            "id" => self.id.clone(),
            "source" => Some(self.source.clone()).filter(|source| !source.is_empty()),
            "space" => Some(self.space.to_string()),
            "time" => self.time.map(|time| time.to_string()),
            "expirytime" => self.expires_at.map(|time| time.to_string()),
            "correlationid" => self.trace.correlation_id.clone(),
            "causationid" => self.trace.causation_id.clone(),
            "traceparent" => self.trace.traceparent.clone(),
            "tracestate" => self.trace.tracestate.clone(),
            _ => None,
        }
    }
}
