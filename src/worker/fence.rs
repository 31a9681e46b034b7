//! Fence: a new epoch for a log that is another one now.
//!
//! ```text
//! plan ─▶ every partition of the last epoch: take its lease, end what is unfinished, publish ─▶ plan anew
//!                                                   ▼
//!                          the next epoch, where each partition goes on: one transaction
//! ```
//!
//! Killed at any moment it can be run again: until that transaction there is only the ordinary recovery of
//! owners, after it there is nothing left to do. Versions of the new epoch are higher than all of the last
//! one's, so nothing that is still on its way can do harm.
//!
//! What it does not do: bring back records that the log has lost, or mend a ledger that is an older copy. And
//! ids are remembered within an epoch: a command that is sent once more after a fence is done once more.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Options, Ports,
    checks::{self, Compared, Contradiction},
    intake,
    owner::{Interruption, Owner, Standing},
    tenure::Tenure,
    window::Window,
};
use crate::{
    ledger::{self, Anchor, EpochRow, Lease, Start},
    log::{Bounds, ReadError, Record, envelope::Limits},
    model::PartitionId,
    tasks::Tasks,
};

/// Why there is no new epoch.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log is the one that the ledger knows.
    #[error("nothing is wrong that a new epoch would mend")]
    Needless,
    /// A new epoch does not mend this.
    #[error("a new epoch does not mend this: {0}")]
    Helpless(Contradiction),
    /// A worker works on it.
    #[error("a worker has taken partition {0} meanwhile; stop every worker, then run this again")]
    Busy(PartitionId),
    /// The ledger does not answer.
    #[error(transparent)]
    Ledger(ledger::Error),
    /// The log does not answer.
    #[error("the log cannot be read now: {0}")]
    Log(String),
}

impl From<ledger::Error> for Error {
    fn from(error: ledger::Error) -> Self {
        match error {
            ledger::Error::Fenced { partition } => Self::Busy(partition),
            error => Self::Ledger(error),
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::Log(error.to_string())
    }
}

/// What a fence would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The epoch that ends.
    pub last: EpochRow,
    /// The one that begins.
    pub next: EpochRow,
    /// Each partition of the new epoch.
    pub steps: Vec<Step>,
}

/// What becomes of one partition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Its number.
    pub partition: u32,
    /// What is wrong with it, as [`Contradiction::code`]; `None`: nothing.
    pub found: Option<&'static str>,
    /// The offset at which the new epoch begins to read.
    pub reads_from: u64,
    /// How many offsets of the log that is.
    pub unread: u64,
    /// Offsets that the log has lost before anybody took them in.
    pub lost: u64,
    #[serde(skip)]
    anchor: Option<Anchor>,
}

/// What a fence would do now.
///
/// # Errors
/// [`Error::Needless`] where there is nothing to do, [`Error::Helpless`] where this is no help.
pub async fn plan(ports: &Ports, limits: &Limits) -> Result<Plan, Error> {
    let topology = ports.log.topology_now().await?;
    let last = ports.ledger.epoch().await?.ok_or(Error::Needless)?;
    let is_other_log = last.identity != topology.identity;
    let mut needed = checks::same_log(&last, &topology).is_err();
    let mut steps = Vec::new();
    for partition in 0..topology.partitions {
        let id = PartitionId { epoch: last.epoch, partition };
        let bounds = ports.log.bounds(partition).await?;
        let step = if is_other_log || partition >= last.partitions {
            Step::from_start(partition, None, bounds)
        } else {
            step(ports, id, bounds, limits).await?
        };
        needed |= step.found.is_some();
        steps.push(step);
    }
    if !needed {
        return Err(Error::Needless);
    }
    let next = EpochRow {
        epoch: last.epoch + 1,
        identity: topology.identity,
        partitions: topology.partitions,
        partitioner: topology.partitioner.to_string(),
    };
    Ok(Plan { last, next, steps })
}

impl Step {
    fn from_start(partition: u32, found: Option<&'static str>, Bounds { start, end }: Bounds) -> Self {
        Self { partition, found, reads_from: start, unread: end.saturating_sub(start), lost: 0, anchor: None }
    }
}

async fn step(ports: &Ports, id: PartitionId, bounds: Bounds, limits: &Limits) -> Result<Step, Error> {
    let partition = id.partition;
    match checks::compare(ports, id).await? {
        Compared::Agree(row) => Ok(Step {
            partition,
            found: None,
            reads_from: row.watermark,
            unread: bounds.end.saturating_sub(row.watermark),
            lost: 0,
            anchor: row.anchor,
        }),
        Compared::Contradict(
            helpless @ (Contradiction::LedgerBehind { .. } | Contradiction::Closed { .. }),
        ) => Err(Error::Helpless(helpless)),
        Compared::Contradict(overrun @ Contradiction::Overrun { start, watermark }) => {
            Ok(Step { lost: start - watermark, ..Step::from_start(partition, Some(overrun.code()), bounds) })
        }
        Compared::Contradict(other) => {
            let watermark = ports.ledger.partition(id).await?.watermark;
            let (reads_from, anchor) = first_unknown(ports, id, bounds, watermark, limits).await?;
            let unread = bounds.end.saturating_sub(reads_from);
            Ok(Step { partition, found: Some(other.code()), reads_from, unread, lost: 0, anchor })
        }
        Compared::Unknown(why) => Err(Error::Log(why)),
    }
}

/// Where the records end that the ledger has taken in. A log that was cut has them up to some offset and none
/// beyond; one that was made anew has none.
async fn first_unknown(
    ports: &Ports,
    id: PartitionId,
    bounds: Bounds,
    watermark: u64,
    limits: &Limits,
) -> Result<(u64, Option<Anchor>), Error> {
    let (mut low, mut high) = (bounds.start, watermark.min(bounds.end));
    let mut anchor = None;
    while low < high {
        let middle = low + (high - low) / 2;
        match next_record(ports, id.partition, middle, high).await? {
            Some(record) if is_known(ports, id, &record, limits).await? => {
                let offset = record.position.offset;
                anchor = Some(Anchor { offset, crc: record.crc() });
                low = offset + 1;
            }
            _ => high = middle,
        }
    }
    Ok((low, anchor))
}

/// The first record in `from..until`; offsets may have gaps.
async fn next_record(ports: &Ports, partition: u32, from: u64, until: u64) -> Result<Option<Record>, Error> {
    for offset in from..until {
        if let Some(record) = ports.log.record(partition, offset).await? {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// Whether the ledger has taken in this very record, in this epoch or in one before.
async fn is_known(ports: &Ports, id: PartitionId, record: &Record, limits: &Limits) -> Result<bool, Error> {
    let (body_hash, accepted_at) = intake::identity(&*ports.log, record, limits);
    for epoch in 1..=id.epoch {
        let position = PartitionId { epoch, ..id }.at(record.position.offset);
        let row = ports.ledger.saga(position).await?;
        if row.is_some_and(|row| row.body_hash == body_hash && row.accepted_at == accepted_at) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Brings the last epoch to rest, and opens the next. Cancelled or killed, it can be run again.
///
/// # Errors
/// [`Error`]; the last epoch stands then.
pub async fn carry_out(ports: &Ports, options: &Options, tasks: &Tasks) -> Result<Plan, Error> {
    let Plan { last, .. } = plan(ports, &options.limits).await?;
    let process = ports.random.next_u64().max(1);
    let mut leases = Vec::new();
    for partition in 0..last.partitions {
        let id = PartitionId { epoch: last.epoch, partition };
        leases.push(rest(ports, options, tasks, id, process).await?);
    }
    // Nobody else has taken anything in since: the leases are checked once more when the epoch opens.
    let plan = plan(ports, &options.limits).await?;
    let starts: Vec<Start> = plan
        .steps
        .iter()
        .map(|step| Start { partition: step.partition, offset: step.reads_from, anchor: step.anchor })
        .collect();
    ports.ledger.succeed(&plan.next, &starts, &leases).await?;
    Ok(plan)
}

/// Ends what is unfinished in a partition, as its owner would.
async fn rest(
    ports: &Ports,
    options: &Options,
    tasks: &Tasks,
    partition: PartitionId,
    process: u64,
) -> Result<Lease, Error> {
    let (_standing, heard) = watch::channel(Standing::Assigned);
    let owner = Owner {
        partition,
        process,
        ports: ports.clone(),
        options: options.clone(),
        board: ports.board.clone(),
        tasks: tasks.clone(),
        window: Window::new(options.window_count_max, options.window_bytes_max),
        attempted: Arc::default(),
        standing: heard,
        revoked: CancellationToken::new(),
    };
    Tenure::bring_to_rest(&owner).await.map_err(|interruption| match interruption {
        Interruption::Ledger(error) => error.into(),
        Interruption::Log(why) => Error::Log(why),
        Interruption::Halt(halt) => Error::Log(halt.reason),
    })
}
