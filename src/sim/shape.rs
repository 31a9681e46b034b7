//! The shape of a run: how many of everything, drawn from the seed.
//!
//! Small numbers find more than large ones: few keys conflict often, tiny windows fill at once, a
//! batch of one is a batch too.

use std::time::Duration;

use serde_json::Value;

use super::{contradiction::Contradiction, monitor::Store};
use crate::{guard, random::Random, worker};

/// Commands that are written down, instead of drawn: for the crash matrix.
#[derive(Debug, Clone)]
pub(super) struct Script {
    /// Commands of one space in bare form, in the order in which they are sent.
    pub(super) commands: Vec<Value>,
    /// A store that refuses, for good, every write of the command at this offset.
    pub(super) refuse: Option<(Store, u64)>,
}

/// How large a run is, and what it is made of.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// Partitions of the log, by epoch: one or two epochs.
    pub(super) partitions: Vec<u32>,
    /// Spaces; several share a partition.
    pub(super) spaces: u64,
    /// Memory ids of a space.
    pub(super) memories: u64,
    /// Producers at once.
    pub(super) producers: u64,
    /// Commands of each producer, resends apart.
    pub(super) commands: u64,
    /// Longest pause of a producer between two commands, in milliseconds.
    pub(super) pause_ms_max: u64,
    /// Nodes at once.
    pub(super) nodes: u32,
    /// Whether the graph is a projection, rather than the heads.
    pub(super) graph: bool,
    /// Whether the vector store is embedded: in the one node, durable by checkpoints.
    pub(super) embedded: bool,
    /// How often each type of command is drawn, in the order of the workload's types.
    pub(super) weights: Vec<u64>,
    /// The coordinator's bounds.
    pub(super) options: worker::Options,
    /// What is contradictory at the end.
    pub(super) contradiction: Option<Contradiction>,
    /// How stores are guarded; `None`: not at all.
    pub(super) guard: Option<guard::Options>,
    /// What the one producer sends, where it is not drawn.
    pub(super) script: Option<Script>,
}

/// Often, so that images are reclaimed between any two steps of a saga.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
/// Nobody gives orders in a simulation; they are looked for at the beginning of a tenure alone.
const ORDERS_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

impl Shape {
    /// Draws a shape; `shares` is how often each type of command is drawn, before the seed's own taste.
    pub(super) fn draw(random: &Random, shares: &[u64]) -> Self {
        let embedded = random.chance(0.2);
        let batch = pick(random, &[1, 2, 5, 20, 100]);
        let window = pick(random, &[1, 3, 10, 100]);
        let backlog = pick(random, &[4, 30, 1_000]);
        let options = worker::Options {
            batch_count_max: batch,
            window_count_max: window,
            backlog_count_max: backlog,
            backoff_min: Duration::from_millis(1 + random.below(30)),
            backoff_max: Duration::from_millis(100 + random.below(3_000)),
            checkpoint_interval: Duration::from_millis(200 + random.below(3_000)),
            sweep_interval: SWEEP_INTERVAL,
            orders_interval: ORDERS_INTERVAL,
            ..worker::Options::default()
        };
        let mut shape = Self {
            partitions: vec![1 + small(random, 4)],
            spaces: 1 + random.below(4),
            memories: 2 + random.below(8),
            producers: 1 + random.below(3),
            commands: 20 + random.below(50),
            pause_ms_max: pick(random, &[10, 60, 200, 600]) as u64,
            nodes: if embedded { 1 } else { 1 + small(random, 3) },
            graph: random.chance(0.5),
            embedded,
            weights: shares
                .iter()
                .map(|share| if random.chance(0.15) { 0 } else { share * (random.below(4) + 1) })
                .collect(),
            options,
            contradiction: None,
            guard: None,
            script: None,
        };
        if random.chance(0.25) {
            // Another number of partitions, so that spaces move between them.
            shape.partitions.push(1 + small(random, 4));
        }
        shape
    }

    /// How many epochs the log has in this run.
    pub(super) fn epochs(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(1)
    }

    /// How many partitions the log has in `epoch`, from 1.
    pub(super) fn partitions_in(&self, epoch: u32) -> u32 {
        let index = usize::try_from(epoch.saturating_sub(1)).unwrap_or(0);
        self.partitions.get(index).copied().unwrap_or(1)
    }

    /// A small world that draws nothing: one partition, two nodes, and what the script says.
    pub(super) fn scripted(script: Script, graph: bool) -> Self {
        Self {
            partitions: vec![1],
            spaces: 1,
            memories: 0,
            producers: 1,
            commands: 0,
            pause_ms_max: 0,
            nodes: 2,
            graph,
            embedded: false,
            weights: Vec::new(),
            options: worker::Options {
                backoff_max: Duration::from_millis(500),
                sweep_interval: SWEEP_INTERVAL,
                orders_interval: ORDERS_INTERVAL,
                ..worker::Options::default()
            },
            contradiction: None,
            guard: None,
            script: Some(script),
        }
    }

    /// Draws what stands between workers and stores, how long a lease may be relied on, and how it ends.
    pub(super) fn draw_guards(&mut self, random: &Random) {
        let terms_ms = [100, 500, 2_000, 10_000];
        self.options.lease_term = Duration::from_millis(pick(random, &terms_ms) as u64);
        let options = guard::Options {
            failures_in_row: 2 + small(random, 4),
            recent_calls: pick(random, &[4, 10, 50]),
            passed_to_close: 1 + small(random, 2),
            open_min_ms: 20 + random.below(400),
            open_max_ms: 400 + random.below(3_000),
            deadline_ms: pick(random, &[60, 100, 400, 30_000]) as u64,
            calls_max: pick(random, &[1, 1, 2, 64]),
            read_retries_max: small(random, 3),
        };
        self.guard = random.chance(0.7).then_some(options);
        let contradiction = Contradiction::ALL.get(small(random, 4) as usize).copied();
        self.contradiction = contradiction.filter(|_| random.chance(0.3));
    }
}

fn small(random: &Random, bound: u32) -> u32 {
    u32::try_from(random.below(u64::from(bound))).unwrap_or(0)
}

fn pick(random: &Random, choices: &[usize]) -> usize {
    let index = usize::try_from(random.below(choices.len() as u64)).unwrap_or(0);
    choices.get(index).copied().unwrap_or(1)
}
