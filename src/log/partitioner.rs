//! How a key becomes a partition: the two hashes that Kafka's clients use, bit for bit.
//!
//! Java's client hashes keys with murmur2, librdkafka with CRC-32 unless told otherwise. A log takes
//! one of them for good: two producers that differ would split a space over two partitions, and
//! with it the order of its commands. So this is computed here, for every backend alike, and a
//! record that lies elsewhere is told (`misrouted`), never read out of order.
//!
//! A null key has no partition of its own; both clients spread those at random. The empty key, which
//! librdkafka spreads too, is no space and is refused as one before its place matters.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How keys become partitions; belongs to the log's epoch. The text forms are librdkafka's; stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partitioner {
    /// Java's default for a key, and librdkafka's when told so.
    #[default]
    Murmur2Random,
    /// librdkafka's own default.
    ConsistentRandom,
}

/// Text that names no partitioner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a partitioner: write `murmur2_random` or `consistent_random`")]
pub struct UnknownPartitioner(String);

impl Partitioner {
    /// The partition of `key` among `partitions`, from 0. No partitions count as one.
    #[must_use]
    pub fn partition(self, key: &[u8], partitions: u32) -> u32 {
        let hash = match self {
            // Java's integers are signed: it clears the sign bit before it divides.
            Self::Murmur2Random => murmur2(key) & 0x7fff_ffff,
            Self::ConsistentRandom => crc32fast::hash(key),
        };
        hash % partitions.max(1)
    }

    /// The stable text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Murmur2Random => "murmur2_random",
            Self::ConsistentRandom => "consistent_random",
        }
    }
}

impl fmt::Display for Partitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Partitioner {
    type Err = UnknownPartitioner;
    fn from_str(text: &str) -> Result<Self, UnknownPartitioner> {
        match text {
            "murmur2_random" => Ok(Self::Murmur2Random),
            "consistent_random" => Ok(Self::ConsistentRandom),
            _ => Err(UnknownPartitioner(text.to_owned())),
        }
    }
}

/// The 32-bit MurmurHash2 with Kafka's seed, over little-endian words.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MIX: u32 = 0x5bd1_e995;

    // The hash takes the length modulo 2^32, as Java's `int` does.
    #[expect(clippy::cast_possible_truncation, reason = "the hash is defined so")]
    let mut hash = SEED ^ bytes.len() as u32;
    let mut words = bytes.chunks_exact(4);
    for word in words.by_ref() {
        let word = u32::from_le_bytes(word.try_into().expect("chunks of four bytes")).wrapping_mul(MIX);
        let word = (word ^ (word >> 24)).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ word;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (byte, shift) in rest.iter().zip([0, 8, 16]) {
            hash ^= u32::from(*byte) << shift;
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Java's client computes, as librdkafka's own unit test lists it.
    #[test]
    fn murmur2_gives_what_javas_client_gives() {
        let cut = "PreAmbleWillBeRemoved,ThePrePartThatIs";
        for (key, hash) in [
            ("kafka", 0xd067_cf64),
            ("giberish123456789", 0x8f55_2b0c),
            ("1234", 0x9fc9_7b14),
            ("234", 0xe7c0_09ca),
            ("34", 0x8739_30da),
            ("4", 0x5a4b_5ca1),
            (cut, 0x7842_4f1c),
            (&cut[1..], 0x4a62_b377),
            (&cut[2..], 0xe0e4_e09e),
            (&cut[3..], 0x62b8_b43f),
            ("", 0x106e_08d9),
        ] {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    /// The keys and hashes of librdkafka's test of its partitioners.
    #[test]
    fn a_key_goes_where_other_clients_put_it() {
        let long = "this is another string with more length to it perhaps";
        for (key, crc32, java) in [
            ("23456", 0xb1b4_51d7_u32, 0x058d_780f_u32),
            (long, 0xb015_0df7, 0x4f77_03da),
            ("hejsan", 0xd077_037e, 0x5ec1_9395),
        ] {
            for partitions in [1, 7, 17, 32] {
                let place = |partitioner: Partitioner| partitioner.partition(key.as_bytes(), partitions);
                assert_eq!(place(Partitioner::ConsistentRandom), crc32 % partitions, "{key}");
                assert_eq!(place(Partitioner::Murmur2Random), java % partitions, "{key}");
            }
        }
        // A hash with its sign bit set: 0xd067cf64 becomes 0x5067cf64.
        assert_eq!(Partitioner::Murmur2Random.partition(b"kafka", 32), 0x5067_cf64 % 32);
    }

    #[test]
    fn text_forms_round_trip_and_others_are_refused() {
        for partitioner in [Partitioner::Murmur2Random, Partitioner::ConsistentRandom] {
            assert_eq!(partitioner.to_string().parse(), Ok(partitioner));
            assert_eq!(serde_json::to_value(partitioner).unwrap(), partitioner.as_str());
        }
        assert!("murmur2".parse::<Partitioner>().is_err());
    }
}
