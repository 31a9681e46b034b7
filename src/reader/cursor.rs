//! Where a follower of outcomes has come to, as opaque text that it hands back.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::model::{PartitionId, Space};

/// The place behind one outcome: everything up to it was given. Outcomes are ordered by finish, then by
/// offset.
///
/// Text form, stable: unpadded URL-safe base64 of
/// ```text
/// u32 epoch, u32 partition, u64 finish, u64 offset, u32 CRC-32 of these and the space's name    all big-endian
/// ```
/// With the name in the checksum, a cursor of one space is none of another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The partition of the space, in the epoch of the outcome.
    pub partition: PartitionId,
    /// The finish that ended the command.
    pub finish: u64,
    /// The command's offset; [`Cursor::ALL`]: of a whole finish.
    pub offset: u64,
}

/// Text that is no cursor of this space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no cursor of this space's events; send the `id` of the last event, unchanged")]
pub struct InvalidCursor;

impl Cursor {
    /// The offset behind the last command of a finish.
    pub const ALL: u64 = u64::MAX;

    /// Before the first outcome of an epoch.
    #[must_use]
    pub fn start(partition: PartitionId) -> Self {
        Self { partition, finish: 0, offset: Self::ALL }
    }

    /// The text form, for `space`.
    #[must_use]
    pub fn to_text(self, space: &Space) -> String {
        let mut bytes = Vec::with_capacity(28);
        bytes.extend(self.partition.epoch.to_be_bytes());
        bytes.extend(self.partition.partition.to_be_bytes());
        bytes.extend(self.finish.to_be_bytes());
        bytes.extend(self.offset.to_be_bytes());
        bytes.extend(checksum(&bytes, space).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The cursor of `space` that `text` stands for.
    ///
    /// # Errors
    /// [`InvalidCursor`] for any other text.
    pub fn parse(text: &str, space: &Space) -> Result<Self, InvalidCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidCursor)?;
        let (place, sum) = bytes.split_at_checked(24).ok_or(InvalidCursor)?;
        if checksum(place, space).to_be_bytes() != sum {
            return Err(InvalidCursor);
        }
        let (numbers, long) = place.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let short = |bytes: &[u8]| u32::try_from(number(bytes)).map_err(|_| InvalidCursor);
        let (epoch, partition) = numbers.split_at(4);
        let (finish, offset) = long.split_at(8);
        Ok(Self {
            partition: PartitionId { epoch: short(epoch)?, partition: short(partition)? },
            finish: number(finish),
            offset: number(offset),
        })
    }
}

fn checksum(place: &[u8], space: &Space) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(place);
    hasher.update(space.as_str().as_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_round_trips_for_its_space_alone() {
        let (acme, other) = (Space::new("acme").expect("a space"), Space::new("acme2").expect("a space"));
        let cursor = Cursor { partition: PartitionId { epoch: 1, partition: 17 }, finish: 9, offset: 1680 };
        let text = cursor.to_text(&acme);
        assert_eq!(text, "AAAAAQAAABEAAAAAAAAACQAAAAAAAAaQVY_dUg", "stable");
        assert_eq!(Cursor::parse(&text, &acme), Ok(cursor));
        assert_eq!(Cursor::parse(&text, &other), Err(InvalidCursor));
        for bad in ["", "1.17.1680", &text[1..], &format!("{text}AA")] {
            assert_eq!(Cursor::parse(bad, &acme), Err(InvalidCursor), "{bad}");
        }
    }
}
