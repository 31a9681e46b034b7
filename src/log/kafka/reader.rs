//! Reading: each open partition is placed by offset and never by the group.
//!
//! librdkafka's own threads fetch ahead of the caller up to a bound and stop there; a consumer that was
//! assigned by hand belongs to no group, so a caller may be as slow as it likes and loses nothing by it.
//! After an error the partition is opened anew at the offset that is next.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer, StreamConsumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    client::{self, ASK_TIMEOUT, Health},
    connection::Shared,
    fetcher::Fetched,
};
use crate::{
    log::{Bounds, ReadError, Reader, Record},
    model::version::OFFSET_MAX,
};

/// Most bytes of records that one call hands out; a single record may have more.
const BATCH_BYTES_MAX: usize = 4 << 20;

pub(super) struct KafkaReader {
    pub(super) shared: Arc<Shared>,
    pub(super) partition: u32,
    /// The next offset to take.
    pub(super) offset: u64,
    /// `None` before the first read and after an error.
    pub(super) source: Option<Source>,
    /// What a cancelled call had taken.
    pub(super) taken: VecDeque<Record>,
}

/// Where a reader's records come from.
pub(super) enum Source {
    /// The consumer that all partitions share.
    Shared(Fetched),
    /// One of its own, because another reader of the same partition has the place in the shared one.
    Own(StreamConsumer<Health>),
}

impl Source {
    async fn recv(&self) -> KafkaResult<BorrowedMessage<'_>> {
        match self {
            Self::Shared(fetched) => fetched.queue().recv().await,
            Self::Own(consumer) => consumer.recv().await,
        }
    }
}

impl KafkaReader {
    fn open(&self) -> Result<Source, ReadError> {
        let (shared, partition) = (&self.shared, self.partition);
        let fetcher = shared.fetcher().map_err(|error| unavailable(&error))?;
        match fetcher.fetch(partition, self.offset) {
            Ok(Some(fetched)) => Ok(Source::Shared(fetched)),
            Ok(None) => Err(ReadError::Unavailable(format!("there is no partition {partition}"))),
            Err(error) => {
                tracing::debug!(%error, partition, "the partition has another reader here");
                shared.consumer_at(&shared.commands, partition, self.offset, false).map(Source::Own)
            }
        }
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self, count: usize) -> Result<Vec<Record>, ReadError> {
        let count = count.max(1);
        let (shared, partition) = (Arc::clone(&self.shared), self.partition);
        let mut bytes: usize = self.taken.iter().map(size).sum();
        while self.taken.len() < count && bytes < BATCH_BYTES_MAX {
            let source = match self.source.take() {
                Some(source) => self.source.insert(source),
                None => {
                    let source = self.open()?;
                    self.source.insert(source)
                }
            };
            let received = if self.taken.is_empty() {
                source.recv().await
            } else if let Some(received) = source.recv().now_or_never() {
                received
            } else {
                break;
            };
            match received.map(|message| client::record(&message, shared.epoch(), partition)) {
                Ok(record) => {
                    self.offset = record.position.offset + 1;
                    bytes += size(&record);
                    self.taken.push_back(record);
                }
                // What was taken before the error is given first; the error comes again.
                Err(_) if !self.taken.is_empty() => {
                    self.source = None;
                    break;
                }
                Err(error) => {
                    self.source = None;
                    return Err(shared.explain(partition, self.offset, &error).await);
                }
            }
        }
        let count = count.min(self.taken.len());
        Ok(self.taken.drain(..count).collect())
    }
}

/// Bytes that a record keeps in memory, but for its headers.
fn size(record: &Record) -> usize {
    record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len)
}

impl Shared {
    /// A consumer of one partition that begins at `offset`; `until_end`: it says when it has reached the end.
    pub(super) fn consumer_at(
        &self,
        topic: &str,
        partition: u32,
        offset: u64,
        until_end: bool,
    ) -> Result<StreamConsumer<Health>, ReadError> {
        let open = || -> KafkaResult<StreamConsumer<Health>> {
            let mut config = client::consumer(&self.options);
            config.set("enable.partition.eof", if until_end { "true" } else { "false" });
            let consumer: StreamConsumer<Health> = config.create_with_context(Health::new())?;
            let mut place = TopicPartitionList::new();
            let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
            place.add_partition_offset(topic, number(partition), offset)?;
            consumer.assign(&place)?;
            Ok(consumer)
        };
        open().map_err(|error| unavailable(&error))
    }

    /// The records from `offset` up to `end`, none included that came later.
    pub(super) async fn span(
        &self,
        topic: &str,
        partition: u32,
        offset: u64,
        end: u64,
    ) -> Result<Vec<Record>, ReadError> {
        let consumer = self.consumer_at(topic, partition, offset, true)?;
        let mut records = Vec::new();
        loop {
            let Ok(received) = timeout(ASK_TIMEOUT, consumer.recv()).await else {
                return Err(ReadError::Unavailable("the brokers do not answer".into()));
            };
            match received {
                Ok(message) if message_offset(&message) >= end => return Ok(records),
                Ok(message) => {
                    let last = message_offset(&message) + 1 >= end;
                    records.push(client::record(&message, self.epoch(), partition));
                    if last {
                        return Ok(records);
                    }
                }
                Err(KafkaError::PartitionEOF(_)) => return Ok(records),
                Err(error) => return Err(unavailable(&error)),
            }
        }
    }

    /// What a consumer's error means at `offset`.
    async fn explain(&self, partition: u32, offset: u64, error: &KafkaError) -> ReadError {
        use RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
        if !matches!(error.rdkafka_error_code(), Some(AutoOffsetReset | OffsetOutOfRange)) {
            return unavailable(error);
        }
        match self.bounds_of(&self.commands, partition).await {
            Ok(bounds) if (bounds.start..=bounds.end).contains(&offset) => unavailable(error),
            Ok(bounds) => ReadError::OutOfRange { offset, bounds },
            Err(error) => error,
        }
    }

    /// The first and the next offset of a topic's partition, asked of its leader.
    pub(super) async fn bounds_of(&self, topic: &str, partition: u32) -> Result<Bounds, ReadError> {
        let started = Instant::now();
        let (start, end) = loop {
            let (control, topic) = (Arc::clone(&self.control), topic.to_owned());
            let ask = move || control.fetch_watermarks(&topic, number(partition), ASK_TIMEOUT);
            let answer = tokio::task::spawn_blocking(ask)
                .await
                .map_err(|error| ReadError::Unavailable(error.to_string()))?;
            match answer {
                Ok(bounds) => break bounds,
                Err(error) if is_moving(&error) && started.elapsed() < ASK_TIMEOUT => {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(unavailable(&error)),
            }
        };
        let (start, end) = (start.unsigned_abs(), end.unsigned_abs());
        if end > OFFSET_MAX {
            return Err(ReadError::Unavailable(format!("partition {partition} has no exact offsets left")));
        }
        Ok(Bounds { start, end })
    }
}

/// Whether a partition's leader is being chosen, or is another than we thought.
fn is_moving(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition};
    matches!(error.rdkafka_error_code(), Some(LeaderNotAvailable | NotLeaderForPartition))
}

fn message_offset(message: &impl rdkafka::Message) -> u64 {
    message.offset().unsigned_abs()
}

/// librdkafka's partitions are signed; a topic cannot have more than it can number.
pub(super) fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

pub(super) fn unavailable(error: &KafkaError) -> ReadError {
    ReadError::Unavailable(error.to_string())
}
