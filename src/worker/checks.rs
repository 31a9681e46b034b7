//! Whether the log is still the one that the ledger remembers.
//!
//! A truncated or re-created topic, a changed partition count, retention that has overtaken the
//! worker, a ledger from an older copy: each is found before anything is applied, and stops the
//! partition with a reason and a remedy. Nothing is ever skipped.

use super::Ports;
use crate::{
    fault::{Bug, planted},
    ledger::{self, EpochRow, PartitionRow},
    log::{CommandLog, ReadError, Topology},
    model::PartitionId,
};

/// Why a partition, or the whole worker, must not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The log is not the one of this epoch.
    #[error(
        "the log is `{found}`, but the ledger's epoch {epoch} was opened on `{remembered}`; \
         point the worker at that log, or at a new ledger"
    )]
    OtherLog {
        /// The ledger's epoch.
        epoch: u32,
        /// What the ledger remembers.
        remembered: String,
        /// What the log says.
        found: String,
    },
    /// Keys belong to other partitions now.
    #[error(
        "the log has {found}, but the ledger's epoch {epoch} was opened on {remembered}; \
         spaces would move between partitions, so set the log back"
    )]
    OtherRouting {
        /// The ledger's epoch.
        epoch: u32,
        /// What the ledger remembers.
        remembered: String,
        /// What the log says.
        found: String,
    },
    /// Records that were never inboxed have left the log.
    #[error(
        "the log starts at offset {start}, but only offsets below {watermark} are in the ledger; \
         the records between are gone from the log"
    )]
    Overrun {
        /// The log's first offset.
        start: u64,
        /// The ledger's watermark.
        watermark: u64,
    },
    /// The log ends before what the ledger has inboxed.
    #[error(
        "the log ends at offset {end}, but the ledger has read up to {watermark}; \
         the log was truncated or made anew"
    )]
    Truncated {
        /// One past the log's last offset.
        end: u64,
        /// The ledger's watermark.
        watermark: u64,
    },
    /// The record before the watermark has other bytes than it had.
    #[error(
        "the record at offset {offset} is not the one that the ledger has read there; \
         the log was made anew"
    )]
    Replaced {
        /// Where.
        offset: u64,
    },
    /// A newer epoch of the log has begun.
    #[error("epoch {epoch} of the log has ended, and epoch {newest} has begun; start this process again")]
    Closed {
        /// The epoch that this process works on.
        epoch: u32,
        /// The newest one.
        newest: u32,
    },
    /// Outcomes were published that this ledger does not know of.
    #[error(
        "outcomes up to finish {published} were published, but the ledger knows only {finishes}: \
         it is an older copy (ledger_behind)"
    )]
    LedgerBehind {
        /// The highest published finish.
        published: u64,
        /// The ledger's last finish.
        finishes: u64,
    },
}

impl Contradiction {
    /// The word for it. Stable: logs, metrics and scripts know it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::OtherLog { .. } => "other_log",
            Self::OtherRouting { .. } => "other_routing",
            Self::Overrun { .. } => "overrun",
            Self::Truncated { .. } => "truncated",
            Self::Replaced { .. } => "replaced",
            Self::LedgerBehind { .. } => "ledger_behind",
            Self::Closed { .. } => "closed",
        }
    }
}

/// Whether the log is the one of this epoch.
///
/// # Errors
/// [`Contradiction`] when it is another one.
pub fn same_log(epoch: &EpochRow, topology: &Topology) -> Result<(), Contradiction> {
    if epoch.identity != topology.identity {
        return Err(Contradiction::OtherLog {
            epoch: epoch.epoch,
            remembered: epoch.identity.clone(),
            found: topology.identity.clone(),
        });
    }
    let found = routing(topology.partitions, &topology.partitioner.to_string());
    let remembered = routing(epoch.partitions, &epoch.partitioner);
    if found != remembered {
        return Err(Contradiction::OtherRouting { epoch: epoch.epoch, remembered, found });
    }
    Ok(())
}

fn routing(partitions: u32, partitioner: &str) -> String {
    format!("{partitions} partitions by {partitioner}")
}

/// What came of comparing a partition's row with the log.
pub(super) enum Compared {
    /// They agree, and this is the row.
    Agree(PartitionRow),
    /// They do not.
    Contradict(Contradiction),
    /// The log did not answer.
    Unknown(String),
}

/// Compares a partition's row with the log and with what was published.
///
/// The witness is asked before the row is read: another owner may finish and publish at any moment, and
/// a row that is older than the witness would pass for that of an older ledger.
pub(super) async fn compare(ports: &Ports, partition: PartitionId) -> Result<Compared, ledger::Error> {
    let published = match ports.outcomes.witness(partition).await {
        Ok(_) if planted(Bug::WitnessSkipped) => 0,
        Ok(published) => published.unwrap_or(0),
        Err(why) => return Ok(Compared::Unknown(why)),
    };
    let row = ports.ledger.partition(partition).await?;
    if published > row.finishes {
        let behind = Contradiction::LedgerBehind { published, finishes: row.finishes };
        return Ok(Compared::Contradict(behind));
    }
    Ok(compare_log(&*ports.log, partition, row).await)
}

async fn compare_log(log: &dyn CommandLog, partition: PartitionId, row: PartitionRow) -> Compared {
    let bounds = match log.bounds(partition.partition).await {
        Ok(bounds) => bounds,
        Err(why) => return Compared::Unknown(why.to_string()),
    };
    if row.watermark > bounds.end {
        return Compared::Contradict(Contradiction::Truncated { end: bounds.end, watermark: row.watermark });
    }
    // What is gone was accepted, even if nothing of this log was ever read.
    if bounds.start > row.watermark {
        return Compared::Contradict(Contradiction::Overrun {
            start: bounds.start,
            watermark: row.watermark,
        });
    }
    let Some(anchor) = row.anchor.filter(|anchor| anchor.offset >= bounds.start) else {
        return Compared::Agree(row);
    };
    if planted(Bug::AnchorSkipped) {
        return Compared::Agree(row);
    }
    match log.record(partition.partition, anchor.offset).await {
        Ok(Some(record)) if record.crc() == anchor.crc => Compared::Agree(row),
        Ok(_) => Compared::Contradict(Contradiction::Replaced { offset: anchor.offset }),
        Err(ReadError::OutOfRange { .. }) => {
            Compared::Contradict(Contradiction::Replaced { offset: anchor.offset })
        }
        Err(ReadError::Unavailable(why)) => Compared::Unknown(why),
    }
}
