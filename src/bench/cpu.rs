//! The processor time of this process: what a row costs whatever else the machine does meanwhile.

/// Clock ticks a second, as `/proc` counts them on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time so far, of all threads; 0 where there is no `/proc`.
pub(super) fn seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may hold anything but ends with the last parenthesis; `utime` and `stime` are the 12th and 13th behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    #[test]
    fn work_takes_time() {
        let before = super::seconds();
        let begun = tokio::time::Instant::now();
        while begun.elapsed().as_millis() < 60 {
            std::hint::spin_loop();
        }
        assert!(super::seconds() > before || !std::path::Path::new("/proc/self/stat").exists());
    }
}
