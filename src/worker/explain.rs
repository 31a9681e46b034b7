//! A halt in a person's words: what was found, what it means, what to do.

use serde::Serialize;

use super::{
    Ports,
    checks::{self, Compared, Contradiction},
};
use crate::{ledger, model::PartitionId};

/// A halt, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// [`Contradiction::code`].
    pub code: &'static str,
    /// What was found.
    pub found: String,
    /// What that means for what was accepted.
    pub means: &'static str,
    /// What to do, in this order.
    pub todo: &'static [&'static str],
    /// The command that mends it where the log cannot be put back; `None`: there is none.
    pub command: Option<&'static str>,
}

/// The command that begins a new epoch.
const FENCE: &str = "engraft partitions fence";
const RESTORE_THE_TOPIC: &str = "if the topic's records can be put back as they were, put them back; the worker \
                                 goes on by itself within seconds";
const STOP_ALL: &str =
    "else stop every engraft process of this log, and begin a new epoch; then start them again";

/// What is wrong with a partition now; `None`: nothing.
///
/// # Errors
/// [`ledger::Error`] when the ledger does not answer, and when the log does not.
pub async fn explain(ports: &Ports, partition: PartitionId) -> Result<Option<Explanation>, ledger::Error> {
    if let Some(epoch) = ports.ledger.epoch().await? {
        let topology = ports.log.topology_now().await;
        let topology = topology.map_err(|error| ledger::Error::Unavailable(error.to_string()))?;
        if let Err(contradiction) = checks::same_log(&epoch, &topology) {
            return Ok(Some(contradiction.explain()));
        }
    }
    match checks::compare(ports, partition).await? {
        Compared::Agree(_) => Ok(None),
        Compared::Contradict(contradiction) => Ok(Some(contradiction.explain())),
        Compared::Unknown(why) => Err(ledger::Error::Unavailable(why)),
    }
}

impl Contradiction {
    /// The halt in a person's words.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        let (means, todo, command): (_, &[_], _) = match self {
            Self::OtherLog { .. } => (
                "the settings name another log than the one that this ledger belongs to; nothing was lost, and \
                 nothing of the other log was read",
                &["name the log that the ledger was opened on, or a new ledger", STOP_ALL],
                Some(FENCE),
            ),
            Self::OtherRouting { .. } => (
                "the space of a command is its key, and keys belong to other partitions now: commands of one \
                 space would lie in two of them, out of order",
                &[
                    "if only the partitioner was changed, set it back",
                    "a topic cannot shrink: give the answering topics as many partitions \
                     (`engraft topics plan` tells), and stop producers until the next step is done",
                    STOP_ALL,
                ],
                Some(FENCE),
            ),
            Self::Overrun { .. } => (
                "retention removed commands that were accepted and never worked on; without their records they \
                 are lost",
                &[
                    "if the records can be put back at their offsets, put them back; the worker goes on by itself",
                    STOP_ALL,
                    "ask the producers of that time to send again",
                ],
                Some(FENCE),
            ),
            Self::Truncated { .. } | Self::Replaced { .. } => (
                "offsets have another meaning than before. What the ledger has taken in is safe; of commands that \
                 were accepted and not yet taken in nobody can tell",
                &[RESTORE_THE_TOPIC, STOP_ALL],
                Some(FENCE),
            ),
            Self::LedgerBehind { .. } => (
                "the ledger is an older copy: the stores hold what a newer one has done, and outcomes of it were \
                 published",
                &["restore the newest copy of the ledger; the worker goes on by itself"],
                None,
            ),
            Self::Closed { .. } => (
                "another process has begun a new epoch of the log, and this one still works on the last",
                &["start this process again"],
                None,
            ),
        };
        Explanation { code: self.code(), found: self.to_string(), means, todo, command }
    }
}
