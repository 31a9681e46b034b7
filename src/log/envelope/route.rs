//! Whether a record stands where its space belongs.
//!
//! The key is the space and decides the partition, so that all commands of a space are in one
//! order. A record in another place would be applied out of that order: it is never done, and goes
//! to the dead letters too, from where it can be sent again to the right place.

use super::{
    Routing,
    form::{Parts, Unreadable},
    suggest::quoted,
};
use crate::{
    log::{Partitioner, Record},
    model::{Code, FieldError, Space},
};

/// The record's key as text; `None` where it has none.
pub(super) fn key(record: &Record) -> Result<Option<&str>, Unreadable> {
    let Some(key) = &record.key else { return Ok(None) };
    std::str::from_utf8(key).map(Some).map_err(|_| {
        let detail = "the record key is not UTF-8; the key must be the command's space, as a string";
        Unreadable(Code::KeyNotUtf8, detail.to_owned())
    })
}

/// The space that the command means, and what is wrong with its place.
///
/// What the body says comes before the key: it is what the producer meant, and where they differ
/// the producer looks for the answer there.
pub(super) fn find(
    parts: &Parts<'_>,
    key: Option<&str>,
    partition: u32,
    routing: Routing,
) -> Result<(Space, Option<FieldError>), Unreadable> {
    let stated = parts.attribute("space");
    let none = |detail: String| Unreadable(Code::SpaceMissing, detail);
    let Some(first) = stated.or(key) else {
        return Err(none("neither the key nor the body names a space; send the space as the key".to_owned()));
    };
    let space = Space::new(first).or_else(|error| match key {
        Some(key) if key != first => Space::new(key),
        _ => Err(error),
    });
    let space = space
        .map_err(|error| none(format!("{} names no space: a space {}", quoted(first), error.problem)))?;
    let misplaced = match key {
        None => Some(FieldError::new(
            Code::KeyMissing,
            "/space",
            format!("the record has no key; send its space {} as the key", quoted(first)),
        )),
        Some(key) if key != first => Some(FieldError::new(
            Code::Misrouted,
            "/space",
            format!(
                "the space is {} but the key is {}; the key must be the space",
                quoted(first),
                quoted(key)
            ),
        )),
        Some(key) => wrong_partition(key, partition, routing),
    };
    Ok((space, misplaced))
}

fn wrong_partition(key: &str, partition: u32, routing: Routing) -> Option<FieldError> {
    let Routing { partitions, partitioner } = routing;
    let right = partitioner.partition(key.as_bytes(), partitions);
    if right == partition {
        return None;
    }
    let remedy = match partitioner {
        Partitioner::Murmur2Random => {
            "set `partitioner=murmur2_random` in librdkafka producers; Java's default does it already"
        }
        Partitioner::ConsistentRandom => {
            "librdkafka's default `consistent_random` does it; a Java producer must hash with CRC-32"
        }
    };
    let detail = format!(
        "the record is in partition {partition}, but key {} belongs to {right} of {partitions}; {remedy}",
        quoted(key)
    );
    Some(FieldError::new(Code::Misrouted, "", detail))
}
