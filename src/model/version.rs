//! Where a command stands in the log, and the version that its writes carry.
//!
//! A [`Version`] is `(e, s)` with `s = offset * 4 + phase`. It is the fence: every store applies a
//! write only when its version is higher than what the store holds, so duplicates, delays,
//! reorderings and retries of writes converge. The phase makes an undo *newer* than what it
//! undoes: a late forward write can never land on top of its own compensation.

use std::{fmt, num::ParseIntError, str::FromStr};

use serde::{Deserialize, Serialize, de};

/// Offsets stay below this, so that `s < 2^53`: stores that compare numbers as f64 stay exact.
pub const OFFSET_MAX: u64 = (1 << 51) - 1;

/// One partition of one epoch of the command log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId {
    /// The log's epoch: a new one is opened when offsets lose their meaning (topic re-created,
    /// partition count changed).
    pub epoch: u32,
    /// The partition's number, from 0.
    pub partition: u32,
}

impl PartitionId {
    /// The position of `offset` in this partition.
    #[must_use]
    pub fn at(self, offset: u64) -> Position {
        Position { epoch: self.epoch, partition: self.partition, offset }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.partition)
    }
}

/// Where a command stands in the log. Text form `epoch.partition.offset`; stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The log's epoch.
    pub epoch: u32,
    /// The partition's number.
    pub partition: u32,
    /// The offset within the partition.
    pub offset: u64,
}

impl Position {
    /// The partition that this position lies in.
    #[must_use]
    pub fn partition_id(self) -> PartitionId {
        PartitionId { epoch: self.epoch, partition: self.partition }
    }

    /// The version that a write of this command carries at `phase`.
    #[must_use]
    pub fn version(self, phase: Phase) -> Version {
        debug_assert!(self.offset <= OFFSET_MAX, "offset {} leaves the exact range of f64", self.offset);
        Version { epoch: self.epoch, sequence: self.offset * 4 + phase as u64 }
    }
}

/// Which write of one command this is. Stable: never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// The command's own effect.
    Forward = 0,
    /// Its compensation.
    Undo = 1,
    /// Its effect, written again by a recovery or an operator's decision.
    RecoveredForward = 2,
    /// Its compensation, written again likewise.
    RecoveredUndo = 3,
}

/// The version of a record: `(epoch, sequence)`, ordered lexicographically. Text form `e.s`; stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The log's epoch.
    pub epoch: u32,
    /// `offset * 4 + phase`.
    pub sequence: u64,
}

impl Version {
    /// The offset of the command that wrote this version.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.sequence / 4
    }

    /// Which of that command's writes it was.
    #[must_use]
    pub fn phase(self) -> Phase {
        match self.sequence % 4 {
            0 => Phase::Forward,
            1 => Phase::Undo,
            2 => Phase::RecoveredForward,
            _ => Phase::RecoveredUndo,
        }
    }
}

/// Text that is no position or no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not of the form {form}")]
pub struct InvalidVersion {
    text: String,
    form: &'static str,
}

fn numbers<const N: usize>(text: &str, form: &'static str) -> Result<[u64; N], InvalidVersion> {
    let fail = || InvalidVersion { text: text.to_owned(), form };
    let parse = |part: &str| -> Result<u64, ParseIntError> { part.parse() };
    let parts: Vec<u64> = text.split('.').map(parse).collect::<Result<_, _>>().map_err(|_| fail())?;
    parts.try_into().map_err(|_| fail())
}

impl FromStr for Position {
    type Err = InvalidVersion;
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        const FORM: &str = "epoch.partition.offset";
        let fail = || InvalidVersion { text: text.to_owned(), form: FORM };
        let [epoch, partition, offset] = numbers(text, FORM)?;
        if offset > OFFSET_MAX {
            return Err(fail());
        }
        Ok(Self {
            epoch: u32::try_from(epoch).map_err(|_| fail())?,
            partition: u32::try_from(partition).map_err(|_| fail())?,
            offset,
        })
    }
}

impl FromStr for Version {
    type Err = InvalidVersion;
    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        const FORM: &str = "epoch.sequence";
        let [epoch, sequence] = numbers(text, FORM)?;
        let epoch = u32::try_from(epoch).map_err(|_| InvalidVersion { text: text.to_owned(), form: FORM })?;
        Ok(Self { epoch, sequence })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.epoch, self.partition, self.offset)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.sequence)
    }
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}
serde_as_text!(Position);
serde_as_text!(Version);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undo_is_newer_than_what_it_undoes_and_older_than_the_next_command() {
        let first = PartitionId { epoch: 1, partition: 17 }.at(1680);
        let next = PartitionId { epoch: 1, partition: 17 }.at(1681);
        assert!(first.version(Phase::Forward) < first.version(Phase::Undo));
        assert!(first.version(Phase::RecoveredUndo) < next.version(Phase::Forward));
        assert_eq!(first.version(Phase::Forward).to_string(), "1.6720");
        assert_eq!(first.version(Phase::Undo).offset(), 1680);
    }

    #[test]
    fn text_forms_round_trip_and_nonsense_is_refused() {
        let position: Position = "1.17.1680".parse().expect("a position");
        assert_eq!(position.to_string(), "1.17.1680");
        let version: Version = "1.6720".parse().expect("a version");
        assert_eq!(version.phase(), Phase::Forward);
        for bad in ["", "1", "1.2", "1.2.3.4", "a.b.c", "-1.0.0", "1.0.9007199254740993"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
