//! The crash matrix: every boundary × every blow × every type of command, enumerated.
//!
//! Each cell is a small world: some memories and relations, then one command of the type, once taken
//! by the stores and once refused by each. A run without a blow counts how often its nodes pass each
//! boundary; then the blow falls at each of those passes, one run each. Random
//! runs find surprises; this proves that nothing was left out.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use serde_json::{Value, json};

use super::{
    Action, Boundary, Options, Strike, Violation, monitor::Store, run, shape::Script, workload::Kind,
};

/// Threads that run cells.
const THREADS: usize = 2;
/// One cell that broke a promise.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The type of command.
    pub kind: &'static str,
    /// Where and what.
    pub strike: Strike,
    /// What broke.
    pub violations: Vec<Violation>,
}

/// What the matrix came to.
#[derive(Debug, Clone, Default)]
pub struct MatrixReport {
    /// Blows by boundary and action.
    pub hits: BTreeMap<(Boundary, Action), u64>,
    /// Runs in all.
    pub runs: u64,
    /// Cells that broke a promise.
    pub failures: Vec<Failure>,
}

impl MatrixReport {
    /// Whether every boundary was struck by every action, and nothing broke.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let struck = |boundary: Boundary, action: Action| {
            !action.applies(boundary) || self.hits.get(&(boundary, action)).is_some_and(|hits| *hits > 0)
        };
        let all =
            Boundary::ALL.iter().all(|boundary| Action::ALL.iter().all(|action| struck(*boundary, *action)));
        all && self.failures.is_empty()
    }

    /// The report as text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a string never fails.
        let mut line = |arguments: std::fmt::Arguments<'_>| text.write_fmt(arguments).unwrap_or_default();
        let verdict = if self.is_clean() { "clean" } else { "FAILED" };
        line(format_args!("{verdict}: {} runs, {} failed\n", self.runs, self.failures.len()));
        line(format_args!(
            "{:<28}{:>16}{:>16}{:>16}{:>16}\n",
            "boundary", "kill", "zombie", "repeat", "unknown reply"
        ));
        for boundary in Boundary::ALL {
            line(format_args!("{:<28}", boundary.name()));
            for action in Action::ALL {
                let hits = self.hits.get(&(*boundary, action)).copied().unwrap_or(0);
                let text = if action.applies(*boundary) { hits.to_string() } else { "-".to_owned() };
                line(format_args!("{text:>16}"));
            }
            line(format_args!("\n"));
        }
        for failure in &self.failures {
            let Strike { boundary, action, pass } = failure.strike;
            let (kind, place) = (failure.kind, boundary.name());
            line(format_args!("{kind}, {} at `{place}`, pass {pass}:\n", action.name()));
            for violation in &failure.violations {
                line(format_args!("  {}: {}\n", violation.invariant, violation.sentence));
            }
        }
        text
    }
}

/// One world of the matrix.
#[derive(Debug, Clone)]
struct World {
    kind: &'static str,
    options: Options,
}

/// Runs the whole matrix. `progress` hears how many worlds are done, and of how many.
#[must_use]
pub fn crash_matrix(progress: impl Fn(usize, usize) + Sync) -> MatrixReport {
    let worlds = worlds();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut report = MatrixReport::default();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(world) = worlds.get(index) else { return report };
            strike_everywhere(world, &mut report);
            progress(index + 1, worlds.len());
        }
    };
    let mut whole = MatrixReport::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let report =
                thread.join().expect("a run that panics is a bug of the simulator or of an assertion");
            whole.runs += report.runs;
            whole.failures.extend(report.failures);
            report.hits.into_iter().for_each(|(cell, hits)| *whole.hits.entry(cell).or_default() += hits);
        }
    });
    whole
}

fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for kind in Kind::ALL {
        for graph in [false, true] {
            let refusals: &[Option<Store>] = if graph {
                &[None, Some(Store::Vector), Some(Store::Graph)]
            } else {
                &[None, Some(Store::Vector)]
            };
            for refuse in refusals {
                let options = Options {
                    faults: false,
                    graph: Some(graph),
                    script: Some(script(*kind, *refuse)),
                    ..Options::default()
                };
                worlds.push(World { kind: kind.text(), options });
            }
        }
    }
    worlds
}

fn strike_everywhere(world: &World, report: &mut MatrixReport) {
    let calm = run(0, &world.options);
    report.runs += 1;
    let nowhere = Strike { boundary: Boundary::Appended, action: Action::Repeat, pass: 0 };
    if !calm.violations.is_empty() {
        report.failures.push(Failure { kind: world.kind, strike: nowhere, violations: calm.violations });
        return;
    }
    for (boundary, (passes, _)) in Boundary::ALL.iter().zip(&calm.boundaries) {
        for action in Action::ALL.into_iter().filter(|action| action.applies(*boundary)) {
            for pass in 1..=*passes {
                let strike = Strike { boundary: *boundary, action, pass };
                let options = Options { strike: Some(strike), ..world.options.clone() };
                let ran = run(0, &options);
                report.runs += 1;
                let struck = ran.boundaries.get(*boundary as usize).map_or(0, |(_, strikes)| *strikes);
                *report.hits.entry((*boundary, action)).or_default() += struck;
                if !ran.violations.is_empty() {
                    report.failures.push(Failure { kind: world.kind, strike, violations: ran.violations });
                }
            }
        }
    }
}

/// Some records, then one command of this type.
fn script(kind: Kind, refuse: Option<Store>) -> Script {
    let put = |id: &str, content: &str| json!({"type": "memory.put", "data": {"id": id, "content": content, "vector": [0.5, 0.25], "session": "s"}});
    let relation = json!({"source": "a", "type": "CAUSES", "target": "b"});
    let mut commands = vec![
        put("a", "Ada likes tea"),
        put("b", "tea is hot"),
        json!({"type": "relation.put", "data": relation}),
    ];
    let before = commands.len() as u64;
    commands.push(json!({"type": kind.text(), "data": data(kind)}));
    // A duplicate of it, which must do nothing, and a command that must wait for it.
    commands.push(json!({"type": kind.text(), "data": data(kind)}));
    commands.push(json!({"type": "relation.strengthen", "data": {"source": "a", "type": "CAUSES", "target": "b", "on_missing": "stub"}}));
    let ids = ["1", "2", "3", "4", "4", "5"];
    for (command, id) in commands.iter_mut().zip(ids) {
        command.as_object_mut().map(|command| command.insert("id".to_owned(), id.into()));
    }
    Script { commands, refuse: refuse.map(|store| (store, before)) }
}

fn data(kind: Kind) -> Value {
    match kind {
        Kind::Put => json!({"id": "c", "content": "new"}),
        Kind::PutVector => json!({"id": "a", "content": "anew", "vector": [0.25, 0.5]}),
        Kind::Patch => json!({"id": "a", "content": "Ada likes coffee"}),
        Kind::Touch | Kind::Delete | Kind::Archive | Kind::Restore => json!({"id": "a"}),
        Kind::Supersede => json!({"id": "a", "by": {"id": "c", "content": "Ada liked tea"}}),
        Kind::Relate => json!({"source": "b", "type": "CAUSES", "target": "d", "on_missing": "stub"}),
        Kind::Strengthen | Kind::Invalidate | Kind::Unrelate => {
            json!({"source": "a", "type": "CAUSES", "target": "b"})
        }
        Kind::Decay => json!({"id": "a", "older_than_days": 0, "rate": 0.5}),
        Kind::Batch => json!({"items": [
            {"type": "memory.put", "data": {"id": "c", "content": "first"}},
            {"type": "memory.delete", "data": {"id": "b"}},
            {"type": "relation.put", "data": {"source": "a", "type": "CAUSES", "target": "c"}},
        ]}),
        Kind::Create => json!({"text": false}),
        Kind::Erase => json!({}),
    }
}
