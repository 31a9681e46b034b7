//! A broker that other processes share, seen through topics of one test's own.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use engraft::log::{
    Headers,
    kafka::{KafkaLog, Options, topics},
};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{Headers as _, OwnedMessage},
};

use crate::support::told;

/// Partitions of every test's topics.
pub(crate) const PARTITIONS: u32 = 4;

/// A log on topics that no other test has.
pub(crate) struct Broker {
    pub(crate) log: KafkaLog,
    pub(crate) options: Options,
}

/// Options with topics that no other test has.
pub(crate) fn fresh_options(test: &str) -> Option<Options> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let brokers = told("ENGRAFT_TEST_KAFKA", test)?;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let unique = format!("t{}-{}.", since.as_nanos(), NEXT.fetch_add(1, Ordering::Relaxed));
    Some(Options { brokers, topic_prefix: unique, ..Options::default() })
}

/// The log of these options, its topics made.
pub(crate) async fn connect(options: Options) -> Broker {
    topics::create(&options, PARTITIONS, 1).await.unwrap();
    Broker { log: KafkaLog::connect(&options).await.unwrap(), options }
}

/// A log on topics of its own.
pub(crate) async fn world(test: &str) -> Option<Broker> {
    Some(connect(fresh_options(test)?).await)
}

impl Broker {
    /// A client that knows nothing of ours.
    pub(crate) fn foreign_client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.options.brokers).set("group.id", "tests");
        config
    }

    /// Everything in a topic, by partition and offset, as any other client sees it.
    pub(crate) async fn everything(&self, topic: String) -> Vec<OwnedMessage> {
        let mut config = self.foreign_client();
        config.set("enable.partition.eof", "true");
        tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().unwrap();
            let mut all = TopicPartitionList::new();
            for partition in 0..PARTITIONS {
                all.add_partition_offset(&topic, i32::try_from(partition).unwrap(), Offset::Beginning)
                    .unwrap();
            }
            consumer.assign(&all).unwrap();
            let (mut messages, mut ends) = (Vec::new(), 0);
            while ends < PARTITIONS {
                match consumer.poll(Duration::from_secs(20)).expect("the broker answers") {
                    Ok(message) => messages.push(message.detach()),
                    Err(rdkafka::error::KafkaError::PartitionEOF(_)) => ends += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            messages.sort_by_key(|message| (message.partition(), message.offset()));
            messages
        })
        .await
        .unwrap()
    }
}

/// The headers of a message, in their order.
pub(crate) fn headers(message: &OwnedMessage) -> Headers {
    let all = message.headers().into_iter().flat_map(|headers| headers.iter());
    all.map(|header| (header.key.to_owned(), header.value.map(Bytes::copy_from_slice).unwrap_or_default()))
        .collect()
}
