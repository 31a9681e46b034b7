//! How a record lies in the file. Stable: never change what is here, only add beside it.
//!
//! ```text
//! rowid of `record` = partition << 51 | offset       one B-tree, each partition a run of rising keys
//! headers           = { name length: u32 LE, name, value length: u32 LE, value }*
//! ```

use bytes::Bytes;

use crate::{
    log::Headers,
    model::{PartitionId, version::OFFSET_MAX},
};

/// Bits of a row id that hold the offset.
const OFFSET_BITS: u32 = 51;

/// A row id is a signed 64-bit integer: 12 bits are left for the partition.
pub(super) const PARTITIONS_MAX: u32 = 1 << 12;

/// The row id of a position. `partition` is below [`PARTITIONS_MAX`], `offset` at most [`OFFSET_MAX`]
/// plus one, which is where the next partition begins.
pub(super) fn row_id(partition: u32, offset: u64) -> i64 {
    debug_assert!(partition < PARTITIONS_MAX && offset <= OFFSET_MAX + 1);
    let row = (u64::from(partition) << OFFSET_BITS) + offset;
    i64::try_from(row).unwrap_or(i64::MAX)
}

/// The offset within a row id.
pub(super) fn offset_of(row_id: i64) -> u64 {
    row_id.unsigned_abs() & OFFSET_MAX
}

/// The position that a stored record carries.
pub(super) fn position(epoch: u32, partition: u32, row_id: i64) -> crate::model::Position {
    PartitionId { epoch, partition }.at(offset_of(row_id))
}

/// Headers as bytes; none are no bytes.
pub(super) fn encode_headers(headers: &Headers) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(headers_bytes(headers));
    for (name, value) in headers {
        for part in [name.as_bytes(), value] {
            let length = u32::try_from(part.len()).expect("a record's size was checked");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

/// How many bytes [`encode_headers`] gives.
pub(super) fn headers_bytes(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| 8 + name.len() + value.len()).sum()
}

/// Headers from their bytes; `None` when they are not what [`encode_headers`] wrote.
pub(super) fn decode_headers(bytes: &[u8]) -> Option<Headers> {
    let mut headers = Headers::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let name = String::from_utf8(take_part(&mut rest)?.to_vec()).ok()?;
        headers.push((name, Bytes::copy_from_slice(take_part(&mut rest)?)));
    }
    Some(headers)
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (part, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_ids_are_what_they_were_and_sort_by_partition_then_offset() {
        assert_eq!(row_id(0, 7), 7);
        assert_eq!(row_id(3, 7), 3 * (1 << 51) + 7);
        assert_eq!(offset_of(row_id(PARTITIONS_MAX - 1, OFFSET_MAX)), OFFSET_MAX);
        assert_eq!(row_id(PARTITIONS_MAX - 1, OFFSET_MAX), i64::MAX);
        assert!(row_id(0, OFFSET_MAX) < row_id(1, 0));
        assert_eq!(row_id(0, OFFSET_MAX + 1), row_id(1, 0));
    }

    #[test]
    fn headers_are_stored_as_they_were_and_torn_ones_are_noticed() {
        let headers: Headers = vec![
            ("a".into(), Bytes::from_static(b"\xff")),
            ("a".into(), Bytes::new()),
            ("".into(), "b".into()),
        ];
        let bytes = encode_headers(&headers);
        assert_eq!(&bytes[..10], b"\x01\0\0\0a\x01\0\0\0\xff");
        assert_eq!(bytes.len(), headers_bytes(&headers));
        assert_eq!(decode_headers(&bytes), Some(headers));
        assert_eq!(decode_headers(b""), Some(Headers::new()));
        assert_eq!(decode_headers(&bytes[..bytes.len() - 1]), None);
    }
}
