//! What every graph backend must do: one suite of reads and one of writes, run against each.
//!
//! A new backend adds one line at the end. Every read is asked of the same small world:
//!
//! ```text
//!   f ─USES─▶ a ─CAUSES─▶ b ─CAUSES─▶ d ─PART_OF─▶ e        a ─USES─▶ a
//!             ├─CAUSES x─▶ b          ▲                     a ─CAUSES─▶ e      deleted
//!             ├─USES────▶ c ─USES─────┘ from 10 until 20
//!             └─RELATES_TO─▶ dead ─USES─▶ beyond            another space: a ─USES─▶ z
//! ```

#![cfg(test)]

use std::sync::Arc;

use super::{
    Direction, Edge, Neighbor, Project, Read, Register, Target, Walk, Write, heads::Heads,
    memory::MemoryGraph,
};
use crate::{
    ledger::{
        EpochRow, HeadWrite, ImagePointer, Ledger, MemoryWrite, Plan, RelationHeadWrite, RelationState,
        RelationWrite, SagaRow,
        memory::MemoryLedger,
        sqlite::{self, SqliteLedger},
    },
    model::{
        Answer, Digest, Header, Memory, MemoryId, Name, PartitionId, Phase, Relation, RelationKey, Space,
        State, Timestamp, Version,
        command::Trace,
        memory::{Properties, tombstone_hash},
        space::Judgement,
    },
    random::Random,
};

pub(crate) const PARTITION: PartitionId = PartitionId { epoch: 1, partition: 0 };

pub(crate) fn space(name: &str) -> Space {
    Space::new(name).expect("a space")
}

pub(crate) fn id(name: &str) -> MemoryId {
    MemoryId::new(name).expect("an id")
}

pub(crate) fn version(epoch: u32, offset: u64, phase: Phase) -> Version {
    PartitionId { epoch, partition: 0 }.at(offset).version(phase)
}

/// `source TYPE target`, or `source TYPE target discriminator`.
pub(crate) fn key(text: &str) -> RelationKey {
    let parts: Vec<&str> = text.split(' ').collect();
    RelationKey {
        space: space("s"),
        source: id(parts[0]),
        kind: Name::new(parts[1]).expect("a name"),
        target: id(parts[2]),
        discriminator: parts.get(3).copied().unwrap_or_default().to_owned(),
    }
}

pub(crate) fn memory() -> Memory {
    Memory {
        kind: Name::new("Episode").expect("a name"),
        content: "tea".to_owned(),
        properties: Properties::new(),
        session: None,
        importance: 0.5,
        dense: None,
        sparse: None,
        occurred_at: Timestamp::from_micros(1),
        valid_from: Timestamp::from_micros(1),
        valid_until: None,
    }
}

pub(crate) fn relation(from: i64, until: Option<i64>) -> Relation {
    Relation {
        weight: 1.0,
        properties: Properties::new(),
        valid_from: Timestamp::from_micros(from),
        valid_until: until.map(Timestamp::from_micros),
        used_at: Timestamp::from_micros(1),
    }
}

pub(crate) fn node(name: &str, offset: u64) -> Write {
    let memory = memory();
    let target = Target::Memory {
        space: space("s"),
        id: id(name),
        hash: memory.hash(),
        after: Some(Arc::new(memory)),
    };
    Write { version: version(1, offset, Phase::Forward), target }
}

pub(crate) fn dead_node(name: &str, offset: u64) -> Write {
    let target = Target::Memory { space: space("s"), id: id(name), hash: tombstone_hash(), after: None };
    Write { version: version(1, offset, Phase::Forward), target }
}

pub(crate) fn edge(relation: RelationKey, after: Option<Relation>, offset: u64) -> Write {
    Write { version: version(1, offset, Phase::Forward), target: Target::Relation { relation, after } }
}

/// The world above, every register at the version of offset 7.
fn world() -> Vec<Write> {
    let always = || Some(relation(0, None));
    let mut writes: Vec<Write> = ["a", "b", "c", "d", "e", "f", "beyond"].map(|name| node(name, 7)).into();
    writes.push(dead_node("dead", 7));
    let plain = ["f USES a", "a CAUSES b", "a CAUSES b x", "b CAUSES d", "d PART_OF e", "a USES a"];
    let to_the_dead = ["a USES c", "a RELATES_TO dead", "dead USES beyond"];
    writes.extend(plain.into_iter().chain(to_the_dead).map(|text| edge(key(text), always(), 7)));
    writes.push(edge(key("c USES d"), Some(relation(10, Some(20))), 7));
    writes.push(edge(key("a CAUSES e"), None, 7));
    writes.push(edge(RelationKey { space: space("other"), ..key("a USES z") }, always(), 7));
    writes
}

async fn memory_graph() -> MemoryGraph {
    let graph = MemoryGraph::new();
    let answers = graph.write(&world()).await;
    assert!(answers.iter().all(|answer| *answer == Answer::Applied));
    graph
}

/// The heads of `ledger`, which is empty, once one saga at offset 7 has written all this.
pub(crate) async fn heads_of(ledger: Arc<dyn Ledger>, writes: Vec<Write>) -> Heads {
    let epoch = EpochRow {
        epoch: 1,
        identity: "log".to_owned(),
        partitions: 1,
        partitioner: "murmur2_random".to_owned(),
    };
    ledger.open_epoch(&epoch).await.expect("an epoch");
    let lease = ledger.acquire(PARTITION, 1).await.expect("a lease");
    let mut transaction = ledger.transaction(&lease).await.expect("a transaction");
    let mut plan = Plan::default();
    let (mut heads, mut relations) = (Vec::new(), Vec::new());
    for write in writes {
        let (version, finish, at) = (write.version, 1, Timestamp::from_micros(1));
        match write.target {
            Target::Memory { space, id, hash, after } => {
                plan.memories.push(MemoryWrite { id: id.clone(), after: after.clone(), hash, vector: false });
                let image = ImagePointer::Forward { after };
                heads.push(HeadWrite { space, id, version, image, finish, at });
            }
            Target::Relation { relation, after } => {
                plan.relations.push(RelationWrite { relation: relation.clone(), after: after.clone() });
                let state = RelationState::Forward(after);
                relations.push(RelationHeadWrite { relation, version, state, finish, at });
            }
        }
    }
    transaction.insert_sagas(&[saga(plan)]).await.expect("a saga");
    transaction.write_heads(&heads).await.expect("heads");
    transaction.write_relations(&relations).await.expect("relations");
    transaction.commit().await.expect("committed");
    Heads::new(ledger)
}

async fn heads() -> Heads {
    heads_of(Arc::new(MemoryLedger::new("l")), world()).await
}

/// An empty ledger in a file, and what keeps the file.
pub(crate) async fn sqlite_ledger() -> (tempfile::TempDir, Arc<dyn Ledger>) {
    let folder = tempfile::tempdir().expect("a folder");
    let (options, random) = (sqlite::Options::default(), Random::from_seed(7, 1));
    let ledger = SqliteLedger::open(folder.path().join("ledger.db"), &options, &random).await;
    (folder, Arc::new(ledger.expect("a ledger")))
}

async fn sqlite_heads() -> (tempfile::TempDir, Heads) {
    let (folder, ledger) = sqlite_ledger().await;
    (folder, heads_of(ledger, world()).await)
}

fn header() -> Header {
    Header {
        id: "c-1".to_owned(),
        claims: false,
        source: String::new(),
        space: space("s"),
        kind: "engraft.batch.v1".to_owned(),
        time: Timestamp::from_micros(1),
        expires_at: None,
        trace: Trace::default(),
    }
}

fn saga(plan: Plan) -> SagaRow {
    SagaRow {
        offset: 7,
        header: Some(header()),
        claims: false,
        body_hash: Digest::of(b""),
        duplicate_of: None,
        accepted_at: Timestamp::from_micros(1),
        judgement: Judgement::default(),
        keys: Vec::new(),
        body: None,
        state: State::Running,
        plan: Some(plan),
        ending: None,
        finish: 0,
        finished_at: None,
        dead_letter: false,
        attempts: 0,
    }
}

fn walk(direction: Direction) -> Walk {
    Walk { direction, ..Walk::default() }
}

async fn relations(store: &dyn Read, of: &str, walk: &Walk) -> Vec<RelationKey> {
    let edges = store.relations(&space("s"), &id(of), walk).await.expect("relations");
    edges.into_iter().map(|edge: Edge| edge.relation).collect()
}

async fn reached(store: &dyn Read, from: &str, walk: &Walk, depth: u32, limit: usize) -> Vec<(String, u32)> {
    let found = store.neighbors(&space("s"), &id(from), walk, depth, limit).await.expect("neighbours");
    found.into_iter().map(|one: Neighbor| (one.id.as_str().to_owned(), one.depth)).collect()
}

fn at(expected: &[(&str, u32)]) -> Vec<(String, u32)> {
    expected.iter().map(|(name, depth)| ((*name).to_owned(), *depth)).collect()
}

async fn live_relations_come_by_type_then_ends(store: &dyn Read) {
    let all = ["a CAUSES b", "a CAUSES b x", "a RELATES_TO dead", "a USES a", "a USES c", "f USES a"];
    assert_eq!(relations(store, "a", &Walk::default()).await, all.map(key));
    assert_eq!(
        relations(store, "a", &walk(Direction::Out)).await,
        all[..5].iter().map(|k| key(k)).collect::<Vec<_>>()
    );
    assert_eq!(relations(store, "a", &walk(Direction::In)).await, ["a USES a", "f USES a"].map(key));
    assert!(relations(store, "nobody", &Walk::default()).await.is_empty());
    let edges = store.relations(&space("s"), &id("e"), &Walk::default()).await.expect("relations");
    assert_eq!(edges.len(), 1, "the deleted one is not among them");
    assert_eq!((edges[0].version, &edges[0].state), (version(1, 7, Phase::Forward), &relation(0, None)));
}

async fn a_walk_keeps_to_its_types_and_its_time(store: &dyn Read) {
    let types = |names: &[&str]| names.iter().map(|name| Name::new(name).expect("a name")).collect();
    let uses = Walk { types: types(&["USES"]), ..walk(Direction::Out) };
    assert_eq!(relations(store, "a", &uses).await, ["a USES a", "a USES c"].map(key));
    assert_eq!(reached(store, "a", &uses, 9, 9).await, at(&[("c", 1), ("d", 2)]));
    let either = Walk { types: types(&["USES", "PART_OF"]), ..walk(Direction::Out) };
    assert_eq!(reached(store, "a", &either, 9, 9).await, at(&[("c", 1), ("d", 2), ("e", 3)]));
    for (moment, expected) in [(9, 1), (10, 2), (19, 2), (20, 1)] {
        let then = Walk { as_of: Some(Timestamp::from_micros(moment)), ..uses.clone() };
        assert_eq!(reached(store, "a", &then, 9, 9).await.len(), expected, "at {moment}");
    }
}

async fn neighbours_come_nearest_first_and_once(store: &dyn Read) {
    let around = Walk::default();
    assert!(reached(store, "a", &around, 0, 9).await.is_empty());
    assert_eq!(reached(store, "a", &around, 1, 9).await, at(&[("b", 1), ("c", 1), ("f", 1)]));
    let whole = at(&[("b", 1), ("c", 1), ("f", 1), ("d", 2), ("e", 3)]);
    assert_eq!(reached(store, "a", &around, 2, 9).await, whole[..4]);
    assert_eq!(reached(store, "a", &around, u32::MAX, 9).await, whole);
    assert_eq!(reached(store, "a", &around, 9, 2).await, whole[..2]);
    assert!(reached(store, "a", &around, 9, 0).await.is_empty());
    let back = at(&[("b", 1), ("c", 1), ("a", 2), ("f", 3)]);
    assert_eq!(reached(store, "d", &walk(Direction::In), 9, 9).await, back);
    let found = store.neighbors(&space("s"), &id("a"), &around, 2, 9).await.expect("neighbours");
    let via: Vec<RelationKey> = found.into_iter().map(|one| one.via).collect();
    assert_eq!(via, ["a CAUSES b", "a USES c", "f USES a", "b CAUSES d"].map(key));
}

async fn no_walk_leads_to_or_through_the_dead_or_into_another_space(store: &dyn Read) {
    let all = reached(store, "a", &Walk::default(), 9, 99).await;
    assert!(!all.iter().any(|(name, _)| ["dead", "beyond", "z", "a"].contains(&name.as_str())), "{all:?}");
}

async fn a_register_only_moves_forward(store: &dyn Project) {
    let names = |epoch, offset, phase| version(epoch, offset, phase);
    for make in [|offset| node("m", offset), |offset| edge(key("m USES n"), Some(relation(0, None)), offset)]
    {
        let as_of = |version| Write { version, ..make(0) };
        assert_eq!(store.write(&[make(5)]).await, [Answer::Applied]);
        assert_eq!(store.write(&[make(5)]).await, [Answer::Same]);
        assert_eq!(store.write(&[make(4)]).await, [Answer::Superseded(names(1, 5, Phase::Forward))]);
        let undo = names(1, 5, Phase::Undo);
        assert_eq!(store.write(&[as_of(undo)]).await, [Answer::Applied]);
        assert_eq!(store.write(&[make(5)]).await, [Answer::Superseded(undo)]);
        let later = names(2, 0, Phase::Forward);
        assert_eq!(store.write(&[as_of(later)]).await, [Answer::Applied]);
        assert_eq!(store.write(&[make(1_000_000)]).await, [Answer::Superseded(later)]);
    }
}

async fn what_was_deleted_stays_deleted(store: &dyn Project) {
    let relation_key = || key("m USES n");
    store.write(&[node("m", 1), edge(relation_key(), Some(relation(0, None)), 1)]).await;
    let gone = [dead_node("m", 9), edge(relation_key(), None, 9)];
    assert_eq!(store.write(&gone).await, [Answer::Applied, Answer::Applied]);
    store.write(&[node("n", 10)]).await;
    let late = [node("m", 2), edge(relation_key(), Some(relation(0, None)), 2)];
    let superseded = Answer::Superseded(version(1, 9, Phase::Forward));
    assert_eq!(store.write(&late).await, [superseded.clone(), superseded]);
    let asked = gone.map(|write| write.register());
    let tombstone = Some((version(1, 9, Phase::Forward), tombstone_hash()));
    assert_eq!(store.markers(&asked).await, Ok(vec![tombstone, tombstone]));
}

async fn markers_and_scan_show_every_register(store: &dyn Project) {
    let writes = world();
    store.write(&writes).await;
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let (page, next) = store.scan(cursor, 3).await.expect("a page");
        assert!(page.len() <= 3);
        all.extend(page);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let sorted = |mut writes: Vec<Write>| {
        writes.sort_by_key(Write::register);
        writes
    };
    assert_eq!(sorted(all), sorted(writes.clone()));
    let registers: Vec<Register> = writes.iter().map(Write::register).collect();
    let markers = store.markers(&registers).await.expect("markers");
    for (write, marker) in writes.iter().zip(markers) {
        assert_eq!(marker, Some((write.version, write.hash())));
    }
    assert_eq!(store.markers(&[node("nobody", 1).register()]).await, Ok(vec![None]));
}

#[tokio::test]
async fn a_refused_item_is_refused_alone() {
    use crate::model::answer::Reason;

    let refused = node("poison", 1).register();
    let graph = MemoryGraph::refusing(move |write| {
        (write.register() == refused).then(|| Reason::new("poison", "this register is refused"))
    });
    let answers = graph.write(&[node("m", 1), node("poison", 2), node("n", 3)]).await;
    assert!(
        matches!(answers.as_slice(), [Answer::Applied, Answer::Rejected(_), Answer::Applied]),
        "{answers:?}"
    );
}

/// One module of tests a backend: `$make` gives a store.
macro_rules! backend {
    ($name:ident, $make:expr, [$($promise:ident,)*]) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $promise() {
                    let (_held, store) = $make;
                    super::$promise(&store).await;
                }
            )*
        }
    };
}

macro_rules! reads {
    ($($name:ident => $make:expr;)*) => {
        $(backend! { $name, $make, [
            live_relations_come_by_type_then_ends,
            a_walk_keeps_to_its_types_and_its_time,
            neighbours_come_nearest_first_and_once,
            no_walk_leads_to_or_through_the_dead_or_into_another_space,
        ] })*
    };
}

macro_rules! writes {
    ($($name:ident => $make:expr;)*) => {
        $(backend! { $name, $make, [
            a_register_only_moves_forward,
            what_was_deleted_stays_deleted,
            markers_and_scan_show_every_register,
        ] })*
    };
}

reads! {
    memory_reads => ((), super::memory_graph().await);
    heads_reads => ((), super::heads().await);
    sqlite_heads_reads => super::sqlite_heads().await;
}

writes! {
    memory_writes => ((), crate::graph::memory::MemoryGraph::new());
}
