//! The crash boundaries: every instant at which a process can die between two effects that others see.
//!
//! The simulated ports pass a boundary whenever a node does; there it can be killed, paused until
//! others have taken over, have its call done twice, or its answer lost. Random runs strike by
//! chance and count; the crash matrix strikes each by plan.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

macro_rules! boundaries {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// One crash boundary, in the order in which a command passes them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Boundary {
            $($(#[doc = $doc])* $name,)*
        }

        impl Boundary {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name that reports use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

boundaries! {
    /// The log has the record; nobody has read it.
    Appended = "appended",
    /// A node has read it.
    Fetched = "fetched",
    /// The transaction that inboxes it is on its way to commit.
    BeginSent = "begin sent",
    /// Its row is in the ledger, Pending.
    Pending = "pending",
    /// Its row is in the ledger, Running.
    Running = "running",
    /// The vector store is about to be told.
    VectorSent = "vector sent",
    /// The vector store has answered.
    VectorAcknowledged = "vector acked",
    /// The graph store is about to be told.
    GraphSent = "graph sent",
    /// The graph store has answered.
    GraphAcknowledged = "graph acked",
    /// The transaction that ends it is on its way to commit.
    FinishSent = "finish sent",
    /// It has ended; nobody has been told.
    Unpublished = "committed unpublished",
    /// Its outcome is published; the ledger does not know.
    Unmarked = "published unmarked",
    /// The transaction that turns it back is on its way to commit.
    DecideSent = "decide-to-compensate sent",
    /// It is turning back; nothing is undone.
    Compensating = "compensating",
    /// The vector store is about to be told to undo.
    VectorUndoSent = "vector undo sent",
    /// The graph store is about to be told to undo.
    GraphUndoSent = "graph undo sent",
    /// The transaction that ends the undone is on its way to commit.
    UndoFinishSent = "undo finish sent",
}

/// What befalls a node at a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It dies; another takes over.
    Kill,
    /// It stands still until another has taken over, and goes on as a zombie.
    Zombie,
    /// The call is done twice.
    Repeat,
    /// The call is done, and its answer lost.
    Unknown,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kill, Self::Zombie, Self::Repeat, Self::Unknown];

    /// Whether it means anything there. A transaction commits once, whoever asks again, and a record
    /// is handed out once by a reader: neither can be repeated.
    #[must_use]
    pub const fn applies(self, boundary: Boundary) -> bool {
        use Boundary::{
            BeginSent, Compensating, DecideSent, Fetched, FinishSent, Pending, Running, UndoFinishSent,
            Unpublished,
        };
        let once = matches!(
            boundary,
            Fetched
                | BeginSent
                | Pending
                | Running
                | FinishSent
                | Unpublished
                | DecideSent
                | Compensating
                | UndoFinishSent
        );
        !(once && matches!(self, Self::Repeat))
    }

    /// The name that reports use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Zombie => "zombie",
            Self::Repeat => "repeat",
            Self::Unknown => "unknown reply",
        }
    }
}

/// One planned strike: at the `pass`-th pass of `boundary`, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// Where.
    pub boundary: Boundary,
    /// What.
    pub action: Action,
    /// At which pass.
    pub pass: u64,
}

/// How often each boundary was passed, and struck.
#[derive(Debug)]
pub(super) struct Boundaries {
    passes: Vec<AtomicU64>,
    strikes: Vec<AtomicU64>,
    plan: Mutex<Option<Strike>>,
}

impl Boundaries {
    /// Nothing passed yet; `plan` is struck once.
    pub(super) fn new(plan: Option<Strike>) -> Self {
        let zeros = || Boundary::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self { passes: zeros(), strikes: zeros(), plan: Mutex::new(plan) }
    }

    /// A node passes `boundary`: what the plan says of it.
    pub(super) fn pass(&self, boundary: Boundary) -> Option<Action> {
        let pass = self.passes.get(boundary as usize)?.fetch_add(1, Ordering::Relaxed) + 1;
        let mut plan = self.plan.lock();
        let planned = plan.filter(|strike| strike.boundary == boundary && strike.pass == pass)?;
        *plan = None;
        self.struck(boundary);
        Some(planned.action)
    }

    /// Counts a strike.
    pub(super) fn struck(&self, boundary: Boundary) {
        if let Some(strikes) = self.strikes.get(boundary as usize) {
            strikes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Passes and strikes, in the order of [`Boundary::ALL`].
    pub(super) fn counts(&self) -> Vec<(u64, u64)> {
        let load = |counts: &[AtomicU64]| -> Vec<u64> {
            counts.iter().map(|count| count.load(Ordering::Relaxed)).collect()
        };
        load(&self.passes).into_iter().zip(load(&self.strikes)).collect()
    }
}
