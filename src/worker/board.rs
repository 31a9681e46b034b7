//! What the worker is doing, for people and for health checks.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use tokio::sync::watch;

/// A shared view of every partition that this process works on.
#[derive(Debug, Clone, Default)]
pub struct Board {
    partitions: Arc<RwLock<BTreeMap<u32, PartitionStatus>>>,
    is_level: Arc<watch::Sender<bool>>,
}

/// Whether the vector store is level with the heads: holds all that had been acknowledged before this process
/// started. Until then a search may miss what was committed long ago.
#[derive(Debug, Clone)]
pub struct Level(watch::Receiver<bool>);

impl Level {
    /// Of a store that acknowledges nothing before it is durable, and of one that another process keeps.
    #[must_use]
    pub fn always() -> Self {
        Self(watch::channel(true).1)
    }

    /// Whether it is level now; then it stays so.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is level; never, if the worker ends before.
    pub async fn reached(&self) {
        if self.0.clone().wait_for(|is_level| *is_level).await.is_err() {
            std::future::pending().await
        }
    }
}

/// One partition, as its owner last saw it.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u32,
    /// `recovering`, `working`, `overtaken`, `halted` or `stopped`.
    pub state: PartitionState,
    /// Every position below it is in the ledger.
    pub watermark: u64,
    /// Sagas that have not ended.
    pub unfinished: u64,
    /// Whether so many are unfinished that nothing more is taken from the log for now.
    pub intake_paused: bool,
    /// Of these, those that are with the stores.
    pub running: u64,
    /// The offset of the oldest of them.
    pub oldest_unfinished: Option<u64>,
    /// The number of the last finish.
    pub finishes: u64,
    /// How many turns its owner has taken.
    pub turns: u64,
    /// Microseconds spent in turns, i.e. with a ledger transaction open.
    pub turns_micros: u64,
    /// Microseconds spent decoding records.
    pub decode_micros: u64,
    /// Why it is halted.
    pub reason: Option<String>,
    /// The same as a word: [`super::checks::Contradiction::code`], or `out_of_range`.
    pub halt: Option<&'static str>,
}

/// How a partition is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    /// Its owner is reading the ledger.
    #[default]
    Recovering,
    /// Its owner takes commands.
    Working,
    /// Another process has taken it; its owner here waits for what the group says.
    Overtaken,
    /// Its owner has stopped, because the log and the ledger contradict each other.
    Halted,
    /// It has no owner here.
    Stopped,
}

impl Board {
    /// Every partition, by number.
    #[must_use]
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        self.partitions.read().values().cloned().collect()
    }

    /// Whether the vector store that this worker writes to is level with the heads.
    #[must_use]
    pub fn level(&self) -> Level {
        Level(self.is_level.subscribe())
    }

    /// The vector store has been brought up to date.
    pub(crate) fn vectors_are_level(&self) {
        self.is_level.send_replace(true);
    }

    /// Changes what is said of a partition.
    pub(super) fn update(&self, partition: u32, change: impl FnOnce(&mut PartitionStatus)) {
        let mut partitions = self.partitions.write();
        let blank = || PartitionStatus { partition, ..PartitionStatus::default() };
        change(partitions.entry(partition).or_insert_with(blank));
    }
}
