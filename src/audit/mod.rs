//! The audit: is what the stores hold what the heads say, record by record, both ways?
//!
//! ```text
//!              ┌─ rows ──────▶ unfinished, ended, watermark: against each other (and the log)
//!   ledger ────┼─ heads ─────▶ image against its hash; its point against it, or needed and not there
//!              └─ relations ─▶ content against its hash, ends
//!   vector ────── ids ───────▶ points that no head has led to
//!   graph ─────── registers ─▶ node, edge against its head (where it is a projection), and what is not there
//! ```
//!
//! Everything is recomputed from what a store gives back; a marker is compared, never believed.
//! Stores are streamed in chunks; what stays in memory is 16 bytes a record and side. Records that an
//! unfinished saga touches are counted and not judged ([`judge`]): neither clean nor a violation.
//!
//! It only reads; [`repair`] is asked for by itself. It compares stores with heads; whether the heads are what the commands add up to
//! is asked from outside, by [`history`].

mod compare;
mod graph;
mod heads;
pub mod history;
mod in_flight;
mod judge;
mod points;
pub mod repair;
pub mod report;
mod rows;
mod stored;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    graph::Project as GraphProject,
    ledger::Ledger,
    log::CommandLog,
    model::{Key, Space, Version},
    tasks::Tasks,
    vector,
};

use in_flight::InFlight;
use judge::{Book, Judge};
use report::{Finding, Mend, Record, Stop, Store, Unreachable};

pub use report::{Report, Verdict};

/// How many records are read at a time: enough that a statement's own cost vanishes, and some tens
/// of megabytes with vectors of a few thousand components.
const CHUNK: usize = 1_000;
/// How long to wait between two looks at what is in flight.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is audited.
#[derive(Clone)]
pub struct Ports {
    /// The heads: what everything else is compared with.
    pub ledger: Arc<dyn Ledger>,
    /// The vector store, to read its points.
    pub points: Arc<dyn vector::Read>,
    /// The same store, to ask for the versions of single points.
    pub vector: Arc<dyn vector::Project>,
    /// The graph store, where it is a projection.
    pub graph: Option<Arc<dyn GraphProject>>,
    /// The command log: a deep audit asks it for records that have no row.
    pub log: Option<Arc<dyn CommandLog>>,
}

/// How an audit goes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Judge this space alone; the others are still read past. Default: all.
    pub space: Option<Space>,
    /// Also read every ended saga, and what of the log has no row. Default: no.
    pub deep: bool,
    /// Look again at records in flight until they have come to rest, this long at most. Default: zero, once.
    pub wait: Duration,
    /// Most findings that are listed; the rest is counted. Default: 100.
    pub findings_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { space: None, deep: false, wait: Duration::ZERO, findings_max: 100 }
    }
}

/// Audits.
///
/// Cancel-safe: it only reads, and what it started ends by itself soon after.
pub async fn run(ports: &Ports, options: &Options) -> Report {
    let begun = Instant::now();
    let mut book = Book::default();
    let mut unreachable = Vec::new();
    let mut only = None;
    loop {
        let (pass, stops) = one_pass(ports, options, only.take()).await;
        let unjudged = pass.not_judged.clone();
        merge(&mut book, pass, options.findings_max);
        for stop in stops {
            note(stop, &mut book, &mut unreachable);
        }
        let rested = unreachable.is_empty()
            && !unjudged.is_empty()
            && at_rest(ports, options, &unjudged, begun + options.wait).await;
        if !rested {
            break;
        }
        only = Some(unjudged);
    }
    let violated = book.invariants.values().any(|tally| tally.violated > 0);
    let verdict = match (violated, unreachable.is_empty()) {
        (true, _) => Verdict::Violation,
        (false, false) => Verdict::CouldNotTell,
        (false, true) => Verdict::Clean,
    };
    Report {
        verdict,
        invariants: book.invariants,
        read: book.read,
        findings: book.findings,
        findings_left_off: book.findings_left_off,
        in_flight: book.not_judged.len() as u64,
        unreachable,
        elapsed_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// Waits until none of these records is in flight; `false`: time is up.
async fn at_rest(ports: &Ports, options: &Options, records: &HashSet<Key>, until: Instant) -> bool {
    while Instant::now() + LOOK_AGAIN < until {
        tokio::time::sleep(LOOK_AGAIN).await;
        let Ok(in_flight) = in_flight(ports, options).await else { return false };
        if !in_flight.holds_any(records) {
            return true;
        }
    }
    false
}

async fn in_flight(ports: &Ports, options: &Options) -> Result<InFlight, Stop> {
    let spaces = match &options.space {
        Some(space) => vec![space.clone()],
        None => ports.ledger.spaces().await?,
    };
    Ok(InFlight::load(&*ports.ledger, &spaces).await?)
}

/// Adds a pass to what earlier ones found. What is in flight is what it still is after this one.
fn merge(book: &mut Book, pass: Book, findings_max: usize) {
    for (invariant, tally) in pass.invariants {
        let sum = book.invariants.entry(invariant).or_default();
        sum.checked += tally.checked;
        sum.violated += tally.violated;
    }
    for (what, count) in pass.read {
        *book.read.entry(what).or_default() += count;
    }
    let room = findings_max.saturating_sub(book.findings.len());
    book.findings_left_off += pass.findings_left_off + pass.findings.len().saturating_sub(room) as u64;
    book.findings.extend(pass.findings.into_iter().take(room));
    book.not_judged = pass.not_judged;
}

/// Writes down why a pass ended early. A ledger that cannot be read as what it should be is a
/// finding; a store that does not answer leaves the question open.
fn note(stop: Stop, book: &mut Book, unreachable: &mut Vec<Unreachable>) {
    match stop {
        Stop::Unreachable(store) if !unreachable.contains(&store) => unreachable.push(store),
        Stop::Unreachable(_) => {}
        Stop::Corrupt(found) => {
            let invariant = crate::invariant::Invariant::I4;
            book.invariants.entry(invariant).or_default().violated += 1;
            book.findings.push(Finding {
                invariant,
                record: Record::Unreadable,
                store: Store::Ledger,
                expected: "a row that can be read".to_owned(),
                found,
                mend: Mend::RestoreLedger,
            });
        }
    }
}

/// Reads everything once; `only`: judges these records alone.
async fn one_pass(ports: &Ports, options: &Options, only: Option<HashSet<Key>>) -> (Book, Vec<Stop>) {
    let first = only.is_none();
    let in_flight = match in_flight(ports, options).await {
        Ok(in_flight) => in_flight,
        Err(stop) => return (Book::default(), vec![stop]),
    };
    let (mut book, mut undone, mut stops) = (Book::default(), HashSet::new(), Vec::new());
    if first {
        let judge = Judge::new(ports.clone(), options.clone(), None, InFlight::default(), HashSet::new());
        match rows::pass(&judge).await {
            Ok(versions) => undone = versions,
            Err(stop) => stops.push(stop),
        }
        book = judge.close();
    }
    let (pass, more) = compare_all(ports, options, only, in_flight, undone).await;
    stops.extend(more);
    merge(&mut book, pass, options.findings_max);
    (book, stops)
}

/// The passes over records: heads with their points, and relations, side by side; then what no head led to.
async fn compare_all(
    ports: &Ports,
    options: &Options,
    only: Option<HashSet<Key>>,
    in_flight: InFlight,
    undone: HashSet<(Space, Version)>,
) -> (Book, Vec<Stop>) {
    let judge = Arc::new(Judge::new(ports.clone(), options.clone(), only, in_flight, undone));
    let _stop_on_drop = StopOnDrop(judge.tasks.clone());
    let [of_heads, of_relations] = [(); 2].map(|()| Arc::clone(&judge));
    let heads = judge.tasks.spawn(async move { heads::pass(&of_heads).await });
    let relations = judge.tasks.spawn(async move { heads::relations(&of_relations).await });
    let mut stops = Vec::new();
    let heads = kept(heads.await.expect(NOT_ABORTED), &mut stops);
    let edges = kept(relations.await.expect(NOT_ABORTED), &mut stops);
    if let Some(heads::Passed { mut points, nodes, stop }) = heads {
        points.sort_unstable();
        match stop {
            Some(stop) => stops.push(stop),
            None => stops.extend(points::strays(&judge, &points).await.err()),
        }
        if let (Some(graph), Some(edges)) = (&ports.graph, edges) {
            stops.extend(graph::pass(&judge, &**graph, nodes, edges).await.err());
        }
    }
    (judge.close(), stops)
}

/// Why a pass can be waited for.
const NOT_ABORTED: &str = "nobody aborts a pass, and a panic in one is a panic of the audit";

/// What a pass answered; why it ended early goes to `stops`.
fn kept<T>(answer: Result<T, Stop>, stops: &mut Vec<Stop>) -> Option<T> {
    answer.map_err(|stop| stops.push(stop)).ok()
}

/// Tells the passes to end when the audit that started them is dropped.
struct StopOnDrop(Tasks);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
