//! Reads of a server, each judged by the model: what it shows is what the model holds, no more and no less.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engraft::{
    model::{Memory, MemoryId, RelationKey},
    sim::meaning::Records,
};
use serde_json::{Value, json};

use super::{Draw, KINDS, Model};
use crate::support::client::Client;

/// Asks, with the space's token.
pub(super) struct Ask<'a> {
    pub(super) client: &'a Client,
    pub(super) space: &'a str,
    pub(super) token: &'a str,
}

impl Ask<'_> {
    fn get(&self, path: &str) -> (u16, Value) {
        self.client.get_after(path, self.token).expect("an answer")
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.client.post_after(path, body, self.token).expect("an answer");
        assert_eq!(status, 200, "{body}: {answer}");
        answer
    }
}

fn encoded(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// One random question, judged by the model.
pub(super) fn read(client: &Client, model: &Model, draw: &Draw) {
    let space = draw.space();
    let Some((records, token)) = model.spaces.get(&space) else { return };
    let ask = Ask { client, space: &space, token };
    let id = MemoryId::new(draw.id()).unwrap();
    match draw.random.below(10) {
        0..4 => judge_memory(&ask, records, &id),
        4..6 => judge_relations(&ask, records, &id),
        6..8 => judge_neighbors(&ask, records, &id, draw),
        8 => judge_list(&ask, records, 1 + draw.random.below(60)),
        _ => judge_search(&ask, records, draw),
    }
}

pub(super) fn judge_memory(ask: &Ask<'_>, records: &Records, id: &MemoryId) {
    let path = format!("/v1/memories/{}/{}?vectors=true", ask.space, encoded(id.as_str()));
    let (status, answer) = ask.get(&path);
    let Some((version, memory)) = records.memories.get(id) else {
        assert_eq!((status, &answer["pending"]), (404, &json!(false)), "{id}: {answer}");
        return;
    };
    assert_eq!(
        (status, answer["version"].as_str()),
        (200, Some(version.to_string().as_str())),
        "{id}: {answer}"
    );
    let shown = &answer["memory"];
    let Memory { kind, content, properties, session, importance, dense, .. } = &**memory;
    assert_eq!(shown["kind"], json!(kind), "{id}");
    assert_eq!(shown["content"], json!(content), "{id}");
    assert_eq!(shown["properties"], json!(properties), "{id}");
    assert_eq!(shown["session"], json!(session), "{id}");
    assert_eq!(shown["importance"], json!(importance), "{id}");
    assert_eq!(shown["valid_from"], json!(memory.valid_from), "{id}");
    assert_eq!(shown["valid_until"], json!(memory.valid_until), "{id}");
    assert_eq!(shown["occurred_at"], json!(memory.occurred_at), "{id}");
    let vector: Option<Vec<f32>> =
        shown.get("vector").map(|values| serde_json::from_value(values.clone()).unwrap());
    assert_eq!(vector.as_deref(), dense.as_deref(), "{id}");
}

pub(super) fn judge_relations(ask: &Ask<'_>, records: &Records, id: &MemoryId) {
    let path = format!("/v1/memories/{}/{}/relations?limit=1000", ask.space, encoded(id.as_str()));
    let (status, answer) = ask.get(&path);
    if !records.memories.contains_key(id) {
        assert_eq!(status, 404, "{id}: {answer}");
        return;
    }
    let shown: BTreeSet<String> = answer["relations"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .iter()
        .map(|shown| {
            let part = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
            format!(
                "{} {} {} {} {} {}",
                part("source"),
                part("type"),
                part("target"),
                part("discriminator"),
                shown["weight"],
                shown["valid_until"]
            )
        })
        .collect();
    let expected: BTreeSet<String> = records
        .relations
        .iter()
        .filter(|(key, _)| key.touches(id))
        .map(|(key, relation)| {
            let RelationKey { source, kind, target, discriminator, .. } = key;
            format!(
                "{source} {kind} {target} {discriminator} {} {}",
                json!(relation.weight),
                json!(relation.valid_until)
            )
        })
        .collect();
    assert_eq!(shown, expected, "{id}");
}

fn judge_neighbors(ask: &Ask<'_>, records: &Records, id: &MemoryId, draw: &Draw) {
    let depth = 1 + draw.random.below(3);
    let only = draw.of(&["", "CAUSES", "RELATES_TO,PART_OF"]);
    let outward = draw.random.chance(0.5);
    let direction = if outward { "out" } else { "both" };
    let path = format!(
        "/v1/memories/{}/{}/neighbors?limit=1000&depth={depth}&direction={direction}&types={only}",
        ask.space,
        encoded(id.as_str())
    );
    let (status, answer) = ask.get(&path);
    if !records.memories.contains_key(id) {
        assert_eq!(status, 404, "{id}: {answer}");
        return;
    }
    let shown: BTreeMap<String, u64> = answer["neighbors"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer}"))
        .iter()
        .map(|near| (near["memory"]["id"].as_str().unwrap().to_owned(), near["depth"].as_u64().unwrap()))
        .collect();
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let mut waiting = VecDeque::from([(id.clone(), 0)]);
    let mut seen = BTreeSet::from([id.clone()]);
    while let Some((at, hops)) = waiting.pop_front().filter(|(_, hops)| *hops < depth) {
        let counts =
            |key: &RelationKey| only.is_empty() || only.split(',').any(|kind| kind == key.kind.as_str());
        for key in records.relations.keys().filter(|key| counts(key)) {
            let next = match key {
                key if key.source == at => &key.target,
                key if key.target == at && !outward => &key.source,
                _ => continue,
            };
            if seen.insert(next.clone()) {
                expected.insert(next.to_string(), hops + 1);
                waiting.push_back((next.clone(), hops + 1));
            }
        }
    }
    assert_eq!(shown, expected, "{path}");
}

pub(super) fn judge_list(ask: &Ask<'_>, records: &Records, limit: u64) {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let (status, page) = ask.get(&format!("/v1/memories/{}?limit={limit}{cursor}", ask.space));
        assert_eq!(status, 200, "{page}");
        ids.extend(
            page["memories"]
                .as_array()
                .unwrap()
                .iter()
                .map(|memory| memory["id"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = records.memories.keys().map(ToString::to_string).collect();
    assert_eq!(ids, expected);
}

fn judge_search(ask: &Ask<'_>, records: &Records, draw: &Draw) {
    let kind = draw.random.chance(0.5).then(|| draw.of(&KINDS));
    let dense = Draw::has_vectors(ask.space) && draw.random.chance(0.5);
    let mut question = json!({"space": ask.space, "limit": 1000});
    if dense {
        question["vector"] = draw.vector();
    } else {
        question["text"] = "common".into();
    }
    if let Some(kind) = kind {
        question["filter"] = json!({"kind": [kind]});
    }
    if dense && !records.memories.values().any(|(_, memory)| memory.dense.is_some()) {
        // No vector has come yet, so there is no dimension to compare by.
        return;
    }
    let answer = ask.post("/v1/search", &question);
    let hits = answer["hits"].as_array().unwrap();
    let shown: BTreeSet<String> =
        hits.iter().map(|hit| hit["memory"]["id"].as_str().unwrap().to_owned()).collect();
    let expected: BTreeSet<String> = records
        .memories
        .iter()
        .filter(|(_, (_, memory))| kind.is_none_or(|kind| memory.kind.as_str() == kind))
        .filter(
            |(_, (_, memory))| if dense { memory.dense.is_some() } else { memory.content.contains("common") },
        )
        .map(|(id, _)| id.to_string())
        .collect();
    assert_eq!((hits.len(), shown), (expected.len(), expected), "{question}");
    let scores: Vec<f64> = hits.iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
}
