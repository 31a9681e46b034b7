//! The shape check before an append: HTTP refuses here, with the codes and pointers that a worker
//! would put into the outcome.
//!
//! What passes is appended as bare JSON in canonical form, so that a missing id can be filled in;
//! the body and its hash stay what the client sent.

use bytes::Bytes;

use super::{
    Limits, Shaped,
    encode::Draft,
    fields::is_command_id,
    form::{self, Parts, Unreadable},
    header::Fallback,
    shape,
};
use crate::{
    log::{Headers, NewRecord},
    model::{Code, Command, Digest, FieldError, Header, Space, Timestamp},
};

/// A command whose shape is right, not yet in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    header: Header,
    command: Command,
    time: Option<Timestamp>,
    body: Vec<u8>,
    record_bytes_max: usize,
}

/// Checks a command as it came in: bare JSON, a structured CloudEvent, or a binary one with `ce_*`
/// headers. The body must name the space.
///
/// # Errors
/// Everything that is wrong, the first 20; `too_large` before anything is parsed.
pub fn check(value: &[u8], headers: &Headers, limits: &Limits) -> Result<Checked, Vec<FieldError>> {
    let most = limits.record_bytes_max;
    if value.len() > most {
        return Err(vec![too_large(value.len(), most)]);
    }
    let one = |Unreadable(code, detail)| vec![FieldError::new(code, "", detail)];
    let mut parts = form::take_apart(value, headers, limits.depth_max).map_err(one)?;
    let space = space(&mut parts);
    let stated_time = parts.attribute("time").is_some();
    let fallback = Fallback { id: "", time: Timestamp::default() };
    let Shaped { header, command, body, problems } = shape(parts, value, space, fallback, limits);
    match (command, body) {
        (Some(command), Some(body)) if problems.is_empty() => {
            let time = stated_time.then_some(header.time);
            Ok(Checked { header, command, time, body, record_bytes_max: most })
        }
        _ => Err(problems),
    }
}

/// The stated space; where there is none, that is noted and another stands in, so that the rest is
/// checked too.
fn space(parts: &mut Parts<'_>) -> Space {
    match parts.attribute("space").map(Space::new) {
        Some(Ok(space)) => return space,
        Some(Err(error)) => {
            parts.problem(Code::InvalidField, "space", format!("a space {}", error.problem));
        }
        None if parts.problems.names("/space") => {}
        None => {
            let detail = "`space` is required: the space that the command is for, as a string";
            parts.problem(Code::SpaceMissing, "space", detail);
        }
    }
    Space::new("unknown").expect("a constant space")
}

pub(super) fn too_large(bytes: usize, most: usize) -> FieldError {
    let detail = format!("the record has {bytes} bytes, and at most {most} are allowed; split it");
    FieldError::new(Code::TooLarge, "", detail)
}

impl Checked {
    /// The command's space.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.header.space
    }

    /// The long form of its type.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.header.kind
    }

    /// The client's idempotency key, if the body or its headers had one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.header.claims.then_some(&*self.header.id)
    }

    /// What is asked. Ids of memories that the client left out are final only when the command has
    /// its own id: read those from the outcome.
    #[must_use]
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// SHA-256 of the canonical body, as the worker will find it.
    #[must_use]
    pub fn body_hash(&self) -> Digest {
        Digest::of(&self.body)
    }

    /// The record to append; `id` becomes the command's where the client gave none.
    ///
    /// # Errors
    /// `id` is not one, or the record in canonical form is larger than allowed.
    pub fn into_record(self, id: &str) -> Result<NewRecord, Vec<FieldError>> {
        if !is_command_id(id) && !self.header.claims {
            let detail = "a command's id must have 1 to 255 bytes";
            return Err(vec![FieldError::new(Code::InvalidField, "/id", detail)]);
        }
        let most = self.record_bytes_max;
        let record = self.into_draft(id).bare();
        if record.value.len() > most {
            return Err(vec![too_large(record.value.len(), most)]);
        }
        Ok(record)
    }

    fn into_draft(self, id: &str) -> Draft {
        let Header { id: own, claims, source, space, kind, expires_at, trace, .. } = self.header;
        let tail = format!(",\"type\":\"{kind}\"}}");
        let data = self.body.strip_prefix(b"{\"data\":").and_then(|body| body.strip_suffix(tail.as_bytes()));
        Draft {
            space,
            kind,
            id: Some(if claims { own } else { id.to_owned() }),
            source,
            time: self.time,
            expires_at,
            trace,
            data: Bytes::copy_from_slice(data.expect("the canonical body of a known type has this frame")),
        }
    }
}
