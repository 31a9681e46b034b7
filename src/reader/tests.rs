//! One question, one answer: every read is asked of the graph in memory, of heads in memory and of
//! heads in SQLite, over random worlds.

use std::sync::Arc;

use super::*;
use crate::{
    clock::SystemClock,
    graph::{
        Direction, Project as _, Walk, Write,
        contract::{PARTITION, dead_node, edge, heads_of, id, key, node, relation, space, sqlite_ledger},
        memory::MemoryGraph,
    },
    ledger::{SagaRow, contract::world::pending, memory::MemoryLedger, questions::Selection},
    log::{memory::MemoryLog, partitioner::Partitioner},
    model::{Access, ConflictKey, MemoryId, Name, Timestamp, Token, command::Header, conflict::memory_key},
    random::Random,
    vector::memory::MemoryVectors,
    worker::board::Board,
};

const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const TYPES: [&str; 6] = ["USES", "CAUSES", "DERIVED_FROM", "CONSOLIDATED_INTO", "CONTRADICTS", "RELATES_TO"];
const WORLDS: u64 = 25;

/// Draws worlds and questions.
struct Draw(Random);

impl Draw {
    fn one<T: Copy>(&self, of: &[T]) -> T {
        of[usize::try_from(self.0.below(of.len() as u64)).expect("an index")]
    }

    fn time(&self) -> i64 {
        i64::try_from(self.0.below(30)).expect("small")
    }

    fn world(&self) -> Vec<Write> {
        let mut writes: Vec<Write> = IDS
            .iter()
            .map(|name| if self.0.chance(0.15) { dead_node(name, 7) } else { node(name, 7) })
            .collect();
        let mut named = std::collections::BTreeSet::new();
        for _ in 0..self.0.below(30) {
            let parallel = if self.0.chance(0.2) { " x" } else { "" };
            let name = format!("{} {} {}{parallel}", self.one(&IDS), self.one(&TYPES), self.one(&IDS));
            if named.insert(name.clone()) {
                let until = self.0.chance(0.5).then(|| self.time());
                let after = (!self.0.chance(0.15)).then(|| relation(self.time(), until));
                writes.push(edge(key(&name), after, 7));
            }
        }
        writes
    }

    fn walk(&self) -> Walk {
        let some = |chance| {
            let names = TYPES.iter().filter(|_| self.0.chance(chance));
            names.map(|name| Name::new(*name).expect("a name")).collect::<Vec<Name>>()
        };
        Walk {
            direction: self.one(&[Direction::Out, Direction::In, Direction::Both]),
            types: if self.0.chance(0.5) { some(0.5) } else { Vec::new() },
            against: if self.0.chance(0.3) { some(0.4) } else { Vec::new() },
            as_of: self.0.chance(0.5).then(|| Timestamp::from_micros(self.time())),
        }
    }
}

/// A reader whose walks are on `graph` and whose heads are those of `ledger`.
fn reader(ledger: &Arc<dyn Ledger>, graph: Arc<dyn graph::Read>) -> Reader {
    let ports = Ports {
        ledger: Arc::clone(ledger),
        log: Arc::new(MemoryLog::new("log", 1, Partitioner::Murmur2Random, Arc::new(SystemClock))),
        vectors: Arc::new(MemoryVectors::new()),
        level: Level::always(),
        graph,
        waiters: Waiters::default(),
    };
    Reader::new(ports, Options::default())
}

/// Readers of one world: of the graph in memory, of heads in memory, of heads in a file.
async fn readers(world: &[Write]) -> (tempfile::TempDir, Vec<(&'static str, Reader)>) {
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::new("l"));
    let heads = heads_of(Arc::clone(&ledger), world.to_vec()).await;
    let projected = MemoryGraph::new();
    projected.write(world).await;
    let (folder, file) = sqlite_ledger().await;
    let file_heads = heads_of(Arc::clone(&file), world.to_vec()).await;
    let readers = vec![
        ("memory", reader(&ledger, Arc::new(projected))),
        ("heads", reader(&ledger, Arc::new(heads))),
        ("heads in a file", reader(&file, Arc::new(file_heads))),
    ];
    (folder, readers)
}

/// Everything that can be asked of a world from one memory, as text that tells answers apart.
async fn answers(reader: &Reader, from: &MemoryId, to: &MemoryId, walk: &Walk) -> Vec<String> {
    let (here, now) = (space("s"), Demand::default());
    let mut told = Vec::new();
    told.push(format!("{:?}", reader.get(&here, from, now).await));
    told.push(format!("{:?}", reader.relations(&here, from, walk, now).await));
    for bounds in [(1, 1), (1, 50), (2, 3), (8, 50)] {
        told.push(format!("{:?}", reader.neighbors(&here, from, walk, bounds, now).await));
    }
    for side in [LineageSide::Backward, LineageSide::Forward] {
        let lineage = Walk { as_of: walk.as_of, ..side.walk() };
        told.push(format!("{:?}", reader.neighbors(&here, from, &lineage, (8, 50), now).await));
    }
    let contradicts = Walk { types: vec![Name::new("CONTRADICTS").expect("a name")], ..Walk::default() };
    told.push(format!("{:?}", reader.neighbors(&here, from, &contradicts, (1, 50), now).await));
    for shortest in [false, true] {
        let question = PathsQuestion {
            space: here.clone(),
            from: from.clone(),
            to: to.clone(),
            walk: walk.clone(),
            depth: 4,
            limit: 20,
            shortest,
        };
        told.push(format!("{:?}", reader.paths(&question, now).await));
    }
    told
}

#[tokio::test]
async fn the_same_question_has_the_same_answer_on_every_graph() {
    let mut reached = 0;
    for seed in 0..WORLDS {
        let draw = Draw(Random::from_seed(seed, 3));
        let world = draw.world();
        let (_folder, readers) = readers(&world).await;
        let (_, first) = &readers[0];
        for _ in 0..20 {
            let (from, to, walk) = (id(draw.one(&IDS)), id(draw.one(&IDS)), draw.walk());
            let expected = answers(first, &from, &to, &walk).await;
            reached += usize::from(expected[5].contains("depth: 2"));
            for (name, reader) in &readers[1..] {
                let told = answers(reader, &from, &to, &walk).await;
                assert_eq!(told, expected, "{name}, seed {seed}, from {from} to {to} by {walk:?}");
            }
        }
        for limit in [1, 3, 50] {
            let page = |reader: Reader| async move {
                let of = Selection::default();
                reader.list(&space("s"), &of, Some(&id("b")), limit, Demand::default()).await
            };
            let expected = page(first.clone()).await.expect("an answer");
            for (name, reader) in &readers[1..] {
                assert_eq!(page(reader.clone()).await.as_ref(), Ok(&expected), "{name}, seed {seed}");
            }
        }
    }
    assert!(reached > 50, "only {reached} walks went further than one hop");
}

#[tokio::test]
async fn a_search_says_so_until_the_index_is_level_and_a_token_waits_for_it() {
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::new("l"));
    let heads = heads_of(Arc::clone(&ledger), vec![node("a", 7)]).await;
    let lease = ledger.acquire(PARTITION, 1).await.expect("a lease");
    let mut transaction = ledger.transaction(&lease).await.expect("a transaction");
    transaction.advance(1, None).await.expect("a watermark");
    transaction.commit().await.expect("committed");
    let board = Board::default();
    let mut reader = reader(&ledger, Arc::new(heads));
    reader.ports.level = board.level();
    let question = Question {
        space: space("s"),
        vector: None,
        sparse: None,
        text: Some("tea".into()),
        limit: 5,
        filter: vector::Filter::default(),
        min_score: None,
    };
    let wait = Duration::from_millis(20);
    let token = Some(Token(PARTITION.at(0)));
    let now = reader.search(&question, Demand::default()).await.expect("an answer");
    assert!(now.provenance.stale, "it may lack what was committed");
    let too_early = reader.search(&question, Demand { token, wait }).await;
    assert_eq!(too_early, Err(Error::ConsistencyTimeout));
    board.vectors_are_level();
    let level = reader.search(&question, Demand::default()).await.expect("an answer");
    assert!(!level.provenance.stale);
    reader.search(&question, Demand { token, wait }).await.expect("an answer");
}

/// The deletion of a relation's other end takes the relation with it, without touching the end that is asked of.
#[tokio::test]
async fn relations_with_the_token_of_another_ends_deletion_wait_for_it() {
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::new("l"));
    let world = vec![node("a", 7), node("b", 7), edge(key("a USES b"), Some(relation(0, None)), 7)];
    let heads = heads_of(Arc::clone(&ledger), world).await;
    let (here, walk, wait) = (space("s"), Walk::default(), Duration::from_millis(20));
    let offset = ledger.partition(PARTITION).await.expect("the row").watermark;
    let deletion = SagaRow {
        header: pending(offset).header.map(|header| Header { space: here.clone(), ..header }),
        keys: vec![ConflictKey { key: memory_key(&here, &id("b")), access: Access::Exclusive }],
        ..pending(offset)
    };
    let reader = reader(&ledger, Arc::new(heads));
    let before = reader.relations(&here, &id("a"), &walk, Demand::default()).await.expect("an answer");
    let lease = ledger.acquire(PARTITION, 1).await.expect("a lease");
    let mut transaction = ledger.transaction(&lease).await.expect("a transaction");
    transaction.insert_sagas(&[deletion]).await.expect("a row");
    transaction.advance(offset + 1, None).await.expect("a watermark");
    transaction.commit().await.expect("committed");
    let demand = Demand { token: Some(Token(PARTITION.at(offset))), wait };
    let now = reader.relations(&here, &id("a"), &walk, Demand::default()).await.expect("an answer");
    assert_eq!(now.value.map(|edges| edges.len()), Some(1));
    assert_eq!(now.provenance.pending, before.provenance.pending + 1);
    let too_early = reader.relations(&here, &id("a"), &walk, demand).await;
    assert_eq!(too_early, Err(Error::ConsistencyTimeout));
    let too_far = reader.neighbors(&here, &id("a"), &walk, (2, 10), demand).await;
    assert_eq!(too_far, Err(Error::ConsistencyTimeout));
    // The memory itself is not what the deletion is about.
    assert!(reader.get(&here, &id("a"), demand).await.expect("an answer").value.is_some());
}
