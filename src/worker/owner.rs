//! The owner of one partition: one tenure after the other.
//!
//! Whatever goes wrong with the ledger, the owner drops all it knows, takes the lease anew and reads
//! the ledger: one path for a crash, a lost answer and a stolen lease.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Options, Ports,
    board::{Board, PartitionState},
    checks::{self, Compared, Contradiction},
    tenure::Tenure,
    window::Window,
};
use crate::{
    fault::{Bug, planted},
    ledger,
    log::ReadError,
    model::PartitionId,
    saga::backoff::Backoff,
    tasks::Tasks,
};

/// Shortest time that an owner waits after another process has taken its lease: longer than the group
/// takes to tell a process that went on after it had been stopped.
const RIVAL_PAUSE: Duration = Duration::from_secs(2);
/// Longest further pause, drawn at random.
const RIVAL_PAUSE_MAX: Duration = Duration::from_secs(10);

/// What an owner is made of.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) partition: PartitionId,
    /// This process's random number.
    pub(super) process: u64,
    pub(super) ports: Ports,
    pub(super) options: Options,
    pub(super) board: Board,
    pub(super) tasks: Tasks,
    /// What the owners of this process may keep in memory, together.
    pub(super) window: Arc<Window>,
    /// Sagas that this process has attempted alone: another tenure of it is no death.
    pub(super) attempted: Arc<Mutex<BTreeSet<u64>>>,
    /// How the group stands to it.
    pub(super) standing: watch::Receiver<Standing>,
    /// Cancelled when the partition is no longer ours, or the process stops.
    pub(super) revoked: CancellationToken,
}

/// How the group stands to an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has named this process.
    Assigned,
    /// It has lost this process, and may have named another.
    Unconfirmed,
}

/// Why a tenure ended.
pub(super) enum Interruption {
    /// Read the ledger and go on.
    Ledger(ledger::Error),
    /// The log did not answer.
    Log(String),
    /// Stop: the log and the ledger contradict each other.
    Halt(Halt),
}

/// Why a partition stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Halt {
    /// [`Contradiction::code`], or `out_of_range`.
    pub(super) code: &'static str,
    /// A sentence for people.
    pub(super) reason: String,
}

impl From<ledger::Error> for Interruption {
    fn from(error: ledger::Error) -> Self {
        Self::Ledger(error)
    }
}

impl From<Contradiction> for Interruption {
    fn from(contradiction: Contradiction) -> Self {
        Self::Halt(Halt { code: contradiction.code(), reason: contradiction.to_string() })
    }
}

impl Owner {
    /// Owns the partition until it is revoked.
    pub(super) async fn run(mut self) {
        let mut backoff = self.backoff();
        let mut rival = Backoff::new(RIVAL_PAUSE, RIVAL_PAUSE_MAX, self.ports.random.clone());
        while self.is_named().await {
            self.board.update(self.partition.partition, |status| status.state = PartitionState::Recovering);
            let Err(interruption) = Tenure::serve(&self, &mut backoff).await else { break };
            match interruption {
                Interruption::Halt(halt) => {
                    self.halt(halt).await;
                    continue;
                }
                Interruption::Ledger(ledger::Error::Fenced { .. }) if planted(Bug::ExitWhenFenced) => return,
                Interruption::Ledger(ledger::Error::Fenced { .. }) if self.has_rival().await => {
                    tracing::warn!(partition = %self.partition, "another process has the partition");
                    self.give_way(&mut rival).await;
                    continue;
                }
                Interruption::Ledger(error) => {
                    tracing::warn!(partition = %self.partition, %error, "reading the ledger again");
                }
                Interruption::Log(why) => {
                    tracing::warn!(partition = %self.partition, why, "the log does not answer; trying again");
                }
            }
            self.revoked.run_until_cancelled(backoff.wait()).await;
        }
        self.board.update(self.partition.partition, |status| status.state = PartitionState::Stopped);
    }

    /// Waits until the group names this process, since no lease is taken before; `false`: it is revoked.
    async fn is_named(&mut self) -> bool {
        let (revoked, mut standing) = (self.revoked.clone(), self.standing.clone());
        let named =
            standing.wait_for(|standing| *standing == Standing::Assigned || planted(Bug::LeaseTakenUnnamed));
        // An error means that the worker has ended, and then it is revoked as well.
        revoked.run_until_cancelled(named).await.is_some() && !revoked.is_cancelled()
    }

    /// Waits until the group has lost this process.
    pub(super) fn lost(&self) -> impl Future<Output = ()> + use<> {
        let mut standing = self.standing.clone();
        async move {
            // An error means that nobody is told any more.
            if standing.wait_for(|standing| *standing == Standing::Unconfirmed).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Stands still until what was found is there no more, which is looked for once in a while.
    async fn halt(&self, Halt { code, reason }: Halt) {
        tracing::error!(partition = %self.partition, code, reason, "the partition is halted");
        self.board.update(self.partition.partition, |status| {
            status.state = PartitionState::Halted;
            status.reason = Some(reason);
            status.halt = Some(code);
        });
        let over = async {
            loop {
                tokio::time::sleep(self.options.log_check_interval).await;
                if let Ok(Compared::Agree(_)) = checks::compare(&self.ports, self.partition).await {
                    return;
                }
            }
        };
        self.revoked.run_until_cancelled(over).await;
    }

    /// Whether another process has taken the lease. Another tenure of this one is no rival.
    async fn has_rival(&self) -> bool {
        let row = self.ports.ledger.partition(self.partition).await;
        row.is_ok_and(|row| row.nonce >> 64 != u128::from(self.process))
    }

    /// The winner is obeyed. As a rule the group has named it, and is about to tell us so. If it goes on
    /// naming us, then the other is one that has been overtaken itself, and the lease is taken back; so
    /// two that both believe to be named do not take turns.
    async fn give_way(&self, rival: &mut Backoff) {
        self.board.update(self.partition.partition, |status| status.state = PartitionState::Overtaken);
        let wait = async {
            tokio::time::sleep(RIVAL_PAUSE).await;
            rival.wait().await;
        };
        self.revoked.run_until_cancelled(wait).await;
    }

    /// A nonce of a new tenure: a transaction that an earlier tenure of this very process left behind
    /// must not pass for one of ours.
    pub(super) fn nonce(&self) -> u128 {
        (u128::from(self.process) << 64) | u128::from(self.ports.random.next_u64())
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.options.backoff_min, self.options.backoff_max, self.ports.random.clone())
    }
}

impl Interruption {
    pub(super) fn from_read(error: &ReadError) -> Self {
        match error {
            ReadError::Unavailable(why) => Self::Log(why.clone()),
            ReadError::OutOfRange { offset, bounds } => Self::Halt(Halt {
                code: "out_of_range",
                reason: format!(
                    "the worker was to read offset {offset}, but the log holds {} to {}",
                    bounds.start, bounds.end
                ),
            }),
        }
    }
}
