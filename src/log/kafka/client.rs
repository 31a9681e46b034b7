//! The clients: how they are set, and what their errors mean.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rdkafka::{
    ClientConfig, ClientContext, Message, Statistics,
    consumer::ConsumerContext,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::{BorrowedMessage, Header, Headers as _, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, future_producer::DeliveryFuture},
};
use tokio::time::{Instant, sleep};

use super::Options;
use crate::{
    log::{AppendError, Headers, Record},
    model::{PartitionId, Timestamp},
};

/// How long one question to the brokers may take.
pub(super) const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a record may wait for its acknowledgement, retries included.
const DELIVERY_TIMEOUT_MS: &str = "30000";

/// Largest record that is sent: the largest command and the headers that a dead letter adds.
pub(super) const RECORD_BYTES_MAX: &str = "6291456";

/// What is fetched ahead of slow readers, all partitions together; each may exceed its share by one fetch.
const PREFETCH_KIB: u32 = 64 << 10;

/// The smallest share: below it, each fetch would bring a handful of records.
const PREFETCH_KIB_MIN: u32 = 1 << 10;

/// Whether any broker can be reached, as librdkafka last saw it.
#[derive(Debug, Clone)]
pub(super) struct Health(Arc<AtomicBool>);

impl Health {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub(super) fn is_up(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl ClientContext for Health {
    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.0.store(true, Ordering::Release);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.0.store(false, Ordering::Release);
        }
        tracing::warn!(%error, reason, "the Kafka client reports an error");
    }
}

impl ConsumerContext for Health {}

fn common(options: &Options) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "engraft").set("bootstrap.servers", &options.brokers);
    // A broker that comes back is noticed within a second.
    config.set("reconnect.backoff.max.ms", "1000");
    for (name, value) in &options.client {
        config.set(name, value);
    }
    config
}

/// A consumer that fetches up to so many partitions at once, all of them within [`PREFETCH_KIB`] or so.
pub(super) fn fetching(options: &Options, partitions: u32) -> ClientConfig {
    let mut config = consumer(options);
    if !options.consumer.contains_key("queued.max.messages.kbytes") {
        let share = (PREFETCH_KIB / partitions.max(1)).max(PREFETCH_KIB_MIN);
        config.set("queued.max.messages.kbytes", share.to_string());
    }
    config
}

/// A consumer that starts where it is told, or not at all.
pub(super) fn consumer(options: &Options) -> ClientConfig {
    let mut config = common(options);
    // An idle fetch is asked again often, and a queue that was full is refilled at once: both bound latency.
    config
        .set("fetch.wait.max.ms", "50")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.error.backoff.ms", "100");
    // What is fetched ahead of a slow caller, for each partition, and by one request for all of them.
    config.set("queued.max.messages.kbytes", "8192").set("fetch.max.bytes", "16777216");
    for (name, value) in &options.consumer {
        config.set(name, value);
    }
    config
        .set("group.id", options.group())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false");
    config
}

/// A member of the group: it takes part in sharing the partitions, and reads nothing.
pub(super) fn member(options: &Options) -> ClientConfig {
    let mut config = common(options);
    // A process that is gone is missed after this long; one that stops in good order, at once.
    config.set("session.timeout.ms", "10000");
    for (name, value) in &options.consumer {
        config.set(name, value);
    }
    if let Some(instance) = &options.instance {
        config.set("group.instance.id", instance);
    }
    config
        .set("group.id", options.group())
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("allow.auto.create.topics", "false");
    config
}

/// A producer whose answer means that all in-sync replicas have the record, once and in order.
pub(super) fn producer(options: &Options, health: Health) -> KafkaResult<FutureProducer<Health>> {
    let mut config = common(options);
    config
        .set("message.max.bytes", RECORD_BYTES_MAX)
        .set("message.timeout.ms", DELIVERY_TIMEOUT_MS)
        .set("compression.type", "zstd")
        // Throughput comes from appends in flight; waiting for company only delays a lone one.
        .set("linger.ms", "0");
    for (name, value) in &options.producer {
        config.set(name, value);
    }
    config.set("acks", "all").set("enable.idempotence", "true").set("statistics.interval.ms", "1000");
    config.create_with_context(health)
}

/// A record on its way out; absent key and value stay absent.
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: u32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a Headers,
}

/// Puts a record into the producer's queue, waiting for room; its answer comes later. Calls one after the
/// other keep their order.
pub(super) async fn enqueue(
    producer: &FutureProducer<Health>,
    outgoing: Outgoing<'_>,
) -> Result<DeliveryFuture, AppendError> {
    let Outgoing { topic, partition, key, value, headers } = outgoing;
    let partition = i32::try_from(partition).map_err(|_| AppendError::Refused("no such partition".into()))?;
    let mut owned = OwnedHeaders::new_with_capacity(headers.len());
    for (name, value) in headers {
        owned = owned.insert(Header { key: name, value: Some(&value[..]) });
    }
    let mut record = FutureRecord::<[u8], [u8]>::to(topic).partition(partition).headers(owned);
    record.key = key;
    record.payload = value;
    let started = Instant::now();
    loop {
        match producer.send_result(record) {
            Ok(delivery) => return Ok(delivery),
            Err((error, returned)) => {
                let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                if !full || started.elapsed() > ASK_TIMEOUT {
                    return Err(classify_unsent(&error));
                }
                record = returned;
            }
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// An error before the record was queued: nothing can have happened.
fn classify_unsent(error: &KafkaError) -> AppendError {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => AppendError::Refused(error.to_string()),
        _ => AppendError::Unavailable(error.to_string()),
    }
}

/// An error of a delivery. Only a broker's clear refusal, or a record that never left the queue, is certain; a
/// timeout may have struck before the request or before its answer, and librdkafka does not say which.
pub(super) fn classify_delivery(error: &KafkaError) -> AppendError {
    use RDKafkaErrorCode as E;
    match error.rdkafka_error_code() {
        Some(E::MessageSizeTooLarge | E::InvalidMessage | E::InvalidMessageSize | E::InvalidRecord) => {
            AppendError::Refused(error.to_string())
        }
        Some(
            E::TopicAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::PolicyViolation
            | E::UnknownTopic
            | E::UnknownPartition
            | E::PurgeQueue
            | E::QueueFull,
        ) => AppendError::Unavailable(error.to_string()),
        _ => AppendError::Unknown(error.to_string()),
    }
}

/// A message as a record; a header without value counts as an empty one.
pub(super) fn record(message: &BorrowedMessage<'_>, epoch: u32, partition: u32) -> Record {
    let headers = message.headers().map_or_else(Headers::new, |headers| {
        let owned = |header: Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.map(Bytes::copy_from_slice).unwrap_or_default())
        };
        headers.iter().map(owned).collect()
    });
    Record {
        position: PartitionId { epoch, partition }.at(message.offset().unsigned_abs()),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers,
        appended_at: Timestamp::from_millis(message.timestamp().to_millis().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_answer_is_taken_for_nothing_happened() {
        let delivery = |code| classify_delivery(&KafkaError::MessageProduction(code));
        use RDKafkaErrorCode as E;
        assert!(matches!(delivery(E::MessageSizeTooLarge), AppendError::Refused(_)));
        assert!(matches!(delivery(E::PurgeQueue), AppendError::Unavailable(_)));
        for unknown in
            [E::MessageTimedOut, E::PurgeInflight, E::NotEnoughReplicasAfterAppend, E::RequestTimedOut]
        {
            assert!(matches!(delivery(unknown), AppendError::Unknown(_)), "{unknown:?}");
        }
    }
}
