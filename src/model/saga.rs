//! How far a command's saga has come: one enum and one pure function.
//!
//! ```text
//! Pending ──start──▶ Running ──every required store acknowledged──▶ Committed
//!    │                  └─rejected for good / cancelled──▶ Compensating ──every undo acknowledged──▶ Compensated
//!    └─refused before anything was sent──▶ Failed
//!
//! resolved by an operator: Running | Compensating ──▶ Committed | Compensated
//! ```
//!
//! A duplicate stays `Pending` until its first ends, and then takes that state. Terminal states
//! never reopen.

use serde::{Deserialize, Serialize};

/// The state of a saga. The numbers are stored; stable: never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum State {
    /// In the ledger; nothing decided, nothing sent.
    Pending = 0,
    /// Its after-images are decided and written; stores may have been told.
    Running = 1,
    /// Its before-images are being written back.
    Compensating = 2,
    /// Done: every required store holds it.
    Committed = 3,
    /// Undone: no store shows it.
    Compensated = 4,
    /// Refused before anything was sent.
    Failed = 5,
}

/// What moves a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its meaning was judged good; its images are in the ledger.
    Started,
    /// Its meaning was judged bad.
    Refused,
    /// It changes nothing that a store must be told of.
    NothingToDo,
    /// Every required store acknowledged its version.
    AllAcknowledged,
    /// A store refused it for good, an operator cancelled it, or it was quarantined.
    Rejected,
    /// Every undo was acknowledged.
    AllUndone,
    /// An operator decided how it ends, and every store holds that.
    Resolved(Resolution),
    /// It is a duplicate, and its first ended so.
    FirstEnded(Terminal),
}

/// The two ways in which a saga that may have been sent can be resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// What it writes stands.
    Committed,
    /// What stood before it stands.
    Compensated,
}

/// The three ways to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Terminal {
    /// See [`State::Committed`].
    Committed,
    /// See [`State::Compensated`].
    Compensated,
    /// See [`State::Failed`].
    Failed,
}

/// A move that the state machine does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a saga that is {from:?} cannot take {event:?}")]
pub struct IllegalTransition {
    /// The state it was in.
    pub from: State,
    /// What came.
    pub event: Event,
}

/// The state after `event`.
///
/// # Errors
/// [`IllegalTransition`] for every edge that the drawing above does not have.
pub fn next(state: State, event: Event) -> Result<State, IllegalTransition> {
    match (state, event) {
        (State::Pending, Event::Started) => Ok(State::Running),
        (State::Pending, Event::Refused) => Ok(State::Failed),
        (State::Pending, Event::NothingToDo) => Ok(State::Committed),
        (State::Pending, Event::FirstEnded(end)) => Ok(end.into()),
        (State::Running, Event::AllAcknowledged) => Ok(State::Committed),
        (State::Running, Event::Rejected) => Ok(State::Compensating),
        (State::Compensating, Event::AllUndone) => Ok(State::Compensated),
        (State::Running | State::Compensating, Event::Resolved(Resolution::Committed)) => {
            Ok(State::Committed)
        }
        (State::Running | State::Compensating, Event::Resolved(Resolution::Compensated)) => {
            Ok(State::Compensated)
        }
        _ => Err(IllegalTransition { from: state, event }),
    }
}

impl From<Terminal> for State {
    fn from(end: Terminal) -> Self {
        match end {
            Terminal::Committed => Self::Committed,
            Terminal::Compensated => Self::Compensated,
            Terminal::Failed => Self::Failed,
        }
    }
}

impl State {
    /// Whether the saga has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        self.terminal().is_some()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn terminal(self) -> Option<Terminal> {
        match self {
            Self::Committed => Some(Terminal::Committed),
            Self::Compensated => Some(Terminal::Compensated),
            Self::Failed => Some(Terminal::Failed),
            Self::Pending | Self::Running | Self::Compensating => None,
        }
    }

    /// From the stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Pending, Self::Running, Self::Compensating, Self::Committed, Self::Compensated, Self::Failed]
            .into_iter()
            .find(|state| *state as u8 == number)
    }

    /// The lower-case word used on the wire, in logs and in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Committed => "committed",
            Self::Compensated => "compensated",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 6] = [
        State::Pending,
        State::Running,
        State::Compensating,
        State::Committed,
        State::Compensated,
        State::Failed,
    ];
    const EVENTS: [Event; 11] = [
        Event::Started,
        Event::Refused,
        Event::NothingToDo,
        Event::AllAcknowledged,
        Event::Rejected,
        Event::AllUndone,
        Event::Resolved(Resolution::Committed),
        Event::Resolved(Resolution::Compensated),
        Event::FirstEnded(Terminal::Committed),
        Event::FirstEnded(Terminal::Compensated),
        Event::FirstEnded(Terminal::Failed),
    ];

    #[test]
    fn the_drawing_has_thirteen_edges_and_no_more() {
        let legal = STATES.iter().flat_map(|state| EVENTS.iter().map(move |event| next(*state, *event)));
        assert_eq!(legal.filter(Result::is_ok).count(), 13);
    }

    #[test]
    fn what_has_ended_never_reopens() {
        for state in STATES.into_iter().filter(|state| state.is_terminal()) {
            assert!(EVENTS.iter().all(|event| next(state, *event).is_err()), "{state:?}");
        }
    }

    #[test]
    fn stored_numbers_round_trip() {
        for state in STATES {
            assert_eq!(State::from_number(state as u8), Some(state));
        }
        assert_eq!(State::from_number(6), None);
    }
}
