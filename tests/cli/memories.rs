//! Memories, relations, spaces and commands, against a server.

use serde_json::{Value, json};

use crate::world::{World, run};

#[test]
fn what_was_put_can_be_got_searched_related_walked_to_and_deleted() {
    let world = World::new();
    world
        .ok(&["memory", "put", "acme", "m/1 ü", "Ada likes green tea", "--property", "topic=tea"])
        .shows(&["RECORD", "m/1 ü", "created"])
        .says(&["committed at 1.0."]);
    world.ok(&["memory", "put", "acme", "m-2", "Tea is hot"]);
    world.ok(&["memory", "get", "acme", "m/1 ü"]).shows(&["Ada likes green tea", "properties.topic", "tea"]);
    let found = world.ok(&["memory", "search", "acme", "green tea", "-o", "jsonl"]).lines();
    assert_eq!(found[0]["memory"]["id"], "m/1 ü");
    world
        .ok(&["relation", "put", "acme", "m/1 ü", "RELATES_TO", "m-2", "--weight", "0.25"])
        .shows(&["m/1 ü RELATES_TO m-2"]);
    let relation = world.ok(&["relation", "get", "acme", "m/1 ü", "RELATES_TO", "m-2", "-o", "json"]).json();
    assert_eq!(relation["relation"]["weight"], 0.25);
    world.ok(&["relation", "list", "acme", "m-2", "--direction", "in"]).shows(&["SOURCE", "m/1 ü", "0.25"]);
    let near = world.ok(&["memory", "neighbors", "acme", "m/1 ü", "-o", "json"]).json();
    assert_eq!(near["neighbors"][0]["memory"]["id"], "m-2");
    world.ok(&["relation", "delete", "acme", "m/1 ü", "RELATES_TO", "m-2"]).shows(&["deleted"]);
    world.run(&["relation", "get", "acme", "m/1 ü", "RELATES_TO", "m-2"]).ends(4);
    world.ok(&["memory", "delete", "acme", "m/1 ü"]).shows(&["deleted"]);
    world.run(&["memory", "get", "acme", "m/1 ü"]).ends(4).says(&["not_found"]);
}

#[test]
fn contents_and_vectors_come_from_arguments_files_and_standard_input() {
    let world = World::new();
    std::fs::write(world.folder.path().join("note.md"), "one\ntwo\n").unwrap();
    std::fs::write(world.folder.path().join("vector.json"), "[1.0, 0.0]").unwrap();
    world.ok(&["memory", "put", "acme", "m-1", "--content-file", "note.md", "--vector", "vector.json"]);
    let piped = world.program(&["memory", "put", "acme", "m-2", "--content-file", "-", "--vector", "[0,1]"]);
    run(piped, "from a pipe").ends(0);
    let read =
        |id| world.ok(&["memory", "get", "acme", id, "--vectors", "-o", "json"]).json()["memory"].clone();
    assert_eq!((&read("m-1")["content"], &read("m-1")["vector"]), (&json!("one\ntwo\n"), &json!([1.0, 0.0])));
    assert_eq!(
        (&read("m-2")["content"], &read("m-2")["vector"]),
        (&json!("from a pipe"), &json!([0.0, 1.0]))
    );
    let near = world.ok(&["memory", "search", "acme", "--vector", "[0.1,0.9]", "-o", "jsonl"]).lines();
    assert_eq!(near[0]["memory"]["id"], "m-2");
    world.run(&["memory", "put", "acme", "m-3", "--content-file", "gone.md"]).ends(4).says(&["gone.md"]);
    world.run(&["memory", "put", "acme", "m-3", "--vector", "note.md"]).ends(2).says(&["JSON array"]);
}

#[test]
fn properties_are_json_where_they_can_be_and_searches_can_ask_for_them() {
    let world = World::new();
    world
        .ok(&["space", "create", "acme", "--indexed", "topic,turn", "--dimension", "2"])
        .says(&["committed"]);
    for (id, topic, turn) in [("m-1", "tea", 1), ("m-2", "tea", 5), ("m-3", "milk", 5)] {
        let (topic, turn) = (format!("topic={topic}"), format!("turn={turn}"));
        world.ok(&["memory", "put", "acme", id, "a drink", "--property", &topic, "--property", &turn]);
    }
    let read = world.ok(&["memory", "get", "acme", "m-2", "-o", "json"]).json();
    assert_eq!(read["memory"]["properties"], json!({"topic": "tea", "turn": 5}));
    let found = |conditions: &[&str]| {
        let mut arguments = vec!["memory", "search", "acme", "drink", "-o", "jsonl"];
        arguments.extend(conditions.iter().flat_map(|condition| ["--where", condition]));
        let mut ids: Vec<Value> =
            world.ok(&arguments).lines().iter().map(|hit| hit["memory"]["id"].clone()).collect();
        ids.sort_by_key(ToString::to_string);
        ids
    };
    assert_eq!(found(&["topic=tea", "turn>=3"]), ["m-2"]);
    assert_eq!(found(&["topic=tea", "topic=milk", "turn<9", "turn>1"]), ["m-2", "m-3"]);
    world.run(&["memory", "search", "acme", "x", "--where", "turn=1", "--where", "turn>3"]).ends(2);
}

#[test]
fn a_patch_changes_what_it_names_and_takes_away_what_it_is_told_to() {
    let world = World::new();
    let put = ["memory", "put", "acme", "m-1", "Tea", "--session", "s-1", "--property", "a=1"];
    world.ok(&[&put[..], &["--property", "b=2"]].concat());
    let patch = ["memory", "patch", "acme", "m-1", "--importance", "0.9", "--remove", "session"];
    world.ok(&[&patch[..], &["--property", "a=null"]].concat()).shows(&["patched"]);
    let memory = world.ok(&["memory", "get", "acme", "m-1", "-o", "json"]).json()["memory"].clone();
    assert_eq!(memory["content"], "Tea");
    assert_eq!(memory["importance"], 0.9);
    assert_eq!((&memory["session"], &memory["properties"]), (&Value::Null, &json!({"b": 2})));
    world.run(&["memory", "patch", "acme", "m-1"]).ends(2).says(&["nothing to change"]);
    world.run(&["memory", "patch", "acme", "gone", "x"]).ends(4).says(&["not_found"]);
}

#[test]
fn a_precondition_that_does_not_hold_exits_with_1_and_says_what_to_do() {
    let world = World::new();
    let first = world.ok(&["memory", "put", "acme", "m-1", "one", "-o", "json"]).json();
    let version = first["records"][0]["version"].as_str().expect("a version");
    world.ok(&["memory", "put", "acme", "m-1", "two", "--if-version", version]);
    let stale =
        world.run(&["memory", "patch", "acme", "m-1", "three", "--if-version", version, "-o", "json"]);
    let stale = stale.ends(1).says(&["if_version", "read it again"]);
    assert_eq!(stale.json()["outcome"], "failed", "the outcome is data all the same");
    world.run(&["memory", "put", "acme", "m-1", "x", "--if-absent"]).ends(1).says(&["--if-absent"]);
    world.run(&["memory", "delete", "acme", "m-1", "--if-version", version]).ends(1);
    world.run(&["relation", "put", "acme", "m-1", "CAUSES", "gone"]).ends(1).says(&["--on-missing stub"]);
    world.ok(&["relation", "put", "acme", "m-1", "CAUSES", "gone", "--on-missing", "stub"]);
}

#[test]
fn an_idempotency_key_sent_twice_is_one_command() {
    let world = World::new();
    let put = ["memory", "put", "acme", "m-1", "Tea", "--idempotency-key", "c-1", "-o", "json"];
    let first = world.ok(&put).json();
    assert_eq!(world.ok(&put).json()["duplicate_of"], first["position"]);
    world.ok(&put[..7]).says(&["done before"]);
    let other = ["memory", "put", "acme", "m-1", "Milk", "--idempotency-key", "c-1"];
    world.run(&other).ends(1).says(&["id_reused", "take a new one"]);
}

#[test]
fn without_waiting_a_write_tells_where_to_ask_and_its_token_shows_it_to_a_read() {
    let world = World::new();
    let accepted = world.ok(&["memory", "put", "acme", "m-1", "Tea", "--no-wait", "-o", "json"]);
    let accepted = accepted.says(&["engraft sagas get 1.0.0"]).json();
    assert_eq!(accepted["state"], "accepted");
    let token = accepted["token"].as_str().expect("a token");
    let read = world.ok(&["memory", "get", "acme", "m-1", "--after", token, "-o", "json"]).json();
    assert_eq!(read["memory"]["content"], "Tea");
    let position = accepted["position"].as_str().expect("a position");
    let saga = world.ok(&["sagas", "get", position, "--wait", "10", "-o", "json"]).json();
    assert_eq!((&saga["state"], &saga["outcome"]["outcome"]), (&json!("committed"), &json!("committed")));
    world.ok(&["sagas", "get", position]).shows(&["state", "committed", "RECORD", "m-1", "created"]);
    world.run(&["memory", "get", "acme", "m-1", "--after", "nonsense"]).ends(1);
}

#[test]
fn what_is_not_there_exits_with_4() {
    let world = World::new();
    for absent in [
        &["memory", "get", "nowhere", "m-1"][..],
        &["memory", "neighbors", "nowhere", "m-1"],
        &["memory", "lineage", "nowhere", "m-1"],
        &["relation", "get", "nowhere", "a", "CAUSES", "b"],
        &["relation", "list", "nowhere", "a"],
        &["space", "show", "nowhere"],
        &["sagas", "get", "1.0.99"],
    ] {
        let ran = world.run(absent).ends(4);
        assert!(ran.talk.contains("nowhere") || ran.talk.contains("1.0.99"), "not named: {}", ran.talk);
        assert!(ran.data.is_empty(), "{absent:?} has no data: {}", ran.data);
    }
}

#[test]
fn a_value_that_the_server_refuses_is_named_by_its_place() {
    let world = World::new();
    world.run(&["memory", "put", "acme", "m-1", "--importance", "7"]).ends(1).says(&["/data/importance"]);
    world.run(&["memory", "patch", "acme", "m-1", "--remove", "colour"]).ends(1).says(&["colour"]);
    world.run(&["memory", "search", "acme", "x", "--limit", "0"]).ends(1).says(&["limit"]);
    world.ok(&["space", "create", "acme", "--dimension", "2"]);
    world.run(&["space", "create", "acme", "--dimension", "3"]).ends(1).says(&["space_conflict"]);
    world.run(&["memory", "put", "acme", "m-1", "--vector", "[1,2,3]"]).ends(1).says(&["dimension"]);
    let space = world.ok(&["space", "show", "acme", "-o", "json"]).json();
    assert_eq!((&space["dimension"], &space["declared"]), (&json!(2), &json!(true)));
}

#[test]
fn every_page_of_a_list_is_read_where_all_is_asked_for() {
    let world = World::new();
    world.put_many("acme", 5);
    let some = world.ok(&["memory", "list", "acme", "--limit", "2"]).shows(&["m-0", "m-1"]);
    let some = some.says(&["--cursor"]);
    assert!(!some.data.contains("m-2"));
    let all = world.ok(&["memory", "list", "acme", "--all", "-o", "jsonl"]).lines();
    assert_eq!(all.len(), 5);
    let none = world.ok(&["memory", "list", "nobody"]).says(&["no memories"]);
    assert!(none.data.is_empty());
}

#[test]
fn a_lineage_tells_both_ways_apart() {
    let world = World::new();
    world.put_many("acme", 3);
    world.ok(&["relation", "put", "acme", "m-1", "DERIVED_FROM", "m-0"]);
    world.ok(&["relation", "put", "acme", "m-2", "DERIVED_FROM", "m-1"]);
    let lines = world.ok(&["memory", "lineage", "acme", "m-1", "-o", "jsonl"]).lines();
    let told: Vec<_> = lines.iter().map(|line| (&line["side"], &line["memory"]["id"])).collect();
    assert_eq!(told, [(&json!("backward"), &json!("m-0")), (&json!("forward"), &json!("m-2"))]);
    let forward = ["memory", "lineage", "acme", "m-1", "--direction", "forward", "-o", "json"];
    assert_eq!(world.ok(&forward).json()["forward"][0]["memory"]["id"], "m-2");
    world.ok(&["memory", "delete", "acme", "m-1"]).says(&["relations deleted: 2"]);
}

#[test]
fn a_history_lists_the_versions_of_a_memory() {
    let world = World::new();
    world.ok(&["space", "create", "acme", "--history", "true"]);
    world.ok(&["memory", "put", "acme", "m-1", "one"]);
    world.ok(&["memory", "put", "acme", "m-1", "two"]);
    let history = world.ok(&["memory", "history", "acme", "m-1", "-o", "json"]).json();
    let contents = [0, 1].map(|index| history["versions"][index]["memory"]["content"].clone());
    assert_eq!(contents, ["two", "one"], "{history}");
    world.ok(&["memory", "history", "acme", "m-1"]).shows(&["VERSION", "one", "two"]);
}

#[test]
fn statistics_count_what_is_in_a_space() {
    let world = World::new();
    world.put_many("acme", 3);
    let stats = world.ok(&["space", "stats", "acme", "-o", "json"]).json();
    assert_eq!((&stats["memories"]["live"], &stats["relations"]["live"]), (&json!(3), &json!(0)), "{stats}");
    world.ok(&["space", "stats", "acme"]).shows(&["3"]);
}

#[test]
fn commands_are_listed_by_their_id_and_their_state() {
    let world = World::new();
    world.ok(&["memory", "put", "acme", "m-1", "--idempotency-key", "c-1"]);
    world.ok(&["memory", "put", "acme", "m-2", "--idempotency-key", "c-2"]);
    let found = world.ok(&["sagas", "list", "acme", "--id", "c-2", "-o", "json"]).json();
    assert_eq!(found["commands"][0]["position"], "1.0.1", "{found}");
    world.ok(&["sagas", "list", "acme", "--state", "committed"]).shows(&["POSITION", "1.0.0", "committed"]);
}
