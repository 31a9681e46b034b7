//! Points in time, as microseconds since 1970 in UTC.
//!
//! On the wire they are RFC 3339 with an offset; inside they are one integer that every store can
//! compare. Wall time is for people and for age policies; it never decides correctness.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since 1970, as Kafka counts.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

/// Text that is no RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an RFC 3339 time such as 2026-11-21T09:00:00Z")]
pub struct InvalidTime(String);

impl FromStr for Timestamp {
    type Err = InvalidTime;
    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| InvalidTime(text.to_owned()))?;
        // A year that RFC 3339 can write fits i64 microseconds a hundred times over.
        i64::try_from(parsed.unix_timestamp_nanos().div_euclid(1000))
            .map(Self)
            .map_err(|_| InvalidTime(text.to_owned()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0) * 1000;
        let Ok(moment) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
            return write!(f, "{}us", self.0);
        };
        let (date, clock) = (moment.date(), moment.time());
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            date.year(),
            u8::from(date.month()),
            date.day(),
            clock.hour(),
            clock.minute(),
            clock.second()
        )?;
        let micros = clock.microsecond();
        if micros % 1000 == 0 { write!(f, ".{:03}Z", micros / 1000) } else { write!(f, ".{micros:06}Z") }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_microseconds_and_lose_their_offset() {
        let time: Timestamp = "2026-11-21T10:00:00.012345+01:00".parse().expect("a time");
        assert_eq!(time.to_string(), "2026-11-21T09:00:00.012345Z");
        assert_eq!(Timestamp::from_millis(1_700_000_000_012).to_string(), "2023-11-14T22:13:20.012Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
