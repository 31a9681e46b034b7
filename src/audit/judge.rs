//! The bench that every pass brings its suspects to: who is judged, who is in flight, what is written down.
//!
//! Stores are read while commands run, so a first look can be wrong without anything being wrong. A
//! suspect becomes a finding only when, after the look,
//!
//! ```text
//! 1. no unfinished saga holds its record, then
//! 2. the head still has the version that was seen, then
//! 3. the store still has the version that was seen.
//! ```
//!
//! Versions only rise, so both were then so at one instant, and no saga was between them. Whatever
//! moved meanwhile is counted as in flight.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use parking_lot::Mutex;

use super::{
    Options, Ports,
    in_flight::InFlight,
    report::{Finding, Stop, Tally},
};
use crate::{
    graph,
    invariant::Invariant,
    ledger::RelationHead,
    model::{Key, MemoryId, Phase, Space, Version, conflict::memory_key, space::Layout},
    tasks::Tasks,
};

/// One pass over the stores.
pub(super) struct Judge {
    pub(super) ports: Ports,
    pub(super) options: Options,
    pub(super) tasks: Tasks,
    /// Judge these records alone: those that an earlier pass could not.
    only: Option<HashSet<Key>>,
    in_flight: InFlight,
    /// Forward versions of sagas that were undone: visible nowhere.
    undone: HashSet<(Space, Version)>,
    book: Mutex<Book>,
}

/// What has been written down so far.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) invariants: BTreeMap<Invariant, Tally>,
    pub(super) read: BTreeMap<&'static str, u64>,
    pub(super) findings: Vec<Finding>,
    pub(super) findings_left_off: u64,
    pub(super) not_judged: HashSet<Key>,
}

/// What looks wrong, and what was seen when it did.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) key: Key,
    pub(super) space: Space,
    pub(super) finding: Finding,
    pub(super) seen: Seen,
}

/// The versions that a judgement rests on; `None`: there was none.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) heads: Vec<(Space, MemoryId, Option<Version>)>,
    pub(super) relation: Option<(Key, Option<Version>)>,
    pub(super) point: Option<(Space, MemoryId, Option<Version>)>,
    pub(super) register: Option<(graph::Register, Option<Version>)>,
}

impl Judge {
    pub(super) fn new(
        ports: Ports,
        options: Options,
        only: Option<HashSet<Key>>,
        in_flight: InFlight,
        undone: HashSet<(Space, Version)>,
    ) -> Self {
        Self { ports, options, tasks: Tasks::new(), only, in_flight, undone, book: Mutex::default() }
    }

    /// Whether this record is to be judged now.
    pub(super) fn admits(&self, space: &Space, key: Key) -> bool {
        if self.options.space.as_ref().is_some_and(|wanted| wanted != space)
            || self.only.as_ref().is_some_and(|only| !only.contains(&key))
        {
            return false;
        }
        if self.in_flight.holds(space, &key) {
            self.book.lock().not_judged.insert(key);
            return false;
        }
        true
    }

    /// Whether a relation can be judged by this end of it: nobody is about to change that.
    pub(super) fn admits_end(&self, space: &Space, key: Key) -> bool {
        !self.in_flight.holds(space, &key)
    }

    /// Whether `version` was undone in `space`. Known in a deep audit alone.
    pub(super) fn is_undone(&self, space: &Space, version: Version) -> bool {
        !self.undone.is_empty() && self.undone.contains(&(space.clone(), version))
    }

    /// Counts what was read.
    pub(super) fn count_read(&self, what: &'static str, count: usize) {
        *self.book.lock().read.entry(what).or_default() += count as u64;
    }

    /// Counts what was judged by `invariant`.
    pub(super) fn count_checked(&self, invariant: Invariant, count: u64) {
        if count > 0 {
            self.book.lock().invariants.entry(invariant).or_default().checked += count;
        }
    }

    /// Writes a finding down.
    pub(super) fn convict(&self, finding: Finding) {
        let mut book = self.book.lock();
        book.invariants.entry(finding.invariant).or_default().violated += 1;
        if book.findings.len() < self.options.findings_max {
            book.findings.push(finding);
        } else {
            book.findings_left_off += 1;
        }
    }

    /// The book, when every pass has ended.
    pub(super) fn close(&self) -> Book {
        std::mem::take(&mut *self.book.lock())
    }

    /// Looks at suspects again, in the order that the module documents, and convicts those that stand.
    pub(super) async fn confirm(&self, suspects: Vec<Suspect>) -> Result<(), Stop> {
        if suspects.is_empty() {
            return Ok(());
        }
        let spaces: BTreeSet<&Space> = suspects.iter().map(|suspect| &suspect.space).collect();
        let in_flight = InFlight::load(&*self.ports.ledger, spaces).await?;
        let heads = self.head_versions(&suspects).await?;
        let mut moved = Vec::with_capacity(suspects.len());
        for Suspect { key, space, seen, .. } in &suspects {
            let head_moved = seen
                .heads
                .iter()
                .any(|(space, id, version)| heads.get(&memory_key(space, id)).copied() != *version);
            let relation_moved = match &seen.relation {
                Some((key, version)) => self.relation(*key).await?.map(|head| head.version) != *version,
                None => false,
            };
            moved.push(in_flight.holds(space, key) || head_moved || relation_moved);
        }
        self.mark_moved_points(&suspects, &mut moved).await?;
        self.mark_moved_registers(&suspects, &mut moved).await?;
        for (suspect, moved) in suspects.into_iter().zip(moved) {
            if moved {
                self.book.lock().not_judged.insert(suspect.key);
            } else {
                self.convict(suspect.finding);
            }
        }
        Ok(())
    }

    async fn head_versions(&self, suspects: &[Suspect]) -> Result<HashMap<Key, Version>, Stop> {
        let asked: BTreeSet<(Space, MemoryId)> = suspects
            .iter()
            .flat_map(|suspect| &suspect.seen.heads)
            .map(|(space, id, _)| (space.clone(), id.clone()))
            .collect();
        let asked: Vec<_> = asked.into_iter().collect();
        let heads = self.ports.ledger.heads(&asked).await?;
        Ok(heads.iter().map(|head| (memory_key(&head.space, &head.id), head.version)).collect())
    }

    async fn mark_moved_points(&self, suspects: &[Suspect], moved: &mut [bool]) -> Result<(), Stop> {
        let layouts = Layouts::default();
        let (mut asked, mut places) = (Vec::new(), Vec::new());
        for (place, suspect) in suspects.iter().enumerate() {
            if let Some((space, id, version)) = &suspect.seen.point {
                asked.push((space.clone(), id.clone(), layouts.of(self, space).await?));
                places.push((place, *version));
            }
        }
        if asked.is_empty() {
            return Ok(());
        }
        let markers = self.ports.vector.markers(&asked).await?;
        for ((place, seen), marker) in places.into_iter().zip(markers) {
            if let Some(moved) = moved.get_mut(place) {
                *moved |= marker.map(|(version, _)| version) != seen;
            }
        }
        Ok(())
    }

    async fn mark_moved_registers(&self, suspects: &[Suspect], moved: &mut [bool]) -> Result<(), Stop> {
        let Some(graph) = &self.ports.graph else { return Ok(()) };
        let seen: Vec<_> = suspects
            .iter()
            .enumerate()
            .filter_map(|(place, suspect)| suspect.seen.register.as_ref().map(|seen| (place, seen)))
            .collect();
        if seen.is_empty() {
            return Ok(());
        }
        let asked: Vec<_> = seen.iter().map(|(_, (register, _))| register.clone()).collect();
        let markers = graph.markers(&asked).await?;
        for ((place, (_, version)), marker) in seen.into_iter().zip(markers) {
            if let Some(moved) = moved.get_mut(place) {
                *moved |= marker.map(|(version, _)| version) != *version;
            }
        }
        Ok(())
    }

    /// The relation head with this key.
    pub(super) async fn relation(&self, key: Key) -> Result<Option<RelationHead>, Stop> {
        let heads = self.ports.ledger.scan_relations(before(key), 1).await?;
        Ok(heads.into_iter().next().filter(|head| head.relation.key() == key))
    }
}

/// The key below `key`: where a scan must start to find `key` first.
fn before(key: Key) -> Option<Key> {
    u128::from_be_bytes(key.0).checked_sub(1).map(|below| Key(below.to_be_bytes()))
}

/// Whether a head at `head` may have left a store at `stored`: an undo is not sent to a store that
/// had not been sent the saga, and what it holds there is the image that the undo restores.
pub(super) fn undo_left_it(head: Version, stored: Version) -> bool {
    let undo = matches!(head.phase(), Phase::Undo | Phase::RecoveredUndo);
    let forward = Version { epoch: head.epoch, sequence: head.offset() * 4 };
    undo && stored < forward
}

/// How spaces keep their vectors, each asked for once.
#[derive(Debug, Default)]
pub(super) struct Layouts(Mutex<HashMap<Space, Layout>>);

impl Layouts {
    pub(super) async fn of(&self, judge: &Judge, space: &Space) -> Result<Layout, Stop> {
        let known = self.0.lock().get(space).copied();
        if let Some(layout) = known {
            return Ok(layout);
        }
        let declaration = judge.ports.ledger.declaration(space).await?;
        let layout = declaration.map(|declaration| declaration.layout()).unwrap_or_default();
        self.0.lock().insert(space.clone(), layout);
        Ok(layout)
    }
}
