//! Adding entities: one after the other, each held by every store before the next; and ten thousand in batches.
//!
//! Beside them stands what an embedded graph does that commits every call to SQLite as it comes.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, params};
use serde_json::json;
use tokio::time::Instant;

use super::{Error, Options, Row, at, load, reads::reader, world::World};
use crate::{
    log::{CommandLog, NewRecord, envelope::encode::Draft},
    model::{PartitionId, State},
    reader::{CommandState, Reader},
    worker,
};

/// Entities that are added one by one.
const SINGLE: usize = 1_000;
/// Entities that are added in batches.
const BATCHED: usize = 10_000;
/// Entities of one batch.
const BATCH: usize = 1_000;
/// Longest that one command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Adds, beside commits of one row each.
///
/// # Errors
/// [`Error`] when a store cannot be opened, does not answer, or refuses.
pub async fn adds(options: &Options) -> Result<Vec<Row>, Error> {
    let folder = options.folder.join("adds");
    std::fs::create_dir_all(&folder).map_err(at("make a folder"))?;
    let commits = tokio::task::block_in_place(|| commits(&folder.join("baseline.db")))?;
    let world = World::open(&folder.join("world"), worker::Options::default()).await?;
    let adder = Adder { reader: reader(&world), world: &world };
    world.append(vec![load::declaration(options.dimension, false)]).await?;
    world.until(1).await?;
    let puts = (0..SINGLE).map(|number| Draft::new(load::space(), "memory.put", &entity("one", number)));
    let single = adder.all("adds_one_by_one", SINGLE, puts).await?.against(&commits);
    let batches = (0..BATCHED / BATCH).map(|batch| {
        let items: Vec<_> = (0..BATCH)
            .map(|item| json!({"type": "memory.put", "data": entity("many", batch * BATCH + item)}))
            .collect();
        Draft::new(load::space(), "batch", &json!({ "items": items }))
    });
    let batched = adder.all("adds_in_batches", BATCHED, batches).await?.against(&commits);
    drop(adder);
    world.close().await?;
    Ok(vec![commits, single, batched])
}

fn entity(name: &str, number: usize) -> serde_json::Value {
    json!({"id": format!("{name}-{number:06}"), "kind": "Entity", "content": "", "properties": {"number": number}})
}

struct Adder<'w> {
    world: &'w World,
    reader: Reader,
}

impl Adder<'_> {
    /// Adds so many entities by these commands, one command after the other.
    async fn all(
        &self,
        name: &'static str,
        count: usize,
        commands: impl Iterator<Item = Draft>,
    ) -> Result<Row, Error> {
        let records: Vec<NewRecord> = commands.map(|draft| draft.bare()).collect();
        let started = Instant::now();
        for record in records {
            self.committed(record).await?;
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Row::new(name, count as f64 / seconds, "adds/s").spent("whole", seconds))
    }

    /// Appends one command, and waits until every store holds it.
    async fn committed(&self, record: NewRecord) -> Result<(), Error> {
        let mut answers = self.world.log.append(vec![record]).await;
        let missing = || Error { step: "append", why: "no answer".to_owned() };
        let taken = answers.pop().ok_or_else(missing)?.map_err(at("append"))?;
        let position = PartitionId { epoch: 1, partition: taken.partition }.at(taken.offset);
        match self.reader.wait_for(position, PATIENCE).await.map_err(at("wait for its outcome"))? {
            CommandState::Known(row) if row.state == State::Committed => Ok(()),
            other => Err(Error { step: "wait for its outcome", why: format!("{other:?}") }),
        }
    }
}

/// One row a commit, fully synchronised, in SQLite's default journal.
fn commits(file: &Path) -> Result<Row, Error> {
    let connection = Connection::open(file).map_err(at("open SQLite"))?;
    connection
        .execute_batch("CREATE TABLE entity (id TEXT PRIMARY KEY, kind TEXT, properties TEXT)")
        .map_err(at("create the table"))?;
    let started = Instant::now();
    for number in 0..SINGLE {
        let mut insert =
            connection.prepare_cached("INSERT INTO entity VALUES (?, ?, ?)").map_err(at("insert"))?;
        let properties = json!({ "number": number }).to_string();
        insert.execute(params![format!("one-{number:06}"), "Entity", properties]).map_err(at("insert"))?;
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(Row::new("sqlite_commit_each", SINGLE as f64 / seconds, "adds/s").spent("whole", seconds))
}
