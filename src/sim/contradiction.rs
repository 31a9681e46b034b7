//! The end of some runs: the ledger and the log contradict each other, and their partition must stop.
//!
//! When everything is at rest and judged, the ledger is restored from an older copy, or the log is not what
//! was read of it any more. From then on nothing may happen in the partitions concerned: no transaction but the
//! one that writes down why, no call to a store, no outcome. Their owners must say that they are halted, and the
//! other partitions go on.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::json;

use crate::{
    invariant::Invariant,
    ledger::memory::MemoryLedger,
    log::{CommandLog, Headers, OutcomeSink, Partitioner},
    model::PartitionId,
    worker::board::PartitionState,
};

use super::{
    Violation,
    cluster::{Cluster, Servers},
    faults::Fault,
    run::unrest,
};

/// Virtual time within which the partitions concerned must be halted, and the others at rest.
const HALT_MS_MAX: u64 = 120_000;
/// What every ledger that is behind must be called, for whoever looks for help.
const BEHIND: &str = "ledger_behind";

/// What contradicts what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contradiction {
    /// The ledger is an older copy of itself.
    LedgerRestored,
    /// The log has lost its last records.
    LogCutShort,
    /// The log has lost its last records, and holds others in their place.
    LogRewritten,
    /// The log has dropped records that nobody has read.
    LogOverrun,
}

impl Contradiction {
    /// All of them.
    pub(super) const ALL: [Self; 4] =
        [Self::LedgerRestored, Self::LogCutShort, Self::LogRewritten, Self::LogOverrun];

    fn fault(self) -> Fault {
        match self {
            Self::LedgerRestored => Fault::LedgerRestored,
            Self::LogCutShort => Fault::LogCutShort,
            Self::LogRewritten => Fault::LogRewritten,
            Self::LogOverrun => Fault::LogOverrun,
        }
    }
}

/// Brings it about, in a world at rest, and looks at what becomes of it.
pub(super) async fn play(servers: &Arc<Servers>, cluster: &Arc<Cluster>) -> Option<Violation> {
    let contradiction = servers.shape.contradiction?;
    let stopped = match contradiction {
        Contradiction::LedgerRestored => restore_ledger(servers, cluster).await?,
        Contradiction::LogCutShort | Contradiction::LogRewritten | Contradiction::LogOverrun => {
            spoil_log(servers, cluster, contradiction).await?
        }
    };
    let name = contradiction.fault().name();
    servers.network.faults.count(contradiction.fault());
    let named: Vec<String> = stopped.iter().map(ToString::to_string).collect();
    servers.network.trace.event(&"world", format_args!("{name}: {} must stop", named.join(", ")));
    for partition in current(servers) {
        // What a spoilt log takes now would only hide what it has lost.
        if contradiction == Contradiction::LedgerRestored || !stopped.contains(&partition) {
            append(servers, partition).await;
        }
    }
    let began = servers.network.trace.elapsed_ms();
    loop {
        let going = going(servers, cluster, contradiction, &stopped).await;
        let waited = servers.network.trace.elapsed_ms() - began;
        match going {
            None => return None,
            Some(sentence) if waited > HALT_MS_MAX => {
                let sentence = format!("{name}: {sentence}, {waited} ms after it");
                return Some(Violation { invariant: Invariant::I10, sentence });
            }
            Some(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// What is not as it must become, if anything.
async fn going(
    servers: &Servers,
    cluster: &Cluster,
    contradiction: Contradiction,
    stopped: &BTreeSet<PartitionId>,
) -> Option<String> {
    let statuses = cluster.statuses();
    for partition in stopped {
        let mut halted = statuses.iter().filter(|status| {
            status.partition == partition.partition && status.state == PartitionState::Halted
        });
        let told = halted.any(|status| {
            let reason = status.reason.as_deref().unwrap_or_default();
            contradiction != Contradiction::LedgerRestored || reason.contains(BEHIND)
        });
        if !told {
            return Some(format!("{partition} is not halted, or does not say why"));
        }
    }
    unrest(servers, stopped).await
}

/// The partitions of the current epoch.
fn current(servers: &Servers) -> Vec<PartitionId> {
    let epoch = servers.log.epoch();
    (0..servers.shape.partitions_in(epoch)).map(|partition| PartitionId { epoch, partition }).collect()
}

/// Puts the last copy of the ledger in its place, under nodes that live or while there are none; the
/// partitions that must stop, if it is behind what was published.
async fn restore_ledger(servers: &Arc<Servers>, cluster: &Arc<Cluster>) -> Option<BTreeSet<PartitionId>> {
    let copy = servers.copy.lock().take()?;
    let older = MemoryLedger::new("older");
    older.restore(&copy);
    let mut behind = BTreeSet::new();
    for partition in current(servers) {
        // A copy of another epoch is told from its log by the log's name.
        let finishes = crate::ledger::Ledger::partition(&older, partition).await.ok()?.finishes;
        if servers.log.log().witness(partition).await.ok()?.is_some_and(|published| published > finishes) {
            behind.insert(partition);
        }
    }
    if behind.is_empty() {
        return None;
    }
    let embedded = servers.shape.embedded;
    let restarts = !embedded && servers.network.faults.between(Fault::LedgerRestored, 0, 1) == 1;
    if restarts {
        end_all(servers, cluster).await;
    }
    servers.tables.restore(&copy);
    servers.monitor.stop(&behind);
    if restarts {
        start_all(servers, cluster);
    }
    Some(behind)
}

/// Takes from one partition's log what the ledger has read, or what it has not; that partition.
async fn spoil_log(
    servers: &Arc<Servers>,
    cluster: &Arc<Cluster>,
    contradiction: Contradiction,
) -> Option<BTreeSet<PartitionId>> {
    let mut spoilt = None;
    for partition in current(servers) {
        let row = servers.ledger.partition(partition).await.ok()?;
        if let Some(anchor) = row.anchor.filter(|_| spoilt.is_none()) {
            spoilt = Some((partition, row.watermark, anchor.offset));
        }
    }
    let (partition, watermark, anchor) = spoilt?;
    end_all(servers, cluster).await;
    let (log, number) = (servers.log.log(), partition.partition);
    let cut = servers.network.faults.between(contradiction.fault(), 0, anchor);
    match contradiction {
        Contradiction::LogCutShort => log.truncate(number, cut),
        Contradiction::LogRewritten => {
            log.truncate(number, cut);
            for offset in cut..watermark {
                let value = Some(Bytes::from(format!("rewritten at {offset}")));
                log.append_to(number, None, value, Headers::new()).ok()?;
            }
        }
        Contradiction::LogOverrun => {
            for _ in 0..3 {
                append(servers, partition).await;
            }
            let end = log.bounds(number).await.ok()?.end;
            log.trim(number, end.saturating_sub(1));
        }
        Contradiction::LedgerRestored => return None,
    }
    let stopped = BTreeSet::from([partition]);
    servers.monitor.stop(&stopped);
    start_all(servers, cluster);
    Some(stopped)
}

async fn end_all(servers: &Servers, cluster: &Cluster) {
    cluster.end_all().await;
    servers.log.dissolve();
}

fn start_all(servers: &Servers, cluster: &Arc<Cluster>) {
    (0..servers.shape.nodes).for_each(|_| cluster.start());
}

/// One more command, in its right place or not.
async fn append(servers: &Arc<Servers>, partition: PartitionId) {
    let space = "space-0";
    let routed =
        Partitioner::default().partition(space.as_bytes(), servers.shape.partitions_in(partition.epoch));
    let put = json!({"type": "memory.put", "data": {"id": "m-0", "content": "after all"}});
    let (key, value) = (Some(Bytes::from(space)), Some(Bytes::from(put.to_string())));
    let doomed = routed != partition.partition;
    let appended = servers.log.produce(partition.partition, key, value, Headers::new(), doomed).await;
    debug_assert!(appended.is_ok(), "nothing befalls the log at rest");
}
