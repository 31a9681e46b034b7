//! One run's topics, schema and workers.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use sqlx::PgConnection;

use super::{PARTITIONS, SPACES, Servers, store::Store};
use crate::{
    bench::{
        Error, Options, at,
        ledger::{forget, schema},
        load,
        watched::Timed,
        work::Work,
        world,
    },
    clock::SystemClock,
    ledger::postgres::{self, PostgresLedger},
    log::{
        NewRecord,
        kafka::{self, KafkaLog, topics},
    },
    random::Random,
    reader::{Announcing, Waiters},
    saga::plan::Planner,
    vector::Project,
    worker::{self, Ports},
};

/// How long a server may take to forget what a run made.
const FORGET_TIMEOUT: Duration = Duration::from_secs(10);

/// What several workers share, and the workers.
pub(super) struct Cluster {
    pub(super) kafka: kafka::Options,
    /// For whoever produces.
    pub(super) log: KafkaLog,
    pub(super) ledger: PostgresLedger,
    pub(super) waiters: Waiters,
    pub(super) random: Random,
    /// Records that were appended so far.
    pub(super) appended: u64,
    workers: Vec<(Work, KafkaLog)>,
    partitions: u32,
    operator: PgConnection,
    schema: String,
}

impl Cluster {
    /// Makes topics of so many partitions, and a schema.
    pub(super) async fn open(servers: &Servers, partitions: u32) -> Result<Self, Error> {
        let random = Random::from_system();
        let name = format!("bench_{:016x}", random.next_u64());
        let kafka = kafka::Options {
            brokers: servers.brokers.clone(),
            topic_prefix: format!("{name}."),
            ..kafka::Options::default()
        };
        let made = topics::create(&kafka, partitions, servers.replication).await;
        made.map_err(|error| at("make topics")(format!("brokers `{}`: {error}", servers.brokers)))?;
        let log = KafkaLog::connect(&kafka).await.map_err(at("open the log"))?;
        let (operator, schema) = schema(&servers.postgres, &random).await?;
        let settings = postgres::Options { schema: schema.clone(), ..postgres::Options::default() };
        let ledger = PostgresLedger::open(&servers.postgres, &settings, &random);
        let ledger = ledger.await.map_err(at("open the ledger"))?;
        Ok(Self {
            kafka,
            log,
            ledger,
            waiters: Waiters::default(),
            random,
            appended: 0,
            workers: Vec::new(),
            partitions,
            operator,
            schema,
        })
    }

    /// A cluster of the usual size with one worker over `store`, its spaces declared.
    pub(super) async fn ready(options: &Options, servers: &Servers, store: &Store) -> Result<Self, Error> {
        let mut cluster = Self::open(servers, PARTITIONS).await?;
        cluster.start(store.project(), worker::Options::default()).await?;
        cluster.declare(options.dimension).await?;
        Ok(cluster)
    }

    /// Starts one more worker, and waits until every partition is worked on.
    pub(super) async fn start(
        &mut self,
        vectors: Arc<dyn Project>,
        options: worker::Options,
    ) -> Result<(), Error> {
        let log = KafkaLog::connect(&self.kafka).await.map_err(at("open the log"))?;
        let work = Work::start(options, |board| Ports {
            log: Arc::new(log.clone()),
            outcomes: Arc::new(Announcing::new(Arc::new(log.clone()), self.waiters.clone())),
            dead_letters: Arc::new(log.clone()),
            ledger: Arc::new(self.ledger.clone()),
            vectors,
            graph: None,
            decide: Arc::new(Planner::default()),
            clock: Arc::new(SystemClock),
            random: Random::from_seed(self.random.next_u64(), 0),
            board,
        });
        self.workers.push((work, log));
        Work::until_working(&self.work(), self.partitions as usize).await
    }

    /// Waits until each of so many workers has its even share.
    pub(super) async fn level(&self, workers: usize) -> Result<(), Error> {
        let share = self.partitions as usize / workers;
        for work in self.work() {
            Work::until_working(&[work], share).await?;
        }
        Work::until_working(&self.work(), self.partitions as usize).await
    }

    fn work(&self) -> Vec<&Work> {
        self.workers.iter().map(|(work, _)| work).collect()
    }

    /// Declares the spaces of the load, without words of their texts.
    pub(super) async fn declare(&mut self, dimension: usize) -> Result<(), Error> {
        let all = (0..SPACES).map(|number| load::declaration_of(load::space_of(number), dimension, false));
        self.append(all.collect(), SPACES).await?;
        self.rest().await
    }

    /// Appends everything, a few batches at a time; seconds until the last was durable.
    pub(super) async fn append(&mut self, records: Vec<NewRecord>, batch: usize) -> Result<f64, Error> {
        self.appended += records.len() as u64;
        world::append_all(&self.log, records, batch).await
    }

    /// Waits until everything appended has ended.
    pub(super) async fn rest(&self) -> Result<(), Error> {
        self.rest_of(0).await
    }

    /// Waits until everything appended, and so many records that others appended, have ended.
    pub(super) async fn rest_of(&self, others: u64) -> Result<(), Error> {
        Work::until(&self.work(), self.appended + others).await
    }

    /// Stops the workers and forgets what the run made.
    pub(super) async fn close(self) -> Result<(), Error> {
        let Self { kafka, log, ledger, workers, mut operator, schema, .. } = self;
        for (work, log) in workers {
            work.stop().await?;
            log.close().await;
        }
        log.close().await;
        ledger.close().await;
        forget(&mut operator, &schema).await?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &kafka.brokers);
        let admin: AdminClient<DefaultClientContext> = config.create().map_err(at("delete topics"))?;
        let names = [kafka.commands_topic(), kafka.outcomes_topic(), kafka.dead_letters_topic()];
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let options = AdminOptions::new().request_timeout(Some(FORGET_TIMEOUT));
        admin.delete_topics(&names, &options).await.map_err(at("delete topics"))?;
        Ok(())
    }
}

/// Puts of new memories, spread over the spaces.
pub(super) fn puts(random: &Random, numbers: std::ops::Range<usize>, dimension: usize) -> Vec<NewRecord> {
    numbers.map(|number| load::put(random, load::space_of(number % SPACES), number, dimension)).collect()
}

/// A folder of one row's own.
pub(super) fn folder(options: &Options, name: &str) -> Result<PathBuf, Error> {
    let folder = options.folder.join(name);
    std::fs::create_dir_all(&folder).map_err(at("make a folder"))?;
    Ok(folder)
}

/// A watch on a store.
pub(super) fn timed(store: &Store) -> Timed {
    Timed::over(store.project())
}
