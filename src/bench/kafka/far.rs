//! Stores that are far away: what a call's delay leaves of the rate when order is kept, and what more workers add.

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use super::{
    PARTITIONS, Servers,
    cluster::{Cluster, puts},
};
use crate::{
    bench::{Error, Options, Row, load, watched::Timed},
    log::{NewRecord, envelope::encode::Draft},
    vector::memory::MemoryVectors,
    worker,
};

/// What a call takes.
const DELAY: Duration = Duration::from_millis(100);
/// Sagas of one worker that may be with the stores at once.
const WINDOW: usize = 200;
/// Length of the vectors: bytes are not what is measured here.
const DIMENSION: usize = 8;
/// For how many delays it would keep a row busy: 8 s.
const DELAYS: usize = 80;

/// Sagas of one worker that may be with the stores at once, where there are several workers.
const SHARE: usize = 20;

/// One partition, each memory written many times over: the window's rate is the most that order allows.
pub(super) async fn ordered(_: &Options, servers: &Servers) -> Result<Vec<Row>, Error> {
    let mut cluster = Cluster::open(servers, 1).await?;
    let options = worker::Options { window_count_max: WINDOW, ..worker::Options::default() };
    let store = Timed::slow(Arc::new(MemoryVectors::new()), DELAY);
    cluster.start(Arc::new(store), options).await?;
    cluster.append(vec![load::declaration(DIMENSION, false)], 1).await?;
    cluster.rest().await?;
    let limit = Row::new("window_over_delay", WINDOW as f64 / DELAY.as_secs_f64(), "commands/s");
    let count = WINDOW * DELAYS;
    let (records, started) = (again_and_again(&cluster, count), Instant::now());
    cluster.append(records, 500).await?;
    cluster.rest().await?;
    let seconds = started.elapsed().as_secs_f64();
    cluster.close().await?;
    let row = Row::new("ordered_at_100_ms", count as f64 / seconds, "commands/s").spent("whole", seconds);
    let row = row.against(&limit);
    Ok(vec![limit, row])
}

/// Puts of as many memories as five windows hold, again and again.
fn again_and_again(cluster: &Cluster, count: usize) -> Vec<NewRecord> {
    let put = |number: usize| {
        let vector = load::vector(&cluster.random, DIMENSION);
        let data = serde_json::json!({ "id": format!("m-{}", number % (5 * WINDOW)), "content": "", "vector": vector });
        Draft::new(load::space(), "memory.put", &data).with_id(format!("c-{number}")).bare()
    };
    (0..count).map(put).collect()
}

/// One, two and four workers, each with so many sagas at a store far away.
pub(super) async fn scaling(_: &Options, servers: &Servers) -> Result<Vec<Row>, Error> {
    let one = workers(servers, 1, "workers_1").await?;
    let two = workers(servers, 2, "workers_2").await?.against(&one);
    let four = workers(servers, 4, "workers_4").await?.against(&one);
    Ok(vec![one, two, four])
}

async fn workers(servers: &Servers, count: usize, name: &'static str) -> Result<Row, Error> {
    let mut cluster = Cluster::open(servers, PARTITIONS).await?;
    let options = worker::Options { window_count_max: SHARE, ..worker::Options::default() };
    let vectors = MemoryVectors::new();
    for _ in 0..count {
        let store = Timed::slow(Arc::new(vectors.clone()), DELAY);
        cluster.start(Arc::new(store), options.clone()).await?;
    }
    cluster.level(count).await?;
    cluster.declare(DIMENSION).await?;
    let records = puts(&cluster.random, 0..count * SHARE * DELAYS, DIMENSION);
    let (commands, started) = (records.len(), Instant::now());
    cluster.append(records, 500).await?;
    cluster.rest().await?;
    let seconds = started.elapsed().as_secs_f64();
    cluster.close().await?;
    Ok(Row::new(name, commands as f64 / seconds, "commands/s").spent("whole", seconds))
}
