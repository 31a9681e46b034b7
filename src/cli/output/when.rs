//! Times as people say them.

use crate::model::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Older than this, a date says more than a count of days.
const DAYS_COUNTED: i64 = 30;

/// How long ago, or how soon; a date where that is long.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_millis().saturating_sub(time.as_millis()) / 1000;
    let (count, unit) = match seconds.saturating_abs() {
        0 => return "now".to_owned(),
        span @ ..MINUTE => (span, "s"),
        span @ ..HOUR => (span / MINUTE, "min"),
        span @ ..DAY => (span / HOUR, "h"),
        span if span < DAYS_COUNTED * DAY => (span / DAY, "d"),
        _ => return time.to_string().split('T').next().unwrap_or_default().to_owned(),
    };
    if seconds < 0 { format!("in {count} {unit}") } else { format!("{count} {unit} ago") }
}

/// The moment itself to the second, and how long ago that is.
pub(super) fn full(time: Timestamp, now: Timestamp) -> String {
    let text = time.to_string();
    let moment = text.split('.').next().unwrap_or_default().replace('T', " ");
    format!("{moment} UTC ({})", ago(time, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_counted_and_what_is_far_is_dated() {
        let now: Timestamp = "2026-11-21T09:00:00Z".parse().expect("a time");
        let said = |text: &str| ago(text.parse().expect("a time"), now);
        assert_eq!(said("2026-11-21T08:59:59.9Z"), "now");
        assert_eq!(said("2026-11-21T08:59:18Z"), "42 s ago");
        assert_eq!(said("2026-11-21T06:30:00Z"), "2 h ago");
        assert_eq!(said("2026-11-19T09:00:00Z"), "2 d ago");
        assert_eq!(said("2026-11-21T09:05:00Z"), "in 5 min");
        assert_eq!(said("2026-01-05T09:00:00Z"), "2026-01-05");
        assert_eq!(said("2031-01-05T09:00:00Z"), "2031-01-05");
        let full = full("2026-11-21T08:00:00Z".parse().expect("a time"), now);
        assert_eq!(full, "2026-11-21 08:00:00 UTC (1 h ago)");
    }
}
