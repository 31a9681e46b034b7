//! What an audit says: counts per invariant, findings, and one verdict.
//!
//! A finding names the record, the store, what was expected and what was found, by versions, hashes
//! and field names: never by the text of a memory or the numbers of a vector.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    graph,
    invariant::Invariant,
    ledger,
    model::{MemoryId, RelationKey, Space, outcome::RelationName},
    vector,
};

/// Which store a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// Heads, relations, images and saga rows.
    Ledger,
    /// The points.
    Vector,
    /// The nodes and edges of a projected graph.
    Graph,
    /// The command log.
    Log,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ledger => "ledger",
            Self::Vector => "vector",
            Self::Graph => "graph",
            Self::Log => "log",
        })
    }
}

/// Which record a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A memory.
    Memory {
        /// Its space.
        space: Space,
        /// Its id.
        id: MemoryId,
    },
    /// A relation.
    Relation {
        /// Its space.
        space: Space,
        /// Its ends, type and discriminator.
        name: RelationName,
    },
    /// A saga, by its position `epoch.partition.offset`.
    Saga(String),
    /// A partition, as `epoch.partition`.
    Partition(String),
    /// Something that could not even be read as a record.
    Unreadable,
}

impl Record {
    pub(super) fn memory(space: &Space, id: &MemoryId) -> Self {
        Self::Memory { space: space.clone(), id: id.clone() }
    }

    pub(super) fn relation(relation: &RelationKey) -> Self {
        Self::Relation { space: relation.space.clone(), name: RelationName::from(relation) }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { space, id } => write!(f, "memory {space}/{id}"),
            Self::Relation { space, name } => {
                write!(f, "relation {space}/{} -{}-> {}", name.source, name.kind, name.target)?;
                if name.discriminator.is_empty() { Ok(()) } else { write!(f, " ({})", name.discriminator) }
            }
            Self::Saga(position) => write!(f, "saga {position}"),
            Self::Partition(partition) => write!(f, "partition {partition}"),
            Self::Unreadable => f.write_str("unreadable record"),
        }
    }
}

/// What puts a finding right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mend {
    /// The head is right and the store is not: write the head to the store again.
    ReapplyHead,
    /// The store holds what no head knows: write a tombstone over it.
    RemoveFromStore,
    /// The ledger itself is not what was written: only a backup, or a new put by its owner, knows better.
    RestoreLedger,
    /// A mistake of the coordinator: keep the ledger and the log, and report it.
    Report,
}

impl Mend {
    /// The remedy as one sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::ReapplyHead => "repair it (`engraft audit --repair`), or put the memory again",
            Self::RemoveFromStore => "repair it (`engraft audit --repair`), or put the memory and delete it",
            Self::RestoreLedger => "put the record again, or restore the ledger from a backup",
            Self::Report => "keep the ledger and the log as they are, and report it",
        }
    }
}

/// One thing that is not as promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which promise is broken.
    pub invariant: Invariant,
    /// Which record.
    pub record: Record,
    /// Where.
    pub store: Store,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// What puts it right.
    pub mend: Mend,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, record, store, expected, found, mend } = self;
        write!(f, "{invariant} {record} in {store}: expected {expected}, found {found}; {}", mend.sentence())
    }
}

/// How often a promise was checked, and how often it was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Records or rows that were judged by it.
    pub checked: u64,
    /// Those that broke it.
    pub violated: u64,
}

/// A store that did not answer, or not to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreachable {
    /// Which store.
    pub store: Store,
    /// Why, as the store says.
    pub reason: String,
}

/// What an audit came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything that was judged is as promised.
    Clean,
    /// Something is not.
    Violation,
    /// A store could not be read to the end, and what was read is as promised.
    CouldNotTell,
}

/// What an audit says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// In one word.
    pub verdict: Verdict,
    /// Per invariant that was looked at.
    pub invariants: BTreeMap<Invariant, Tally>,
    /// How much was read: `heads`, `relations`, `points`, `nodes`, `edges`, `sagas`.
    pub read: BTreeMap<&'static str, u64>,
    /// The first findings, as many as the options allow.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub findings_left_off: u64,
    /// Records that unfinished sagas touch, or that moved while they were read: not judged.
    pub in_flight: u64,
    /// Stores that did not answer.
    pub unreachable: Vec<Unreachable>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

impl Report {
    /// The exit code that this report stands for: 0 clean, 3 violation, 5 could not tell.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.verdict {
            Verdict::Clean => 0,
            Verdict::Violation => 3,
            Verdict::CouldNotTell => 5,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (invariant, tally) in &self.invariants {
            let mark = if tally.violated == 0 { "ok" } else { "VIOLATED" };
            let Tally { checked, violated } = tally;
            writeln!(f, "{invariant:<4} {mark:<8} {violated:>7} of {checked:<10} {}", invariant.sentence())?;
        }
        for finding in &self.findings {
            writeln!(f, "- {finding}")?;
        }
        if self.findings_left_off > 0 {
            writeln!(f, "- and {} more", self.findings_left_off)?;
        }
        for Unreachable { store, reason } in &self.unreachable {
            writeln!(f, "! {store} could not be read: {reason}")?;
        }
        if self.in_flight > 0 {
            writeln!(f, "{} records in flight, not judged", self.in_flight)?;
        }
        let read: Vec<String> = self.read.iter().map(|(what, count)| format!("{count} {what}")).collect();
        let verdict = match self.verdict {
            Verdict::Clean => "clean",
            Verdict::Violation => "violation",
            Verdict::CouldNotTell => "could not tell",
        };
        write!(f, "{verdict}: read {} in {} ms", read.join(", "), self.elapsed_ms)
    }
}

/// Why a part of the audit ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// A store did not answer.
    Unreachable(Unreachable),
    /// The ledger answered with what cannot be read.
    Corrupt(String),
}

impl From<ledger::Error> for Stop {
    fn from(error: ledger::Error) -> Self {
        match error {
            ledger::Error::Corrupt(reason) => Self::Corrupt(reason),
            other => Self::Unreachable(Unreachable { store: Store::Ledger, reason: other.to_string() }),
        }
    }
}

impl From<vector::Error> for Stop {
    fn from(error: vector::Error) -> Self {
        Self::Unreachable(Unreachable { store: Store::Vector, reason: error.to_string() })
    }
}

impl From<graph::Error> for Stop {
    fn from(error: graph::Error) -> Self {
        Self::Unreachable(Unreachable { store: Store::Graph, reason: error.to_string() })
    }
}

impl From<crate::log::ReadError> for Stop {
    fn from(error: crate::log::ReadError) -> Self {
        Self::Unreachable(Unreachable { store: Store::Log, reason: error.to_string() })
    }
}
