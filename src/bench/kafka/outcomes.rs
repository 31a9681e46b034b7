//! How long single commands take: until they are accepted, and until another client has their outcome.

use std::{collections::HashMap, sync::Arc};

use futures::StreamExt as _;
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{Consumer as _, StreamConsumer},
    message::{BorrowedMessage, Headers as _},
};
use serde::Deserialize;
use tokio::time::{Duration, Instant};

use super::{
    PARTITIONS, Servers,
    cluster::{Cluster, folder, puts, timed},
    store::Store,
};
use crate::{
    bench::{
        Error, Options, Row,
        accept::{Surface, accepted as accepted_over},
        at,
        reads::reader_over,
    },
    http::Backends,
    log::CommandLog as _,
    model::Timestamp,
    worker,
};

/// How many commands, and how long it takes until the next: 500 a second.
const COUNT: u32 = 5_000;
const APART: Duration = Duration::from_millis(2);
/// How long the last outcomes may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command's way over HTTP into the brokers, beside the producer's own under the same arrivals.
pub(super) async fn accepted(options: &Options, servers: &Servers) -> Result<Vec<Row>, Error> {
    let store = Store::qdrant(servers, &folder(options, "kafka-accept")?).await?;
    let cluster = Cluster::ready(options, servers, &store).await?;
    let (log, ledger) = (Arc::new(cluster.log.clone()), Arc::new(cluster.ledger.clone()));
    let surface = Surface {
        reader: reader_over(
            Arc::clone(&log) as _,
            Arc::clone(&ledger) as _,
            store.read(),
            cluster.waiters.clone(),
        ),
        log,
        ledger,
        backends: Backends { log: "kafka", ledger: "postgres", vector: "qdrant", graph: "heads" },
    };
    let records = puts(&cluster.random, 0..options.count, options.dimension);
    let rows =
        accepted_over(surface, records, options.rounds, async |count| cluster.rest_of(count).await).await?;
    cluster.close().await?;
    store.close().await?;
    Ok(rows)
}

/// What is known of one command.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Instant,
    acknowledged: Option<Instant>,
    outcome: Option<Instant>,
    /// From the broker's own time of the record to the finish's.
    finished_after: f64,
}

/// What an outcome says of its times.
#[derive(Deserialize)]
struct Times {
    accepted_at: Timestamp,
    finished_at: Timestamp,
}

type Commands = Arc<Mutex<HashMap<String, Sent>>>;

/// From the call of the producer to the outcome in another client's hands, and the parts of that way.
pub(super) async fn latencies(options: &Options, servers: &Servers) -> Result<Vec<Row>, Error> {
    let store = Store::qdrant(servers, &folder(options, "kafka-outcomes")?).await?;
    let vectors = timed(&store);
    let mut cluster = Cluster::open(servers, PARTITIONS).await?;
    cluster.start(Arc::new(vectors.clone()), worker::Options::default()).await?;
    cluster.declare(options.dimension).await?;
    let consumer = consumer(&cluster)?;
    let (seconds, calls) = (vectors.seconds(), vectors.calls());
    let commands = Commands::default();
    let sending = send(options, &cluster, &commands);
    let receiving = receive(&consumer, &commands);
    let (sent, received) = tokio::join!(sending, receiving);
    sent?;
    received?;
    let call = (vectors.seconds() - seconds) / (vectors.calls() - calls).max(1) as f64;
    cluster.close().await?;
    store.close().await?;
    let all: Vec<Sent> = commands.lock().values().copied().collect();
    let micros =
        |of: fn(&Sent) -> Option<f64>| all.iter().filter_map(of).map(|s| s * 1e6).collect::<Vec<_>>();
    Ok(vec![
        Row::percentiles("ack_at_500", micros(|sent| Some((sent.acknowledged? - sent.at).as_secs_f64()))),
        Row::percentiles("log_to_finish_at_500", micros(|sent| Some(sent.finished_after))),
        Row::percentiles("outcome_at_500", micros(|sent| Some((sent.outcome? - sent.at).as_secs_f64())))
            .spent("store_call", call),
    ])
}

/// A client that knows nothing of ours, at the end of the topic of outcomes.
fn consumer(cluster: &Cluster) -> Result<StreamConsumer, Error> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &cluster.kafka.brokers).set("group.id", "bench");
    let consumer: StreamConsumer = config.create().map_err(at("open a consumer"))?;
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let partition = i32::try_from(partition).map_err(at("count partitions"))?;
        let topic = cluster.kafka.outcomes_topic();
        all.add_partition_offset(&topic, partition, Offset::Beginning).map_err(at("assign partitions"))?;
    }
    consumer.assign(&all).map_err(at("assign partitions"))?;
    Ok(consumer)
}

/// Commands arrive at an even rate, whatever becomes of them.
async fn send(options: &Options, cluster: &Cluster, commands: &Commands) -> Result<(), Error> {
    let records = puts(&cluster.random, 0..COUNT as usize, options.dimension);
    let start = Instant::now() + Duration::from_secs(1);
    let calls = records.into_iter().enumerate().map(|(number, record)| {
        let due = start + APART.mul_f64(number as f64);
        let id = format!("c-{number}");
        async move {
            tokio::time::sleep_until(due).await;
            let sent = Sent { at: Instant::now(), acknowledged: None, outcome: None, finished_after: 0.0 };
            commands.lock().insert(id.clone(), sent);
            let answer = cluster.log.append(vec![record]).await.pop();
            answer.ok_or("no answer").map_err(at("append"))?.map_err(at("append"))?;
            if let Some(sent) = commands.lock().get_mut(&id) {
                sent.acknowledged = Some(Instant::now());
            }
            Ok::<_, Error>(())
        }
    });
    futures::future::try_join_all(calls).await.map(drop)
}

async fn receive(consumer: &StreamConsumer, commands: &Commands) -> Result<(), Error> {
    let (mut messages, mut received) = (consumer.stream(), 0);
    while received < COUNT {
        let message = tokio::time::timeout(APART * COUNT + PATIENCE, messages.next()).await;
        let message =
            message.map_err(at("wait for outcomes"))?.ok_or("it ended").map_err(at("read outcomes"))?;
        let message = message.map_err(at("read outcomes"))?;
        let now = Instant::now();
        let Some(id) = causation(&message) else { continue };
        if let Some(sent) = commands.lock().get_mut(&id) {
            let times: Times = serde_json::from_slice(message.payload().unwrap_or_default())
                .map_err(at("read an outcome"))?;
            sent.finished_after =
                (times.finished_at.as_micros() - times.accepted_at.as_micros()) as f64 / 1e6;
            sent.outcome = Some(now);
            received += 1;
        }
    }
    Ok(())
}

/// The id of the command that an outcome is about.
fn causation(message: &BorrowedMessage<'_>) -> Option<String> {
    let headers = message.headers()?;
    let header = headers.iter().find(|header| header.key == "ce_causationid")?;
    Some(String::from_utf8_lossy(header.value?).into_owned())
}
