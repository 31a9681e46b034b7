//! A client of the HTTP surface: blocking, for one command of a person.

use std::{io, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use ureq::http::{Request, Response};

use super::{Exit, Failure, problem};

/// Longest that an answer may take, beyond what the server was asked to wait.
const ANSWER_WAIT: Duration = Duration::from_secs(90);
/// Longest answer, in bytes: a thousand hits with their vectors.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// What stands for itself in a path part.
const PATH_PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Speaks to one server.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    url: String,
    /// Goes with every request.
    headers: Vec<(&'static str, String)>,
}

/// An answer: its status, and its body as JSON where it is any.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body; `null` where it is no JSON.
    pub body: Value,
}

impl Client {
    /// A client of the server at `url`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(ANSWER_WAIT))
            .proxy(None)
            .build()
            .new_agent();
        Self { agent, url: url.trim_end_matches('/').to_owned(), headers: Vec::new() }
    }

    /// The same, with a header that goes with every request; none if there is no value.
    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: Option<String>) -> Self {
        self.headers.extend(value.map(|value| (name, value)));
        self
    }

    /// `GET`, whatever the status.
    ///
    /// # Errors
    /// When no server answers.
    pub fn ask(&self, path: &str) -> Result<Answer, Failure> {
        self.send("GET", path, &[], None)
    }

    /// `GET`; anything but success is a failure.
    ///
    /// # Errors
    /// When no server answers, or it answers with a problem.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(path)?.success()
    }

    /// `GET` with `Prefer: wait=N`; anything but success is a failure.
    ///
    /// # Errors
    /// When no server answers, or it answers with a problem.
    pub fn get_waiting(&self, path: &str, seconds: u64) -> Result<Value, Failure> {
        self.send("GET", path, &[("prefer", format!("wait={seconds}"))], None)?.success()
    }

    /// `POST`, whatever the status.
    ///
    /// # Errors
    /// When no server answers.
    pub fn post(
        &self,
        path: &str,
        content_type: &str,
        wait: Option<u64>,
        body: &[u8],
    ) -> Result<Answer, Failure> {
        let mut headers = vec![("content-type", content_type.to_owned())];
        headers.extend(wait.map(|seconds| ("prefer", format!("wait={seconds}"))));
        self.send("POST", path, &headers, Some(body))
    }

    /// Any request, whatever the status of its answer.
    ///
    /// # Errors
    /// When no server answers, or what was given does not make a request.
    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Option<&[u8]>,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let bad = |error| Failure::usage(format!("cannot ask {}: {error}", self.url));
        self.answer(match body {
            Some(body) => self.agent.run(request.body(body).map_err(bad)?),
            None => self.agent.run(request.body(()).map_err(bad)?),
        })
    }

    fn answer(&self, sent: Result<Response<ureq::Body>, ureq::Error>) -> Result<Answer, Failure> {
        let unreachable = |error: ureq::Error| {
            let what = match &error {
                ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    "nobody listens there".to_owned()
                }
                error => error.to_string(),
            };
            let fix = "is `engraft serve` running? `--url` names another server";
            Failure::new(Exit::Unreachable, format!("no answer from {}: {what}; {fix}", self.url))
        };
        let mut response = sent.map_err(unreachable)?;
        let status = response.status().as_u16();
        let text = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let body = serde_json::from_str(&text.map_err(unreachable)?).unwrap_or(Value::Null);
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// The body of a success.
    ///
    /// # Errors
    /// The problem, in words, with the exit code it stands for.
    pub fn success(self) -> Result<Value, Failure> {
        if (200..300).contains(&self.status) { Ok(self.body) } else { Err(problem::failure(&self)) }
    }
}

/// A path of percent-encoded parts: `path(&["v1", "memories", "acme", "a/b"])`.
#[must_use]
pub(super) fn path(parts: &[&str]) -> String {
    parts.iter().map(|part| format!("/{}", utf8_percent_encode(part, PATH_PART))).collect()
}

/// A query string of what is given.
#[must_use]
pub(super) fn query(parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| {
        let value = utf8_percent_encode(value.as_deref()?, PATH_PART).to_string();
        Some(format!("{name}={value}"))
    });
    let all: Vec<String> = given.collect();
    if all.is_empty() { String::new() } else { format!("?{}", all.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_parts_and_parameters_are_encoded() {
        assert_eq!(path(&["v1", "a/b ü"]), "/v1/a%2Fb%20%C3%BC");
        assert_eq!(query(&[("a", None), ("b", Some("x&y".to_owned()))]), "?b=x%26y");
        assert_eq!(query(&[("a", None)]), "");
    }
}
