//! Lists, counts, finding commands, and what a memory was.

use serde_json::{Value, json};

use crate::world::{World, run};

#[test]
fn filters_lists_counts_and_commands_tell_one_story() {
    run(async {
        let world = World::new().await;
        let put = |id: &str, kind: &str, session: &str, turn: i64| {
            json!({"type": "memory.put", "id": format!("c-{id}"), "space": "acme", "data": {"id": id,
                "kind": kind, "session": session, "content": "green tea", "properties": {"turn": turn}}})
        };
        for (id, kind, session, turn) in
            [("a", "Episode", "s-1", 1), ("b", "Entity", "s-1", 2), ("c", "Episode", "s-2", 3)]
        {
            assert_eq!(world.command(put(id, kind, session, turn)).await.0, 200);
        }
        world.relate("a", "CAUSES", "b").await;
        let gone = json!({"type": "memory.delete", "space": "acme", "data": {"id": "c"}});
        assert_eq!(world.command(gone).await.0, 200);
        assert_eq!(world.command(put("c", "Entity", "s-2", 3)).await.0, 409, "that id was another body's");
        let refused = json!({"type": "memory.patch", "id": "c-x", "space": "acme", "data": {"id": "none"}});
        assert_eq!(world.command(refused).await.0, 404);

        let ids = |answer: &Value, list: &str, name: &str| -> Vec<String> {
            let all = answer[list].as_array().unwrap().iter();
            all.map(|one| one[name].as_str().unwrap().to_owned()).collect()
        };
        let search = |filter: Value| json!({"space": "acme", "text": "tea", "filter": filter});
        let either = json!({"any": [{"session": "s-2"}, {"properties": {"turn": {"gt": 1}}}]});
        let (_, found) = world.post("/v1/search", "application/json", None, search(either)).await;
        let hits: Vec<_> = found["hits"].as_array().unwrap().iter().map(|hit| &hit["memory"]["id"]).collect();
        assert_eq!(hits, [&json!("b")], "{found}");
        let neither = json!({"not": {"any": [{"kind": "Entity"}, {"session": "s-2"}]}});
        let (_, found) = world.post("/v1/search", "application/json", None, search(neither)).await;
        assert_eq!(found["hits"][0]["memory"]["id"], "a", "{found}");
        let deep = (0..9).fold(json!({}), |inner, _| json!({"not": inner}));
        let (status, problem) = world.post("/v1/search", "application/json", None, search(deep)).await;
        assert_eq!((status, &problem["code"]), (400, &json!("too_deep")), "{problem}");

        let (_, list) = world.get("/v1/memories/acme?session=s-1&limit=1&count=true").await;
        assert_eq!((ids(&list, "memories", "id"), &list["count"]), (vec!["a".to_owned()], &json!(2)));
        let cursor = list["next_cursor"].as_str().unwrap();
        let (_, list) = world.get(&format!("/v1/memories/acme?session=s-1&cursor={cursor}")).await;
        assert_eq!(
            (ids(&list, "memories", "id"), &list["next_cursor"]),
            (vec!["b".to_owned()], &Value::Null)
        );
        let (_, list) = world.get("/v1/memories/acme?kind=Episode").await;
        assert_eq!(ids(&list, "memories", "id"), ["a"]);
        assert_eq!(world.get("/v1/memories/acme?kind=not-a-name").await.0, 400);

        let (_, stats) = world.get("/v1/spaces/acme/stats").await;
        let memories = json!({"live": 2, "kinds": {"Entity": 1, "Episode": 1}, "tombstones": 1});
        assert_eq!(stats["memories"], memories, "{stats}");
        assert_eq!(stats["relations"], json!({"live": 1, "types": {"CAUSES": 1}}));
        assert_eq!((&stats["commands"]["unfinished"], &stats["stale"]), (&json!(0), &json!(false)));
        assert_eq!(world.get("/v1/spaces/nowhere/stats").await.0, 404);

        let (_, one) = world.get("/v1/commands?space=acme&id=c-b").await;
        assert_eq!(ids(&one, "commands", "command_id"), ["c-b"]);
        assert_eq!(one["commands"][0]["outcome"]["records"][0]["memory"], "b", "{one}");
        let (_, none) = world.get("/v1/commands?space=acme&id=c-b&source=elsewhere").await;
        assert_eq!(none["commands"], json!([]));
        let (_, failed) = world.get("/v1/commands?space=acme&state=failed&order=newest").await;
        assert_eq!(ids(&failed, "commands", "command_id"), ["c-x", "c-c"]);
        let (_, first) = world.get("/v1/commands?space=acme&state=ended&limit=2").await;
        assert_eq!(ids(&first, "commands", "command_id"), ["c-a", "c-b"]);
        let cursor = first["next_cursor"].as_str().unwrap();
        let (_, rest) = world.get(&format!("/v1/commands?space=acme&state=ended&cursor={cursor}")).await;
        assert_eq!(rest["commands"].as_array().map(Vec::len), Some(5), "{rest}");
        assert_eq!(world.get("/v1/commands?space=acme&state=unfinished").await.1["commands"], json!([]));
        assert_eq!(world.get("/v1/commands").await.0, 400);
        world.app.stop().await;
    });
}

#[test]
fn a_space_with_history_shows_what_a_memory_was() {
    run(async {
        let world = World::new().await;
        let path = "/v1/memories/acme/m";
        world.put("m", "lost").await;
        let lost = world.get(path).await.1["memory"]["updated_at"].as_str().unwrap().to_owned();
        world.put("m", "first").await;
        let (status, problem) = world.get(&format!("{path}?as_of={lost}")).await;
        assert_eq!((status, &problem["code"]), (410, &json!("history_not_kept")), "{problem}");

        assert_eq!(world.send("PUT", "/v1/spaces/acme", &[], r#"{"history":true}"#).await.0, 200);
        let (_, _, _) = world.send("PATCH", path, &[], r#"{"content":"second"}"#).await;
        assert_eq!(world.send("DELETE", path, &[], "").await.0, 200);
        world.put("m", "third").await;
        let (_, history) = world.get(&format!("{path}/history")).await;
        let versions = history["versions"].as_array().unwrap();
        let effects: Vec<_> = versions.iter().map(|version| &version["effect"]).collect();
        assert_eq!(effects, ["created", "deleted", "patched", "replaced"], "{history}");
        assert_eq!(versions[2]["command"]["type"], "engraft.memory.patch.v1");
        assert_eq!(versions[2]["memory"]["content"], "second");
        assert_eq!((&versions[1]["memory"], &versions[0]["until"]), (&Value::Null, &Value::Null));
        assert_eq!(versions[1]["until"], versions[0]["since"]);
        let position = versions[1]["position"].as_str().unwrap();
        let (_, deletion) = world.get(&format!("/v1/commands/{position}")).await;
        assert_eq!(deletion["outcome"]["records"][0]["effect"], "deleted", "{deletion}");

        let at = |index: usize| format!("{path}?as_of={}", versions[index]["since"].as_str().unwrap());
        for (index, content) in [(0, "third"), (2, "second"), (3, "first")] {
            let (status, then) = world.get(&at(index)).await;
            assert_eq!((status, &then["memory"]["content"]), (200, &json!(content)), "{then}");
            assert_eq!(then["version"], versions[index]["version"]);
        }
        assert_eq!(world.get(&at(1)).await.0, 404, "it was deleted then");
        assert_eq!(world.get(&format!("{path}?as_of={lost}")).await.0, 410, "what was gone stays gone");
        let (_, page) = world.get(&format!("{path}/history?limit=3")).await;
        let cursor = page["next_cursor"].as_str().unwrap();
        let (_, last) = world.get(&format!("{path}/history?cursor={cursor}")).await;
        assert_eq!(last["versions"][0]["memory"]["content"], "first", "{last}");
        assert_eq!((&last["next_cursor"], last["whole_since"].is_string()), (&Value::Null, true));
        assert_eq!(world.get("/v1/memories/acme/never/history").await.0, 404);
        world.app.stop().await;
    });
}
