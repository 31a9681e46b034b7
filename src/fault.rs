//! Faults on purpose: named failpoints in every build, planted bugs in test builds alone.
//!
//! A failpoint is a place in the code with a name. Armed by `ENGRAFT_FAILPOINTS` (read once by the
//! composition root), it ends the process there (`abort`) or holds the task there for good (`stall`);
//! a chaos test can then kill a process at exactly that boundary. Unarmed it costs one atomic load.
//!
//! A planted bug is a known mistake that the simulator must catch. Without the feature `bugs`,
//! [`planted`] is a constant `false` and the mistake is not in the program.

use std::{
    collections::BTreeMap,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::model::Version;

/// Every failpoint, in the order in which a command passes them. The names are API.
pub const FAILPOINTS: [&str; 9] = [
    "begin.sent",
    "begin.committed",
    "vector.sent",
    "vector.acknowledged",
    "graph.acknowledged",
    "finish.sent",
    "finish.committed",
    "undo.decided",
    "undo.acknowledged",
];

static ARMED: AtomicBool = AtomicBool::new(false);
static POINTS: OnceLock<BTreeMap<&'static str, Armed>> = OnceLock::new();

#[derive(Debug)]
struct Armed {
    action: Action,
    hits_left: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Abort,
    Stall,
}

/// A failpoint setting that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failpoint setting `{setting}` {problem}; write name=abort@N or name=stall@N, e.g. vector.acknowledged=stall@3"
)]
pub struct InvalidFailpoint {
    setting: String,
    problem: &'static str,
}

/// Arms failpoints from a comma-separated list of `name=action[@N]`: acts at the N-th pass, from 1.
///
/// # Errors
/// [`InvalidFailpoint`] when a setting has another form or names no failpoint.
pub fn arm(settings: &str) -> Result<(), InvalidFailpoint> {
    let mut points = BTreeMap::new();
    for setting in settings.split(',').map(str::trim).filter(|setting| !setting.is_empty()) {
        let fail = |problem| InvalidFailpoint { setting: setting.to_owned(), problem };
        let (name, action) = setting.split_once('=').ok_or_else(|| fail("has no `=`"))?;
        let (action, hits) = action.split_once('@').unwrap_or((action, "1"));
        let action = match action {
            "abort" => Action::Abort,
            "stall" => Action::Stall,
            _ => return Err(fail("has an unknown action")),
        };
        let hits: u64 = hits.parse().map_err(|_| fail("has no number after `@`"))?;
        let name =
            FAILPOINTS.iter().find(|known| **known == name).ok_or_else(|| fail("names no failpoint"))?;
        points.insert(*name, Armed { action, hits_left: AtomicU64::new(hits) });
    }
    let armed = !points.is_empty();
    if POINTS.set(points).is_ok() {
        ARMED.store(armed, Ordering::Release);
    }
    Ok(())
}

/// Passes a failpoint.
pub async fn point(name: &'static str) {
    debug_assert!(FAILPOINTS.contains(&name), "`{name}` is not in the list of failpoints");
    if !ARMED.load(Ordering::Acquire) {
        return;
    }
    let Some(armed) = POINTS.get().and_then(|points| points.get(name)) else { return };
    if armed.hits_left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)) != Ok(1)
    {
        return;
    }
    tracing::error!(failpoint = name, action = ?armed.action, "failpoint reached");
    match armed.action {
        Action::Abort => std::process::abort(),
        Action::Stall => std::future::pending().await,
    }
}

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Every planted bug. Which invariant must catch which is the simulator's to show.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Bug {
            $($(#[$doc])* $name,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name that tests and reports use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

bugs! {
    /// M1: the watermark moves before the inbox rows are there.
    WatermarkBeforeInbox = "watermark-before-inbox",
    /// M2: the watermark is the highest offset seen, gaps or not.
    WatermarkOverGap = "watermark-over-gap",
    /// M3: a late write moves the watermark back.
    WatermarkNotMonotone = "watermark-not-monotone",
    /// M4: one store applies whatever comes.
    NoFence = "no-fence",
    /// M5: the fence compares offsets without the phase.
    FenceIgnoresPhase = "fence-ignores-phase",
    /// M6: the fence compares sequences without the epoch.
    FenceIgnoresEpoch = "fence-ignores-epoch",
    /// M7: compensation writes at phase 0.
    UndoAtPhaseZero = "undo-at-phase-zero",
    /// M8: compensation leaves out the store that refused.
    UndoSkipsRefuser = "undo-skips-refuser",
    /// M9: undos are sent before Compensating is durable.
    UndoBeforeDurable = "undo-before-durable",
    /// M10: a deletion removes the record instead of leaving a tombstone.
    HardDelete = "hard-delete",
    /// M11: tombstones are collected at once.
    TombstoneCollectedEarly = "tombstone-collected-early",
    /// M12: a timeout counts as a refusal.
    TimeoutIsRefusal = "timeout-is-refusal",
    /// M13a: a permanent refusal is retried for ever.
    RefusalIsTransient = "refusal-is-transient",
    /// M13b: a transient error compensates.
    TransientIsRefusal = "transient-is-refusal",
    /// M14: the before-image is read from a store, not from the heads.
    BeforeImageFromStore = "before-image-from-store",
    /// M15: a resumed saga decides its after-image again, from what its first attempt has left behind.
    AfterImageRecomputed = "after-image-recomputed",
    /// M16: duplicates are looked for outside the inbox transaction.
    DedupeOutsideTransaction = "dedupe-outside-transaction",
    /// M16b: duplicates are not looked for.
    NoDedupe = "no-dedupe",
    /// M17: an append is acknowledged before it is durable.
    AckBeforeDurable = "ack-before-durable",
    /// M18: sagas run whatever earlier ones they conflict with.
    NoKeyOrder = "no-key-order",
    /// M19: a relation does not hold its ends.
    RelationIgnoresEnds = "relation-ignores-ends",
    /// M20: the lease is taken by adding one, without comparing.
    BlindLease = "blind-lease",
    /// M21: an owner that was fenced gives up although the partition is still assigned to it.
    ExitWhenFenced = "exit-when-fenced",
    /// M22a: write transactions do not check the lease.
    NoLeaseCheck = "no-lease-check",
    /// M22b: state moves are not guarded by the state they come from.
    NoStateGuard = "no-state-guard",
    /// M23: outcomes are marked as published before they are sent.
    MarkedBeforeSent = "marked-before-sent",
    /// M24: the outcome's event id is random.
    RandomOutcomeId = "random-outcome-id",
    /// M37: a bulk answer for a part is taken for the whole.
    PartialBatchIsWhole = "partial-batch-is-whole",
    /// M38: a connection goes back to the pool inside an open transaction.
    LeakyPool = "leaky-pool",
    /// Heads are read before earlier sagas on the same keys are asked for.
    HeadsBeforeQuestion = "heads-before-question",
    /// The sweep drops images that an unfinished saga still needs.
    SweepIgnoresUnfinished = "sweep-ignores-unfinished",
    /// A resumed saga leaves out a step.
    SkipStepOnResume = "skip-step-on-resume",
    /// A sender calls a store without looking at its lease.
    StoreCalledUnasked = "store-called-unasked",
    /// A sender believes an answer about its lease that is older than the lease may be relied on.
    LateAnswerBelieved = "late-answer-believed",
    /// The lease is looked at before the partition's row is locked, which then stays unlocked.
    LeaseCheckedOutside = "lease-checked-outside",
    /// An owner lets go, and what it has with the stores goes on.
    WindowOutlivesTenure = "window-outlives-tenure",
    /// An owner takes its lease again although the group has lost it.
    LeaseTakenUnnamed = "lease-taken-unnamed",
    /// A record that is not where its space belongs is applied all the same.
    MisroutedIsApplied = "misrouted-is-applied",
    /// A duplicate moves the watermark and gets no row.
    DuplicateHasNoRow = "duplicate-has-no-row",
    /// The outcome says when it was published, instead of when its saga ended.
    OutcomeToldAnew = "outcome-told-anew",
    /// M36: recovery does not compare the anchor with the log.
    AnchorSkipped = "anchor-skipped",
    /// Recovery does not ask what was published.
    WitnessSkipped = "witness-skipped",
    /// An owner does not notice that the ledger is not as it left it.
    LedgerSwapUnnoticed = "ledger-swap-unnoticed",
    /// An append that was given up is told as never done.
    LateAppendIsRefusal = "late-append-is-refusal",
    /// A breaker does not count the probes that pass.
    BreakerNeverCloses = "breaker-never-closes",
    /// A call that waited for a place goes through although the breaker opened meanwhile.
    QueuePassesOpenBreaker = "queue-passes-open-breaker",
    /// A guard lets any number of calls through at once.
    PlacesUnbounded = "places-unbounded",
    /// A half-open breaker lets everybody through.
    BreakerAdmitsManyProbes = "breaker-admits-many-probes",
    /// A breaker takes a refused item for a store that fails.
    BreakerCountsBadRequests = "breaker-counts-bad-requests",
}

/// Whether this bug is planted in the running simulation. Constant `false` without the feature `bugs`.
#[cfg(not(feature = "bugs"))]
#[must_use]
#[inline]
pub const fn planted(_bug: Bug) -> bool {
    false
}

/// Whether this bug is planted in the running simulation.
#[cfg(feature = "bugs")]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    plant::PLANTED.with(|planted| planted.borrow().contains(&bug))
}

#[cfg(feature = "bugs")]
pub use plant::with_planted;

/// What the fence of an in-memory store compares: the versions as they are, or what a planted bug
/// takes them for.
#[must_use]
pub fn compared(held: Option<Version>, offered: Version) -> (Option<Version>, Version) {
    let blurred = |version: Version| Version {
        epoch: if planted(Bug::FenceIgnoresEpoch) { 0 } else { version.epoch },
        sequence: if planted(Bug::FenceIgnoresPhase) { version.offset() * 4 } else { version.sequence },
    };
    let held = held.filter(|_| !planted(Bug::NoFence));
    (held.map(blurred), blurred(offered))
}

#[cfg(feature = "bugs")]
mod plant {
    use std::{cell::RefCell, collections::BTreeSet};

    use super::Bug;

    thread_local! {
        /// A simulation runs on one thread, so that several can run side by side.
        pub(super) static PLANTED: RefCell<BTreeSet<Bug>> = const { RefCell::new(BTreeSet::new()) };
    }

    /// Runs `body` with these bugs planted on this thread.
    pub fn with_planted<T>(bugs: &[Bug], body: impl FnOnce() -> T) -> T {
        PLANTED.with(|planted| planted.borrow_mut().extend(bugs));
        let result = body();
        PLANTED.with(|planted| planted.borrow_mut().clear());
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_names_no_failpoint_is_refused() {
        for bad in ["vector.sent", "nowhere=abort", "vector.sent=explode", "vector.sent=abort@x"] {
            assert!(arm(bad).is_err(), "{bad}");
        }
    }
}
