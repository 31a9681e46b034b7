//! From the first append to the last outcome, beside each store on its own.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    PARTITIONS, Servers,
    cluster::{Cluster, folder, puts, timed},
    store::{self, Store},
};
use crate::{
    bench::{Error, Options, Row, baseline, cpu, ledger},
    random::Random,
    worker,
};

/// The baselines and what is compared with them, the median of the rounds; then a command at a time.
pub(super) async fn rows(options: &Options, servers: &Servers) -> Result<Vec<Row>, Error> {
    let mut measured: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    let mut order = Vec::new();
    for round in 0..options.rounds {
        for row in one_round(options, servers, round).await? {
            if round == 0 {
                order.push(row.name);
            }
            measured.entry(row.name).or_default().push(row);
        }
    }
    let medians = order.into_iter().filter_map(|name| measured.remove(name).and_then(Row::median));
    let mut rows: Vec<Row> = medians.collect();
    let single = one_by_one(options, servers).await?;
    let batched = rows.iter().find(|row| row.name == "kafka_qdrant").map_or(0.0, |row| row.rate);
    let over = Row::new("kafka_over_one_by_one", batched, "commands/s").against(&single);
    rows.extend([single, over]);
    Ok(rows)
}

async fn one_round(options: &Options, servers: &Servers, round: usize) -> Result<Vec<Row>, Error> {
    let random = Random::from_seed(13, round as u64);
    let folder = folder(options, &format!("kafka-{round}"))?;
    let postgres = ledger::bulk(options, &servers.postgres, &random).await?;
    let qdrant = store::bulk(options, servers, &folder, &random).await?;
    let flush = worker::Options::default().checkpoint_interval;
    let edge = baseline::edge(options, &folder, &random, flush).await?;
    let slower = |other: &Row| if postgres.rate < other.rate { postgres.clone() } else { other.clone() };
    let over_network = Store::qdrant(servers, &folder).await?;
    let with_qdrant = whole(options, servers, "kafka_qdrant", over_network).await?.against(&slower(&qdrant));
    let with_edge =
        whole(options, servers, "kafka_edge", Store::edge(&folder)?).await?.against(&slower(&edge));
    std::fs::remove_dir_all(&folder).map_err(crate::bench::at("remove a round's folder"))?;
    Ok(vec![postgres, qdrant, edge, with_qdrant, with_edge])
}

/// One worker, from the first append to the last commit.
async fn whole(options: &Options, servers: &Servers, name: &'static str, store: Store) -> Result<Row, Error> {
    let mut cluster = Cluster::open(servers, PARTITIONS).await?;
    let vectors = timed(&store);
    cluster.start(std::sync::Arc::new(vectors.clone()), worker::Options::default()).await?;
    cluster.declare(options.dimension).await?;
    let records = puts(&cluster.random, 0..options.count, options.dimension);
    let before = vectors.seconds();
    let (started, used) = (Instant::now(), cpu::seconds());
    let appended = cluster.append(records, options.batch).await?;
    cluster.rest().await?;
    let (seconds, used) = (started.elapsed().as_secs_f64(), cpu::seconds() - used);
    let in_store = vectors.seconds() - before;
    cluster.close().await?;
    store.close().await?;
    Ok(Row::new(name, options.count as f64 / seconds, "commands/s")
        .spent("whole", seconds)
        .spent("processor", used)
        .spent("append", appended)
        .spent("vector_store", in_store))
}

/// One command in flight: each has its outcome before the next is appended.
async fn one_by_one(options: &Options, servers: &Servers) -> Result<Row, Error> {
    let folder = folder(options, "kafka-one-by-one")?;
    let store = Store::qdrant(servers, &folder).await?;
    let mut cluster = Cluster::ready(options, servers, &store).await?;
    let records = puts(&cluster.random, 0..options.count_single, options.dimension);
    let started = Instant::now();
    for record in records {
        cluster.append(vec![record], 1).await?;
        cluster.rest().await?;
    }
    let seconds = started.elapsed().as_secs_f64();
    cluster.close().await?;
    store.close().await?;
    Ok(Row::new("kafka_one_by_one", options.count_single as f64 / seconds, "commands/s")
        .spent("whole", seconds))
}
