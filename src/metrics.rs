//! Every metric: its name, unit, help and labels, once. The values are told through the `metrics` facade;
//! who exports them is set up elsewhere, and without an exporter all of this costs next to nothing.
//!
//! Labels come from closed sets, and none holds an id, a space or a text.

use std::time::Duration;

use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// 1 for the state that a store's breaker is in, 0 for the others.
pub const BREAKER_STATE: &str = "engraft_breaker_state";
/// Changes of a breaker's state.
pub const BREAKER_TRANSITIONS: &str = "engraft_breaker_transitions_total";
/// Calls that were turned away before they reached the store.
pub const BREAKER_REJECTED: &str = "engraft_breaker_rejected_total";
/// Calls to a store.
pub const STORE_CALLS: &str = "engraft_store_calls_total";
/// How long they took.
pub const STORE_CALL_DURATION: &str = "engraft_store_call_duration_seconds";
/// Reads that were repeated.
pub const STORE_RETRIES: &str = "engraft_store_retries_total";
/// Commands in the log that are not in the ledger yet.
pub const LAG_RECORDS: &str = "engraft_consumer_lag_records";
/// Age of the oldest of them.
pub const LAG_SECONDS: &str = "engraft_consumer_lag_seconds";
/// Commands in the ledger that have not ended.
pub const SAGAS_UNFINISHED: &str = "engraft_sagas_unfinished";
/// Age of the oldest of them.
pub const SAGA_OLDEST_SECONDS: &str = "engraft_saga_oldest_unfinished_seconds";
/// 1 for the state that a partition is in, 0 for the others.
pub const PARTITION_STATE: &str = "engraft_partition_state";
/// Partitions that this process works on, or stands still with.
pub const ASSIGNED: &str = "engraft_consumer_assigned_partitions";
/// 1 while so many commands are unfinished that nothing more is taken from the log.
pub const INTAKE_PAUSED: &str = "engraft_consumer_intake_paused";
/// 1 while a partition stands still, for each reason that there may be.
pub const PARTITION_HALTED: &str = "engraft_partition_halted";
/// Transactions that ended commands.
pub const PARTITION_FINISHES: &str = "engraft_partition_finishes_total";
/// Always 1.
pub const BUILD_INFO: &str = "engraft_build_info";

/// Every name, for dashboards and alerts to be checked against.
pub const ALL: [&str; 16] = [
    BREAKER_STATE,
    BREAKER_TRANSITIONS,
    BREAKER_REJECTED,
    STORE_CALLS,
    STORE_CALL_DURATION,
    STORE_RETRIES,
    LAG_RECORDS,
    LAG_SECONDS,
    SAGAS_UNFINISHED,
    SAGA_OLDEST_SECONDS,
    PARTITION_STATE,
    ASSIGNED,
    INTAKE_PAUSED,
    PARTITION_HALTED,
    PARTITION_FINISHES,
    BUILD_INFO,
];

/// The states of a breaker, as labels.
const BREAKER_STATES: [&str; 3] = ["closed", "open", "half_open"];
/// The states of a partition, as labels.
const PARTITION_STATES: [&str; 5] = ["recovering", "working", "overtaken", "halted", "stopped"];
/// Why a partition may stand still, as labels.
const HALTS: [&str; 8] = [
    "other_log",
    "other_routing",
    "overrun",
    "truncated",
    "replaced",
    "ledger_behind",
    "closed",
    "out_of_range",
];
/// The states of a command that has not ended, as labels.
const SAGA_STATES: [&str; 3] = ["pending", "running", "compensating"];

/// Upper bounds of the buckets of a call's duration, in seconds.
pub const CALL_BUCKETS_SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Tells the exporter what every metric means.
pub fn describe() {
    describe_gauge!(BREAKER_STATE, "1 for the state that the store's breaker is in");
    describe_counter!(BREAKER_TRANSITIONS, "Changes of a breaker's state, by the state that it came to");
    describe_counter!(BREAKER_REJECTED, "Calls turned away before they reached the store");
    describe_counter!(STORE_CALLS, "Calls to a store, by outcome: ok, refused, error, timeout");
    describe_histogram!(STORE_CALL_DURATION, Unit::Seconds, "How long calls to a store took");
    describe_counter!(STORE_RETRIES, "Reads that were repeated");
    describe_gauge!(LAG_RECORDS, "Commands in the log that are not in the ledger yet");
    describe_gauge!(LAG_SECONDS, Unit::Seconds, "Age of the oldest command that is not in the ledger yet");
    describe_gauge!(
        SAGAS_UNFINISHED,
        "Commands in the ledger that have not ended, counted up to 1000 a partition"
    );
    describe_gauge!(SAGA_OLDEST_SECONDS, Unit::Seconds, "Age of the oldest command that has not ended");
    describe_gauge!(PARTITION_STATE, "1 for the state that the partition is in");
    describe_gauge!(ASSIGNED, "Partitions that this process works on, or stands still with");
    describe_gauge!(INTAKE_PAUSED, "1 while nothing more is taken from the log, since so much is unfinished");
    describe_gauge!(PARTITION_HALTED, "1 while the partition stands still for this reason");
    describe_counter!(PARTITION_FINISHES, "Transactions that ended commands");
    describe_gauge!(BUILD_INFO, "Always 1; the version is a label");
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// How a store's breaker stands.
pub(crate) fn breaker_state(store: &'static str, now: &'static str) {
    for state in BREAKER_STATES {
        gauge!(BREAKER_STATE, "store" => store, "state" => state).set(f64::from(u8::from(state == now)));
    }
}

/// A store's breaker came to this state.
pub(crate) fn breaker_moved(store: &'static str, to: &'static str) {
    counter!(BREAKER_TRANSITIONS, "store" => store, "to" => to).increment(1);
}

/// A call was turned away.
pub(crate) fn call_rejected(store: &'static str) {
    counter!(BREAKER_REJECTED, "store" => store).increment(1);
}

/// A call was repeated.
pub(crate) fn call_retried(store: &'static str) {
    counter!(STORE_RETRIES, "store" => store).increment(1);
}

/// A call was made.
pub(crate) fn call(store: &'static str, operation: &'static str, outcome: &'static str, took: Duration) {
    counter!(STORE_CALLS, "store" => store, "operation" => operation, "outcome" => outcome).increment(1);
    histogram!(STORE_CALL_DURATION, "store" => store, "operation" => operation).record(took.as_secs_f64());
}

/// What is known of one partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Partition<'a> {
    /// Its number.
    pub(crate) number: u32,
    /// Its state's word; `None`: it is not worked on here.
    pub(crate) state: Option<&'static str>,
    /// Whether so much is unfinished here that nothing more is taken in.
    pub(crate) intake_paused: bool,
    /// Why it stands still.
    pub(crate) halt: Option<&'a str>,
    /// Commands that are in the log alone.
    pub(crate) lag: u64,
    /// Age of the oldest of them, in seconds.
    pub(crate) lag_age_seconds: f64,
    /// Age of the oldest command in the ledger that has not ended, in seconds.
    pub(crate) oldest_seconds: f64,
    /// Transactions that ended commands.
    pub(crate) finishes: u64,
}

/// Tells how one partition does.
pub(crate) fn partition(partition: &Partition<'_>) {
    let number = partition.number.to_string();
    for state in PARTITION_STATES {
        let now = f64::from(u8::from(partition.state == Some(state)));
        gauge!(PARTITION_STATE, "partition" => number.clone(), "state" => state).set(now);
    }
    gauge!(LAG_RECORDS, "partition" => number.clone()).set(partition.lag as f64);
    gauge!(LAG_SECONDS, "partition" => number.clone()).set(partition.lag_age_seconds);
    gauge!(SAGA_OLDEST_SECONDS, "partition" => number.clone()).set(partition.oldest_seconds);
    for reason in HALTS {
        let now = f64::from(u8::from(partition.halt == Some(reason)));
        gauge!(PARTITION_HALTED, "partition" => number.clone(), "reason" => reason).set(now);
    }
    let paused = f64::from(u8::from(partition.intake_paused));
    gauge!(INTAKE_PAUSED, "partition" => number.clone()).set(paused);
    counter!(PARTITION_FINISHES, "partition" => number).absolute(partition.finishes);
}

/// Tells how many partitions this process has.
pub(crate) fn assigned(count: usize) {
    gauge!(ASSIGNED).set(count as f64);
}

/// Tells how many commands have not ended, by state.
pub(crate) fn unfinished(count: impl Fn(&'static str) -> usize) {
    for state in SAGA_STATES {
        gauge!(SAGAS_UNFINISHED, "state" => state).set(count(state) as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_whose_they_are_and_what_they_count() {
        for name in ALL {
            let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(name.starts_with("engraft_") && plain, "{name}");
        }
        assert!(CALL_BUCKETS_SECONDS.is_sorted());
    }
}
