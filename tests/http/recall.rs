//! How well words find what meaning finds, on the demo's sample: its questions, its vectors, its readers' wishes.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

use crate::world::{World, run};

/// Hits of a question that count.
const TOP: usize = 10;

fn sample(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo").join(name);
    fs::read_to_string(file).expect("the sample is there")
}

async fn top(world: &World, question: Value) -> BTreeSet<String> {
    let mut body = json!({"space": "demo", "limit": TOP});
    body.as_object_mut().unwrap().extend(question.as_object().cloned().unwrap());
    let (status, answer) = world.post("/v1/search", "application/json", None, body).await;
    assert_eq!(status, 200, "{answer}");
    let hits = answer["hits"].as_array().unwrap();
    hits.iter().map(|hit| hit["memory"]["id"].as_str().unwrap().to_owned()).collect()
}

/// The share of `wanted` that was found, a question at a time, averaged.
#[derive(Default)]
struct Recall(Vec<f64>);

impl Recall {
    fn add(&mut self, found: &BTreeSet<String>, wanted: &BTreeSet<String>) {
        self.0.push(found.intersection(wanted).count() as f64 / wanted.len() as f64);
    }

    fn average(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }
}

#[test]
fn words_find_half_of_what_meaning_finds_and_both_together_no_less_than_either() {
    run(async {
        let world = World::new().await;
        for file in ["commands.jsonl", "relations.jsonl"] {
            let lines = sample(file);
            let (status, answer) = world.post("/v1/commands", "application/x-ndjson", Some(30), lines).await;
            assert_eq!(status, 200, "{answer}");
        }
        let (mut text, mut dense, mut hybrid) = (Recall::default(), Recall::default(), Recall::default());
        let mut of_dense = Recall::default();
        for line in sample("queries.jsonl").lines() {
            let query: Value = serde_json::from_str(line).unwrap();
            let wanted: BTreeSet<String> = serde_json::from_value(query["expect"].clone()).unwrap();
            let by_text = top(&world, json!({"text": query["text"]})).await;
            let by_vector = top(&world, json!({"vector": query["vector"]})).await;
            let by_both = top(&world, json!({"text": query["text"], "vector": query["vector"]})).await;
            text.add(&by_text, &wanted);
            dense.add(&by_vector, &wanted);
            hybrid.add(&by_both, &wanted);
            of_dense.add(&by_text, &by_vector);
        }
        let [text, dense, hybrid, of_dense] = [text, dense, hybrid, of_dense].map(|recall| recall.average());
        println!(
            "recall@10 of what readers want: text {text:.3}, dense {dense:.3}, hybrid {hybrid:.3}; \
             of dense's own ten, text finds {of_dense:.3}"
        );
        assert!(text >= 0.5 * dense, "text {text}, dense {dense}");
        assert!(hybrid >= text.max(dense), "hybrid {hybrid}, text {text}, dense {dense}");
    });
}
