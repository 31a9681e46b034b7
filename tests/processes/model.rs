//! A hundred thousand operations over HTTP against a model, with a kill or a stop every few thousand.
//!
//! Commands go out in rounds, some of which are waited for. The model is told them in the order of the log
//! and says what each comes to ([`engraft::sim::meaning`], which shares nothing with the coordinator but
//! the vocabulary); outcomes are compared with that, and so is every read. Reads bring the token of the
//! last command of their space, whose outcome nobody may have waited for: so read-your-writes is judged
//! by each of them.

mod judge;

use std::{collections::BTreeMap, time::Instant};

use engraft::{
    log::{
        Headers, Partitioner, Record,
        envelope::{self, Decoded, Limits, Routing},
    },
    model::{Code, Command, MemoryId, Phase, Position, Timestamp},
    random::Random,
    sim::meaning::{Records, Terms, changes},
};
use serde_json::{Map, Value, json};

use crate::support::{client::Client, server::Home, setting};
use judge::{Ask, judge_list, judge_memory, judge_relations, read};

/// Commands and reads together, where `ENGRAFT_TEST_OPERATIONS` does not say otherwise.
const OPERATIONS: u64 = 100_000;
/// Commands of one round, which go out in one request.
const COMMANDS: u64 = 100;
/// Reads after each round.
const READS: u64 = 25;
/// Rounds between two restarts.
const LIFE: u64 = 80;
/// Spaces; those with an odd number have vectors.
const SPACES: u64 = 4;
/// Memories that a space's commands are about.
const MEMORIES: u64 = 40;
/// Length of a vector.
const DIMENSION: usize = 4;
const KINDS: [&str; 3] = ["Episode", "Entity", "Procedure"];
const TYPES: [&str; 3] = ["CAUSES", "RELATES_TO", "PART_OF"];

/// What every space must hold, and the token of its last command.
#[derive(Default)]
struct Model {
    spaces: BTreeMap<String, (Records, String)>,
}

/// What a command must come to.
type Expected = Result<(), Code>;

impl Model {
    fn records(&self, space: &str) -> Records {
        self.spaces.get(space).map(|(records, _)| records.clone()).unwrap_or_default()
    }

    /// Takes in the command that the log holds at `position`.
    fn take(&mut self, body: &Value, position: Position) -> Expected {
        let space = body["space"].as_str().expect("every command has one");
        let (command, now) = decoded(body, position);
        let (records, _) = self.spaces.entry(space.to_owned()).or_default();
        let version = position.version(Phase::Forward);
        let changed = changes(records, &command, Terms { now, version, text: true })?;
        for (id, after) in changed.memories {
            match after {
                Some(memory) => drop(records.memories.insert(id, (version, memory))),
                None => drop(records.memories.remove(&id)),
            }
        }
        for (key, after) in changed.relations {
            match after {
                Some(relation) => drop(records.relations.insert(key, relation)),
                None => drop(records.relations.remove(&key)),
            }
        }
        Ok(())
    }
}

fn decoded(body: &Value, position: Position) -> (Command, Timestamp) {
    let record = Record {
        position,
        key: Some(body["space"].as_str().unwrap().to_owned().into()),
        value: Some(body.to_string().into()),
        headers: Headers::default(),
        appended_at: Timestamp::from_micros(0),
    };
    let routing = Routing { partitions: 1, partitioner: Partitioner::default() };
    match envelope::decode(&record, routing, &Limits::default()) {
        Decoded::Command(envelope) => (envelope.command, envelope.header.time),
        other => panic!("the load sent what has no good shape: {body}: {other:?}"),
    }
}

/// Draws commands and questions.
struct Draw {
    random: Random,
    number: u64,
}

impl Draw {
    fn of<'a>(&self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.random.below(choices.len() as u64)).unwrap()]
    }

    fn space(&self) -> String {
        format!("model-{}", self.random.below(SPACES))
    }

    fn id(&self) -> String {
        // Ids that every path, cursor and query must carry unharmed.
        let number = self.random.below(MEMORIES);
        if number.is_multiple_of(7) { format!("m/{number} ü%&?#") } else { format!("m-{number}") }
    }

    fn has_vectors(space: &str) -> bool {
        !space.ends_with(['0', '2'])
    }

    fn vector(&self) -> Value {
        (0..DIMENSION).map(|_| self.random.unit() + 0.01).collect()
    }

    /// Fields of a memory, each there or not.
    fn fields(&self, space: &str) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut may = |name: &str, chance: f64, value: Value| {
            if self.random.chance(chance) {
                fields.insert(name.to_owned(), value);
            }
        };
        may("content", 0.8, format!("common words and number {}", self.number).into());
        may("kind", 0.5, self.of(&KINDS).into());
        may("session", 0.4, format!("s-{}", self.random.below(3)).into());
        may("importance", 0.4, json!(self.random.unit()));
        may(
            "properties",
            0.5,
            json!({"turn": self.random.below(5), "tags": ["a", self.of(&["b", "c"])],
            "deep": {"kept": self.number}}),
        );
        may("valid_until", 0.1, "2031-01-01T00:00:00Z".into());
        may("occurred_at", 0.2, "2020-02-29T12:00:00.000001Z".into());
        if Self::has_vectors(space) {
            may("vector", 0.7, self.vector());
        }
        fields
    }

    fn relation(&self) -> Map<String, Value> {
        let mut relation = Map::new();
        relation.insert("source".to_owned(), self.id().into());
        relation.insert("type".to_owned(), self.of(&TYPES).into());
        relation.insert("target".to_owned(), self.id().into());
        if self.random.chance(0.1) {
            relation.insert("discriminator".to_owned(), "other".into());
        }
        relation
    }

    fn item(&self, space: &str, stands: &Records) -> (&'static str, Map<String, Value>) {
        let choice = self.random.below(100);
        let mut data = match choice {
            0..38 => self.fields(space),
            38..52 => self.patch(space),
            52..62 => Map::new(),
            _ => self.relation(),
        };
        if choice < 62 {
            data.insert("id".to_owned(), self.id().into());
            self.precondition(choice, &mut data, stands);
        }
        match choice {
            0..38 => ("memory.put", data),
            38..52 => ("memory.patch", data),
            52..60 => ("memory.delete", data),
            60..62 => {
                data.remove("if_version");
                ("memory.touch", data)
            }
            62..82 => {
                if self.random.chance(0.5) {
                    data.insert("weight".to_owned(), json!(self.random.unit()));
                }
                if self.random.chance(0.2) {
                    data.insert("on_missing".to_owned(), "stub".into());
                }
                ("relation.put", data)
            }
            82..92 => ("relation.strengthen", data),
            92..96 => ("relation.delete", data),
            _ => ("relation.invalidate", data),
        }
    }

    fn patch(&self, space: &str) -> Map<String, Value> {
        let mut patch = self.fields(space);
        for name in ["session", "properties", "importance", "content"] {
            if self.random.chance(0.1) {
                patch.insert(name.to_owned(), Value::Null);
            }
        }
        if self.random.chance(0.2) {
            patch.insert("keep_vector".to_owned(), true.into());
        }
        patch
    }

    fn precondition(&self, choice: u64, data: &mut Map<String, Value>, stands: &Records) {
        if choice < 38 && self.random.chance(0.1) {
            data.insert("if_absent".to_owned(), true.into());
        } else if choice < 60 && self.random.chance(0.1) {
            let id = MemoryId::new(data["id"].as_str().unwrap()).unwrap();
            if let Some((version, _)) = stands.memories.get(&id) {
                data.insert("if_version".to_owned(), version.to_string().into());
            }
        }
    }

    fn command(&mut self, model: &Model) -> Value {
        self.number += 1;
        let space = self.space();
        let stands = model.records(&space);
        let (kind, data) = if self.random.chance(0.08) {
            let items: Vec<Value> = (0..=self.random.below(4))
                .map(|_| self.item(&space, &stands))
                .map(|(kind, data)| json!({"type": kind, "data": data}))
                .collect();
            ("batch", json!({ "items": items }))
        } else if self.random.chance(0.04) {
            let (old, mut new) = (self.id(), self.id());
            while new == old {
                new = self.id();
            }
            let mut by = self.fields(&space);
            by.insert("id".to_owned(), new.into());
            ("memory.supersede", json!({"id": old, "by": by}))
        } else {
            let (kind, data) = self.item(&space, &stands);
            (kind, Value::Object(data))
        };
        let seconds = self.number % 86_400;
        let time = format!("2026-01-01T{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60);
        json!({"type": kind, "id": format!("c-{}", self.number), "space": space, "time": time, "data": data})
    }
}

/// One round: commands out, taken in by the model, and compared where they were waited for.
fn round(client: &Client, model: &mut Model, draw: &mut Draw, wait: bool) {
    let commands: Vec<Value> = (0..COMMANDS).map(|_| draw.command(model)).collect();
    let (status, answers) = client.post("/v1/commands", &json!(commands), wait).expect("an answer");
    assert_eq!(status, if wait { 200 } else { 202 }, "{answers}");
    let answers = answers["items"].as_array().expect("one answer a command");
    assert_eq!(answers.len(), commands.len());
    for (command, answer) in commands.iter().zip(answers) {
        let position: Position =
            answer["position"].as_str().unwrap_or_else(|| panic!("{command}: {answer}")).parse().unwrap();
        let expected = model.take(command, position);
        let space = command["space"].as_str().unwrap();
        answer["token"].as_str().expect("a token").clone_into(&mut model.spaces.get_mut(space).unwrap().1);
        if wait {
            let told = (answer["outcome"].as_str(), answer["code"].as_str());
            let right = match expected {
                Ok(()) => (Some("committed"), Some("ok")),
                Err(code) => (Some("failed"), Some(code.as_str())),
            };
            assert_eq!(told, right, "{command}\n{answer}");
        }
    }
}

#[test]
fn every_answer_is_the_models_however_often_the_server_is_killed() {
    let (operations, seed) =
        (setting("ENGRAFT_TEST_OPERATIONS", OPERATIONS), setting("ENGRAFT_TEST_SEED", 1));
    let rounds = operations.div_ceil(COMMANDS + READS);
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::new(folder.path());
    let client = Client::new(home.port);
    let mut model = Model::default();
    let mut draw = Draw { random: Random::from_seed(seed, 0), number: 0 };
    let begun = Instant::now();
    let mut server = home.serve("");
    let mut restarts = 0;
    for number in 1..=rounds {
        let wait = draw.random.chance(0.5);
        round(&client, &mut model, &mut draw, wait);
        if number % LIFE == 0 {
            restarts += 1;
            if restarts % 2 == 1 {
                server.kill()
            } else {
                server.stop()
            }
            server = home.serve("");
        }
        (0..READS).for_each(|_| read(&client, &model, &draw));
    }
    for (space, (records, token)) in &model.spaces {
        let ask = Ask { client: &client, space, token };
        judge_list(&ask, records, 7);
        for id in records.memories.keys() {
            judge_memory(&ask, records, id);
            judge_relations(&ask, records, id);
        }
    }
    server.stop();
    let audited = home.engraft(&["audit", "--deep"]).output().expect("the audit runs");
    assert_eq!(audited.status.code(), Some(0), "{}", String::from_utf8_lossy(&audited.stdout));
    let live: usize = model.spaces.values().map(|(records, _)| records.memories.len()).sum();
    println!(
        "seed {seed}: {} commands, {} reads, {restarts} restarts, {live} memories in the end, {:?}",
        rounds * COMMANDS,
        rounds * READS,
        begun.elapsed()
    );
    assert!(live > 0, "the load left nothing");
}
