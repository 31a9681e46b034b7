//! The verdict at rest: the fold against the ledger, the vector store and the graph store.
//!
//! Both directions: what must be there is there, at its version and with its content, and nothing
//! else is. Read from the servers themselves, past every simulated fault.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    graph,
    invariant::Invariant,
    ledger::{Head, Ledger, RelationHead, SagaRow, questions::Past},
    log::{Record, envelope::Routing},
    model::{
        Memory, MemoryId, PartitionId, Position, Relation, RelationKey, Space, State, Version,
        memory::tombstone_hash,
    },
    vector::{self, Payload, Stored},
};

use super::{
    Violation,
    appends::attempt_of,
    fold::{Fold, Register, Witness},
    history,
    monitor::Monitor,
};

/// Everything that is read of a run before it is judged.
pub(super) struct Rest {
    /// The log of every epoch, in order of epochs, and within each partition.
    pub(super) records: Vec<Record>,
    /// Its ends.
    pub(super) ends: BTreeMap<PartitionId, u64>,
    /// Rows by position.
    pub(super) rows: BTreeMap<Position, SagaRow>,
    /// Watermarks.
    pub(super) watermarks: BTreeMap<PartitionId, u64>,
    /// Heads.
    pub(super) heads: Vec<Head>,
    /// Relation heads.
    pub(super) relations: Vec<RelationHead>,
    /// Of each memory, its head and the heads that were, newest first.
    pub(super) histories: Vec<Vec<Past>>,
    /// Points.
    pub(super) points: Vec<Stored>,
    /// Registers of the projected graph, where there is one.
    pub(super) registers: Option<Vec<graph::Write>>,
    /// Positions of the dead letters.
    pub(super) letters: BTreeSet<Position>,
}

/// Reads the ledger's part.
pub(super) async fn read_ledger(
    ledger: &dyn Ledger,
    records: &[Record],
    partitions: &[PartitionId],
) -> Result<(BTreeMap<Position, SagaRow>, BTreeMap<PartitionId, u64>, Vec<Head>, Vec<RelationHead>), String> {
    let text = |error: crate::ledger::Error| error.to_string();
    let mut rows = BTreeMap::new();
    for record in records {
        if let Some(row) = ledger.saga(record.position).await.map_err(text)? {
            rows.insert(record.position, row);
        }
    }
    let mut watermarks = BTreeMap::new();
    for partition in partitions {
        let watermark = ledger.partition(*partition).await.map(|row| row.watermark).unwrap_or(0);
        watermarks.insert(*partition, watermark);
    }
    let (heads, _) = ledger.scan_heads(None, usize::MAX).await.map_err(text)?;
    let relations = ledger.scan_relations(None, usize::MAX).await.map_err(text)?;
    Ok((rows, watermarks, heads, relations))
}

/// Reads every point.
pub(super) async fn read_points(store: &dyn vector::Read) -> Vec<Stored> {
    store.scan(None, usize::MAX - 1).await.map(|(points, _)| points).unwrap_or_default()
}

/// Reads every register of the graph.
pub(super) async fn read_registers(store: &dyn graph::Project) -> Vec<graph::Write> {
    store.scan(None, usize::MAX - 1).await.map(|(writes, _)| writes).unwrap_or_default()
}

/// What is broken, if anything.
pub(super) fn check(rest: &Rest, monitor: &Monitor, routing: &dyn Fn(u32) -> Routing) -> Vec<Violation> {
    let row = |position: Position| rest.rows.get(&position).cloned();
    let was_refused = |position| monitor.was_refused(position);
    let fold = Fold::of(&rest.records, &Witness { routing, row: &row, was_refused: &was_refused });
    let mut checker = Checker { found: Vec::new(), fold: &fold };
    checker.found.extend(fold.violations.iter().cloned());
    checker.log(rest, monitor);
    checker.outcomes(rest, monitor);
    checker.heads(&rest.heads);
    checker.relations(&rest.relations, &rest.heads);
    checker.found.extend(history::check(&fold, &rest.histories));
    checker.points(&rest.points);
    if let Some(registers) = &rest.registers {
        checker.graph(registers);
    }
    checker.found
}

struct Checker<'a> {
    found: Vec<Violation>,
    fold: &'a Fold,
}

impl Checker<'_> {
    fn violate(&mut self, invariant: Invariant, sentence: String) {
        self.found.push(Violation { invariant, sentence });
    }

    /// Nothing accepted is lost, and the watermark tells the truth.
    fn log(&mut self, rest: &Rest, monitor: &Monitor) {
        let positions: BTreeSet<Position> = rest.records.iter().map(|record| record.position).collect();
        for position in monitor.acknowledgements() {
            if !positions.contains(&position) {
                self.violate(Invariant::I1, format!("{position} was acknowledged and is not in the log"));
            } else if !rest.rows.contains_key(&position) {
                self.violate(Invariant::I1, format!("{position} was acknowledged and has no saga row"));
            }
        }
        for record in &rest.records {
            if attempt_of(record).is_some_and(|attempt| monitor.was_told_never(attempt)) {
                let position = record.position;
                self.violate(
                    Invariant::I5,
                    format!("{position} is in the log, and its producer was told that it never would be"),
                );
            }
        }
        for (partition, watermark) in &rest.watermarks {
            let end = rest.ends.get(partition).copied().unwrap_or(0);
            if *watermark > end {
                self.violate(
                    Invariant::I10,
                    format!("the watermark of {partition} is {watermark}, beyond the log's end {end}"),
                );
            }
        }
    }

    /// Every row has its outcome out, once, and nothing that was made to fail has committed.
    fn outcomes(&mut self, rest: &Rest, monitor: &Monitor) {
        for (position, row) in rest.rows.iter().filter(|(_, row)| row.state.is_terminal()) {
            if monitor.is_doomed(*position) && row.state == State::Committed {
                self.violate(Invariant::I3, format!("saga {position} can never commit, and did"));
            }
            if row.dead_letter && !rest.letters.contains(position) {
                self.violate(
                    Invariant::I2,
                    format!("{position} should be among the dead letters, and is not"),
                );
            }
            let Some(ending) = &row.ending else {
                self.violate(Invariant::I2, format!("saga {position} has ended and does not say how"));
                continue;
            };
            match monitor.outcome(*position) {
                // What cannot be read has no outcome event; the dead letters are its answer.
                None if row.header.is_none() => {}
                None => self.violate(Invariant::I2, format!("the outcome of {position} was never published")),
                Some(outcome) => {
                    let same = (outcome.verdict, outcome.code, &outcome.records)
                        == (ending.verdict, ending.code, &ending.records);
                    if !same {
                        self.violate(
                            Invariant::I2,
                            format!("the published outcome of {position} is not the ledger's"),
                        );
                    }
                }
            }
        }
    }

    fn heads(&mut self, heads: &[Head]) {
        let mut seen = BTreeSet::new();
        for head in heads {
            seen.insert((head.space.clone(), head.id.clone()));
            let expected = self.fold.spaces.get(&head.space).and_then(|space| space.memories.get(&head.id));
            let name = format!("head of {}/{}", head.space, head.id);
            let last = expected.and_then(|register| register.versions.last().copied());
            let expected = expected.map(|register| Register {
                // The head is always told, whatever a projected graph was.
                versions: last.into_iter().collect(),
                ..register.clone()
            });
            let hash = head.memory.as_ref().map_or_else(tombstone_hash, |memory| memory.hash());
            if hash != head.hash {
                self.violate(Invariant::I11, format!("{name} has another hash than its content"));
            }
            self.register(&name, expected.as_ref(), head.version, head.memory.as_ref(), Invariant::I4);
        }
        let missing = self.expected_memories().into_iter().filter(|name| !seen.contains(name));
        for (space, id) in missing.collect::<Vec<_>>() {
            self.violate(Invariant::I4, format!("head of {space}/{id} is missing"));
        }
    }

    /// Live memories that must be there.
    fn expected_memories(&self) -> Vec<(Space, MemoryId)> {
        let spaces = self.fold.spaces.iter();
        let live = spaces.flat_map(|(space, fold)| {
            let live = fold.memories.iter().filter(|(_, register)| register.state.is_some());
            live.map(|(id, _)| (space.clone(), id.clone()))
        });
        live.collect()
    }

    fn expected_relations(&self) -> BTreeMap<RelationKey, Register<Relation>> {
        let spaces = self.fold.spaces.values();
        spaces
            .flat_map(|fold| fold.relations.iter().map(|(key, register)| (key.clone(), register.clone())))
            .collect()
    }

    fn relations(&mut self, relations: &[RelationHead], heads: &[Head]) {
        let live: BTreeSet<(&Space, &MemoryId)> =
            heads.iter().filter(|head| head.memory.is_some()).map(|head| (&head.space, &head.id)).collect();
        let expected = self.expected_relations();
        let mut seen = BTreeSet::new();
        for head in relations {
            seen.insert(&head.relation);
            let name = format!("relation {}: {}", head.relation.space, head.relation);
            let ends = [&head.relation.source, &head.relation.target];
            if head.state.is_some() && ends.iter().any(|end| !live.contains(&(&head.relation.space, *end))) {
                self.violate(Invariant::I8, format!("{name} is live and has an end that is not"));
            }
            let register = expected.get(&head.relation).map(|register| Register {
                versions: register.versions.last().copied().into_iter().collect(),
                ..register.clone()
            });
            self.register(&name, register.as_ref(), head.version, head.state.as_ref(), Invariant::I8);
        }
        for (key, _) in
            expected.iter().filter(|(key, register)| register.state.is_some() && !seen.contains(key))
        {
            self.violate(Invariant::I4, format!("relation {}: {key} is missing", key.space));
        }
    }

    /// One register against its expectation. `resurrected`: what it breaks when a dead one lives.
    fn register<T: PartialEq + std::fmt::Debug>(
        &mut self,
        name: &str,
        expected: Option<&Register<T>>,
        version: Version,
        state: Option<&T>,
        resurrected: Invariant,
    ) {
        let Some(expected) = expected else {
            if state.is_some() {
                self.violate(Invariant::I4, format!("{name} is there at {version} and should not be"));
            }
            return;
        };
        let undone = expected.is_undone();
        if expected.state.as_ref() != state {
            let invariant = match (&expected.state, state) {
                _ if undone => Invariant::I12,
                (None, Some(_)) if resurrected == Invariant::I4 => Invariant::I9,
                (None, Some(_)) => resurrected,
                (Some(_), _) | (None, None) => Invariant::I4,
            };
            let should =
                expected.state.as_ref().map_or("a tombstone".to_owned(), |state| format!("{state:?}"));
            let is = state.map_or("a tombstone".to_owned(), |state| format!("{state:?}"));
            self.violate(invariant, format!("{name} at {version} should be {should}, and is {is}"));
        } else if !expected.versions.contains(&version) {
            let invariant = if undone { Invariant::I12 } else { Invariant::I4 };
            let should: Vec<String> = expected.versions.iter().map(ToString::to_string).collect();
            self.violate(
                invariant,
                format!("{name} stands at {version} and should at {}", should.join(" or ")),
            );
        }
    }

    fn points(&mut self, points: &[Stored]) {
        let mut seen = BTreeSet::new();
        for stored in points {
            seen.insert((stored.space.clone(), stored.id.clone()));
            let name = format!("point of {}/{}", stored.space, stored.id);
            let space = self.fold.spaces.get(&stored.space);
            let mut expected = space.and_then(|space| space.points.get(&stored.id)).cloned();
            let head = space.and_then(|space| space.memories.get(&stored.id));
            if let (Some(point), Some(head)) = (expected.as_mut().filter(|point| point.state.is_none()), head)
            {
                // A recovery of the store writes heads as they are then: a dead point may have been told
                // of a later version, up to the head's own.
                let (first, last) = (point.versions.first().copied(), head.versions.last().copied());
                if first <= Some(stored.version) && Some(stored.version) <= last {
                    point.versions.insert(stored.version);
                }
            }
            let shown = stored.point.as_ref();
            // Compared as the store keeps it: whether a sparse vector was derived is not kept.
            let as_point = |memory: &Arc<Memory>| vector::Point {
                dense: memory.dense.clone(),
                sparse: memory.sparse.clone().map(|sparse| crate::model::Sparse { derived: false, ..sparse }),
                payload: Payload::of(memory),
            };
            if let (Some(Some(memory)), Some(_)) = (expected.as_ref().map(|register| &register.state), shown)
                && memory.hash() != stored.hash
            {
                self.violate(
                    Invariant::I11,
                    format!("{name} is marked with another hash than its image has"),
                );
            }
            let expected = expected.map(|register| Register {
                state: register.state.as_ref().map(as_point),
                versions: register.versions.clone(),
                absent: register.absent,
            });
            self.register(&name, expected.as_ref(), stored.version, shown, Invariant::I4);
        }
        let spaces = self.fold.spaces.iter();
        let live = spaces.flat_map(|(space, fold)| {
            let live = fold.points.iter().filter(|(_, register)| register.state.is_some());
            live.map(|(id, _)| (space.clone(), id.clone()))
        });
        for (space, id) in live.filter(|name| !seen.contains(name)).collect::<Vec<_>>() {
            self.violate(Invariant::I7, format!("point of {space}/{id} is missing, and its head is there"));
        }
    }

    fn graph(&mut self, registers: &[graph::Write]) {
        let relations = self.expected_relations();
        let mut seen_memories = BTreeSet::new();
        let mut seen_relations = BTreeSet::new();
        let mut live = BTreeSet::new();
        for write in registers {
            if let graph::Target::Memory { space, id, after: Some(_), .. } = &write.target {
                live.insert((space.clone(), id.clone()));
            }
        }
        for write in registers {
            match &write.target {
                graph::Target::Memory { space, id, after, .. } => {
                    seen_memories.insert((space.clone(), id.clone()));
                    let expected =
                        self.fold.spaces.get(space).and_then(|fold| fold.memories.get(id)).cloned();
                    let name = format!("node {space}/{id}");
                    self.register(&name, expected.as_ref(), write.version, after.as_ref(), Invariant::I4);
                }
                graph::Target::Relation { relation, after } => {
                    seen_relations.insert(relation.clone());
                    let name = format!("edge {}: {relation}", relation.space);
                    let ends = [&relation.source, &relation.target];
                    let dangling =
                        ends.iter().any(|end| !live.contains(&(relation.space.clone(), (*end).clone())));
                    if after.is_some() && dangling {
                        self.violate(Invariant::I8, format!("{name} is live and has an end that is not"));
                    }
                    self.register(
                        &name,
                        relations.get(relation),
                        write.version,
                        after.as_ref(),
                        Invariant::I8,
                    );
                }
            }
        }
        for (space, id) in self.expected_memories() {
            if !seen_memories.contains(&(space.clone(), id.clone())) {
                self.violate(Invariant::I7, format!("node {space}/{id} is missing, and its head is there"));
            }
        }
        for (key, _) in relations.iter().filter(|(_, register)| register.state.is_some()) {
            if !seen_relations.contains(key) {
                self.violate(
                    Invariant::I7,
                    format!("edge {}: {key} is missing, and its head is there", key.space),
                );
            }
        }
    }
}
