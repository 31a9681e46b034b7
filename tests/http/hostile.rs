//! Two spaces, each with a token of its own, and the holder of one is hostile: by no route, position,
//! token, cursor or filter does it read, count, guess or change anything of the other.
//!
//! The proof is likeness: whatever is asked about the other space is answered word for word like the
//! same question about a space that does not exist.

use std::collections::BTreeSet;

use engraft::{
    config::Config,
    http::{Role, Spaces, TokenOptions},
    model::{Digest, Position, Token},
};
use serde_json::{Value, json};

use crate::world::{Ask, Reply, World, routes, run};

/// An admin, but of `ada` alone.
const HOSTILE: &str = "token-of-ada";
const OPERATOR: &str = "token-of-the-operator";
/// What is in the other space and nowhere else.
const SECRETS: [&str; 4] = [OTHER, "hidden-7", "SECRET_KIND", "c-of-b"];
const OTHER: &str = "space-of-b";
const NOWHERE: &str = "space-of-0";

/// How a route is tried.
enum Probe {
    /// Open to everybody, and about no space.
    Open(&'static str),
    /// Of the server, not of a space: the same whatever the other space does.
    Server(&'static str),
    /// For an admin of all spaces alone.
    Operator(&'static str),
    /// About the command at a position.
    Position,
    /// What an admin of all spaces alone may do about the command at a position.
    Order(&'static str),
    /// About a space, which is in the path or in the body, as `{space}`.
    Space(&'static str, &'static str),
}

/// Every route of the server. One that is missing fails the test.
const ENTRIES: &[(&str, &str, Probe)] = &[
    (
        "POST",
        "/v1/commands",
        Probe::Space("/v1/commands", r#"{"type":"memory.put","space":"{space}","data":{"id":"m"}}"#),
    ),
    ("GET", "/v1/commands/{position}", Probe::Position),
    ("POST", "/v1/commands/{position}/{order}", Probe::Order("resolve?to=before")),
    ("GET", "/v1/memories/{space}", Probe::Space("/v1/memories/{space}?limit=5", "")),
    ("GET", "/v1/memories/{space}/{id}", Probe::Space("/v1/memories/{space}/hidden-7?vectors=true", "")),
    ("PUT", "/v1/memories/{space}/{id}", Probe::Space("/v1/memories/{space}/hidden-7", "{}")),
    (
        "PATCH",
        "/v1/memories/{space}/{id}",
        Probe::Space("/v1/memories/{space}/hidden-7", r#"{"importance":1}"#),
    ),
    ("DELETE", "/v1/memories/{space}/{id}", Probe::Space("/v1/memories/{space}/hidden-7", "")),
    (
        "GET",
        "/v1/memories/{space}/{id}/relations",
        Probe::Space("/v1/memories/{space}/hidden-7/relations", ""),
    ),
    (
        "GET",
        "/v1/memories/{space}/{id}/neighbors",
        Probe::Space("/v1/memories/{space}/hidden-7/neighbors", ""),
    ),
    ("GET", "/v1/memories/{space}/{id}/lineage", Probe::Space("/v1/memories/{space}/hidden-7/lineage", "")),
    (
        "GET",
        "/v1/memories/{space}/{id}/contradictions",
        Probe::Space("/v1/memories/{space}/hidden-7/contradictions", ""),
    ),
    ("GET", "/v1/paths/{space}", Probe::Space("/v1/paths/{space}?from=hidden-7&to=hidden-8", "")),
    (
        "GET",
        "/v1/relations/{space}/{source}/{type}/{target}",
        Probe::Space("/v1/relations/{space}/hidden-7/CAUSES/hidden-8", ""),
    ),
    (
        "PUT",
        "/v1/relations/{space}/{source}/{type}/{target}",
        Probe::Space("/v1/relations/{space}/hidden-7/CAUSES/hidden-8", "{}"),
    ),
    (
        "DELETE",
        "/v1/relations/{space}/{source}/{type}/{target}",
        Probe::Space("/v1/relations/{space}/hidden-7/CAUSES/hidden-8", ""),
    ),
    ("POST", "/v1/search", Probe::Space("/v1/search", r#"{"space":"{space}","text":"tea"}"#)),
    (
        "POST",
        "/v1/search/batch",
        Probe::Space(
            "/v1/search/batch",
            r#"{"searches":[{"space":"ada","text":"tea"},{"space":"{space}","text":"tea"}]}"#,
        ),
    ),
    ("GET", "/v1/memories/{space}/{id}/history", Probe::Space("/v1/memories/{space}/hidden-7/history", "")),
    ("GET", "/v1/commands", Probe::Space("/v1/commands?space={space}", "")),
    ("GET", "/v1/spaces/{space}/stats", Probe::Space("/v1/spaces/{space}/stats", "")),
    ("GET", "/v1/events", Probe::Space("/v1/events?space={space}", "")),
    ("GET", "/v1/spaces/{space}", Probe::Space("/v1/spaces/{space}", "")),
    ("PUT", "/v1/spaces/{space}", Probe::Space("/v1/spaces/{space}", r#"{"quota":1}"#)),
    ("GET", "/v1/guarantees", Probe::Server("/v1/guarantees")),
    ("GET", "/v1/status", Probe::Server("/v1/status")),
    ("GET", "/v1/breakers", Probe::Operator("/v1/breakers")),
    ("POST", "/v1/breakers/{store}/{order}", Probe::Operator("/v1/breakers/vector/reset")),
    ("GET", "/metrics", Probe::Operator("/metrics")),
    ("GET", "/schemas/{name}", Probe::Open("/schemas/memory.put.v1")),
    ("GET", "/openapi.json", Probe::Open("/openapi.json")),
    ("GET", "/asyncapi.yaml", Probe::Open("/asyncapi.yaml")),
    ("GET", "/docs", Probe::Open("/docs")),
    ("GET", "/docs/{file}", Probe::Open("/docs/start.js")),
    ("GET", "/livez", Probe::Open("/livez")),
    ("GET", "/readyz", Probe::Open("/readyz")),
    ("GET", "/healthz", Probe::Open("/healthz")),
];

fn token(name: &str, token: &str, spaces: &str, role: Role) -> TokenOptions {
    let token_sha256 = Digest::of(token.as_bytes()).to_string();
    TokenOptions { name: name.to_owned(), token_sha256, spaces: Spaces::One(spaces.to_owned()), role }
}

fn with_tokens(config: &mut Config) {
    config.http.tokens = vec![
        token("ada", HOSTILE, "ada", Role::Admin),
        token("operator", OPERATOR, "*", Role::Admin),
        token("reads", "token-that-reads", "ada", Role::Read),
        token("writes", "token-that-writes", "ada", Role::Write),
    ];
}

/// In a trace of its own making, so that two answers which should be alike are alike to the last byte.
fn as_holder(token: &str, ask: Ask) -> Ask {
    ask.with("authorization", &format!("Bearer {token}"))
        .with("content-type", "application/json")
        .with("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
}

impl World {
    async fn as_hostile(&self, ask: Ask) -> Reply {
        self.ask(as_holder(HOSTILE, ask)).await
    }

    async fn as_operator(&self, ask: Ask) -> Reply {
        self.ask(as_holder(OPERATOR, ask)).await
    }

    async fn done(&self, command: Value) -> Value {
        let ask = Ask::new("POST", "/v1/commands").with("prefer", "wait=10").body(command);
        let reply = self.as_operator(ask).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    }

    async fn shown(&self, path: &str) -> String {
        self.as_operator(Ask::new("GET", path)).await.text
    }

    /// Both spaces, with records in them; the position of a command in the other one.
    async fn peopled() -> (Self, Position) {
        let world = Self::with(with_tokens).await;
        world
            .done(
                json!({"type": "memory.put", "space": "ada", "data": {"id": "own", "content": "green tea"}}),
            )
            .await;
        let batch = json!([
            {"type": "memory.put", "data": {"id": "hidden-7", "content": "tea", "kind": "SECRET_KIND", "vector": [1, 0]}},
            {"type": "memory.put", "data": {"id": "hidden-8", "content": "tea", "session": "hidden-7"}},
            {"type": "relation.put", "data": {"source": "hidden-7", "type": "CAUSES", "target": "hidden-8"}}]);
        let outcome = world
            .done(json!({"type": "batch", "id": "c-of-b", "space": OTHER, "data": {"items": batch}}))
            .await;
        let position = outcome["position"].as_str().expect("a position").parse().expect("one");
        (world, position)
    }

    /// All that there is of the other space, and how much there is in the log.
    async fn everything_of_the_other(&self) -> Vec<String> {
        let mut all = Vec::new();
        for path in [
            "/v1/memories/space-of-b",
            "/v1/memories/space-of-b/hidden-7?vectors=true",
            "/v1/relations/space-of-b/hidden-7/CAUSES/hidden-8",
            "/v1/spaces/space-of-b",
        ] {
            all.push(self.shown(path).await);
        }
        let status: Value = serde_json::from_str(&self.shown("/v1/status").await).unwrap();
        all.push(status["partitions"][0]["log_end"].to_string());
        all
    }
}

fn tells_nothing(reply: &Reply, what: &str) {
    for secret in SECRETS {
        assert!(!reply.text.contains(secret), "{what} tells `{secret}`: {}", reply.text);
    }
}

/// The reply with one space's name in place of another's.
fn renamed(reply: &Reply, from: &str, to: &str) -> (u16, String, Vec<(String, String)>) {
    let headers = reply.headers.iter().filter(|(name, _)| name != "content-length");
    let headers = headers.map(|(name, value)| (name.clone(), value.replace(from, to))).collect();
    (reply.status, reply.text.replace(from, to), headers)
}

#[test]
fn every_route_is_tried() {
    let tried: BTreeSet<(String, String)> =
        ENTRIES.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    let there: BTreeSet<(String, String)> = routes().into_iter().collect();
    assert_eq!(tried, there, "every route needs an entry here, which says how a hostile client may try it");
}

#[test]
fn two_hostile_spaces() {
    run(async {
        let (world, position) = Box::pin(World::peopled()).await;
        let before = world.everything_of_the_other().await;
        for (method, route, probe) in ENTRIES {
            let what = format!("{method} {route}");
            match probe {
                Probe::Open(path) => {
                    let reply = world.ask(Ask::new(method, path)).await;
                    assert_eq!(reply.status, 200, "{what}: {}", reply.text);
                    tells_nothing(&reply, &what);
                }
                Probe::Server(path) => {
                    assert_eq!(world.ask(Ask::new(method, path)).await.status, 401, "{what}");
                    let reply = world.as_hostile(Ask::new(method, path)).await;
                    assert_eq!(reply.status, 200, "{what}");
                    tells_nothing(&reply, &what);
                    for word in ["partitions", "unfinished", "lag", "log_end", "oldest"] {
                        assert!(!reply.text.contains(word), "{what} tells `{word}`: {}", reply.text);
                    }
                }
                Probe::Operator(path) => {
                    assert_eq!(world.ask(Ask::new(method, path)).await.status, 401, "{what}");
                    let reply = world.as_hostile(Ask::new(method, path)).await;
                    assert_eq!(reply.status, 403, "{what}: {}", reply.text);
                    tells_nothing(&reply, &what);
                    let reply = world.as_operator(Ask::new(method, path)).await;
                    assert_eq!(reply.status, 200, "{what}: {}", reply.text);
                    tells_nothing(&reply, &what);
                }
                Probe::Position => {
                    let ask = |at: Position| {
                        Ask::new(method, &format!("/v1/commands/{at}")).with("prefer", "wait=1")
                    };
                    let nowhere = Position { offset: 999_999, ..position };
                    let (there, absent) =
                        (world.as_hostile(ask(position)).await, world.as_hostile(ask(nowhere)).await);
                    assert_eq!((there.status, &there), (404, &absent), "{what}");
                    tells_nothing(&there, &what);
                    assert_eq!(world.as_operator(ask(position)).await.status, 200, "{what}");
                }
                Probe::Order(order) => {
                    let ask = |at: Position| Ask::new(method, &format!("/v1/commands/{at}/{order}"));
                    let nowhere = Position { offset: 999_999, ..position };
                    assert_eq!(world.ask(ask(position)).await.status, 401, "{what}");
                    let (there, absent) =
                        (world.as_hostile(ask(position)).await, world.as_hostile(ask(nowhere)).await);
                    assert_eq!((there.status, &there), (403, &absent), "{what}");
                    tells_nothing(&there, &what);
                    assert_eq!(world.as_operator(ask(position)).await.status, 409, "{what}: it has ended");
                    assert_eq!(world.as_operator(ask(nowhere)).await.status, 404, "{what}");
                }
                Probe::Space(path, body) => {
                    let ask = |space: &str| {
                        Ask::new(method, &path.replace("{space}", space))
                            .body(body.replace("{space}", space))
                            .with("prefer", "wait=1")
                    };
                    assert_eq!(world.ask(ask(OTHER)).await.status, 401, "{what}");
                    let (there, absent) =
                        (world.as_hostile(ask(OTHER)).await, world.as_hostile(ask(NOWHERE)).await);
                    assert_eq!(there.status, 403, "{what}: {}", there.text);
                    assert_eq!(renamed(&there, OTHER, NOWHERE), renamed(&absent, NOWHERE, NOWHERE), "{what}");
                }
            }
        }
        assert_eq!(world.everything_of_the_other().await, before, "something of the other space has changed");
        world.app.stop().await;
    });
}

#[test]
fn cursors_consistency_tokens_and_ids_of_another_space_are_of_no_use() {
    run(async {
        let (world, position) = Box::pin(World::peopled()).await;
        let listed: Value =
            serde_json::from_str(&world.shown("/v1/memories/space-of-b?limit=1").await).unwrap();
        let cursor = listed["next_cursor"].as_str().expect("there is more");
        let list = world.as_hostile(Ask::new("GET", &format!("/v1/memories/ada?cursor={cursor}"))).await;
        tells_nothing(&list, "a list from a cursor of another space");

        // A token is passed over unless it is of this space: one of the other, and one of nowhere.
        let own = |token: Option<Position>| {
            let ask = Ask::new("GET", "/v1/memories/ada/own");
            token.into_iter().fold(ask, |ask, at| ask.with("consistency-token", &Token(at).to_string()))
        };
        let plain = world.as_hostile(own(None)).await;
        for at in [position, Position { offset: 999_999, ..position }] {
            assert_eq!(world.as_hostile(own(Some(at))).await, plain, "{at}");
        }

        // An id that the other space has used is free here, and a memory of it is not there.
        let put = |id: &str, data: Value, kind: &str| {
            Ask::new("POST", "/v1/commands")
                .with("prefer", "wait=10")
                .body(json!({"type": kind, "id": id, "space": "ada", "data": data}))
        };
        let reply = world.as_hostile(put("c-of-b", json!({"id": "mine"}), "memory.put")).await;
        assert_eq!((reply.status, &reply.json()["duplicate_of"]), (200, &Value::Null), "{}", reply.text);
        let relate = json!({"source": "own", "type": "CAUSES", "target": "hidden-7"});
        let reply = world.as_hostile(put("c-2", relate, "relation.put")).await;
        assert_eq!((reply.status, &reply.json()["code"]), (409, &json!("endpoint_missing")));

        let search = json!({"space": "ada", "text": "tea", "filter": {"session": "hidden-7"}});
        let found = world.as_hostile(Ask::new("POST", "/v1/search").body(search)).await;
        assert_eq!(found.json()["hits"], json!([]), "{}", found.text);
        world.app.stop().await;
    });
}

#[test]
fn of_several_commands_those_for_another_space_are_refused_alone() {
    run(async {
        let (world, _) = Box::pin(World::peopled()).await;
        let put = |space: &str| json!({"type": "memory.put", "space": space, "data": {"id": "m"}});
        let several = json!([put("ada"), put(OTHER), put("ada")]);
        let ask = Ask::new("POST", "/v1/commands").with("prefer", "wait=10").body(several);
        let answers = world.as_hostile(ask).await.json();
        let items = answers["items"].as_array().expect("items");
        assert_eq!((&items[0]["outcome"], &items[1]["code"]), (&json!("committed"), &json!("forbidden")));
        assert_eq!(items[2]["outcome"], "committed");

        let event = Ask::new("POST", "/v1/commands")
            .with("ce-specversion", "1.0")
            .with("ce-type", "memory.put")
            .with("ce-id", "e-1")
            .with("ce-source", "/a")
            .with("ce-space", OTHER)
            .body(r#"{"id":"m"}"#);
        assert_eq!(world.as_hostile(event).await.status, 403);
        assert!(world.shown("/v1/memories/space-of-b/m").await.contains("not_found"));
        world.app.stop().await;
    });
}

#[test]
fn a_role_may_what_it_says_and_nothing_above_it() {
    run(async {
        let (world, _) = Box::pin(World::peopled()).await;
        let reads = Ask::new("GET", "/v1/memories/ada/own");
        let writes = Ask::new("PUT", "/v1/memories/ada/new").body("{}");
        let declares = Ask::new("PUT", "/v1/spaces/ada").body(r#"{"quota":100}"#);
        for (token, may) in [
            ("token-that-reads", [200, 403, 403]),
            ("token-that-writes", [200, 202, 403]),
            (HOSTILE, [200, 202, 202]),
            ("no-token-at-all", [401, 401, 401]),
        ] {
            for (ask, status) in [&reads, &writes, &declares].into_iter().zip(may) {
                let reply = world.ask(as_holder(token, ask.clone())).await;
                assert_eq!(reply.status, status, "{token}: {} {}: {}", ask.method, ask.path, reply.text);
                assert_eq!(reply.header("www-authenticate").is_some(), status == 401);
            }
        }
        let basic = reads.with("authorization", "Basic dG9rZW4tb2YtYWRh");
        assert_eq!(world.ask(basic).await.json()["code"], "unauthenticated");
        let hash = Digest::of(HOSTILE.as_bytes()).to_string();
        let with_hash = as_holder(&hash, Ask::new("GET", "/v1/memories/ada/own"));
        assert_eq!(world.ask(with_hash).await.status, 401, "the hash opens nothing");
        world.app.stop().await;
    });
}
