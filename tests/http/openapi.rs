//! The document of the surface is the surface: the same routes, served as committed, and shown by a
//! page that needs nothing from outside.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::world::{Ask, World, routes, run};

const COMMITTED: &str = include_str!("../../openapi.json");
/// The contract of the topics.
const TOPICS: &str = include_str!("../../asyncapi.yaml");

#[test]
fn the_document_has_every_route_and_no_other() {
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let documented = paths.iter().flat_map(|(path, operations)| {
        let methods = operations.as_object().expect("operations").keys();
        methods.map(|method| (method.to_uppercase(), path.clone()))
    });
    let documented: BTreeSet<(String, String)> = documented.collect();
    let served: BTreeSet<(String, String)> = routes().into_iter().collect();
    assert_eq!(documented, served, "routes.rs and openapi.json have different routes");
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(COMMITTED).expect("JSON");
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 30, "only {} references were found", found.len());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference into the document itself");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn the_document_is_served_and_shown_without_anything_from_outside() {
    run(async {
        let world = World::new().await;
        let get = async |path: &str| world.ask(Ask::new("GET", path)).await;
        assert_eq!(get("/openapi.json").await.text, COMMITTED);
        let topics = get("/asyncapi.yaml").await;
        assert_eq!(topics.header("content-type"), Some("application/yaml"));
        assert_eq!(topics.text, TOPICS);
        let page = get("/docs").await;
        assert_eq!(page.status, 200);
        let parts = page.text.split(['"', '\'']).filter(|part| part.starts_with("docs/"));
        let parts: Vec<&str> = parts.collect();
        assert!(parts.len() > 2, "{parts:?}");
        for part in parts {
            assert_eq!(get(&format!("/{part}")).await.status, 200, "{part}");
        }
        assert!(!page.text.contains("//"), "the page asks somebody else: {}", page.text);
        assert_eq!(get("/docs/other.js").await.status, 404);
        world.app.stop().await;
    });
}
