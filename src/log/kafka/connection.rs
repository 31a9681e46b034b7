//! The log itself: its topics as they are, appends, and what else the trait asks for.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    producer::{FutureProducer, Producer, future_producer::DeliveryFuture},
};

use super::{
    Options, RefusedProperty,
    client::{self, ASK_TIMEOUT, Health, Outgoing, classify_delivery},
    fetcher::Fetcher,
    group::{Member, MemberConsumer},
    reader::{KafkaReader, number},
    topics,
};
use crate::{
    log::{
        AppendError, AppendedAt, Assignment, Bounds, CommandLog, Membership, NewRecord, ReadError, Reader,
        Record, Topology,
    },
    model::Timestamp,
    tasks::Tasks,
};

/// How often the group's offsets are brought up to date for lag tools.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

/// How long closing waits for records that are on their way.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An option that the guarantees need otherwise.
    #[error(transparent)]
    Refused(#[from] RefusedProperty),
    /// A client cannot be made from the options.
    #[error("make a Kafka client from `[kafka]`")]
    Client(#[source] KafkaError),
    /// No broker answered.
    #[error("ask the brokers `{brokers}` about `{topic}`")]
    Unreachable {
        /// The bootstrap brokers.
        brokers: String,
        /// The topic asked about.
        topic: String,
        /// Why.
        #[source]
        source: KafkaError,
    },
    /// A topic is not there; nothing makes it by accident.
    #[error("topic `{topic}` does not exist; create it: {command}")]
    TopicMissing {
        /// Its name.
        topic: String,
        /// What creates it.
        command: String,
    },
    /// An answering topic differs from the topic of commands.
    #[error(
        "topic `{topic}` has {found} partitions and the commands have {expected}; answers go to the command's own \
         partition number, so re-create `{topic}` with {expected}"
    )]
    Partitions {
        /// Its name.
        topic: String,
        /// What it has.
        found: u32,
        /// What the commands have.
        expected: u32,
    },
    /// A task of ours ended early.
    #[error("the question to the brokers was dropped")]
    Dropped,
}

/// A handle on the log; clones share it. Closed by [`KafkaLog::close`].
#[derive(Clone)]
pub struct KafkaLog(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) commands: String,
    topology: Topology,
    epoch: AtomicU32,
    health: Health,
    pub(super) producer: FutureProducer<Health>,
    /// Asks about offsets and commits those of the group; reads nothing.
    pub(super) control: Arc<BaseConsumer<Health>>,
    /// Made when the first partition is read: a process that only appends needs none.
    pub(super) fetcher: OnceLock<Fetcher>,
    /// What the ledger noted since the last commit.
    noted: Mutex<BTreeMap<u32, u64>>,
    /// While this process is a member of the group.
    member: Mutex<Weak<MemberConsumer>>,
    /// Whether no other process can work.
    alone: AtomicBool,
    tasks: Tasks,
}

impl KafkaLog {
    /// Looks at the topics and starts the clients. Records carry epoch 1 until [`KafkaLog::set_epoch`].
    ///
    /// # Errors
    /// [`ConnectError`]: an option is refused, no broker answers within 10 s, or a topic is not as it must be.
    pub async fn connect(options: &Options) -> Result<Self, ConnectError> {
        options.check()?;
        let health = Health::new();
        let control: BaseConsumer<Health> =
            client::consumer(options).create_with_context(health.clone()).map_err(ConnectError::Client)?;
        let control = Arc::new(control);
        let producer = client::producer(options, health.clone()).map_err(ConnectError::Client)?;
        let (asked, of) = (Arc::clone(&control), options.clone());
        let topology = tokio::task::spawn_blocking(move || topology(&asked, &of))
            .await
            .map_err(|_| ConnectError::Dropped)??;
        let shared = Arc::new(Shared {
            options: options.clone(),
            commands: options.commands_topic(),
            topology,
            epoch: AtomicU32::new(1),
            health,
            producer,
            control,
            fetcher: OnceLock::new(),
            noted: Mutex::default(),
            member: Mutex::default(),
            alone: AtomicBool::new(false),
            tasks: Tasks::new(),
        });
        let log = Self(shared);
        log.commit_in_the_background();
        Ok(log)
    }

    /// The epoch that the ledger gives this log: records read from now on carry it.
    pub fn set_epoch(&self, epoch: u32) {
        self.0.epoch.store(epoch, Ordering::Release);
    }

    /// No other process can work, because nobody else can open the ledger: whoever joins has all partitions at
    /// once, without waiting until the group has missed an earlier process.
    pub fn work_alone(&self) {
        self.0.alone.store(true, Ordering::Release);
    }

    /// The offset that the group has committed for lag tools; `None`: none, or the brokers do not answer.
    pub async fn committed(&self, partition: u32) -> Option<u64> {
        let shared = Arc::clone(&self.0);
        let ask = move || {
            let mut asked = TopicPartitionList::with_capacity(1);
            asked.add_partition(&shared.commands, number(partition));
            shared.control.committed_offsets(asked, ASK_TIMEOUT)
        };
        let answer = tokio::task::spawn_blocking(ask).await.ok()?.ok()?;
        match answer.elements().first()?.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok(),
            _ => None,
        }
    }

    /// Waits for the records that are on their way, then stops. What is still unanswered then is `Unknown`.
    pub async fn close(&self) {
        self.0.tasks.shut_down().await;
        let shared = Arc::clone(&self.0);
        let flushed = tokio::task::spawn_blocking(move || shared.producer.flush(FLUSH_TIMEOUT)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "records were on their way when the log was closed");
        }
    }

    fn commit_in_the_background(&self) {
        let log = Arc::downgrade(&self.0);
        let tasks = self.0.tasks.clone();
        self.0.tasks.spawn(async move {
            loop {
                let stopping = tokio::select! {
                    () = tasks.stopping() => true,
                    () = tokio::time::sleep(COMMIT_EVERY) => false,
                };
                let Some(shared) = log.upgrade() else { return };
                if let Err(error) = tokio::task::spawn_blocking(move || shared.commit()).await {
                    tracing::debug!(%error, "offsets for lag tools were not committed");
                }
                if stopping {
                    return;
                }
            }
        });
    }
}

impl Shared {
    pub(super) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(super) fn is_up(&self) -> bool {
        self.health.is_up()
    }

    /// Commits what the ledger noted; it is for lag tools, so an error is no more than a line for debugging.
    fn commit(&self) {
        // Serves the client's events, of which nobody else takes care; it has no messages.
        drop(self.control.poll(Duration::ZERO));
        let noted = std::mem::take(&mut *self.noted.lock());
        if noted.is_empty() {
            return;
        }
        if let Err(error) = self.commit_offsets(&noted) {
            tracing::debug!(%error, "offsets for lag tools were not committed; trying again later");
            let mut newer = self.noted.lock();
            for (partition, watermark) in noted {
                newer.entry(partition).or_insert(watermark);
            }
        }
    }

    /// Members of a group commit as members; where there are none, anybody may.
    fn commit_offsets(&self, noted: &BTreeMap<u32, u64>) -> KafkaResult<()> {
        let mut offsets = TopicPartitionList::with_capacity(noted.len());
        for (partition, watermark) in noted {
            let offset = Offset::Offset(i64::try_from(*watermark).unwrap_or(i64::MAX));
            offsets.add_partition_offset(&self.commands, number(*partition), offset)?;
        }
        let member = self.member.lock().upgrade();
        match member {
            Some(member) => member.commit(&offsets, CommitMode::Sync),
            None => self.control.commit(&offsets, CommitMode::Sync),
        }
    }

    /// The consumer that fetches for all readers.
    pub(super) fn fetcher(&self) -> KafkaResult<&Fetcher> {
        if let Some(fetcher) = self.fetcher.get() {
            return Ok(fetcher);
        }
        let made = Fetcher::new(&self.options, &self.commands, self.topology.partitions, &self.tasks)?;
        Ok(self.fetcher.get_or_init(|| made))
    }

    fn check_partition(&self, partition: u32) -> Result<(), ReadError> {
        if partition < self.topology.partitions {
            return Ok(());
        }
        Err(ReadError::Unavailable(format!("there is no partition {partition}")))
    }
}

/// What the brokers say about the topics.
fn topology(control: &BaseConsumer<Health>, options: &Options) -> Result<Topology, ConnectError> {
    let commands = options.commands_topic();
    let partitions = partitions(control, options, &commands, None)?;
    for topic in [options.outcomes_topic(), options.dead_letters_topic()] {
        let found = self::partitions(control, options, &topic, Some(partitions))?;
        if found != partitions {
            return Err(ConnectError::Partitions { topic, found, expected: partitions });
        }
    }
    let cluster = control.client().fetch_cluster_id(ASK_TIMEOUT).unwrap_or_default();
    Ok(Topology { identity: format!("{cluster}/{commands}"), partitions, partitioner: options.partitioner })
}

fn partitions(
    control: &BaseConsumer<Health>,
    options: &Options,
    topic: &str,
    expected: Option<u32>,
) -> Result<u32, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable {
        brokers: options.brokers.clone(),
        topic: topic.to_owned(),
        source,
    };
    let metadata = control.fetch_metadata(Some(topic), ASK_TIMEOUT).map_err(unreachable)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let count = found.map_or(0, |found| found.partitions().len());
    match found.and_then(|found| found.error()).map(RDKafkaErrorCode::from) {
        None if count > 0 => Ok(u32::try_from(count).unwrap_or(u32::MAX)),
        None | Some(RDKafkaErrorCode::UnknownTopicOrPartition) => Err(ConnectError::TopicMissing {
            topic: topic.to_owned(),
            command: topics::command(options, topic, expected.unwrap_or(topics::PARTITIONS)),
        }),
        Some(code) => Err(unreachable(KafkaError::MetadataFetch(code))),
    }
}

#[async_trait]
impl CommandLog for KafkaLog {
    fn topology(&self) -> Topology {
        self.0.topology.clone()
    }

    async fn topology_now(&self) -> Result<Topology, ReadError> {
        let shared = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || topology(&shared.control, &shared.options)).await;
        let asked = asked.map_err(|error| ReadError::Unavailable(error.to_string()))?;
        match asked {
            Ok(topology) => Ok(topology),
            // The answering topics have not grown with the commands, or not yet: those decide.
            Err(ConnectError::Partitions { expected, .. }) => {
                Ok(Topology { partitions: expected, ..self.topology() })
            }
            Err(error) => Err(ReadError::Unavailable(error.to_string())),
        }
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<AppendedAt, AppendError>> {
        let shared = &self.0;
        // Nothing is queued for brokers that are known to be away: it would wait, and then be unknown.
        if !shared.is_up() {
            return vec![Err(AppendError::Unavailable("no broker can be reached".into())); records.len()];
        }
        let Topology { partitions, partitioner, .. } = shared.topology;
        let mut queued = Vec::with_capacity(records.len());
        for NewRecord { key, value, headers } in &records {
            let partition = partitioner.partition(key, partitions);
            let outgoing =
                Outgoing { topic: &shared.commands, partition, key: Some(key), value: Some(value), headers };
            queued.push((partition, client::enqueue(&shared.producer, outgoing).await));
        }
        let mut answers = Vec::with_capacity(queued.len());
        for (partition, delivery) in queued {
            answers.push(match delivery {
                Ok(delivery) => delivered(partition, delivery).await,
                Err(error) => Err(error),
            });
        }
        answers
    }

    async fn reader(&self, partition: u32, offset: u64) -> Result<Box<dyn Reader>, ReadError> {
        let bounds = self.bounds(partition).await?;
        if !(bounds.start..=bounds.end).contains(&offset) {
            return Err(ReadError::OutOfRange { offset, bounds });
        }
        let shared = Arc::clone(&self.0);
        Ok(Box::new(KafkaReader { shared, partition, offset, source: None, taken: VecDeque::new() }))
    }

    async fn bounds(&self, partition: u32) -> Result<Bounds, ReadError> {
        self.0.check_partition(partition)?;
        self.0.bounds_of(&self.0.commands, partition).await
    }

    async fn record(&self, partition: u32, offset: u64) -> Result<Option<Record>, ReadError> {
        let bounds = self.bounds(partition).await?;
        if !(bounds.start..bounds.end).contains(&offset) {
            return Ok(None);
        }
        let records = self.0.span(&self.0.commands, partition, offset, offset + 1).await?;
        Ok(records.into_iter().next())
    }

    async fn join(&self) -> Result<Box<dyn Membership>, ReadError> {
        let tasks = self.0.tasks.clone();
        if self.0.alone.load(Ordering::Acquire) {
            return Ok(Box::new(SoleMember { tasks, partitions: 0..self.0.topology.partitions }));
        }
        let member = Member::join(&self.0.options, tasks)?;
        *self.0.member.lock() = member.consumer().map_or_else(Weak::new, Arc::downgrade);
        Ok(Box::new(member))
    }

    async fn note_watermark(&self, partition: u32, watermark: u64) {
        self.0.noted.lock().insert(partition, watermark);
    }
}

/// Waits for what became of a record.
pub(super) async fn delivered(partition: u32, delivery: DeliveryFuture) -> Result<AppendedAt, AppendError> {
    match delivery.await {
        Ok(Ok(delivery)) => Ok(AppendedAt {
            partition,
            offset: delivery.offset.unsigned_abs(),
            at: Timestamp::from_millis(delivery.timestamp.to_millis().unwrap_or(0)),
        }),
        Ok(Err((error, _))) => Err(classify_delivery(&error)),
        Err(_) => Err(AppendError::Unknown("the client was closed".into())),
    }
}

/// The one process that works: every partition is its own until the log closes.
struct SoleMember {
    tasks: Tasks,
    partitions: std::ops::Range<u32>,
}

#[async_trait]
impl Membership for SoleMember {
    async fn next(&mut self) -> Option<Assignment> {
        if self.tasks.is_stopping() {
            return None;
        }
        if let Some(partition) = self.partitions.next() {
            return Some(Assignment::Assigned(partition));
        }
        self.tasks.stopping().await;
        None
    }

    async fn released(&mut self, _partition: u32) {}
}
