//! What can go wrong, how often in this run, and how often it did.
//!
//! Every kind has a random stream of its own, so that one more draw of one kind does not shift the
//! others. Each seed draws which kinds are on and at what rate ("swarm"): a run with everything on
//! hides what a run with one thing on finds. A kind that never fires looks exactly like a pass, so
//! every kind counts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::random::Random;

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal / $rate:literal,)*) => {
        /// Everything that the simulator does to the coordinator.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[doc = $doc])* $name,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name that reports use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The highest rate that a seed draws, per opportunity.
            const fn rate_max(self) -> f64 {
                match self { $(Self::$name => $rate,)* }
            }
        }
    };
}

faults! {
    /// A write to the vector store never arrives; the caller is told that it may have.
    VectorLostRequest = "vector-lost-request" / 0.15,
    /// A write to the vector store is refused for now, and surely not done.
    VectorTransient = "vector-transient" / 0.15,
    /// A write to the vector store is done, and its answer lost.
    VectorLostReply = "vector-lost-reply" / 0.2,
    /// A write to the vector store is done long after the caller gave it up.
    VectorLate = "vector-late" / 0.15,
    /// A write to the vector store is done, and done again later.
    VectorDouble = "vector-double" / 0.15,
    /// A part of a bulk write to the vector store is done.
    VectorPartial = "vector-partial" / 0.2,
    /// The vector store is away for a while.
    VectorOutage = "vector-outage" / 0.01,
    /// The vector store refuses an item for good, by chance.
    VectorRefusal = "vector-refusal" / 0.05,
    /// The vector store refuses an item for good, by its content.
    VectorRefusalByContent = "vector-refusal-by-content" / 1.0,
    /// The embedded vector store loses what no checkpoint covers, with its process.
    VectorTailLost = "vector-tail-lost" / 1.0,
    /// A write to the graph store never arrives; the caller is told that it may have.
    GraphLostRequest = "graph-lost-request" / 0.15,
    /// A write to the graph store is refused for now, and surely not done.
    GraphTransient = "graph-transient" / 0.15,
    /// A write to the graph store is done, and its answer lost.
    GraphLostReply = "graph-lost-reply" / 0.2,
    /// A write to the graph store is done long after the caller gave it up.
    GraphLate = "graph-late" / 0.15,
    /// A write to the graph store is done, and done again later.
    GraphDouble = "graph-double" / 0.15,
    /// A part of a bulk write to the graph store is done.
    GraphPartial = "graph-partial" / 0.2,
    /// The graph store is away for a while.
    GraphOutage = "graph-outage" / 0.01,
    /// The graph store refuses an item for good, by chance.
    GraphRefusal = "graph-refusal" / 0.05,
    /// The graph store refuses an item for good, by its content.
    GraphRefusalByContent = "graph-refusal-by-content" / 1.0,
    /// A store's read gets no answer.
    StoreReadLost = "store-read-lost" / 0.1,
    /// A call to the ledger gets no answer, and did nothing.
    LedgerLostRequest = "ledger-lost-request" / 0.05,
    /// The ledger is away for a while.
    LedgerOutage = "ledger-outage" / 0.005,
    /// A transaction is broken off: two of them met.
    LedgerSerialization = "ledger-serialization" / 0.03,
    /// A COMMIT never arrives; the caller cannot know.
    LedgerLostCommit = "ledger-lost-commit" / 0.06,
    /// A COMMIT is done, and its answer lost.
    LedgerLostCommitReply = "ledger-lost-commit-reply" / 0.08,
    /// A COMMIT is done long after the caller gave it up.
    LedgerLateCommit = "ledger-late-commit" / 0.05,
    /// The pool hands out a connection that is inside an open transaction.
    LedgerLeakyConnection = "ledger-leaky-connection" / 0.02,
    /// The moves and the watermark of a committed transaction arrive once more, in one of their own.
    LedgerAgain = "ledger-again" / 0.1,
    /// The lease is taken, and the answer lost.
    LeaseLostReply = "lease-lost-reply" / 0.1,
    /// The lease is asked for, and asked for again later in the same name.
    LeaseDouble = "lease-double" / 0.15,
    /// An append never arrives; the producer cannot know.
    AppendLostRequest = "append-lost-request" / 0.1,
    /// An append is done, and its answer lost.
    AppendLostReply = "append-lost-reply" / 0.15,
    /// An append is done long after the producer gave it up.
    AppendLate = "append-late" / 0.1,
    /// An append is done twice.
    AppendDouble = "append-double" / 0.1,
    /// Offsets leave a gap.
    OffsetGap = "offset-gap" / 0.1,
    /// A read of the log fails.
    LogReadLost = "log-read-lost" / 0.05,
    /// The group moves partitions between living nodes.
    Rebalance = "rebalance" / 0.05,
    /// A revocation arrives after the partition has gone to another node.
    LateRevocation = "late-revocation" / 0.5,
    /// Outcomes are not published; the relay is told so.
    PublishLostRequest = "publish-lost-request" / 0.1,
    /// Outcomes are published, in part or whole, and the answer lost.
    PublishLostReply = "publish-lost-reply" / 0.1,
    /// Dead letters are sent, and the answer lost.
    LetterLostReply = "letter-lost-reply" / 0.2,
    /// A node is killed.
    Kill = "kill" / 0.012,
    /// A node is killed at a crash boundary.
    KillAtBoundary = "kill-at-boundary" / 0.012,
    /// A node is paused until others have taken over, and goes on as a zombie.
    Pause = "pause" / 0.015,
    /// A node is paused at a crash boundary.
    PauseAtBoundary = "pause-at-boundary" / 0.012,
    /// The wall clock jumps.
    ClockJump = "clock-jump" / 0.05,
    /// The log is made anew, its offsets start at 0, and another epoch is opened over it.
    NewEpoch = "new-epoch" / 1.0,
    /// The group loses a node that lives: it may give the node's partitions to others, and may name it again.
    GroupLost = "group-lost" / 0.01,
    /// Somebody else takes a lease, in the middle of whatever its owner does, and does nothing with it.
    LeaseMoved = "lease-moved" / 0.004,
    /// An append is refused for now and never done; the producer is told so.
    AppendRefused = "append-refused" / 0.1,
    /// A breaker opens. Not drawn, like the rest of these: it follows from other faults.
    BreakerOpened = "breaker-opened" / 1.0,
    /// An open breaker lets a probe through.
    BreakerHalfOpen = "breaker-half-open" / 1.0,
    /// A call finds no place before a store.
    PlacesFull = "places-full" / 1.0,
    /// A call is given up at its deadline.
    DeadlinePassed = "deadline-passed" / 1.0,
    /// The ledger is restored from an older copy.
    LedgerRestored = "ledger-restored" / 1.0,
    /// The log has lost its last records.
    LogCutShort = "log-cut-short" / 1.0,
    /// The log has lost its last records, and holds others in their place.
    LogRewritten = "log-rewritten" / 1.0,
    /// Retention has dropped records that nobody has read.
    LogOverrun = "log-overrun" / 1.0,
}

impl Fault {
    fn index(self) -> usize {
        self as usize
    }
}

/// The faults of one run.
#[derive(Debug)]
pub(super) struct Faults {
    active: AtomicBool,
    streams: Vec<Random>,
    rates: Vec<f64>,
    fired: Vec<AtomicU64>,
}

/// How often each kind fired; in the order of [`Fault::ALL`].
pub type Counts = Vec<u64>;

impl Faults {
    /// Draws the kinds and rates of a run.
    pub(super) fn draw(seed: u64, swarm: &Random) -> Self {
        // One run in ten has no fault at all: what fails there needs none.
        let quiet = swarm.chance(0.1);
        let rates = Fault::ALL
            .iter()
            .map(|fault| {
                let (on, share) = (swarm.chance(0.6), swarm.unit());
                if on && !quiet { fault.rate_max() * share } else { 0.0 }
            })
            .collect();
        Self::with_rates(seed, rates)
    }

    /// These never happen in this run.
    pub(super) fn without(mut self, faults: &[Fault]) -> Self {
        for fault in faults {
            if let Some(rate) = self.rates.get_mut(fault.index()) {
                *rate = 0.0;
            }
        }
        self
    }

    /// No faults.
    pub(super) fn none(seed: u64) -> Self {
        Self::with_rates(seed, vec![0.0; Fault::ALL.len()])
    }

    fn with_rates(seed: u64, rates: Vec<f64>) -> Self {
        // Streams below 1,000 belong to others of the same seed.
        let streams = (0..Fault::ALL.len()).map(|n| Random::from_seed(seed, 1_000 + n as u64)).collect();
        let fired = Fault::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self { active: AtomicBool::new(true), streams, rates, fired }
    }

    /// Whether this fault happens now; counts it if so.
    pub(super) fn fires(&self, fault: Fault) -> bool {
        let index = fault.index();
        let (Some(stream), Some(rate)) = (self.streams.get(index), self.rates.get(index)) else {
            return false;
        };
        // The stream is drawn from in any case: whether faults are active must not shift it.
        let fires = stream.chance(*rate) && self.active.load(Ordering::Relaxed);
        if fires {
            self.count(fault);
        }
        fires
    }

    /// Counts one that happened by other means.
    pub(super) fn count(&self, fault: Fault) {
        if let Some(fired) = self.fired.get(fault.index()) {
            fired.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A number in `low..=high` from the fault's own stream.
    pub(super) fn between(&self, fault: Fault, low: u64, high: u64) -> u64 {
        self.streams.get(fault.index()).map_or(low, |stream| low + stream.below(high - low + 1))
    }

    /// Nothing goes wrong from here on.
    pub(super) fn stop(&self) {
        self.active.store(false, Ordering::Relaxed);
    }

    /// Things go wrong again.
    pub(super) fn go_on(&self) {
        self.active.store(true, Ordering::Relaxed);
    }

    /// Whether things still go wrong.
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// How often each kind fired.
    pub(super) fn counts(&self) -> Counts {
        self.fired.iter().map(|fired| fired.load(Ordering::Relaxed)).collect()
    }
}
