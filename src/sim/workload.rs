//! What clients ask: commands of every type, sane and mad, as records on the wire.
//!
//! A producer draws one command after the other, writes it in one of the three wire forms and appends
//! it, again if the answer was lost. It repeats itself, reuses ids with other bodies, sends what
//! cannot be read and puts records where they do not belong.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    clock::Clock,
    log::{Headers, Partitioner},
    model::Timestamp,
    random::Random,
};

use super::{
    appends::Appends,
    clock::SimulatedClock,
    monitor::Monitor,
    shape::Shape,
    stores::{REFUSED_BY_GRAPH, REFUSED_BY_VECTOR},
};

macro_rules! kinds {
    ($($name:ident = $text:literal / $share:literal,)*) => {
        /// The types of commands that producers draw from.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Kind { $($name,)* }

        impl Kind {
            /// All of them.
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its type on the wire.
            pub(super) const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How often it is drawn, beside the others: an even mix would mostly ask for what is not there.
            pub(super) const SHARES: &'static [u64] = &[$($share),*];
        }
    };
}

kinds! {
    Put = "memory.put" / 10,
    PutVector = "memory.put" / 20,
    Patch = "memory.patch" / 12,
    Touch = "memory.touch" / 4,
    Delete = "memory.delete" / 8,
    Supersede = "memory.supersede" / 6,
    Relate = "relation.put" / 16,
    Strengthen = "relation.strengthen" / 10,
    Decay = "relation.decay" / 4,
    Invalidate = "relation.invalidate" / 4,
    Unrelate = "relation.delete" / 5,
    Batch = "batch" / 10,
    Create = "space.create" / 3,
    Archive = "memory.archive" / 1,
    Restore = "memory.restore" / 1,
    Erase = "space.erase" / 1,
}

/// One record, ready to be appended.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    /// Where it goes.
    pub(super) partition: u32,
    /// Its key.
    pub(super) key: Option<Bytes>,
    /// Its value.
    pub(super) value: Option<Bytes>,
    /// Its headers.
    pub(super) headers: Headers,
    /// Whether it can never commit, whatever happens.
    pub(super) doomed: bool,
}

/// A client that sends commands, one after the other.
pub(super) struct Producer {
    /// Its number.
    pub(super) number: u64,
    /// Its own stream.
    pub(super) random: Random,
    /// The shape of the run.
    pub(super) shape: Arc<Shape>,
    /// How many partitions the log has now.
    pub(super) partitions: u32,
    /// How it appends.
    pub(super) appends: Appends,
    /// What it learns from outcomes, and what it was told.
    pub(super) monitor: Arc<Monitor>,
    /// Its watch.
    pub(super) clock: Arc<SimulatedClock>,
}

/// A command before it is written down.
#[derive(Debug, Clone)]
struct Draft {
    space: String,
    body: Map<String, Value>,
}

impl Producer {
    /// Sends everything.
    pub(super) async fn run(self) {
        for body in self.shape.script.iter().flat_map(|script| &script.commands) {
            let body = body.as_object().cloned().unwrap_or_default();
            self.appends.append(&self.plain(&Draft { space: "space-0".to_owned(), body })).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut sent: Vec<Draft> = Vec::new();
        for number in 0..self.shape.commands {
            tokio::time::sleep(Duration::from_millis(self.random.below(self.shape.pause_ms_max + 1))).await;
            let draft = self.next(number, &sent);
            let wire = self.write(&draft);
            self.appends.append(&wire).await;
            sent.push(draft);
            if self.random.chance(0.04) {
                self.appends.append(&self.nonsense()).await;
            }
        }
    }

    /// A new command, or an old one again, or an old id with a new body.
    fn next(&self, number: u64, sent: &[Draft]) -> Draft {
        let earlier = self.below(sent.len().max(1)).checked_sub(0).and_then(|index| sent.get(index));
        match earlier {
            Some(earlier) if self.random.chance(0.08) => earlier.clone(),
            Some(earlier) if self.random.chance(0.03) => {
                let mut draft = self.draft(number);
                draft.space.clone_from(&earlier.space);
                for field in ["id", "source"] {
                    draft.body.remove(field);
                    draft.body.extend(earlier.body.get(field).map(|value| (field.to_owned(), value.clone())));
                }
                draft
            }
            _ => self.draft(number),
        }
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.random.below(bound as u64)).unwrap_or(0)
    }

    fn draft(&self, number: u64) -> Draft {
        let space = format!("space-{}", self.random.below(self.shape.spaces));
        let kind = self.kind();
        let mut body = Map::new();
        body.insert("type".to_owned(), kind.text().into());
        if self.random.chance(0.9) {
            body.insert("id".to_owned(), format!("c-{}-{number}", self.number).into());
        }
        if self.random.chance(0.6) {
            body.insert("source".to_owned(), "/simulated".into());
        }
        let mut data = self.data(kind);
        if self.random.chance(0.03) {
            let moment = self.soon();
            body.insert("time".to_owned(), moment.to_string().into());
        }
        if self.random.chance(0.04) {
            // What may or may not have expired must declare nothing, or the fold could not tell.
            let when = [
                "2020-01-01T00:00:00Z".to_owned(),
                "2040-01-01T00:00:00Z".to_owned(),
                self.soon().to_string(),
            ];
            let choice = self.below(when.len());
            body.insert("expirytime".to_owned(), when.get(choice).cloned().into());
            body.insert("type".to_owned(), Kind::Put.text().into());
            data = json!({"id": self.memory(), "content": "soon gone"});
        }
        body.insert("data".to_owned(), data);
        Draft { space, body }
    }

    /// A moment within the next seconds.
    fn soon(&self) -> Timestamp {
        let micros = i64::try_from(self.random.below(3_000_000)).unwrap_or(0);
        Timestamp::from_micros(self.clock.now().as_micros() + micros)
    }

    fn kind(&self) -> Kind {
        let total: u64 = self.shape.weights.iter().sum();
        let mut rest = self.random.below(total.max(1));
        for (kind, weight) in Kind::ALL.iter().zip(&self.shape.weights) {
            if rest < *weight {
                return *kind;
            }
            rest -= weight;
        }
        Kind::PutVector
    }

    fn memory(&self) -> String {
        format!("m-{}", self.random.below(self.shape.memories))
    }

    fn data(&self, kind: Kind) -> Value {
        match kind {
            Kind::Put => self.put(false),
            Kind::PutVector => self.put(true),
            Kind::Patch => self.patch(),
            Kind::Touch | Kind::Archive | Kind::Restore => json!({"id": self.memory()}),
            Kind::Delete => {
                let id = self.memory();
                let mut data = json!({"id": id});
                self.precondition(&id, &mut data);
                data
            }
            Kind::Supersede => json!({"id": self.memory(), "by": self.put(true)}),
            Kind::Relate => self.relation(json!({
                "weight": self.share(),
                "on_missing": if self.random.chance(0.3) { "stub" } else { "refuse" },
            })),
            Kind::Strengthen => self.relation(json!({
                "rate": self.share(),
                "on_missing": if self.random.chance(0.3) { "stub" } else { "refuse" },
            })),
            Kind::Invalidate | Kind::Unrelate => self.relation(json!({})),
            Kind::Decay => self.decay(),
            Kind::Batch => self.batch(),
            Kind::Create => self.create(),
            Kind::Erase => json!({}),
        }
    }

    /// A number in 0..=1 that floating point holds exactly.
    fn share(&self) -> f64 {
        self.random.below(9) as f64 / 8.0
    }

    fn put(&self, vector: bool) -> Value {
        let id = self.memory();
        let mut data = json!({"id": id, "content": self.content()});
        let mut set = |name: &str, value: Value| {
            data.as_object_mut().map(|data| data.insert(name.to_owned(), value));
        };
        if vector {
            // The space's dimension is that of its first vector; now and then one is wrong.
            let dimension = if self.random.chance(0.04) { 3 } else { 2 };
            let values: Vec<f64> = (0..dimension).map(|_| self.share() - 0.25).collect();
            set("vector", json!(values));
        }
        if self.random.chance(0.1) {
            set("sparse", json!({"indices": [self.random.below(9), 40], "values": [0.5, 1.0]}));
        }
        if self.random.chance(0.2) {
            set("session", format!("session-{}", self.random.below(2)).into());
        }
        if self.random.chance(0.2) {
            set("kind", (*["Entity", "Procedure", "Whim"].get(self.below(3)).unwrap_or(&"Entity")).into());
        }
        if self.random.chance(0.3) {
            set("properties", json!({"turn": self.random.below(50), "tags": ["a", "b"], "o": {"p": null}}));
        }
        if self.random.chance(0.1) {
            set("importance", json!(self.share()));
        }
        if self.random.chance(0.1) {
            set("if_absent", true.into());
        } else if self.random.chance(0.1) {
            self.precondition(&id, &mut data);
        }
        data
    }

    /// `if_version`, with a version that some outcome has told of, or made up.
    fn precondition(&self, id: &str, data: &mut Value) {
        if !self.random.chance(0.4) {
            return;
        }
        let known = self.monitor.known_version(id, self.clock.now());
        let version = known.map_or_else(|| "1.4".to_owned(), |version| version.to_string());
        data.as_object_mut().map(|data| data.insert("if_version".to_owned(), version.into()));
    }

    fn content(&self) -> String {
        match self.random.below(40) {
            0 => REFUSED_BY_VECTOR.to_owned(),
            1 => REFUSED_BY_GRAPH.to_owned(),
            2 => String::new(),
            _ => format!("Ada likes tea number {}", self.random.below(1_000)),
        }
    }

    fn patch(&self) -> Value {
        let id = self.memory();
        let mut data = json!({"id": id});
        let Some(fields) = data.as_object_mut() else { return data };
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        if self.random.chance(0.5) {
            set("content", self.content().into());
        }
        if self.random.chance(0.3) {
            set("properties", json!({"turn": null, "seen": self.random.below(9)}));
        }
        if self.random.chance(0.2) {
            set("vector", if self.random.chance(0.3) { Value::Null } else { json!([0.5, self.share()]) });
        }
        if self.random.chance(0.15) {
            set("sparse", Value::Null);
        }
        if self.random.chance(0.2) {
            set("keep_vector", true.into());
        }
        if self.random.chance(0.2) {
            set("session", Value::Null);
        }
        if self.random.chance(0.2) {
            set("importance", json!(self.share()));
        }
        self.precondition(&id, &mut data);
        data
    }

    fn relation(&self, extra: Value) -> Value {
        let kinds = ["CAUSES", "RELATES_TO", "LIKES"];
        let mut data = json!({
            "source": self.memory(),
            "type": kinds.get(self.below(kinds.len())).copied().unwrap_or("CAUSES"),
            "target": self.memory(),
        });
        if self.random.chance(0.1) {
            data.as_object_mut().map(|data| data.insert("discriminator".to_owned(), "second".into()));
        }
        if let (Some(data), Value::Object(extra)) = (data.as_object_mut(), extra) {
            data.extend(extra);
        }
        data
    }

    fn decay(&self) -> Value {
        let mut data = json!({
            "older_than_days": if self.random.chance(0.2) { 30 } else { 0 },
            "rate": self.share(),
            "prune_below": 0.2,
        });
        let scope = if self.random.chance(0.5) {
            ("id", self.memory())
        } else {
            ("session", format!("session-{}", self.random.below(2)))
        };
        data.as_object_mut().map(|data| data.insert(scope.0.to_owned(), scope.1.into()));
        data
    }

    fn batch(&self) -> Value {
        let kinds = [
            Kind::Put,
            Kind::PutVector,
            Kind::Patch,
            Kind::Delete,
            Kind::Relate,
            Kind::Strengthen,
            Kind::Unrelate,
            Kind::Touch,
            Kind::Supersede,
            Kind::Invalidate,
        ];
        let items: Vec<Value> = (0..1 + self.random.below(5))
            .map(|_| {
                // Puts first of all: a batch of what mostly fails would mostly fail.
                let index = if self.random.chance(0.5) { 1 } else { self.below(kinds.len()) };
                let kind = kinds.get(index).copied().unwrap_or(Kind::Put);
                json!({"type": kind.text(), "data": self.data(kind)})
            })
            .collect();
        json!({ "items": items })
    }

    fn create(&self) -> Value {
        let mut data = Map::new();
        let mut set = |name: &str, value: Value| data.insert(name.to_owned(), value);
        if self.random.chance(0.3) {
            set("text", self.random.chance(0.5).into());
        }
        if self.random.chance(0.15) {
            set("open", false.into());
        }
        if self.random.chance(0.3) {
            set("dimension", 2.into());
            set("history", true.into());
        }
        if self.random.chance(0.2) {
            set("quota", (2 + self.random.below(6)).into());
        }
        if self.random.chance(0.2) {
            set("metric", (*["cosine", "dot", "euclid"].get(self.below(3)).unwrap_or(&"dot")).into());
        }
        if self.random.chance(0.3) {
            set("relation_types", json!(["LIKES"]));
        }
        Value::Object(data)
    }

    /// Writes a draft down as bare JSON, in its right place.
    fn plain(&self, draft: &Draft) -> Wire {
        let partition = Partitioner::default().partition(draft.space.as_bytes(), self.partitions);
        let key = Some(Bytes::from(draft.space.clone()));
        let value = Some(Bytes::from(Value::Object(draft.body.clone()).to_string()));
        Wire { partition, key, value, headers: Headers::new(), doomed: false }
    }

    /// Writes a draft down in one of the three wire forms, mostly in its right place.
    fn write(&self, draft: &Draft) -> Wire {
        let partition = Partitioner::default().partition(draft.space.as_bytes(), self.partitions);
        let misplaced = self.partitions > 1 && self.random.chance(0.02);
        let mut body = draft.body.clone();
        let mut headers = Headers::new();
        // CloudEvents wants an id and a source; a draft without them is mostly sent as bare JSON.
        let whole = body.contains_key("id") && body.contains_key("source");
        let form =
            if whole || self.random.chance(0.02) { self.random.below(4) } else { 2 + self.random.below(2) };
        let value = match form {
            0 => {
                for (name, default) in [("specversion", "1.0"), ("id", ""), ("source", "")] {
                    let stands = body.remove(name).filter(|value| !value.is_null());
                    let text = stands.as_ref().and_then(Value::as_str).unwrap_or(default).to_owned();
                    if !text.is_empty() {
                        headers.push((format!("ce_{name}"), Bytes::from(text)));
                    }
                }
                for name in ["type", "time", "expirytime"] {
                    if let Some(text) = body.remove(name).as_ref().and_then(Value::as_str) {
                        headers.push((format!("ce_{name}"), Bytes::from(text.to_owned())));
                    }
                }
                headers.push(("content-type".to_owned(), Bytes::from_static(b"application/json")));
                body.remove("data").unwrap_or_default()
            }
            1 => {
                body.insert("specversion".to_owned(), "1.0".into());
                body.insert("space".to_owned(), draft.space.clone().into());
                Value::Object(body)
            }
            2 => {
                body.insert("space".to_owned(), draft.space.clone().into());
                Value::Object(body)
            }
            _ => Value::Object(body),
        };
        Wire {
            partition: if misplaced { (partition + 1) % self.partitions } else { partition },
            key: Some(Bytes::from(draft.space.clone())),
            value: Some(Bytes::from(value.to_string())),
            headers,
            doomed: misplaced,
        }
    }

    /// A record that no coordinator can make sense of.
    fn nonsense(&self) -> Wire {
        let space = format!("space-{}", self.random.below(self.shape.spaces));
        let key = Some(Bytes::from(space.clone()));
        let text = |text: &str| Some(Bytes::from(text.to_owned()));
        let (key, value) = match self.random.below(8) {
            0 => (key, None),
            1 => (
                None,
                text(&format!(r#"{{"type":"memory.delete","space":"{space}","data":{{"id":"m-0"}}}}"#)),
            ),
            2 => (key, text("{ not json")),
            3 => (
                Some(Bytes::from_static(&[0xff, 0xfe])),
                text(r#"{"type":"memory.put","data":{"id":"m-0"}}"#),
            ),
            4 => (key, text(r#"{"type":"memory.forget","id":"n-4","data":{"id":"m-0"}}"#)),
            5 => (key, text(r#"{"type":"memory.put","id":"n-5","data":{"id":"m-0","colour":"blue"}}"#)),
            6 => (key, text(r#"{"type":"memory.put","id":"n-6","data":{"id":"m-0","importance":7}}"#)),
            _ => (key, text(r#"{"type":"memory.put","id":"n-7","space":"elsewhere","data":{"id":"m-0"}}"#)),
        };
        let partition = Partitioner::default().partition(space.as_bytes(), self.partitions);
        Wire { partition, key, value, headers: Headers::new(), doomed: true }
    }
}
