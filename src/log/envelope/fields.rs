//! Reading an object field by field, so that every problem is told at once.
//!
//! A reader that finds a wrong value notes the problem and answers as if the field were absent; the
//! caller reads on. Whoever has noted a problem never becomes a command, so the answer is not used.

use std::cell::RefCell;

use super::{
    Limits,
    json::{Json, Object, member, push_key},
    problems::Problems,
    suggest::{hint, quoted},
};
use crate::model::{
    Code, FieldError, MemoryId, Name, Space, Timestamp, Version,
    command::Patch,
    ids::{ID_BYTES_MAX, InvalidName},
};

/// What all fields of a command have around them.
#[derive(Debug)]
pub(super) struct Context<'c> {
    /// The command's space, source and id: what absent memory ids are derived from.
    pub(super) space: &'c Space,
    pub(super) source: &'c str,
    pub(super) command_id: &'c str,
    pub(super) limits: &'c Limits,
    pub(super) problems: RefCell<Problems>,
}

/// Where a value stands, from the record's root: a pointer that is only written when it is needed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'p> {
    /// The command's `data`.
    Data,
    Key(&'p Place<'p>, &'p str),
    Index(&'p Place<'p>, usize),
}

impl Place<'_> {
    pub(super) fn pointer(&self) -> String {
        match self {
            Self::Data => "/data".to_owned(),
            Self::Key(parent, key) => {
                let mut pointer = parent.pointer();
                push_key(&mut pointer, key);
                pointer
            }
            Self::Index(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }
}

impl Context<'_> {
    pub(super) fn problem(&self, code: Code, place: Place<'_>, detail: impl Into<String>) {
        let mut problems = self.problems.borrow_mut();
        if !problems.is_full() {
            problems.push(FieldError::new(code, place.pointer(), detail));
        }
    }
}

/// An object whose fields are known by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'f, 'a> {
    pub(super) context: &'f Context<'f>,
    pub(super) place: Place<'f>,
    object: &'f Object<'a>,
}

impl<'f, 'a> Fields<'f, 'a> {
    /// Opens an object and notes every field that is not `known`; `None` when it is no object.
    pub(super) fn open(
        context: &'f Context<'f>,
        place: Place<'f>,
        value: &'f Json<'a>,
        known: &[&'static str],
    ) -> Option<Self> {
        let Json::Object(object) = value else {
            let detail = format!("this must be an object, and is {}", value.noun());
            context.problem(Code::InvalidField, place, detail);
            return None;
        };
        for (key, _) in object.iter().filter(|(key, _)| !known.contains(&&**key)) {
            if context.problems.borrow().is_full() {
                break;
            }
            let detail =
                format!("there is no field {} here{}", quoted(key), hint(key, known.iter().copied()));
            let short: &str = if key.len() > ID_BYTES_MAX { "…" } else { key };
            context.problem(Code::UnknownField, Place::Key(&place, short), detail);
        }
        Some(Self { context, place, object })
    }

    /// The field as it is, null included.
    pub(super) fn raw(&self, key: &str) -> Option<&'f Json<'a>> {
        member(self.object, key)
    }

    /// The field, where null means absent.
    pub(super) fn get(&self, key: &str) -> Option<&'f Json<'a>> {
        self.raw(key).filter(|value| !matches!(value, Json::Null))
    }

    /// Notes what is wrong with the field `key`.
    pub(super) fn problem(&self, code: Code, key: &str, detail: impl Into<String>) {
        self.context.problem(code, Place::Key(&self.place, key), detail);
    }

    pub(super) fn invalid(&self, key: &str, detail: impl Into<String>) {
        self.problem(Code::InvalidField, key, detail);
    }

    fn mistyped(&self, key: &str, wanted: &str, value: &Json<'_>) {
        self.invalid(key, format!("`{key}` must be {wanted}, and is {}", value.noun()));
    }

    /// Notes the field as missing when it is.
    pub(super) fn required(&self, key: &str) -> Option<&'f Json<'a>> {
        let value = self.get(key);
        if value.is_none() {
            self.problem(Code::MissingField, key, format!("`{key}` is required"));
        }
        value
    }

    pub(super) fn text(&self, key: &str) -> Option<&'f str> {
        match self.get(key)? {
            Json::Text(text) => Some(text),
            other => {
                self.mistyped(key, "a string", other);
                None
            }
        }
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Json::Bool(flag) => Some(*flag),
            other => {
                self.mistyped(key, "true or false", other);
                None
            }
        }
    }

    /// An integer from `least` to `most`.
    pub(super) fn integer(&self, key: &str, least: i64, most: i64) -> Option<i64> {
        match self.get(key)? {
            Json::Integer(integer) if (least..=most).contains(integer) => Some(*integer),
            Json::Integer(_) | Json::Float(_) => {
                self.invalid(key, format!("`{key}` must be an integer from {least} to {most}"));
                None
            }
            other => {
                self.mistyped(key, "an integer", other);
                None
            }
        }
    }

    /// A number from 0 to 1.
    pub(super) fn fraction(&self, key: &str) -> Option<f64> {
        let number = match self.get(key)? {
            // Whatever does not fit exactly lies far outside anyway.
            Json::Integer(integer) => i32::try_from(*integer).map_or(f64::MAX, f64::from),
            Json::Float(float) => *float,
            other => {
                self.mistyped(key, "a number", other);
                return None;
            }
        };
        if (0.0..=1.0).contains(&number) {
            return Some(number);
        }
        self.invalid(key, format!("`{key}` must lie between 0 and 1"));
        None
    }

    pub(super) fn time(&self, key: &str) -> Option<Timestamp> {
        let time = self.text(key)?.parse().ok();
        if time.is_none() {
            let detail = format!("`{key}` must be an RFC 3339 time such as 2026-11-21T09:00:00Z");
            self.invalid(key, detail);
        }
        time
    }

    pub(super) fn version(&self, key: &str) -> Option<Version> {
        let version = self.text(key)?.parse().ok();
        if version.is_none() {
            self.invalid(
                key,
                format!("`{key}` must be a version of the form epoch.sequence, such as 1.6720"),
            );
        }
        version
    }

    /// A string of at most 255 bytes, and at least `least`.
    pub(super) fn label(&self, key: &str, least: usize) -> Option<String> {
        let text = self.text(key)?;
        if (least..=ID_BYTES_MAX).contains(&text.len()) {
            return Some(text.to_owned());
        }
        self.invalid(key, format!("`{key}` must have {least} to {ID_BYTES_MAX} bytes"));
        None
    }

    pub(super) fn name(&self, key: &str) -> Option<Name> {
        let name = Name::new(self.text(key)?);
        self.named(key, name)
    }

    pub(super) fn memory_id(&self, key: &str) -> Option<MemoryId> {
        let id = MemoryId::new(self.text(key)?);
        self.named(key, id)
    }

    /// A memory id that must be there.
    pub(super) fn required_id(&self, key: &str) -> Option<MemoryId> {
        self.required(key)?;
        self.memory_id(key)
    }

    fn named<T>(&self, key: &str, name: Result<T, InvalidName>) -> Option<T> {
        name.map_err(|error| self.invalid(key, format!("`{key}` {}", error.problem))).ok()
    }

    /// A session: 1 to 255 bytes.
    pub(super) fn session(&self, key: &str) -> Option<String> {
        self.label(key, 1)
    }

    /// A string that fits the limit on content.
    pub(super) fn content(&self, key: &str) -> Option<String> {
        let text = self.text(key)?;
        let most = self.context.limits.content_bytes_max;
        if text.len() > most {
            let detail =
                format!("`{key}` has {} bytes, and at most {most} are allowed; split it", text.len());
            self.problem(Code::TooLarge, key, detail);
            return None;
        }
        Some(text.to_owned())
    }

    /// Refuses an interval that is empty although both of its ends are given.
    pub(super) fn ordered(&self, from: Option<Timestamp>, until: Option<Timestamp>) {
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            self.invalid("valid_until", "`valid_until` must be later than `valid_from`");
        }
    }

    /// A field of a merge patch: absent, null, or what `read` makes of it.
    pub(super) fn patch<T>(&self, key: &str, read: impl FnOnce(&Self, &str) -> Option<T>) -> Patch<T> {
        match self.raw(key) {
            None => Patch::Keep,
            Some(Json::Null) => Patch::Remove,
            Some(_) => read(self, key).map_or(Patch::Keep, Patch::Set),
        }
    }
}

/// Whether `id` can name a command: 1 to 255 bytes.
pub(super) fn is_command_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
}
