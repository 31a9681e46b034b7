//! Every outcome event as it comes: each command's copies are compared, whoever published them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use engraft::model::{Outcome, Position};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{BorrowedMessage, Headers as _},
};

/// How long nothing may come before what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long brokers may take to say how much there is.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the outcomes while they are published.
pub(crate) struct Outcomes {
    brokers: String,
    partitions: u32,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    thread: thread::JoinHandle<Read>,
}

/// What was read.
#[derive(Default)]
pub(crate) struct Read {
    bodies: BTreeMap<String, Vec<u8>>,
    /// Events that repeat another.
    pub(crate) copies: usize,
    /// What is not as it must be.
    pub(crate) wrong: Vec<String>,
}

impl Outcomes {
    pub(crate) fn follow(brokers: &str, topic: &str, partitions: u32) -> Self {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let consumer = consumer(brokers);
        let mut all = TopicPartitionList::new();
        for partition in 0..partitions {
            all.add_partition_offset(topic, number(partition), Offset::Beginning).expect("a partition");
        }
        consumer.assign(&all).expect("an assignment");
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&count));
        let thread = thread::spawn(move || {
            let mut read = Read::default();
            while !stopped.load(Ordering::Acquire) {
                // An error is a broker that is away: the client goes on by itself.
                if let Some(Ok(event)) = consumer.poll(Duration::from_millis(100)) {
                    read.take(&event);
                    counted.store(read.bodies.len(), Ordering::Release);
                }
            }
            read
        });
        Self { brokers: brokers.to_owned(), partitions, stop, count, thread }
    }

    /// How many commands have one so far.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// How many records each partition of a topic has.
    pub(crate) fn ends_of(&self, topic: &str) -> Vec<usize> {
        let consumer = consumer(&self.brokers);
        let end = |partition| {
            let bounds = consumer.fetch_watermarks(topic, number(partition), ASK_TIMEOUT);
            usize::try_from(bounds.expect("a broker answers").1).expect("an offset")
        };
        (0..self.partitions).map(end).collect()
    }

    /// Waits until as many commands as that have one, and ends.
    pub(crate) fn all(self, expected: usize) -> Read {
        let (mut seen, mut since) = (self.count(), Instant::now());
        while seen < expected && since.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(100));
            if self.count() > seen {
                (seen, since) = (self.count(), Instant::now());
            }
        }
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("the reader ends by itself")
    }
}

impl Read {
    fn take(&mut self, event: &BorrowedMessage<'_>) {
        let id = event.headers().and_then(|headers| headers.iter().find(|header| header.key == "ce_id"));
        let id = id.and_then(|header| header.value).expect("an id");
        let id = String::from_utf8(id.to_owned()).expect("a position");
        let body = event.payload().expect("an outcome").to_owned();
        let partition = id.parse::<Position>().expect("a position").partition;
        if number(partition) != event.partition() {
            self.wrong.push(format!("the outcome of {id} is in partition {}", event.partition()));
        }
        match self.bodies.get(&id) {
            None => {
                self.bodies.insert(id, body);
            }
            Some(first) => {
                self.copies += 1;
                if *first != body {
                    self.wrong.push(format!("two outcomes of {id} differ"));
                }
            }
        }
    }

    /// The outcomes by position.
    pub(crate) fn outcomes(&self) -> BTreeMap<Position, Outcome> {
        let parse = |(id, body): (&String, &Vec<u8>)| {
            let outcome = serde_json::from_slice(body).expect("the outcome of the contract");
            (id.parse().expect("a position"), outcome)
        };
        self.bodies.iter().map(parse).collect()
    }
}

fn consumer(brokers: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "tests").set("enable.auto.commit", "false");
    config.create().expect("a consumer")
}

fn number(partition: u32) -> i32 {
    i32::try_from(partition).expect("a small number")
}
