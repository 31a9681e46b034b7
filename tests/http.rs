//! The HTTP surface, over real stores: SQLite, the embedded log and index, on a free port.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test blocks, prints, asks the environment, and says by panicking that it cannot go on"
)]

use std::future::Future;

mod http {
    use super::Future;
    use engraft::{app::App, cli::Client, config::Config};
    use serde_json::{Value, json};

    /// An app on a folder of its own. Requests are made from blocking threads, as a client's would be.
    struct World {
        app: App,
        client: Client,
        _folder: tempfile::TempDir,
    }

    impl World {
        async fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let mut config = Config { data: folder.path().join("data"), ..Config::default() };
            config.http.address = "127.0.0.1:0".parse().expect("an address");
            let app = App::start(&config).await.expect("starts");
            let client = Client::new(&format!("http://{}", app.address()));
            let world = Self { app, client, _folder: folder };
            while world.get("/readyz").await.0 != 200 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            world
        }

        async fn get(&self, path: &str) -> (u16, Value) {
            let (client, path) = (self.client.clone(), path.to_owned());
            let asked = tokio::task::spawn_blocking(move || client.ask(&path)).await;
            let answer = asked.expect("no panic").expect("an answer");
            (answer.status, answer.body)
        }

        async fn post(
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

        async fn command(&self, body: Value) -> (u16, Value) {
            self.post("/v1/commands", "application/json", Some(10), body).await
        }

        async fn put(&self, id: &str, content: &str) {
            let put = json!({"type": "memory.put", "space": "acme", "data": {"id": id, "content": content}});
            let (status, outcome) = self.command(put).await;
            assert_eq!(status, 200, "{outcome}");
        }
    }

    const RUNTIME: &str = "a runtime";

    fn run<F: Future<Output = ()>>(test: F) {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect(RUNTIME).block_on(test);
    }

    #[test]
    fn a_committed_memory_can_be_read_searched_and_walked_to() {
        run(async {
            let world = World::new().await;
            world.put("m/1 ü", "Ada likes green tea").await;
            world.put("m-2", "Tea is hot").await;
            let relation = json!({"type": "relation.put", "space": "acme",
                "data": {"source": "m/1 ü", "type": "RELATES_TO", "target": "m-2"}});
            assert_eq!(world.command(relation).await.0, 200);

            let (status, read) = world.get("/v1/memories/acme/m%2F1%20%C3%BC").await;
            assert_eq!((status, &read["memory"]["content"]), (200, &json!("Ada likes green tea")));
            assert_eq!((&read["served_from"], &read["pending"]), (&json!("primary"), &json!(0)));
            let (_, near) = world.get("/v1/memories/acme/m-2/neighbors?depth=2&direction=in").await;
            assert_eq!(near["neighbors"][0]["memory"]["id"], "m/1 ü");
            let question = json!({"space": "acme", "text": "green tea", "limit": 1});
            let (_, found) = world.post("/v1/search", "application/json", None, question).await;
            assert_eq!(found["hits"][0]["memory"]["id"], "m/1 ü", "{found}");
            assert_eq!(found["hits"][0]["stale"], false);
            world.app.stop().await;
        });
    }

    #[test]
    fn a_command_sent_twice_is_done_once_and_a_refused_one_answers_as_a_problem() {
        run(async {
            let world = World::new().await;
            let put = json!({"type": "memory.put", "id": "c-1", "space": "acme", "data": {"id": "m-1"}});
            let (_, first) = world.command(put.clone()).await;
            let (status, second) = world.command(put).await;
            assert_eq!((status, &second["duplicate_of"]), (200, &first["position"]));

            let reused = json!({"type": "memory.put", "id": "c-1", "space": "acme", "data": {"id": "m-2"}});
            let (status, problem) = world.command(reused).await;
            assert_eq!((status, &problem["code"]), (409, &json!("id_reused")));
            let touch = json!({"type": "memory.touch", "space": "acme", "data": {"id": "nobody"}});
            let (status, problem) = world.command(touch).await;
            assert_eq!(
                (status, &problem["code"], &problem["retryable"]),
                (404, &json!("not_found"), &json!(false))
            );
            world.app.stop().await;
        });
    }

    #[test]
    fn what_can_never_be_a_command_is_refused_before_the_log() {
        run(async {
            let world = World::new().await;
            let send = async |media: &'static str, body: &'static str| {
                let (status, problem) = world.post("/v1/commands", media, None, body).await;
                (status, problem["code"].as_str().unwrap_or_default().to_owned())
            };
            assert_eq!(send("application/json", "{").await, (400, "malformed".to_owned()));
            assert_eq!(send("text/plain", "{}").await, (415, "unsupported_media_type".to_owned()));
            let unknown = r#"{"type":"memory.put","space":"a","data":{"id":"m","colour":"red"}}"#;
            assert_eq!(send("application/json", unknown).await, (422, "unknown_field".to_owned()));
            assert_eq!(send("application/json", r#"{"type":"memory.put","data":{}}"#).await.0, 422);
            let (_, status) = world.get("/v1/status").await;
            assert_eq!(status["partitions"], json!([]), "nothing reached the log");
            world.app.stop().await;
        });
    }

    #[test]
    fn independent_commands_are_answered_item_by_item() {
        run(async {
            let world = World::new().await;
            let lines = "{\"type\":\"memory.put\",\"space\":\"acme\",\"data\":{\"id\":\"m-1\"}}\nnonsense\n\
                         {\"type\":\"memory.put\",\"space\":\"acme\",\"data\":{\"id\":\"m-2\"}}\n";
            let (status, answer) = world.post("/v1/commands", "application/x-ndjson", Some(10), lines).await;
            assert_eq!(status, 200, "{answer}");
            let items = answer["items"].as_array().expect("items");
            assert_eq!(items[0]["outcome"], "committed");
            assert_eq!(items[1]["status"], 400);
            assert_eq!(items[2]["records"][0]["memory"], "m-2");
            world.app.stop().await;
        });
    }

    #[test]
    fn positions_tell_what_became_of_their_commands() {
        run(async {
            let world = World::new().await;
            let put = json!({"type": "memory.put", "space": "acme", "data": {"id": "m-1"}});
            let (status, accepted) = world.post("/v1/commands", "application/json", None, put).await;
            assert_eq!((status, &accepted["state"]), (202, &json!("accepted")));
            let position = accepted["position"].as_str().expect("a position");
            let client = world.client.clone();
            let path = format!("/v1/commands/{position}");
            let shown = tokio::task::spawn_blocking(move || client.get_waiting(&path, 10)).await;
            let shown = shown.expect("no panic").expect("an answer");
            assert_eq!((&shown["state"], &shown["outcome"]["code"]), (&json!("committed"), &json!("ok")));
            assert_eq!(world.get("/v1/commands/1.0.999999").await.0, 404);
            assert_eq!(world.get("/v1/commands/nowhere").await.0, 400);
            world.app.stop().await;
        });
    }

    #[test]
    fn what_is_not_there_says_so_and_unknown_parameters_are_refused() {
        run(async {
            let world = World::new().await;
            let (status, absent) = world.get("/v1/memories/acme/nobody").await;
            assert_eq!((status, &absent["pending"]), (404, &json!(false)));
            assert_eq!(world.get("/v1/memories/acme/nobody?colour=red").await.0, 400);
            assert_eq!(world.get("/v1/memories/a%20b/x").await.0, 400);
            assert_eq!(world.get("/v1/nowhere").await.1["code"], "no_route");
            assert_eq!(world.post("/v1/guarantees", "application/json", None, "{}").await.0, 405);
            assert_eq!(world.get("/schemas/memory.put.v1").await.1["title"], "MemoryPut");
            let (_, guarantees) = world.get("/v1/guarantees").await;
            assert_eq!(guarantees["guarantee"], "saga");
            let nothing = world.post("/v1/search", "application/json", None, json!({"space": "acme"})).await;
            assert_eq!((nothing.0, &nothing.1["code"]), (422, &json!("missing_field")));
            world.app.stop().await;
        });
    }

    #[test]
    fn lists_go_on_where_their_cursor_says() {
        run(async {
            let world = World::new().await;
            for id in ["a", "b", "c"] {
                world.put(id, "").await;
            }
            let (_, first) = world.get("/v1/memories/acme?limit=2").await;
            let cursor = first["next_cursor"].as_str().expect("a cursor");
            let (_, second) = world.get(&format!("/v1/memories/acme?limit=2&cursor={cursor}")).await;
            assert_eq!(second["memories"][0]["id"], "c");
            assert_eq!(second["next_cursor"], Value::Null);
            world.app.stop().await;
        });
    }
}
