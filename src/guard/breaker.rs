//! The breaker: a state machine without I/O, told what time it is.
//!
//! ```text
//!            5 in a row, or half of the last 50            pause over
//!  closed ───────────────────────────────────────▶ open ─────────────────▶ half-open ─┐
//!     ▲                                              ▲        a probe failed │        │ 2 probes passed
//!     │                                              └───────────────────────┘        │
//!     └───────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! While it is half-open exactly one probe is out, by a permit; every other caller is turned away. What is told
//! of a call that began in an earlier state counts for nothing: it says how the store was, not how it is.

use std::time::Duration;

use failsafe::FailurePolicy as _;
use tokio::time::Instant;

use crate::{
    fault::{Bug, planted},
    random::Random,
};

use super::{
    Options,
    policy::{Policy, policy},
};

/// What a call says of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// It works.
    Healthy,
    /// It does not: it failed, or took too long.
    Unhealthy,
    /// Nothing: a bad request, or a call that was given up.
    None,
}

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Calls go through.
    Closed,
    /// Calls are turned away.
    Open,
    /// One probe at a time goes through.
    HalfOpen,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The word for people, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What an operator orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Open, and stay so until another order.
    Open,
    /// Close now; what comes may open it again.
    Close,
    /// As it was at start: closed, with the shortest pause ahead.
    Reset,
}

/// Leave to make a call; what became of it is told to [`Breaker::tell`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    term: u64,
    /// The call has to be the store's own probe.
    pub probe: bool,
}

/// The breaker before one store.
#[derive(Debug)]
pub struct Breaker {
    options: Options,
    random: Random,
    policy: Policy,
    state: State,
    /// Rises with every change of state.
    term: u64,
    /// While open: until then; `None`: until an operator says otherwise.
    until: Option<Instant>,
    probing: bool,
    passed: u32,
}

impl Breaker {
    /// A closed one.
    #[must_use]
    pub fn new(options: Options, random: Random) -> Self {
        let policy = policy(&options, &random);
        Self {
            options,
            random,
            policy,
            state: State::Closed,
            term: 0,
            until: None,
            probing: false,
            passed: 0,
        }
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// When the next probe may go, if it is open and not held open.
    #[must_use]
    pub fn probe_at(&self) -> Option<Instant> {
        self.until.filter(|_| self.state == State::Open)
    }

    /// Whether an operator holds it open.
    #[must_use]
    pub fn is_held_open(&self) -> bool {
        self.state == State::Open && self.until.is_none()
    }

    /// Whether a call may be made now; `None`: no.
    pub fn admit(&mut self, now: Instant) -> Option<Permit> {
        if self.state == State::Open && self.until.is_some_and(|until| now >= until) {
            self.enter(State::HalfOpen);
        }
        match self.state {
            State::Closed => Some(Permit { term: self.term, probe: false }),
            State::Open => None,
            State::HalfOpen if self.probing && !planted(Bug::BreakerAdmitsManyProbes) => None,
            State::HalfOpen => {
                self.probing = true;
                Some(Permit { term: self.term, probe: true })
            }
        }
    }

    /// Told what became of a call.
    pub fn tell(&mut self, permit: Permit, evidence: Evidence, now: Instant) {
        if permit.term != self.term {
            return;
        }
        if permit.probe {
            self.probing = false;
        }
        match evidence {
            Evidence::None => {}
            Evidence::Healthy => {
                self.policy.record_success();
                if self.state == State::HalfOpen && !planted(Bug::BreakerNeverCloses) {
                    self.passed += 1;
                    if self.passed >= self.options.passed_to_close {
                        self.policy.revived();
                        self.enter(State::Closed);
                    }
                }
            }
            Evidence::Unhealthy => {
                let pause = self.policy.mark_dead_on_failure();
                let pause =
                    pause.or_else(|| (self.state == State::HalfOpen).then(|| self.options.open_min()));
                if let Some(pause) = pause {
                    self.open(now, pause);
                }
            }
        }
    }

    /// Obeys an operator.
    pub fn obey(&mut self, order: Order) {
        match order {
            Order::Open => {
                self.enter(State::Open);
                self.until = None;
            }
            Order::Close => {
                self.policy.revived();
                self.enter(State::Closed);
            }
            Order::Reset => {
                self.policy = policy(&self.options, &self.random);
                self.enter(State::Closed);
            }
        }
    }

    fn open(&mut self, now: Instant, pause: Duration) {
        self.enter(State::Open);
        self.until = Some(now + pause);
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.term += 1;
        (self.until, self.probing, self.passed) = (None, false, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(Options::default(), Random::from_seed(7, 0))
    }

    fn tell(breaker: &mut Breaker, evidence: Evidence, now: Instant) {
        let permit = breaker.admit(now).expect("closed");
        breaker.tell(permit, evidence, now);
    }

    /// Open, and past its pause.
    fn opened(breaker: &mut Breaker, now: Instant) -> Instant {
        for _ in 0..5 {
            tell(breaker, Evidence::Unhealthy, now);
        }
        assert_eq!((breaker.state(), breaker.admit(now)), (State::Open, None));
        breaker.probe_at().expect("not held")
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_open_it_and_four_do_not() {
        let (mut breaker, now) = (breaker(), Instant::now());
        for _ in 0..4 {
            tell(&mut breaker, Evidence::Unhealthy, now);
        }
        tell(&mut breaker, Evidence::Healthy, now);
        for _ in 0..4 {
            tell(&mut breaker, Evidence::Unhealthy, now);
        }
        assert_eq!(breaker.state(), State::Closed);
        tell(&mut breaker, Evidence::Unhealthy, now);
        assert_eq!(breaker.state(), State::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn bad_requests_do_not_move_it() {
        let (mut breaker, now) = (breaker(), Instant::now());
        for _ in 0..500 {
            tell(&mut breaker, Evidence::None, now);
        }
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_every_second_call_opens_it() {
        let (mut breaker, now) = (breaker(), Instant::now());
        let mut calls = 0;
        while breaker.state() == State::Closed {
            let evidence = if calls % 2 == 0 { Evidence::Healthy } else { Evidence::Unhealthy };
            tell(&mut breaker, evidence, now);
            calls += 1;
        }
        assert_eq!(calls, 50);
    }

    #[tokio::test(start_paused = true)]
    async fn of_200_callers_at_half_open_exactly_one_gets_through() {
        let (mut breaker, now) = (breaker(), Instant::now());
        let later = opened(&mut breaker, now);
        let permits: Vec<Permit> = (0..200).filter_map(|_| breaker.admit(later)).collect();
        assert_eq!(permits.len(), 1);
        assert!(permits[0].probe);
        // A second one when the first has passed, and the two close it.
        breaker.tell(permits[0], Evidence::Healthy, later);
        assert_eq!(breaker.state(), State::HalfOpen);
        let permits: Vec<Permit> = (0..200).filter_map(|_| breaker.admit(later)).collect();
        assert_eq!(permits.len(), 1);
        breaker.tell(permits[0], Evidence::Healthy, later);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_was_given_up_gives_its_permit_back() {
        let (mut breaker, now) = (breaker(), Instant::now());
        let later = opened(&mut breaker, now);
        for _ in 0..3 {
            let permit = breaker.admit(later).expect("a permit");
            assert_eq!(breaker.admit(later), None);
            breaker.tell(permit, Evidence::None, later);
        }
        assert!(breaker.admit(later).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_minute_and_are_short_again_after_a_recovery() {
        let (mut breaker, mut now) = (breaker(), Instant::now());
        let mut later = opened(&mut breaker, now);
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            assert!(later > now && later - now <= Duration::from_millis(60_001));
            longest = longest.max(later - now);
            now = later;
            let permit = breaker.admit(now).expect("a probe");
            breaker.tell(permit, Evidence::Unhealthy, now);
            later = breaker.probe_at().expect("open again");
        }
        assert!(longest > Duration::from_secs(30), "{longest:?}");
        for _ in 0..2 {
            let permit = breaker.admit(later).expect("a probe");
            breaker.tell(permit, Evidence::Healthy, later);
        }
        let again = opened(&mut breaker, later);
        assert!(again - later <= Duration::from_millis(1_001));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_before_it_opened_says_nothing_after() {
        let (mut breaker, now) = (breaker(), Instant::now());
        let slow = breaker.admit(now).expect("closed");
        let later = opened(&mut breaker, now);
        let probe = breaker.admit(later).expect("a probe");
        breaker.tell(slow, Evidence::Unhealthy, later);
        breaker.tell(slow, Evidence::Healthy, later);
        assert_eq!((breaker.state(), breaker.admit(later)), (State::HalfOpen, None));
        breaker.tell(probe, Evidence::Healthy, later);
        assert!(breaker.admit(later).is_some_and(|permit| permit.probe));
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_holds_it_open_and_lets_it_go() {
        let (mut breaker, now) = (breaker(), Instant::now());
        breaker.obey(Order::Open);
        let much_later = now + Duration::from_secs(86_400);
        assert!(breaker.is_held_open() && breaker.admit(much_later).is_none());
        breaker.obey(Order::Close);
        tell(&mut breaker, Evidence::Healthy, much_later);
        opened(&mut breaker, much_later);
        breaker.obey(Order::Reset);
        assert_eq!(breaker.state(), State::Closed);
    }

    #[cfg(feature = "bugs")]
    #[test]
    fn a_breaker_that_admits_many_probes_is_caught() {
        let run = || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            runtime.block_on(async {
                let (mut breaker, now) = (breaker(), Instant::now());
                let later = opened(&mut breaker, now);
                (0..200).filter(|_| breaker.admit(later).is_some()).count()
            })
        };
        assert_eq!(run(), 1);
        assert!(crate::fault::with_planted(&[Bug::BreakerAdmitsManyProbes], run) > 1);
    }
}
