//! How a key becomes a partition. Stub.

/// How keys become partitions; belongs to the log's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Partitioner {
    /// Java's default for a key, and librdkafka's when told so.
    #[default]
    Murmur2Random,
    /// librdkafka's own default.
    ConsistentRandom,
}

impl Partitioner {
    /// The partition of `key` among `partitions`.
    #[must_use]
    pub fn partition(self, key: &[u8], partitions: u32) -> u32 {
        crc32fast::hash(key) % partitions.max(1)
    }
}
