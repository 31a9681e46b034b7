//! Commands in, reads out, and what is refused.

use serde_json::{Value, json};

use crate::world::{World, run};

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
fn what_is_wrong_is_told_by_its_place_and_in_no_words_of_the_program() {
    const WORDS: [&str; 10] =
        ["struct", "enum", "variant", "u32", "f32", "usize", "Wanted", "Several", "deserialize", "URL"];
    run(async {
        let world = World::new().await;
        for (body, code, pointer) in [
            ("1", "invalid_field", ""),
            (r#"{"space":1}"#, "invalid_field", "/space"),
            (r#"{"space":"a b"}"#, "invalid_field", "/space"),
            (r#"{"space":"a","limit":-1}"#, "invalid_field", "/limit"),
            (r#"{"space":"a","text":{}}"#, "invalid_field", "/text"),
            (r#"{"space":"a","vector":"x"}"#, "invalid_field", "/vector"),
            (r#"{"space":"a","sparse":[]}"#, "invalid_field", "/sparse"),
            (r#"{"space":"a","sparse":{"indices":[-1],"values":[]}}"#, "invalid_field", "/sparse/indices/0"),
            (r#"{"space":"a","filter":[]}"#, "invalid_field", "/filter"),
            (r#"{"space":"a","filter":{"kind":1}}"#, "invalid_field", "/filter/kind"),
            (r#"{"space":"a","include":["x"]}"#, "invalid_field", "/include/0"),
            (r#"{"space":"a","space":"b"}"#, "duplicate_key", ""),
            (r#"{"text":"x"}"#, "missing_field", ""),
            (r#"{"space""#, "malformed", ""),
        ] {
            for (path, body, before) in [
                ("/v1/search", body.to_owned(), ""),
                ("/v1/search/batch", format!(r#"{{"searches":[{body}]}}"#), "/searches/0"),
            ] {
                let (_, problem) = world.post(path, "application/json", None, &body).await;
                assert_eq!(problem["code"], code, "{path} {body}: {problem}");
                if code == "invalid_field" {
                    assert_eq!(problem["errors"][0]["pointer"], format!("{before}{pointer}"), "{problem}");
                }
                // All but the trace, whose digits may spell anything.
                let text = format!("{}{}", problem["detail"], problem["errors"]);
                assert!(!WORDS.iter().any(|word| text.contains(word)), "{body}: {text}");
            }
        }
        for (path, named) in [
            ("/v1/memories/a%20b/m", "`space`"),
            ("/v1/memories/acme/%00", "`id`"),
            ("/v1/memories/acme/%FF", "`id`"),
            ("/v1/relations/acme/%07/CAUSES/b", "`source`"),
            ("/v1/relations/acme/a/not-a-type/b", "`type`"),
            ("/v1/relations/acme/a/CAUSES/..%00", "`target`"),
            ("/v1/paths/acme?from=a&to=%07", "`to`"),
            ("/v1/paths/acme?from=a", "`to`"),
            ("/v1/memories/acme?limit=x", "limit"),
            ("/v1/memories/acme/m/relations?direction=up", "direction"),
            ("/v1/memories/acme/m/relations?types=a-b", "`types`"),
        ] {
            let (status, problem) = world.get(path).await;
            let text = problem["detail"].as_str().unwrap_or_default();
            assert!(status == 400 && text.contains(named), "{path}: {problem}");
            assert!(!WORDS.iter().any(|word| text.contains(word)), "{path}: {problem}");
        }
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

#[test]
fn a_memory_is_put_patched_and_deleted_under_its_preconditions() {
    run(async {
        let world = World::new().await;
        let path = "/v1/memories/acme/m%2F1";
        let absent = [("if-none-match", "*")];
        let (status, _, made) = world.send("PUT", path, &absent, r#"{"content":"tea"}"#).await;
        assert_eq!((status, &made["records"][0]["effect"]), (201, &json!("created")), "{made}");
        let (status, _, refused) = world.send("PUT", path, &absent, "{}").await;
        assert_eq!((status, &refused["code"]), (412, &json!("if_absent")));

        let (_, tag, read) = world.send("GET", path, &[], "").await;
        let tag = tag.expect("a read has an ETag");
        assert_eq!(read["memory"]["content"], "tea");
        let current = [("if-match", tag.as_str())];
        let (status, _, patched) = world.send("PATCH", path, &current, r#"{"importance":0.9}"#).await;
        assert_eq!((status, &patched["outcome"]), (200, &json!("committed")), "{patched}");
        for method in ["PUT", "PATCH", "DELETE"] {
            let (status, _, refused) = world.send(method, path, &current, "{}").await;
            assert_eq!((status, &refused["code"]), (412, &json!("if_version")), "{method}");
        }
        let (_, _, read) = world.send("GET", path, &[], "").await;
        assert_eq!((&read["memory"]["content"], &read["memory"]["importance"]), (&json!("tea"), &json!(0.9)));
        assert_eq!(world.send("DELETE", path, &[], "").await.0, 200);
        assert_eq!(world.send("GET", path, &[], "").await.0, 404);
        world.app.stop().await;
    });
}

#[test]
fn a_body_is_one_object_of_fields_that_the_path_does_not_name() {
    run(async {
        let world = World::new().await;
        let send = async |body: &str| {
            let (status, _, problem) = world.send("PUT", "/v1/memories/acme/m", &[], body).await;
            (status, problem["code"].as_str().unwrap_or_default().to_owned())
        };
        for (body, status, code) in [
            ("", 400, "malformed"),
            ("[]", 400, "malformed"),
            (r#"{"content":"a"},"time":"2026-01-01T00:00:00Z","x":{"#, 400, "malformed"),
            (r#"{"content":"a"},"time":"2026-01-01T00:00:00Z""#, 400, "malformed"),
            (r#"{"id":"other"}"#, 400, "duplicate_key"),
            (r#"{"colour":"red"}"#, 422, "unknown_field"),
        ] {
            assert_eq!(send(body).await, (status, code.to_owned()), "{body}");
        }
        let bad = [("if-match", "1.40")];
        assert_eq!(world.send("PUT", "/v1/memories/acme/m", &bad, "{}").await.0, 400);
        let text = [("content-type", "text/plain")];
        let (status, _, problem) = world.send("DELETE", "/v1/nowhere/m", &text, "").await;
        assert_eq!((status, &problem["code"]), (404, &json!("no_route")));
        world.app.stop().await;
    });
}

#[test]
fn relations_and_spaces_are_resources_too() {
    run(async {
        let world = World::new().await;
        let (status, _, made) =
            world.send("PUT", "/v1/spaces/acme", &[], r#"{"dimension":3,"metric":"dot"}"#).await;
        assert_eq!(status, 200, "{made}");
        let (_, space) = world.get("/v1/spaces/acme").await;
        assert_eq!((&space["dimension"], &space["metric"]), (&json!(3), &json!("dot")));
        assert_eq!(world.get("/v1/spaces/nobody").await.0, 404);
        let (status, _, conflict) = world.send("PUT", "/v1/spaces/acme", &[], r#"{"dimension":4}"#).await;
        assert_eq!((status, &conflict["code"]), (422, &json!("space_conflict")));

        world.put("a", "").await;
        world.put("b", "").await;
        let path = "/v1/relations/acme/a/CAUSES/b?discriminator=second";
        assert_eq!(world.send("PUT", path, &[], r#"{"weight":0.25}"#).await.0, 201);
        let (status, tag, read) = world.send("GET", path, &[], "").await;
        assert_eq!((status, &read["relation"]["weight"]), (200, &json!(0.25)), "{read}");
        assert!(tag.is_some());
        assert_eq!(world.get("/v1/relations/acme/a/CAUSES/b").await.0, 404);
        assert_eq!(world.send("DELETE", path, &[], "").await.0, 200);
        assert_eq!(world.get(path).await.0, 404);
        world.app.stop().await;
    });
}

#[test]
fn lineages_contradictions_and_paths_are_walked() {
    run(async {
        let world = World::new().await;
        for id in ["old", "middle", "new", "other"] {
            world.put(id, "").await;
        }
        world.relate("middle", "DERIVED_FROM", "old").await;
        world.relate("middle", "CONSOLIDATED_INTO", "new").await;
        world.relate("other", "CONTRADICTS", "middle").await;
        world.relate("old", "CAUSES", "other").await;

        let (_, lineage) = world.get("/v1/memories/acme/middle/lineage").await;
        let ids = |side: &str| {
            let reached = lineage[side].as_array().unwrap();
            reached.iter().map(|one| one["memory"]["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!((ids("backward"), ids("forward")), (vec!["old".to_owned()], vec!["new".to_owned()]));
        let (_, lineage) = world.get("/v1/memories/acme/new/lineage?direction=backward").await;
        assert_eq!(lineage["backward"][1]["memory"]["id"], "old", "{lineage}");
        assert_eq!((&lineage["backward"][1]["depth"], lineage.get("forward")), (&json!(2), None));
        let (_, against) = world.get("/v1/memories/acme/middle/contradictions").await;
        assert_eq!(against["contradictions"][0]["memory"]["id"], "other");

        let (_, found) = world.get("/v1/paths/acme?from=old&to=middle").await;
        assert_eq!(found["paths"][0]["memories"], json!(["old", "middle"]));
        assert_eq!(found["paths"][1]["memories"], json!(["old", "other", "middle"]));
        assert_eq!(found["truncated"], false);
        let (_, found) = world.get("/v1/paths/acme?from=old&to=middle&direction=out&shortest=true").await;
        assert_eq!(found["paths"].as_array().map(Vec::len), Some(1), "{found}");
        assert_eq!(found["paths"][0]["length"], 2);
        assert_eq!(world.get("/v1/paths/acme?from=old&to=nobody").await.0, 404);
        assert_eq!(world.get("/v1/paths/acme?from=old&to=old").await.0, 400);
        world.app.stop().await;
    });
}

#[test]
fn several_searches_are_answered_in_their_order() {
    run(async {
        let world = World::new().await;
        world.put("tea", "green tea").await;
        world.put("ice", "cold ice").await;
        let one = |text: &str| json!({"space": "acme", "text": text, "limit": 1});
        let several = json!({"searches": [one("ice"), one("tea")]});
        let (status, found) = world.post("/v1/search/batch", "application/json", None, several).await;
        let id = |index: usize| found["answers"][index]["hits"][0]["memory"]["id"].clone();
        assert_eq!((status, id(0), id(1)), (200, json!("ice"), json!("tea")));
        let none = world.post("/v1/search/batch", "application/json", None, r#"{"searches":[]}"#).await;
        assert_eq!((none.0, &none.1["errors"][0]["pointer"]), (422, &json!("/searches")));
        world.app.stop().await;
    });
}
