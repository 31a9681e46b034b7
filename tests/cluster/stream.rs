//! A steady load onto the topic, at a rate that does not wait for whoever works on it.
//!
//! The producer is a plain one, as any client might be: not idempotent, so that a broker that dies makes it send a
//! record again which the log already has, and records overtake each other. What it could not send it sends again
//! under the same id, until it is told a position.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use engraft::{
    audit::history::{Command, Event, Kind},
    model::{PartitionId, Position},
};
use rdkafka::{
    ClientConfig, ClientContext, Message,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};

use crate::support::load::Load;

/// Clients whose commands the stream is made of, in turn.
const CLIENTS: u32 = 8;
/// The first of their numbers: those over HTTP are below.
const CLIENT_FIRST: u32 = 100;
/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(5);
/// How long what was sent may take to be acknowledged in the end.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a load consists of.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) brokers: String,
    pub(crate) topic: String,
    /// Commands a second.
    pub(crate) rate: u64,
    /// Spaces that they are spread over.
    pub(crate) spaces: u64,
    pub(crate) seed: u64,
}

/// A load that runs.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Sent>,
}

/// What became of a load.
pub(crate) struct Sent {
    pub(crate) events: Vec<Event>,
    pub(crate) lasted: Duration,
    /// Commands that had to be sent again.
    pub(crate) again: usize,
}

/// What a client did, with its number.
type Asked = Box<(u32, Command)>;

/// Takes down what the brokers answer.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    events: Vec<Event>,
    /// Was not delivered, and is to be sent again.
    failed: VecDeque<Asked>,
    again: usize,
}

impl ClientContext for Answers {}

impl ProducerContext for Answers {
    type DeliveryOpaque = Asked;

    fn delivery(&self, delivered: &DeliveryResult<'_>, asked: Asked) {
        let mut taken = self.0.lock().expect("no client panicked");
        let (kind, position, error) = match delivered {
            Ok(record) => (Kind::Ok, Some(position(record)), None),
            Err((error, _)) => (Kind::Info, None, Some(error.to_string())),
        };
        let index = taken.events.len() as u64;
        let (process, command) = (asked.0, asked.1.clone());
        taken.events.push(Event { index, process, kind, command, position, error });
        if kind == Kind::Info {
            taken.again += 1;
            taken.failed.push_back(asked);
        }
    }
}

fn position(record: &impl Message) -> Position {
    let partition = u32::try_from(record.partition()).expect("a partition");
    PartitionId { epoch: 1, partition }.at(u64::try_from(record.offset()).expect("an offset"))
}

impl Stream {
    pub(crate) fn start(plan: Plan) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self { stop, thread: thread::spawn(move || send(&plan, &stopped)) }
    }

    /// Ends it, and waits until everything that was sent is acknowledged.
    pub(crate) fn end(self) -> Sent {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("the load ends by itself")
    }
}

fn send(plan: &Plan, stopped: &AtomicBool) -> Sent {
    let answers = Answers::default();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &plan.brokers).set("partitioner", "murmur2_random");
    // Short, so that it is sent again by us as well as by the client.
    config.set("acks", "all").set("linger.ms", "5").set("message.timeout.ms", "15000");
    let producer: ThreadedProducer<Answers> =
        config.create_with_context(answers.clone()).expect("a producer");
    let mut clients: Vec<Load> =
        (0..CLIENTS).map(|client| Load::over(plan.spaces, plan.seed, CLIENT_FIRST + client)).collect();
    let (begun, mut sent) = (Instant::now(), 0);
    while !stopped.load(Ordering::Acquire) {
        let due = u64::try_from(begun.elapsed().as_millis()).expect("a short run") * plan.rate / 1_000;
        while sent < due {
            let client = u32::try_from(sent % u64::from(CLIENTS)).expect("a small number");
            let command = clients[client as usize].next();
            enqueue(&producer, &plan.topic, Box::new((CLIENT_FIRST + client, command)));
            sent += 1;
        }
        send_again(&producer, &answers, &plan.topic);
        thread::sleep(TICK);
    }
    let lasted = begun.elapsed();
    let ended = Instant::now();
    while producer.in_flight_count() > 0 || send_again(&producer, &answers, &plan.topic) {
        assert!(ended.elapsed() < PATIENCE, "not everything that was sent is acknowledged");
        thread::sleep(TICK);
    }
    let taken = std::mem::take(&mut *answers.0.lock().expect("no client panicked"));
    Sent { events: taken.events, lasted, again: taken.again }
}

/// Sends what was not delivered; whether there was any.
fn send_again(producer: &ThreadedProducer<Answers>, answers: &Answers, topic: &str) -> bool {
    let failed = std::mem::take(&mut answers.0.lock().expect("no client panicked").failed);
    let any = !failed.is_empty();
    failed.into_iter().for_each(|asked| enqueue(producer, topic, asked));
    any
}

fn enqueue(producer: &ThreadedProducer<Answers>, topic: &str, asked: Asked) {
    let value = asked.1.to_json().to_string();
    let key = asked.1.space.clone();
    let mut record = BaseRecord::with_opaque_to(topic, asked).key(&key).payload(&value);
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => record = back,
            Err((error, _)) => panic!("{error}"),
        }
        thread::sleep(TICK);
    }
}
