//! What stands before a store: a breaker, a deadline, a bound on calls at once, and a few retries of reads.
//!
//! ```text
//! caller ─▶ breaker ─▶ places (bulkhead) ─▶ deadline ─▶ store
//!             │ open: turned away at once, also who waits for a place; the store is not called
//!             └ half-open: the store's own probe first, one at a time; never the caller's work
//! ```
//!
//! One [`Guard`] a store, shared by its decorators ([`vectors`], [`points`], [`graph`], [`ledger`], [`log`]): all evidence
//! about a store meets in one place. Writes are never repeated here: sagas do that, without limit, and pause
//! between attempts. It knows no backend; what an answer says of the store is judged by the decorator.

mod breaker;
mod graph;
mod ledger;
mod log;
mod policy;
mod retry;
mod vectors;

use std::{future::Future, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout},
};

use crate::{
    fault::{Bug, planted},
    metrics,
    random::Random,
};

pub use self::{
    breaker::{Breaker, Evidence, Order, Permit, State},
    graph::graph,
    ledger::ledger,
    log::log,
    vectors::{points, vectors},
};

/// How a store is guarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Failures in a row that open the breaker; 5.
    pub failures_in_row: u32,
    /// Calls of which half may not fail; 50.
    pub recent_calls: usize,
    /// Probes that must pass before it closes; 2.
    pub passed_to_close: u32,
    /// Longest first pause of an open breaker, in milliseconds; 1,000.
    pub open_min_ms: u64,
    /// Longest pause of an open breaker, in milliseconds; 60,000.
    pub open_max_ms: u64,
    /// Milliseconds that a call may take before it is given up; 30,000.
    pub deadline_ms: u64,
    /// Calls at once; 64. More wait, as long as one call may take.
    pub calls_max: usize,
    /// Times that a read is repeated, budget permitting; 2.
    pub read_retries_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            failures_in_row: 5,
            recent_calls: 50,
            passed_to_close: 2,
            open_min_ms: 1_000,
            open_max_ms: 60_000,
            deadline_ms: 30_000,
            calls_max: 64,
            read_retries_max: 2,
        }
    }
}

impl Options {
    fn open_min(&self) -> Duration {
        Duration::from_millis(self.open_min_ms)
    }

    fn open_max(&self) -> Duration {
        Duration::from_millis(self.open_max_ms)
    }
}

/// How a breaker stands, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Standing {
    /// The store: `vector`, `graph`, `ledger`, `log`.
    pub store: &'static str,
    /// How it stands.
    pub state: State,
    /// Milliseconds until the next probe may go, when it is open by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_in_ms: Option<u64>,
    /// Whether an operator holds it open.
    pub held_open: bool,
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The breaker is open: the store was not called.
    Open,
    /// No place became free: the store was not called.
    Full,
    /// The store did not answer in time: what it did is unknown.
    Late,
}

impl Stopped {
    /// What is said of a call that could only read, or could change nothing for good.
    pub(crate) fn sentence(self) -> String {
        let why = match self {
            Self::Open => "its breaker is open",
            Self::Full => "too many calls wait for it",
            Self::Late => "it did not answer in time",
        };
        why.to_owned()
    }
}

/// Asks the store itself, without anybody's work, whether it works.
pub(crate) type Probe = dyn Fn() -> BoxFuture<'static, bool> + Send + Sync;

/// What stands before one store.
pub struct Guard {
    store: &'static str,
    options: Options,
    breaker: Mutex<Breaker>,
    states: watch::Sender<State>,
    places: Semaphore,
    budget: retry::Budget,
    random: Random,
    probe: Box<Probe>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("store", &self.store)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Guard {
    /// Before `store`, which `probe` asks about itself.
    pub(crate) fn new(store: &'static str, options: Options, random: Random, probe: Box<Probe>) -> Arc<Self> {
        let (states, _) = watch::channel(State::Closed);
        let places = if planted(Bug::PlacesUnbounded) { Semaphore::MAX_PERMITS } else { options.calls_max };
        metrics::breaker_state(store, State::Closed.as_str());
        Arc::new(Self {
            store,
            breaker: Mutex::new(Breaker::new(options.clone(), random.clone())),
            states,
            places: Semaphore::new(places),
            budget: retry::Budget::new(),
            options,
            random,
            probe,
        })
    }

    /// Which store.
    #[must_use]
    pub fn store(&self) -> &'static str {
        self.store
    }

    /// How the breaker stands.
    #[must_use]
    pub fn state(&self) -> State {
        *self.states.borrow()
    }

    /// The breaker's states, as they change.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<State> {
        self.states.subscribe()
    }

    /// How the breaker stands, for people.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let breaker = self.breaker.lock();
        let millis = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Standing {
            store: self.store,
            state: breaker.state(),
            probe_in_ms: breaker.probe_at().map(|at| millis(at.saturating_duration_since(Instant::now()))),
            held_open: breaker.is_held_open(),
        }
    }

    /// Obeys an operator.
    pub fn obey(&self, order: Order) {
        tracing::warn!(store.name = self.store, ?order, "an operator orders the breaker");
        self.with(|breaker, _| breaker.obey(order));
    }

    /// Makes a call that may have changed something: never repeated.
    pub(crate) async fn call<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = T>,
        judge: impl Fn(&T) -> Evidence,
    ) -> Result<T, Stopped> {
        let pass = self.enter().await.inspect_err(|_| metrics::call_rejected(self.store))?;
        let deadline = Duration::from_millis(self.options.deadline_ms);
        let Ok(Ok(_place)) = timeout(deadline, self.places.acquire()).await else {
            pass.told(Evidence::None);
            metrics::call_rejected(self.store);
            return Err(Stopped::Full);
        };
        // Whoever waited may have been let in before the breaker opened: the store is left alone then.
        if self.state() != State::Closed && !planted(Bug::QueuePassesOpenBreaker) {
            pass.told(Evidence::None);
            metrics::call_rejected(self.store);
            return Err(Stopped::Open);
        }
        let started = Instant::now();
        let answer = timeout(deadline, work).await;
        let evidence = answer.as_ref().map_or(Evidence::Unhealthy, &judge);
        pass.told(evidence);
        let outcome = match (&answer, evidence) {
            (Err(_), _) => "timeout",
            (_, Evidence::Healthy) => "ok",
            (_, Evidence::Unhealthy) => "error",
            (_, Evidence::None) => "refused",
        };
        metrics::call(self.store, operation, outcome, started.elapsed());
        answer.map_err(|_| Stopped::Late)
    }

    /// Makes a call that changes nothing; repeated a few times when the store fails and the budget allows.
    pub(crate) async fn read<T, F: Future<Output = T>>(
        &self,
        operation: &'static str,
        work: impl Fn() -> F,
        judge: impl Fn(&T) -> Evidence,
    ) -> Result<T, Stopped> {
        self.budget.earn();
        let mut ceiling_ms = 20;
        for _ in 0..self.options.read_retries_max {
            let answer = self.call(operation, work(), &judge).await;
            let failed = match &answer {
                Ok(answer) => judge(answer) == Evidence::Unhealthy,
                Err(stopped) => *stopped == Stopped::Late,
            };
            if !failed || !self.budget.spend() {
                return answer;
            }
            metrics::call_retried(self.store);
            tokio::time::sleep(Duration::from_millis(self.random.below(ceiling_ms + 1))).await;
            ceiling_ms *= 4;
        }
        self.call(operation, work(), judge).await
    }

    /// Leave to make one call, after whatever probes that takes.
    async fn enter(&self) -> Result<Pass<'_>, Stopped> {
        loop {
            let permit = self.with(|breaker, now| breaker.admit(now)).ok_or(Stopped::Open)?;
            let pass = Pass { guard: self, permit: Some(permit) };
            if !permit.probe {
                return Ok(pass);
            }
            let deadline = Duration::from_millis(self.options.deadline_ms);
            let works = timeout(deadline, (self.probe)()).await.unwrap_or(false);
            pass.told(if works { Evidence::Healthy } else { Evidence::Unhealthy });
        }
    }

    /// Changes the breaker and tells whoever watches it.
    fn with<T>(&self, change: impl FnOnce(&mut Breaker, Instant) -> T) -> T {
        let (result, state) = {
            let mut breaker = self.breaker.lock();
            let result = change(&mut breaker, Instant::now());
            (result, breaker.state())
        };
        let changed = self.states.send_if_modified(|held| std::mem::replace(held, state) != state);
        if changed {
            metrics::breaker_state(self.store, state.as_str());
            metrics::breaker_moved(self.store, state.as_str());
            tracing::warn!(store.name = self.store, breaker.state = state.as_str(), "the breaker moved");
        }
        result
    }
}

/// Leave to make one call; dropped on the way, it gives the permit back and says nothing of the store.
struct Pass<'a> {
    guard: &'a Guard,
    permit: Option<Permit>,
}

impl Pass<'_> {
    fn told(mut self, evidence: Evidence) {
        self.tell(evidence);
    }

    fn tell(&mut self, evidence: Evidence) {
        if let Some(permit) = self.permit.take() {
            self.guard.with(|breaker, now| breaker.tell(permit, evidence, now));
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.tell(Evidence::None);
    }
}

/// Every guard of the process, for status and operators.
#[derive(Debug, Clone, Default)]
pub struct Guards(Vec<Arc<Guard>>);

impl Guards {
    /// These.
    #[must_use]
    pub fn new(guards: Vec<Arc<Guard>>) -> Self {
        Self(guards)
    }

    /// How each breaker stands.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        self.0.iter().map(|guard| guard.standing()).collect()
    }

    /// The guard of this store.
    #[must_use]
    pub fn get(&self, store: &str) -> Option<&Arc<Guard>> {
        self.0.iter().find(|guard| guard.store == store)
    }
}

#[cfg(test)]
mod tests;
