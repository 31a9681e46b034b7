//! A whole server on a folder and a free port of its own, and clients that ask it over HTTP.

use std::{future::Future, time::Duration};

use engraft::{app::App, cli::Client, config::Config};
use serde_json::{Value, json};

/// An app on a folder of its own. Requests are made from blocking threads, as a client's would be.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) client: Client,
    _folder: tempfile::TempDir,
}

/// Any request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// What the server says to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// All but `date`, sorted by name.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Ask {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned(), ..Self::default() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(self, body: impl ToString) -> Self {
        Self { body: body.to_string(), ..self }
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With settings of its own.
    pub(crate) async fn with(set: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config { data: folder.path().join("data"), ..Config::default() };
        config.http.address = "127.0.0.1:0".parse().expect("an address");
        set(&mut config);
        let app = App::start(&config).await.expect("starts");
        let client = Client::new(&format!("http://{}", app.address()));
        let world = Self { app, client, _folder: folder };
        while world.get("/readyz").await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        world
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let (client, path) = (self.client.clone(), path.to_owned());
        let asked = tokio::task::spawn_blocking(move || client.ask(&path)).await;
        let answer = asked.expect("no panic").expect("an answer");
        (answer.status, answer.body)
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        media: &str,
        wait: Option<u64>,
        body: impl ToString,
    ) -> (u16, Value) {
        let (client, path, media) = (self.client.clone(), path.to_owned(), media.to_owned());
        let body = body.to_string();
        let post = move || client.post(&path, &media, wait, body.as_bytes());
        let answer = tokio::task::spawn_blocking(post).await.expect("no panic").expect("an answer");
        (answer.status, answer.body)
    }

    /// Any request, as it is.
    pub(crate) async fn ask(&self, ask: Ask) -> Reply {
        let mut request = ureq::http::Request::builder().method(ask.method.as_str()).uri(format!(
            "http://{}{}",
            self.app.address(),
            ask.path
        ));
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let request = request.body(ask.body).unwrap();
        let sent = tokio::task::spawn_blocking(move || {
            let config =
                ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true);
            let mut answer = ureq::Agent::from(config.build()).run(request).unwrap();
            let headers = answer.headers().iter().filter(|(name, _)| *name != "date");
            let mut headers: Vec<(String, String)> = headers
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
                .collect();
            headers.sort();
            let text = answer.body_mut().read_to_string().unwrap();
            Reply { status: answer.status().as_u16(), headers, text }
        });
        sent.await.unwrap()
    }

    /// A request with JSON, waiting for its outcome; the status, the `ETag` and the body.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, Option<String>, Value) {
        let ask = Ask::new(method, path).with("prefer", "wait=10").body(body);
        let ask = match headers.iter().any(|(name, _)| *name == "content-type") {
            true => ask,
            false => ask.with("content-type", "application/json"),
        };
        let reply = self.ask(headers.iter().fold(ask, |ask, (name, value)| ask.with(name, value))).await;
        (reply.status, reply.header("etag").map(str::to_owned), reply.json())
    }

    pub(crate) async fn relate(&self, source: &str, kind: &str, target: &str) {
        let path = format!("/v1/relations/acme/{source}/{kind}/{target}");
        let (status, _, outcome) = self.send("PUT", &path, &[], "{}").await;
        assert_eq!(status, 201, "{outcome}");
    }

    pub(crate) async fn command(&self, body: Value) -> (u16, Value) {
        self.post("/v1/commands", "application/json", Some(10), body).await
    }

    pub(crate) async fn put(&self, id: &str, content: &str) {
        let put = json!({"type": "memory.put", "space": "acme", "data": {"id": id, "content": content}});
        let (status, outcome) = self.command(put).await;
        assert_eq!(status, 200, "{outcome}");
    }
}

/// Runs a test on threads as the server does.
pub(crate) fn run<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(test);
}

/// Every route of the server, as method and path. Read from its source: the router itself tells nobody
/// what is in it.
pub(crate) fn routes() -> Vec<(String, String)> {
    let source = include_str!("../../src/http/routes.rs");
    let mut found = Vec::new();
    for route in source.split(".route(").skip(1) {
        let mut quoted = route.splitn(3, '"');
        let (Some(_), Some(path), Some(rest)) = (quoted.next(), quoted.next(), quoted.next()) else {
            panic!("a route without a path: {route}");
        };
        let rest = rest.split(".fallback(").next().unwrap();
        for method in ["get", "post", "put", "patch", "delete"] {
            let called = format!("{method}(");
            if rest
                .match_indices(&called)
                .any(|(at, _)| !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
            {
                found.push((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    assert!(found.len() > 20, "the routes were not found: {found:?}");
    found
}
