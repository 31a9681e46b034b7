//! What was just committed, still in memory: a reader that keeps up never reads the file.
//!
//! Bounded in bytes. Whoever falls behind, or starts in the past, reads the file instead; both give the
//! same records.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::log::Record;

/// Bytes of keys, values and headers that are kept, over all partitions.
const TAIL_BYTES_MAX: usize = 16 << 20;

/// The newest records of every partition.
pub(super) struct Tail {
    partitions: Vec<Mutex<Newest>>,
    /// A partition's share of the bytes.
    bytes_max: usize,
}

/// The newest records of one partition, without gaps.
#[derive(Default)]
struct Newest {
    records: VecDeque<Record>,
    bytes: usize,
}

impl Tail {
    /// Nothing yet.
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            partitions: (0..partitions).map(|_| Mutex::default()).collect(),
            bytes_max: TAIL_BYTES_MAX / partitions.max(1),
        }
    }

    /// Adds records that are committed, in the order of their offsets.
    pub(super) fn push(&self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            if let Some(newest) = self.partitions.get(record.position.partition as usize) {
                newest.lock().push(record, self.bytes_max);
            }
        }
    }

    /// At most `count` records from `offset` on; `None` when the one at `offset` is not here.
    pub(super) fn read(&self, partition: u32, offset: u64, count: usize, epoch: u32) -> Option<Vec<Record>> {
        let newest = self.partitions.get(partition as usize)?.lock();
        let first = newest.records.front()?.position.offset;
        let skipped = usize::try_from(offset.checked_sub(first)?).ok()?;
        let records = newest.records.iter().skip(skipped).take(count);
        let records: Vec<Record> = records
            .cloned()
            .map(|mut record| {
                record.position.epoch = epoch;
                record
            })
            .collect();
        (!records.is_empty()).then_some(records)
    }
}

impl Newest {
    fn push(&mut self, record: Record, bytes_max: usize) {
        let follows =
            self.records.back().is_none_or(|last| last.position.offset + 1 == record.position.offset);
        if !follows {
            // A commit whose answer was lost lies between; it is in the file.
            self.records.clear();
            self.bytes = 0;
        }
        self.bytes += size(&record);
        self.records.push_back(record);
        while self.bytes > bytes_max
            && let Some(oldest) = self.records.pop_front()
        {
            self.bytes -= size(&oldest);
        }
    }
}

fn size(record: &Record) -> usize {
    let headers = record.headers.iter().map(|(name, value)| name.len() + value.len());
    let bytes = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
    bytes(&record.key) + bytes(&record.value) + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PartitionId, Timestamp};

    fn record(offset: u64, bytes: usize) -> Record {
        Record {
            position: PartitionId { epoch: 1, partition: 0 }.at(offset),
            key: Some("acme".into()),
            value: Some(vec![7; bytes].into()),
            headers: Vec::new(),
            appended_at: Timestamp::default(),
        }
    }

    fn offsets(tail: &Tail, from: u64) -> Option<Vec<u64>> {
        let records = tail.read(0, from, 100, 3)?;
        assert!(records.iter().all(|record| record.position.epoch == 3));
        Some(records.iter().map(|record| record.position.offset).collect())
    }

    #[test]
    fn it_gives_what_follows_an_offset_that_it_has_and_nothing_else() {
        let tail = Tail::new(1);
        assert_eq!(offsets(&tail, 0), None);
        tail.push((5..8).map(|offset| record(offset, 1)));
        assert_eq!(offsets(&tail, 5), Some(vec![5, 6, 7]));
        assert_eq!(offsets(&tail, 7), Some(vec![7]));
        assert_eq!((offsets(&tail, 4), offsets(&tail, 8)), (None, None));
    }

    #[test]
    fn it_never_shows_a_gap() {
        let tail = Tail::new(1);
        tail.push([record(1, 1), record(2, 1), record(9, 1)]);
        assert_eq!((offsets(&tail, 1), offsets(&tail, 9)), (None, Some(vec![9])));
    }

    #[test]
    fn it_keeps_no_more_bytes_than_it_may() {
        let tail = Tail::new(1);
        tail.push((0..5).map(|offset| record(offset, TAIL_BYTES_MAX / 3)));
        assert_eq!((offsets(&tail, 2), offsets(&tail, 3)), (None, Some(vec![3, 4])));
    }
}
