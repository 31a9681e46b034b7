//! The embedded deployment: log, ledger and index in one folder, from encoded records to committed.

use std::{collections::BTreeMap, path::Path};

use tokio::time::{Duration, Instant};

use super::{Error, Options, Row, at, baseline, cpu, load, world::World};
use crate::{random::Random, worker};

/// Measures every row, calling `done` with each as it comes.
///
/// # Errors
/// [`Error`] when a store cannot be opened or does not answer.
pub async fn embedded(options: &Options, mut done: impl FnMut(&Row)) -> Result<Vec<Row>, Error> {
    let random = Random::from_seed(7, 0);
    let mut measured: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for round in 0..options.rounds.max(1) {
        let folder = options.folder.join(format!("round-{round}"));
        for row in one_round(options, &folder, &random).await? {
            measured.entry(row.name).or_default().push(row);
        }
        std::fs::remove_dir_all(&folder).map_err(at("remove a round's folder"))?;
    }
    let mut rows = Vec::new();
    let mut add = |rows: &mut Vec<Row>, row: Row| {
        done(&row);
        rows.push(row.clone());
        row
    };
    let mut median = |name| measured.remove(name).and_then(Row::median).expect("every round has every row");
    add(&mut rows, median("sqlite_bulk"));
    add(&mut rows, median("edge_bulk"));
    let batched = add(&mut rows, median("embedded"));
    add(&mut rows, median("embedded_text"));

    let single = one_by_one(options, &random).await?;
    let single = add(&mut rows, single);
    let ratio = Row::new("embedded_over_one_by_one", batched.rate, "commands/s").against(&single);
    add(&mut rows, ratio);

    let restart = restart(options, &random).await?;
    add(&mut rows, restart);
    Ok(rows)
}

/// The baselines, and right after them what is compared with them.
async fn one_round(options: &Options, folder: &Path, random: &Random) -> Result<Vec<Row>, Error> {
    std::fs::create_dir_all(folder).map_err(at("make a round's folder"))?;
    let flush = worker::Options::default().checkpoint_interval;
    let sqlite = baseline::sqlite(options, folder, random).await?;
    let edge = baseline::edge(options, folder, random, flush).await?;
    let slower = if sqlite.rate < edge.rate { &sqlite } else { &edge };
    let batched = throughput(options, folder, "embedded", false, random).await?.against(slower);
    let with_text = throughput(options, folder, "embedded_text", true, random).await?.against(slower);
    Ok(vec![sqlite, edge, batched, with_text])
}

/// From the first append to the last commit, everything durable.
async fn throughput(
    options: &Options,
    folder: &Path,
    name: &'static str,
    text: bool,
    random: &Random,
) -> Result<Row, Error> {
    let world = World::open(&folder.join(name), worker::Options::default()).await?;
    world.append(vec![load::declaration(options.dimension, text)]).await?;
    world.until(1).await?;
    let records = load::puts(random, 0..options.count, options.dimension);
    let (started, used) = (Instant::now(), cpu::seconds());
    let appended = world.append_all(records, options.batch).await?;
    world.until(1 + options.count as u64).await?;
    let (seconds, used) = (started.elapsed().as_secs_f64(), cpu::seconds() - used);
    let spent = world.spent();
    world.close().await?;
    Ok(Row::new(name, options.count as f64 / seconds, "commands/s")
        .spent("whole", seconds)
        .spent("processor", used)
        .spent("append", appended)
        .spent("vector_store", spent.vectors)
        .spent("turns", spent.turns)
        .spent("decode", spent.decode))
}

/// One command in flight: append, begin, vector call, finish, each durable, before the next.
async fn one_by_one(options: &Options, random: &Random) -> Result<Row, Error> {
    let one = worker::Options { batch_count_max: 1, window_count_max: 1, ..worker::Options::default() };
    let world = World::open(&options.folder.join("one_by_one"), one).await?;
    world.append(vec![load::declaration(options.dimension, false)]).await?;
    world.until(1).await?;
    let records = load::puts(random, 0..options.count_single, options.dimension);
    let started = Instant::now();
    for (number, record) in records.into_iter().enumerate() {
        world.append(vec![record]).await?;
        world.until(2 + number as u64).await?;
    }
    let seconds = started.elapsed().as_secs_f64();
    world.close().await?;
    Ok(Row::new("one_by_one", options.count_single as f64 / seconds, "commands/s").spent("whole", seconds))
}

/// From the start of a worker, its ledger full of unfinished sagas, to the first write it makes.
async fn restart(options: &Options, random: &Random) -> Result<Row, Error> {
    let folder = options.folder.join("restart");
    let count = options.count_unfinished;
    let world = World::open(&folder, worker::Options::default()).await?;
    world.append(vec![load::declaration(options.dimension, false)]).await?;
    world.until(1).await?;
    world.vectors.set_down(true);
    world.append_all(load::puts(random, 0..count, options.dimension), options.batch).await?;
    world.until_inboxed(1 + count as u64).await?;
    world.kill().await?;

    let started = Instant::now();
    let world = World::open(&folder, worker::Options::default()).await?;
    let first = loop {
        if let Some(at) = world.vectors.first_applied() {
            break at.duration_since(started).as_secs_f64();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    world.until(1 + count as u64).await?;
    let all = started.elapsed().as_secs_f64();
    world.close().await?;
    Ok(Row::new("restart_to_first_apply", first, "s").spent("to_all_committed", all))
}
