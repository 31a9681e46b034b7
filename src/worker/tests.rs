//! What an operator can do, over a whole worker on ports in memory.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Options, Ports, board::Board, fence, run};
use crate::{
    audit,
    clock::SystemClock,
    ledger::{Ledger, Order, Orders as _, SagaRow, Side, memory::MemoryLedger},
    log::{CommandLog as _, NewRecord, memory::MemoryLog, partitioner::Partitioner},
    model::{
        Answer, Code, Digest, MemoryId, PartitionId, Phase, Space, State, Version, answer::Reason,
        outcome::Verdict,
    },
    random::Random,
    saga::plan::Planner,
    tasks::Tasks,
    vector::{Checkpoint, Error, Layout, Project, Write, memory::MemoryVectors},
};

const PATIENCE: Duration = Duration::from_secs(20);
const FIRST: PartitionId = PartitionId { epoch: 1, partition: 0 };

/// How the vector store takes writes.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Willing = 0,
    /// It does not answer.
    Away = 1,
    /// It refuses what is new for good, and undos too: only a resolve gets through.
    Stubborn = 2,
}

/// A vector store in memory with a mood.
#[derive(Clone)]
struct Moody {
    inner: MemoryVectors,
    mood: Arc<AtomicU8>,
}

impl Moody {
    fn be(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    fn is(&self, mood: Mood) -> bool {
        self.mood.load(Ordering::SeqCst) == mood as u8
    }
}

#[async_trait]
impl Project for Moody {
    async fn write(&self, writes: &[Write]) -> Vec<Answer> {
        if self.is(Mood::Away) {
            return vec![Answer::Transient(Reason::new("away", "it is away")); writes.len()];
        }
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            if self.is(Mood::Stubborn) && write.version.phase() < Phase::RecoveredForward {
                answers.push(Answer::Rejected(Reason::new("no", "it will not")));
            } else {
                answers.extend(self.inner.write(std::slice::from_ref(write)).await);
            }
        }
        answers
    }

    async fn markers(
        &self,
        points: &[(Space, MemoryId, Layout)],
    ) -> Result<Vec<Option<(Version, Digest)>>, Error> {
        self.inner.markers(points).await
    }

    async fn remove(&self, points: &[(Space, MemoryId, Version)]) -> Result<Vec<bool>, Error> {
        self.inner.remove(points).await
    }

    fn durable_when_acknowledged(&self) -> bool {
        true
    }

    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.inner.checkpoint(checkpoint).await
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        self.inner.last_checkpoint().await
    }

    async fn clear(&self) -> Result<(), Error> {
        self.inner.clear().await
    }
}

/// One partition, and what outlives its workers.
struct World {
    log: MemoryLog,
    ledger: MemoryLedger,
    vectors: Moody,
    options: Options,
}

impl World {
    fn new() -> Self {
        let log = MemoryLog::new("log", 1, Partitioner::default(), Arc::new(SystemClock));
        let vectors = Moody { inner: MemoryVectors::new(), mood: Arc::default() };
        let options = Options {
            orders_interval: Duration::from_millis(5),
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(10),
            log_check_interval: Duration::from_millis(20),
            ..Options::default()
        };
        Self { log, ledger: MemoryLedger::new("tests"), vectors, options }
    }

    fn ports(&self) -> Ports {
        Ports {
            log: Arc::new(self.log.clone()),
            outcomes: Arc::new(self.log.clone()),
            dead_letters: Arc::new(self.log.clone()),
            ledger: Arc::new(self.ledger.clone()),
            vectors: Arc::new(self.vectors.clone()),
            graph: None,
            decide: Arc::new(Planner::default()),
            clock: Arc::new(SystemClock),
            random: Random::from_system(),
            board: Board::default(),
        }
    }

    fn work(&self) -> Tasks {
        let tasks = Tasks::new();
        let (ports, options, of_worker) = (self.ports(), self.options.clone(), tasks.clone());
        tasks.spawn(async move { drop(run(ports, options, of_worker).await) });
        tasks
    }

    /// Appends a put of a memory; its offset.
    async fn put(&self, id: &str, content: &str) -> u64 {
        let put = json!({"type": "memory.put", "data": {"id": id, "content": content, "vector": [1.0, 0.5]}});
        self.append(put).await
    }

    async fn append(&self, command: Value) -> u64 {
        let value = command.to_string().into();
        let record = NewRecord { key: Bytes::from_static(b"acme"), value, headers: Vec::new() };
        self.log.append(vec![record]).await.remove(0).expect("appended").offset
    }

    /// Waits until the saga is as it should be.
    async fn until(&self, id: PartitionId, offset: u64, is: impl Fn(&SagaRow) -> bool) -> SagaRow {
        let wait = async {
            loop {
                let row = self.ledger.saga(id.at(offset)).await.expect("a ledger in memory answers");
                if let Some(row) = row.filter(|row| is(row)) {
                    return row;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it comes to be so")
    }

    async fn ended(&self, offset: u64) -> SagaRow {
        self.until(FIRST, offset, |row| row.state.is_terminal()).await
    }

    async fn order(&self, offset: u64, order: Order) {
        assert!(self.ledger.order(FIRST.at(offset), order).await.expect("taken"));
    }

    async fn content(&self, id: &str) -> Option<String> {
        let id = (Space::new("acme").expect("a space"), MemoryId::new(id).expect("an id"));
        let heads = Ledger::heads(&self.ledger, &[id]).await.expect("heads");
        heads.first().and_then(|head| Some(head.memory.as_ref()?.content.to_string()))
    }

    /// No order is left, and every store holds what the heads say.
    async fn is_clean(&self) {
        assert_eq!(self.ledger.orders(FIRST, 0).await, Ok(Vec::new()));
        let ports = audit::Ports {
            ledger: Arc::new(self.ledger.clone()),
            points: Arc::new(self.vectors.inner.clone()),
            vector: Arc::new(self.vectors.inner.clone()),
            graph: None,
            log: Some(Arc::new(self.log.clone())),
        };
        let report = audit::run(&ports, &audit::Options { deep: true, ..audit::Options::default() }).await;
        assert_eq!(report.verdict, audit::Verdict::Clean, "{report:?}");
    }
}

fn ending(row: &SagaRow) -> (State, Verdict, Code) {
    let ending = row.ending.as_ref().expect("an ended saga has an ending");
    (row.state, ending.verdict, ending.code)
}

#[tokio::test]
async fn a_cancelled_command_fails_if_it_waits_and_is_undone_if_it_has_begun() {
    let world = World::new();
    let worker = world.work();
    let first = world.put("m", "stands").await;
    assert_eq!(world.ended(first).await.state, State::Committed);
    world.vectors.be(Mood::Away);
    let begun = world.put("m", "begun").await;
    let waits = world.put("m", "waits").await;
    world.until(FIRST, begun, |row| row.state == State::Running).await;
    world.until(FIRST, waits, |row| row.state == State::Pending).await;

    world.order(waits, Order::Cancel).await;
    assert_eq!(ending(&world.ended(waits).await), (State::Failed, Verdict::Failed, Code::Cancelled));
    world.order(begun, Order::Cancel).await;
    world.until(FIRST, begun, |row| row.state == State::Compensating).await;
    world.vectors.be(Mood::Willing);
    let undone = (State::Compensated, Verdict::Compensated, Code::Cancelled);
    assert_eq!(ending(&world.ended(begun).await), undone);
    let last = world.put("n", "goes on").await;
    assert_eq!(world.ended(last).await.state, State::Committed);
    worker.shut_down().await;
    assert_eq!(world.content("m").await.as_deref(), Some("stands"));
    world.is_clean().await;
}

#[tokio::test]
async fn a_stuck_undo_ends_as_an_operator_resolves_it() {
    for (side, content) in [(Side::Before, "stands"), (Side::After, "refused")] {
        let world = World::new();
        let worker = world.work();
        let first = world.put("m", "stands").await;
        world.ended(first).await;
        world.vectors.be(Mood::Stubborn);
        let stuck = world.put("m", "refused").await;
        let waits = world.put("m", "waits").await;
        world.until(FIRST, stuck, |row| row.state == State::Compensating).await;

        world.order(stuck, Order::Resolve(side)).await;
        let row = world.ended(stuck).await;
        let expected = match side {
            Side::Before => (State::Compensated, Verdict::Compensated, Code::Cancelled),
            Side::After => (State::Committed, Verdict::Committed, Code::Ok),
        };
        assert_eq!(ending(&row), expected);
        let version = FIRST.at(stuck).version(Phase::RecoveredForward);
        let records = row.ending.expect("an ending").records;
        assert_eq!(records.first().and_then(|record| record.version), Some(version));
        assert_eq!(world.content("m").await.as_deref(), Some(content), "{side:?}");

        // It has begun by now, and the store refuses it for good as well.
        world.until(FIRST, waits, |row| row.state == State::Compensating).await;
        world.vectors.be(Mood::Willing);
        assert_eq!(world.ended(waits).await.state, State::Compensated);
        let last = world.put("m", "goes on").await;
        assert_eq!(world.ended(last).await.state, State::Committed);
        worker.shut_down().await;
        world.is_clean().await;
    }
}

#[tokio::test]
async fn a_resolve_is_carried_out_by_whoever_owns_the_partition_next() {
    let world = World::new();
    let worker = world.work();
    let first = world.put("m", "stands").await;
    world.ended(first).await;
    world.vectors.be(Mood::Away);
    let stuck = world.put("m", "sent").await;
    world.until(FIRST, stuck, |row| row.state == State::Running).await;
    world.order(stuck, Order::Resolve(Side::Before)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    worker.kill();
    let next = world.work();
    world.vectors.be(Mood::Willing);
    let row = world.ended(stuck).await;
    assert_eq!(row.state, State::Compensated, "the order stands above what the next owner would have done");
    next.shut_down().await;
    assert_eq!(world.content("m").await.as_deref(), Some("stands"));
    world.is_clean().await;
}

#[tokio::test]
async fn an_order_for_what_has_ended_is_taken_away() {
    let world = World::new();
    let first = world.put("m", "stands").await;
    let worker = world.work();
    world.ended(first).await;
    for order in [Order::Retry, Order::Cancel, Order::Resolve(Side::Before)] {
        world.order(first, order).await;
        let wait = async {
            while world.ledger.orders(FIRST, 0).await != Ok(Vec::new()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it is taken away");
    }
    worker.shut_down().await;
    assert_eq!(world.content("m").await.as_deref(), Some("stands"));
    world.is_clean().await;
}

#[tokio::test]
async fn a_log_that_was_cut_goes_on_in_a_new_epoch_where_the_ledger_knows_it() {
    let mut world = World::new();
    let worker = world.work();
    for number in 0..6 {
        let offset = world.put("m", &format!("number {number}")).await;
        world.ended(offset).await;
    }
    world.vectors.be(Mood::Away);
    let unfinished = world.put("n", "on its way").await;
    world.until(FIRST, unfinished, |row| row.state == State::Running).await;
    worker.shut_down().await;
    world.log.truncate(0, 3);
    let unread = world.put("o", "in the place of another").await;
    assert_eq!(unread, 3);

    let halted = world.work();
    let noted = async {
        while world.ledger.partition(FIRST).await.is_ok_and(|row| row.halt.is_none()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, noted).await.expect("the ledger tells why it stands still");
    let halt = world.ledger.partition(FIRST).await.expect("a row").halt.expect("halted");
    assert!(halt.starts_with("truncated: "), "{halt}");
    halted.shut_down().await;

    world.vectors.be(Mood::Willing);
    let ports = world.ports();
    let plan = fence::plan(&ports, &world.options.limits).await.expect("a plan");
    let told: Vec<_> = plan.steps.iter().map(|step| (step.found, step.reads_from, step.unread)).collect();
    assert_eq!(told, [(Some("truncated"), 3, 1)], "three records are known, one is new");
    let tasks = Tasks::new();
    fence::carry_out(&ports, &world.options, &tasks).await.expect("fenced");
    tasks.shut_down().await;
    let again = fence::plan(&ports, &world.options.limits).await;
    assert!(matches!(again, Err(fence::Error::Needless)), "{again:?}");
    assert_eq!(world.ended(unfinished).await.state, State::Committed, "the last epoch came to rest");

    world.log.set_epoch(2);
    world.options = Options { sweep_interval: Duration::from_secs(1), ..world.options.clone() };
    let worker = world.work();
    let second = PartitionId { epoch: 2, ..FIRST };
    world.until(second, unread, |row| row.state == State::Committed).await;
    let next = world.put("m", "number 6").await;
    world.until(second, next, |row| row.state == State::Committed).await;
    worker.shut_down().await;
    let contents: BTreeMap<_, _> =
        [("m", world.content("m").await), ("n", world.content("n").await), ("o", world.content("o").await)]
            .into();
    assert_eq!(contents["m"].as_deref(), Some("number 6"));
    assert_eq!(contents["n"].as_deref(), Some("on its way"), "what the ledger had taken in is not lost");
    assert_eq!(contents["o"].as_deref(), Some("in the place of another"));
    world.is_clean().await;
}
