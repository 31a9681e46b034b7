//! Strict JSON in one pass: text in, a borrowed tree out, with every object in canonical order.
//!
//! What an ordinary parser lets pass silently is a problem here, with the place where it stands: a
//! key named twice, nesting beyond a limit, an integer that does not fit, an unpaired surrogate. A
//! problem does not stop the parse, since the rest may still say whose command it is; only text
//! that is no JSON at all does.
//!
//! ```text
//! bytes ─▶ UTF-8 check ─▶ parse ─▶ Json (objects sorted by UTF-16 code units, as RFC 8785 orders them)
//!                            └──▶ problems: FieldError with a JSON Pointer
//! ```
//!
//! It knows nothing of commands, and it never recurses deeper than the limit: what lies below is
//! checked for syntax by a loop and dropped.

use std::borrow::Cow;

use super::{number, problems::Problems};
use crate::model::{Code, FieldError, canonical};

/// No limit may let the parser recurse deeper than this.
const DEPTH_CEILING: usize = 256;
/// A longer key is left out of pointers: they are for people.
const POINTER_KEY_BYTES_MAX: usize = 128;
/// Postgres has no text with U+0000 in it, and every store must take the same records.
pub(super) const NUL: &str = "the text holds U+0000, which not every store can keep; leave it out";

/// A JSON value that borrows from its text where it can.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    /// A number whose canonical text is that of a 64-bit integer.
    Integer(i64),
    /// Any other number; finite.
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Object(Object<'a>),
}

/// The members of an object: names unique, sorted by UTF-16 code units.
pub(super) type Object<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

impl Json<'_> {
    /// What it is, for a sentence.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// The member `name` of `object`, null included.
pub(super) fn member<'j, 'a>(object: &'j Object<'a>, name: &str) -> Option<&'j Json<'a>> {
    object.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// What was read.
#[derive(Debug)]
pub(super) struct Parsed<'a> {
    pub(super) value: Json<'a>,
    /// What is JSON but not allowed.
    pub(super) problems: Vec<FieldError>,
    /// A key that the outermost object names twice.
    pub(super) root_duplicate: bool,
}

/// Text that is no JSON: a sentence that says where and why, without quoting the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotJson(pub(super) String);

/// Where in its record a text stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// The pointer of the outermost value.
    pub(super) pointer: &'static str,
    /// How many levels lie around it.
    pub(super) depth: usize,
}

impl Origin {
    /// The text is the whole record.
    pub(super) const RECORD: Self = Self { pointer: "", depth: 0 };
    /// The text is the record's `data` alone.
    pub(super) const DATA: Self = Self { pointer: "/data", depth: 1 };
}

/// Reads one JSON value that fills `bytes`.
pub(super) fn parse(bytes: &[u8], origin: Origin, depth_max: usize) -> Result<Parsed<'_>, NotJson> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| NotJson(format!("byte {} is not UTF-8", error.valid_up_to())))?;
    let mut parser = Parser {
        text,
        at: 0,
        origin,
        depth_max: depth_max.min(DEPTH_CEILING),
        path: Vec::new(),
        problems: Problems::default(),
        root_duplicate: false,
    };
    let value = parser.value(origin.depth)?;
    parser.blank();
    if parser.at < text.len() {
        return Err(parser.expected("the end"));
    }
    Ok(Parsed { value, problems: parser.problems.into_vec(), root_duplicate: parser.root_duplicate })
}

#[derive(Debug)]
enum Step<'a> {
    Key(Cow<'a, str>),
    Index(usize),
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    origin: Origin,
    depth_max: usize,
    path: Vec<Step<'a>>,
    problems: Problems,
    root_duplicate: bool,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expected(&self, what: &str) -> NotJson {
        let found = if self.at < self.text.len() { "" } else { ", where the text ends" };
        NotJson(format!("expected {what} at byte {}{found}", self.at))
    }

    /// A value inside `depth` containers.
    fn value(&mut self, depth: usize) -> Result<Json<'a>, NotJson> {
        self.blank();
        match self.peek() {
            Some(b'{' | b'[') if depth >= self.depth_max => {
                let detail = format!(
                    "JSON nested deeper than {} levels; flatten it or keep it as a string",
                    self.depth_max
                );
                self.problem(Code::TooDeep, detail);
                self.skip()?;
                Ok(Json::Null)
            }
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Result<Json<'a>, NotJson> {
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.expected("a value")),
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, NotJson> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, NotJson> {
        self.at += 1;
        let mut members: Object<'a> = Vec::new();
        self.blank();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            let key = self.key()?;
            self.path.push(Step::Key(key.clone()));
            let value = self.value(depth)?;
            self.path.pop();
            members.push((key, value));
            self.blank();
            if self.take(b'}') {
                break;
            }
            if !self.take(b',') {
                return Err(self.expected("`,` or `}`"));
            }
        }
        members.sort_by(|a, b| canonical::order(&a.0, &b.0));
        self.refuse_duplicates(&mut members);
        Ok(Json::Object(members))
    }

    fn key(&mut self) -> Result<Cow<'a, str>, NotJson> {
        self.blank();
        if self.peek() != Some(b'"') {
            return Err(self.expected("a key in double quotes"));
        }
        let key = self.string()?;
        self.blank();
        if self.take(b':') { Ok(key) } else { Err(self.expected("`:`")) }
    }

    /// Keeps the first of each name; which of two a producer meant, nobody can know.
    fn refuse_duplicates(&mut self, members: &mut Object<'a>) {
        let mut twice = Vec::new();
        members.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                twice.push(later.0.clone());
            }
            same
        });
        for key in twice {
            self.root_duplicate |= self.path.is_empty();
            self.path.push(Step::Key(key));
            self.problem(Code::DuplicateKey, "the object names this key twice; keep one");
            self.path.pop();
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json<'a>, NotJson> {
        self.at += 1;
        let mut items = Vec::new();
        self.blank();
        if self.take(b']') {
            return Ok(Json::List(items));
        }
        self.path.push(Step::Index(0));
        loop {
            items.push(self.value(depth)?);
            self.blank();
            if self.take(b']') {
                break;
            }
            if !self.take(b',') {
                return Err(self.expected("`,` or `]`"));
            }
            if let Some(Step::Index(index)) = self.path.last_mut() {
                *index += 1;
            }
        }
        self.path.pop();
        Ok(Json::List(items))
    }

    fn number(&mut self) -> Result<Json<'a>, NotJson> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut integral = true;
        if self.take(b'.') {
            integral = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            integral = false;
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        let token = self.text.get(start..self.at).unwrap_or_default();
        Ok(number::read(token, integral).unwrap_or_else(|detail| {
            self.problem(Code::InvalidField, detail);
            Json::Null
        }))
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// A string from its opening quote to its closing one; borrowed unless something is escaped.
    fn string(&mut self) -> Result<Cow<'a, str>, NotJson> {
        self.at += 1;
        let mut text = Cow::Borrowed("");
        loop {
            let start = self.at;
            let rest = self.text.as_bytes().get(start..).unwrap_or_default();
            self.at = start + canonical::plain_bytes(rest);
            let run = self.text.get(start..self.at).unwrap_or_default();
            if text.is_empty() {
                text = Cow::Borrowed(run);
            } else {
                text.to_mut().push_str(run);
            }
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let unescaped = self.escape()?;
                    text.to_mut().push(unescaped);
                }
                Some(_) => {
                    return Err(self.expected("an escape: control characters must be written `\\u00..`"));
                }
                None => return Err(self.expected("the closing quote of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, NotJson> {
        let Some(byte) = self.peek() else { return Err(self.expected("an escape")) };
        let plain = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.expected("one of the escapes of JSON")),
        };
        self.at += 1;
        Ok(plain)
    }

    /// `\uXXXX` from its `u` on, or a pair of them that make one character.
    fn unicode_escape(&mut self) -> Result<char, NotJson> {
        self.at += 1;
        let first = self.four_hex()?;
        if first == 0 {
            self.problem(Code::InvalidField, NUL);
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        let before = self.at;
        if first < 0xDC00 && self.take(b'\\') && self.take(b'u') {
            let second = self.four_hex()?;
            if (0xDC00..0xE000).contains(&second) {
                let joined = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.at = before;
        self.problem(Code::InvalidField, "the text has half of a surrogate pair, which no UTF-8 can hold");
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn four_hex(&mut self) -> Result<u32, NotJson> {
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.expected("four hexadecimal digits"));
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| self.expected("four hexadecimal digits"))
    }

    /// Passes over a container without recursion, checking its syntax all the same.
    fn skip(&mut self) -> Result<(), NotJson> {
        let mut open = Vec::new();
        loop {
            self.blank();
            let (is_object, close) = (self.peek() == Some(b'{'), self.closing());
            match close {
                Some(close) => {
                    self.at += 1;
                    self.blank();
                    if !self.take(close) {
                        open.push(close);
                        if is_object {
                            self.key()?;
                        }
                        continue;
                    }
                }
                None => {
                    self.scalar()?;
                }
            }
            loop {
                let Some(close) = open.last().copied() else { return Ok(()) };
                self.blank();
                if self.take(close) {
                    open.pop();
                } else if self.take(b',') {
                    if close == b'}' {
                        self.key()?;
                    }
                    break;
                } else {
                    return Err(self.expected("`,` or the end of a list or object"));
                }
            }
        }
    }

    /// What would close the container that starts here, if one does.
    fn closing(&self) -> Option<u8> {
        match self.peek() {
            Some(b'{') => Some(b'}'),
            Some(b'[') => Some(b']'),
            _ => None,
        }
    }

    fn problem(&mut self, code: Code, detail: impl Into<String>) {
        if self.problems.is_full() {
            return;
        }
        let mut pointer = self.origin.pointer.to_owned();
        for step in &self.path {
            match step {
                Step::Key(key) if key.len() > POINTER_KEY_BYTES_MAX => break,
                Step::Key(key) => push_key(&mut pointer, key),
                Step::Index(index) => pointer.push_str(&format!("/{index}")),
            }
        }
        self.problems.push(FieldError::new(code, pointer, detail));
    }
}

/// Appends `/key` to a JSON Pointer, escaped as RFC 6901 asks.
pub(super) fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    for character in key.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            _ => pointer.push(character),
        }
    }
}
