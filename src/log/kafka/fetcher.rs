//! One consumer that fetches for every partition that this process reads.
//!
//! A client of librdkafka has threads of its own, one more for each broker, and a connection to each. One
//! client a partition would make hundreds of both. So partitions share one, and each has a queue to itself:
//! a partition whose reader is slow fills its own queue, up to a bound, and holds up no other.
//!
//! It belongs to no group: it is told which partitions to fetch and from where, and nobody takes them away.

use std::sync::Arc;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer, stream_consumer::StreamPartitionQueue},
    error::KafkaResult,
};

use super::{
    Options,
    client::{self, Health},
    reader::number,
};
use crate::tasks::Tasks;

/// The consumer of all partitions. Clones share it.
#[derive(Clone)]
pub(super) struct Fetcher {
    consumer: Arc<StreamConsumer<Health>>,
    topic: String,
}

/// A partition that is being fetched, until it is dropped.
pub(super) struct Fetched {
    queue: StreamPartitionQueue<Health>,
    of: Fetcher,
    partition: u32,
}

impl Fetcher {
    /// A consumer that fetches nothing yet. `partitions`: how many it may have to fetch.
    pub(super) fn new(options: &Options, topic: &str, partitions: u32, tasks: &Tasks) -> KafkaResult<Self> {
        let consumer: StreamConsumer<Health> =
            client::fetching(options, partitions).create_with_context(Health::new())?;
        let fetcher = Self { consumer: Arc::new(consumer), topic: topic.to_owned() };
        // Records go to the partitions' own queues; this one brings events of the client alone.
        let events = Arc::clone(&fetcher.consumer);
        drop(tasks.spawn_until_stopped(async move {
            loop {
                if let Err(error) = events.recv().await {
                    tracing::debug!(%error, "the fetching client reports an error");
                }
            }
        }));
        Ok(fetcher)
    }

    /// Begins to fetch a partition at `offset`. An error while an earlier reader of it is still there.
    pub(super) fn fetch(&self, partition: u32, offset: u64) -> KafkaResult<Option<Fetched>> {
        // First its own queue, then the assignment: so no record takes the way of the others.
        let Some(queue) = self.consumer.split_partition_queue(&self.topic, number(partition)) else {
            return Ok(None);
        };
        let mut place = TopicPartitionList::with_capacity(1);
        let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        place.add_partition_offset(&self.topic, number(partition), offset)?;
        self.consumer.incremental_assign(&place)?;
        Ok(Some(Fetched { queue, of: self.clone(), partition }))
    }
}

impl Fetched {
    /// Where its records come from.
    pub(super) fn queue(&self) -> &StreamPartitionQueue<Health> {
        &self.queue
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        let mut place = TopicPartitionList::with_capacity(1);
        place.add_partition(&self.of.topic, number(self.partition));
        if let Err(error) = self.of.consumer.incremental_unassign(&place) {
            tracing::debug!(%error, partition = self.partition, "a partition is still fetched");
        }
    }
}
