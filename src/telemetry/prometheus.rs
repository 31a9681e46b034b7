//! The exporter: keeps what the process counts, and writes it out in Prometheus' text form. It has no
//! listener of its own; whoever serves HTTP asks it.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::metrics;

static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Starts to count; once a process, whoever asks first.
pub fn start() {
    HANDLE.get_or_init(|| {
        let durations = Matcher::Full(metrics::STORE_CALL_DURATION.to_owned());
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(durations, &metrics::CALL_BUCKETS_SECONDS)
            .ok()?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        ::metrics::set_global_recorder(recorder).ok()?;
        metrics::describe();
        Some(handle)
    });
}

/// Everything counted so far; empty where nothing counts.
#[must_use]
pub fn render() -> String {
    let Some(Some(handle)) = HANDLE.get() else { return String::new() };
    handle.run_upkeep();
    handle.render()
}
