//! What reads cost inside the process, beside what the stores below them cost on their own.

use std::{future::Future, path::Path, sync::Arc};

use rusqlite::{Connection, OpenFlags, types::Value};
use serde_json::json;
use tokio::time::Instant;

use super::{Error, Options, Row, at, load, world::World};
use crate::{
    graph::{Direction, Walk, heads::Heads},
    ledger::Ledger,
    log::{CommandLog, NewRecord, envelope::encode::Draft},
    model::{MemoryId, Space},
    random::Random,
    reader::{self, Demand, LineageSide, Question, Reader, Waiters},
    vector::{self, Filter, Layout, Query, Search},
    worker::{self, board::Level},
};

/// Questions of a row.
const QUESTIONS: usize = 2_000;
/// Memories that hang together in a graph, each with four relations.
const NODES: usize = 2_000;
/// Relations of one of them.
const DEGREE: usize = 4;
/// Hops of the lineage.
const LINEAGE: u32 = 10;
/// Hits of a search.
const HITS: usize = 10;

/// Puts memories and relations, then asks: the median and the 99th percentile of each question, in microseconds.
///
/// # Errors
/// [`Error`] when a store cannot be opened or does not answer.
pub async fn reads(options: &Options, mut loaded: impl FnMut(usize)) -> Result<Vec<Row>, Error> {
    let random = Random::from_seed(11, 0);
    let folder = options.folder.join("reads");
    let world = World::open(&folder, worker::Options::default()).await?;
    world.append(vec![load::declaration(options.dimension, true)]).await?;
    let records = load::puts(&random, 0..options.count, options.dimension);
    world.append_all(records, options.batch).await?;
    let graph = graph(&random);
    let commands = 1 + options.count + graph.len();
    world.append_all(graph, options.batch).await?;
    world.until(commands as u64).await?;
    loaded(options.count);
    let ids: Vec<MemoryId> = ids(&world).await?;
    let asked = Asked { reader: reader(&world), index: Arc::new(world.index.clone()), ids, random };
    let rows = asked.all(options, &folder).await?;
    drop(asked);
    world.close().await?;
    Ok(rows)
}

/// Nodes with four relations each, and a chain of derivations.
fn graph(random: &Random) -> Vec<NewRecord> {
    let put = |id: String| ("memory.put", json!({"id": id, "content": ""}));
    let relate = |source: String, kind: &str, target: String| {
        ("relation.put", json!({"source": source, "type": kind, "target": target}))
    };
    let nodes = (0..NODES).map(|n| put(node(n)));
    let edges = (0..NODES).flat_map(|n| (1..=DEGREE / 2).map(move |step| (n, step)));
    let edges = edges.map(|(n, step)| {
        let far = (n + step * 37 + usize::try_from(random.below(20)).unwrap_or(0)) % NODES;
        relate(node(n), "RELATES_TO", node(far))
    });
    let chain = (0..=LINEAGE).map(|n| put(format!("chain-{n}")));
    let links =
        (0..LINEAGE).map(|n| relate(format!("chain-{n}"), "DERIVED_FROM", format!("chain-{}", n + 1)));
    let all = nodes.chain(edges).chain(chain).chain(links);
    all.enumerate()
        .map(|(n, (kind, data))| Draft::new(load::space(), kind, &data).with_id(format!("g-{n}")).bare())
        .collect()
}

fn node(n: usize) -> String {
    format!("node-{n}")
}

/// Ids of the memories with vectors.
async fn ids(world: &World) -> Result<Vec<MemoryId>, Error> {
    let first = MemoryId::new("m-").map_err(at("name"))?;
    let heads = world.ledger.list(&load::space(), Some(&first), 10_000).await.map_err(at("list"))?;
    let with_vector = heads.into_iter().filter(|head| head.id.as_str().starts_with("m-"));
    Ok(with_vector.map(|head| head.id).collect())
}

/// A reader over the world's stores.
pub(super) fn reader(world: &World) -> Reader {
    let (log, ledger) = (Arc::new(world.log.clone()), Arc::new(world.ledger.clone()));
    reader_over(log, ledger, Arc::new(world.index.clone()), world.waiters.clone())
}

/// A reader over these stores.
pub(super) fn reader_over(
    log: Arc<dyn CommandLog>,
    ledger: Arc<dyn Ledger>,
    vectors: Arc<dyn vector::Read>,
    waiters: Waiters,
) -> Reader {
    let graph = Arc::new(Heads::new(Arc::clone(&ledger)));
    let ports = reader::Ports { log, vectors, graph, ledger, waiters, level: Level::always() };
    Reader::new(ports, reader::Options::default())
}

struct Asked {
    reader: Reader,
    index: Arc<dyn vector::Read>,
    ids: Vec<MemoryId>,
    random: Random,
}

impl Asked {
    async fn all(&self, options: &Options, folder: &Path) -> Result<Vec<Row>, Error> {
        let (space, demand) = (load::space(), Demand::default());
        let bare = Connection::open_with_flags(folder.join("ledger.db"), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let bare = bare.map_err(at("open the ledger's file"))?;
        let select = measured("select_by_rowid", QUESTIONS, |_| {
            let n = 1 + self.random.below(options.count as u64);
            std::future::ready(tokio::task::block_in_place(|| select(&bare, n)))
        });
        let select = select.await?;
        let get = measured("get", QUESTIONS, |_| async {
            self.reader.get(&space, self.id(), demand).await.map(drop).map_err(at("get"))
        });
        let get = get.await?.against(&select);
        let layout = Layout { dimension: u32::try_from(options.dimension).ok(), ..Layout::default() };
        let store = measured("store_search", QUESTIONS / 10, |_| async {
            let query = Query::Dense(self.vector(options.dimension).into());
            let search = Search {
                space: space.clone(),
                layout,
                query,
                limit: HITS,
                filter: Filter::default(),
                min_score: None,
            };
            self.index.search(&search).await.map(drop).map_err(at("search the store"))
        });
        let store = store.await?;
        let search = measured("search", QUESTIONS / 10, |_| async {
            let question = self.question(Some(self.vector(options.dimension)), None);
            self.reader.search(&question, demand).await.map(drop).map_err(at("search"))
        });
        let search = search.await?.against(&store);
        let text = measured("search_text", QUESTIONS / 10, |_| async {
            let question = self.question(None, Some(load::sentence(&self.random)));
            self.reader.search(&question, demand).await.map(drop).map_err(at("search by text"))
        });
        let text = text.await?;
        let one_hop = self.neighbors("one_hop", 1, &space).await?;
        let three_hops = self.neighbors("three_hops", 3, &space).await?;
        let start = MemoryId::new("chain-0").map_err(at("name"))?;
        let walk = LineageSide::Backward.walk();
        let lineage = measured("lineage_of_ten", QUESTIONS, |_| async {
            let found = self.reader.neighbors(&space, &start, &walk, (LINEAGE, 100), demand);
            let found = found.await.map_err(at("lineage"))?.value.map_or(0, |near| near.len());
            if found == LINEAGE as usize {
                Ok(())
            } else {
                Err(Error { step: "lineage", why: format!("{found} found") })
            }
        });
        let lineage = lineage.await?;
        Ok(vec![select, get, store, search, text, one_hop, three_hops, lineage])
    }

    async fn neighbors(&self, name: &'static str, depth: u32, space: &Space) -> Result<Row, Error> {
        let walk = Walk { direction: Direction::Both, ..Walk::default() };
        measured(name, QUESTIONS, |_| async {
            let number = usize::try_from(self.random.below(NODES as u64)).unwrap_or(0);
            let id = MemoryId::new(node(number)).map_err(at("name"))?;
            let near = self.reader.neighbors(space, &id, &walk, (depth, 1_000), Demand::default());
            near.await.map(drop).map_err(at("walk"))
        })
        .await
    }

    fn id(&self) -> &MemoryId {
        let chosen = usize::try_from(self.random.below(self.ids.len() as u64)).unwrap_or(0);
        self.ids.get(chosen).expect("below their count")
    }

    fn vector(&self, dimension: usize) -> Vec<f32> {
        load::vector(&self.random, dimension)
    }

    fn question(&self, vector: Option<Vec<f32>>, text: Option<String>) -> Question {
        Question {
            space: load::space(),
            vector: vector.map(Into::into),
            sparse: None,
            text,
            limit: HITS,
            filter: Filter::default(),
            min_score: None,
        }
    }
}

/// One row by its number, every column of it: through the driver that the ledger's readers use.
fn select(bare: &Connection, n: u64) -> Result<(), Error> {
    let mut statement = bare.prepare_cached("SELECT * FROM image WHERE n = ?").map_err(at("select"))?;
    let count = statement.column_count();
    let row = statement.query_row([n.cast_signed()], |row| {
        (0..count).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>()
    });
    row.map(drop).map_err(at("select"))
}

/// Asks one question after the other; the median in microseconds, and the 99th percentile beside it.
async fn measured<F: Future<Output = Result<(), Error>>>(
    name: &'static str,
    count: usize,
    mut ask: impl FnMut(usize) -> F,
) -> Result<Row, Error> {
    for number in 0..count.min(100) {
        ask(number).await?;
    }
    let mut micros = Vec::with_capacity(count);
    for number in 0..count {
        let begun = Instant::now();
        ask(number).await?;
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(Row::percentiles(name, micros))
}
