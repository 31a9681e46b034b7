//! What filters must do: chosen cases, then random filters over random points, judged by [`exact`].
//!
//! [`exact`]: crate::vector::exact

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Store, all_applied, found, memory, near_dense, near_sparse, put, sparse};
use crate::{
    model::{Memory, Name},
    random::Random,
    vector::{Condition, Filter, Payload, Search, Write},
};

fn described(kind: &str, session: Option<&str>, properties: Value) -> Memory {
    let mut memory = memory(Some(&[1.0, 0.5]), Some(sparse(&[(7, 1.0)])));
    memory.kind = Name::new(kind).expect("a name");
    memory.session = session.map(str::to_owned);
    memory.properties = serde_json::from_value(properties).expect("an object");
    memory
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn by(name: &str, condition: Condition) -> Filter {
    Filter { properties: [(name.to_owned(), condition)].into(), ..Filter::default() }
}

fn any(values: &[Value]) -> Condition {
    Condition::AnyOf(values.to_vec())
}

fn either(filters: &[Filter]) -> Filter {
    Filter { any: filters.to_vec(), ..Filter::default() }
}

fn not(filter: Filter) -> Filter {
    Filter { not: Some(Box::new(filter)), ..Filter::default() }
}

fn between(gte: f64, lt: f64) -> Condition {
    Condition::Range { gte: Some(gte), gt: None, lte: None, lt: Some(lt) }
}

/// Filters over the three points below, and the points that fulfil them.
fn cases() -> Vec<(Filter, &'static [&'static str])> {
    let kind = |kind: &str| Filter { kinds: texts(&[kind]), ..Filter::default() };
    let session = |session: &[&str]| Filter { sessions: texts(session), ..Filter::default() };
    let tea = || by("topic", any(&[json!("tea")]));
    let (none, all): (&[&str], &[&str]) = (&[], &["a", "b", "c"]);
    vec![
        (Filter::default(), all),
        (kind("Episode"), &["a", "c"]),
        (session(&["s-2", "s-9"]), &["b"]),
        (Filter { kinds: texts(&["Entity"]), ..tea() }, none),
        (by("topic", any(&[json!("tea"), json!("rum")])), &["a", "b"]),
        (by("tags", any(&[json!("green"), json!("x")])), &["a"]),
        (by("turn", any(&[json!(3.0)])), &["a"]),
        (by("turn", any(&[json!(8.5), json!(3)])), &["a", "b"]),
        (by("turn", any(&[json!(9_007_199_254_740_993_i64)])), &["c"]),
        (by("turn", any(&[json!(9_007_199_254_740_994_i64)])), none),
        (by("turn", between(3.0, 8.5)), &["a"]),
        (by("turn", Condition::Range { gte: None, gt: Some(3.0), lte: Some(8.5), lt: None }), &["b"]),
        (by("topic", between(0.0, 9.0)), none),
        (by("warm", any(&[json!(true)])), &["b"]),
        (by("warm", any(&[json!("true")])), none),
        (by("topic", any(&[json!(null)])), none),
        (by("topic", any(&[])), all),
        (by("absent", any(&[json!(1)])), none),
        (by("not a name[]", any(&[json!(1)])), none),
        (by("box", any(&[json!(1)])), none),
        (either(&[]), all),
        (either(&[tea(), session(&["s-2"])]), &["a", "b"]),
        (either(&[tea(), Filter::default()]), all),
        (Filter { kinds: texts(&["Episode"]), ..either(&[tea(), session(&["s-2"])]) }, &["a"]),
        (either(&[by("absent", any(&[json!(1)])), by("topic", any(&[json!(null)]))]), none),
        (not(tea()), &["b", "c"]),
        (not(session(&["s-1", "s-2"])), &["c"]),
        (not(by("turn", between(0.0, 10.0))), &["c"]),
        (not(by("box", any(&[json!(1)]))), all),
        (not(by("not a name[]", any(&[json!(1)]))), all),
        (not(Filter::default()), none),
        (not(not(tea())), &["a"]),
        (not(either(&[tea(), session(&["s-2"])])), &["c"]),
        (Filter { not: not(tea()).not, ..kind("Episode") }, &["c"]),
    ]
}

pub(super) async fn filters_keep_what_fulfils_every_condition(store: &dyn Store) {
    let a = json!({"topic": "tea", "turn": 3, "tags": ["hot", "green"], "box": {"a": 1}});
    let b = json!({"topic": "rum", "turn": 8.5, "warm": true});
    let c = json!({"turn": 9_007_199_254_740_993_i64});
    let points = [
        put("a", 1, described("Episode", Some("s-1"), a)),
        put("b", 2, described("Entity", Some("s-2"), b)),
        put("c", 3, described("Episode", None, c)),
    ];
    all_applied(store, &points).await;
    for (filter, expected) in cases() {
        for search in [near_dense(&[1.0, 1.0]), near_sparse(&[(7, 1.0)])] {
            let mut hits = found(store, &Search { filter: filter.clone(), ..search }).await;
            hits.sort();
            assert_eq!(hits, expected, "{filter:?}");
        }
    }
}

/// Draws points and filters from few values, so that they often meet.
struct Draw(Random);

impl Draw {
    fn one<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.0.below(of.len() as u64)).expect("an index")]
    }

    /// A value that a property may have, or be compared with.
    fn scalar(&self) -> Value {
        let values = [
            json!("tea"),
            json!("3"),
            json!(""),
            json!(true),
            json!(false),
            json!(-1),
            json!(0),
            json!(3),
            json!(3.0),
            json!(3.5),
            json!(9_007_199_254_740_991_i64),
            json!(9_007_199_254_740_992_i64),
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_992.0),
            json!(i64::MIN),
            json!(i64::MAX),
            json!(1e300),
        ];
        self.one(&values).clone()
    }

    fn scalars(&self, most: u64) -> Vec<Value> {
        (0..self.0.below(most + 1)).map(|_| self.scalar()).collect()
    }

    fn property(&self) -> Value {
        match self.0.below(8) {
            0 => json!({"tea": 3}),
            1 => json!([]),
            2 => json!(["tea", "", "3"]),
            3 => json!([3, -1, 9_007_199_254_740_993_i64]),
            4 => json!([0.5, 3.0]),
            5 => json!([true]),
            _ => self.scalar(),
        }
    }

    fn memory(&self) -> Memory {
        let kind = *self.one(&["Episode", "Entity", "Procedure"]);
        let session = self.one(&[None, Some("s-1"), Some("s-2")]);
        let names = ["p", "q", "r"].iter().filter(|_| self.0.chance(0.7));
        let properties = names.map(|name| ((*name).to_owned(), self.property())).collect();
        described(kind, *session, Value::Object(properties))
    }

    fn condition(&self) -> Condition {
        if self.0.chance(0.5) {
            return Condition::AnyOf(self.scalars(3));
        }
        let bound = || self.0.chance(0.4).then(|| *self.one(&[-1.0, 0.0, 3.0, 3.5, 9_007_199_254_740_992.0]));
        Condition::Range { gte: bound(), gt: bound(), lte: bound(), lt: bound() }
    }

    fn filter(&self, depth: u64) -> Filter {
        let some = |of: &[&str]| texts(of).into_iter().filter(|_| self.0.chance(0.2)).collect();
        let names = ["p", "q", "r", "s", "no name"].iter().filter(|_| self.0.chance(0.2));
        let nested = if depth == 0 { 0 } else { self.0.below(4).saturating_sub(1) };
        Filter {
            kinds: some(&["Episode", "Entity", "Procedure"]),
            sessions: some(&["s-1", "s-2", "s-3"]),
            properties: names.map(|name| ((*name).to_owned(), self.condition())).collect::<BTreeMap<_, _>>(),
            any: (0..nested).map(|_| self.filter(depth - 1)).collect(),
            not: (depth > 0 && self.0.chance(0.5)).then(|| Box::new(self.filter(depth - 1))),
        }
    }
}

pub(super) async fn random_filters_find_what_an_exact_search_finds(store: &dyn Store) {
    let draw = Draw(Random::from_seed(7, 0));
    let points: Vec<Write> = (0..60).map(|n| put(&format!("m-{n:02}"), n, draw.memory())).collect();
    all_applied(store, &points).await;
    let mut told_apart = 0;
    for _ in 0..600 {
        let filter = draw.filter(3);
        let fulfils = |point: &&Write| {
            let memory = point.after.as_ref().expect("live");
            filter.matches(&Payload::of(memory))
        };
        let expected: Vec<&str> = points.iter().filter(fulfils).map(|point| point.id.as_str()).collect();
        told_apart += usize::from((1..points.len()).contains(&expected.len()));
        for search in [near_dense(&[1.0, 1.0]), near_sparse(&[(7, 1.0)])] {
            let mut hits = found(store, &Search { filter: filter.clone(), limit: 100, ..search }).await;
            hits.sort();
            assert_eq!(hits, expected, "{filter:?}");
        }
    }
    assert!(told_apart > 100, "only {told_apart} filters told points apart");
}
