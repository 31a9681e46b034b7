//! What a record decodes to, told as promises. Bad input is a table; forms and hashes are
//! properties; bytes that ledgers hold are pinned.

mod forms;
mod numbers;
mod pinned;
mod refusals;
mod schemas;

use bytes::Bytes;

use super::{Decoded, FailedRecord, Limits, Routing, decode, encode::Draft};
use crate::{
    log::{Headers, NewRecord, Partitioner, Record},
    model::{Code, Digest, Envelope, PartitionId, Space, Timestamp},
};

pub(super) const ROUTING: Routing = Routing { partitions: 8, partitioner: Partitioner::Murmur2Random };

pub(super) fn acme() -> Space {
    Space::new("acme").unwrap()
}

/// The record as the log would hold it, in the partition of its key.
pub(super) fn held(key: Option<&[u8]>, value: Option<&[u8]>, headers: Headers) -> Record {
    let partition = ROUTING.partitioner.partition(key.unwrap_or_default(), ROUTING.partitions);
    Record {
        position: PartitionId { epoch: 1, partition }.at(7),
        key: key.map(Bytes::copy_from_slice),
        value: value.map(Bytes::copy_from_slice),
        headers,
        appended_at: Timestamp::from_micros(1_700_000_000_000_000),
    }
}

pub(super) fn appended(record: NewRecord) -> Record {
    held(Some(&record.key), Some(&record.value), record.headers)
}

/// Bare JSON under the key `acme`.
pub(super) fn bare(value: &str) -> Record {
    held(Some(b"acme"), Some(value.as_bytes()), Vec::new())
}

pub(super) fn accepted(record: &Record) -> Envelope {
    match decode(record, ROUTING, &Limits::default()) {
        Decoded::Command(envelope) => *envelope,
        other => panic!("not accepted: {other:?}"),
    }
}

pub(super) fn failed(record: &Record) -> FailedRecord {
    match decode(record, ROUTING, &Limits::default()) {
        Decoded::Failed(failed) => *failed,
        other => panic!("not failed: {other:?}"),
    }
}

pub(super) fn unreadable(record: &Record) -> (Code, String) {
    match decode(record, ROUTING, &Limits::default()) {
        Decoded::Unreadable { code, detail } => (code, detail),
        other => panic!("not unreadable: {other:?}"),
    }
}

/// A draft with all that a CloudEvent needs.
pub(super) fn draft(kind: &str, data: &serde_json::Value) -> Draft {
    Draft::new(acme(), kind, data).with_id("c-1").from_source("/agents/ada")
}
