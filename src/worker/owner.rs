//! The owner of one partition: the loop of turns.
//!
//! ```text
//!  gather what is ready ─▶ one transaction ─▶ tell the stores, wake the waiting ─▶ again
//! ```
//!
//! Whatever goes wrong with the ledger, the owner drops all it knows, takes the lease anew and reads
//! the ledger: one path for a crash, a lost answer and a stolen lease.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Options, Ports,
    backlog::Backlog,
    board::{Board, PartitionState},
    checks::{self, Compared, Contradiction},
    intake, relay,
};
use crate::{
    fault::{self, Bug, planted},
    ledger::{
        self, Lease, SagaRow,
        begin::Inbound,
        compensate,
        finish::End,
        turn::{Turn, Waiting},
    },
    log::ReadError,
    model::{PartitionId, State, outcome::Ending},
    saga::{
        backoff::Backoff,
        execute::{Executor, Report},
        step::Stores,
    },
    tasks::Tasks,
};

/// Unfinished rows read at once at takeover.
const LOAD_COUNT_MAX: usize = 2_000;
/// Reports that may wait for the owner; executors wait beyond that.
const REPORTS_MAX: usize = 256;
/// An idle owner marks outcomes as published after this long.
const MARK_DELAY: Duration = Duration::from_millis(100);
/// How long a stopping owner waits for what is with the stores.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// What an owner is made of.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) partition: PartitionId,
    pub(super) nonce: u128,
    pub(super) ports: Ports,
    pub(super) options: Options,
    pub(super) board: Board,
    pub(super) tasks: Tasks,
    /// Cancelled when the partition is no longer ours, or the process stops.
    pub(super) revoked: CancellationToken,
}

/// Why a tenure ended.
enum Interruption {
    /// Read the ledger and go on.
    Ledger(ledger::Error),
    /// The log did not answer.
    Log(String),
    /// Stop: the log and the ledger contradict each other.
    Halt(String),
}

impl From<ledger::Error> for Interruption {
    fn from(error: ledger::Error) -> Self {
        Self::Ledger(error)
    }
}

impl From<Contradiction> for Interruption {
    fn from(contradiction: Contradiction) -> Self {
        Self::Halt(contradiction.to_string())
    }
}

impl Owner {
    /// Owns the partition until it is revoked.
    pub(super) async fn run(self) {
        let mut backoff = self.backoff();
        while !self.revoked.is_cancelled() {
            self.board.update(self.partition.partition, |status| status.state = PartitionState::Recovering);
            let Err(interruption) = Tenure::serve(&self, &mut backoff).await else { break };
            match interruption {
                Interruption::Halt(reason) => {
                    tracing::error!(partition = %self.partition, reason, "the partition is halted");
                    self.board.update(self.partition.partition, |status| {
                        status.state = PartitionState::Halted;
                        status.reason = Some(reason);
                    });
                    return self.revoked.cancelled().await;
                }
                Interruption::Ledger(ledger::Error::Fenced { .. }) if planted(Bug::ExitWhenFenced) => return,
                Interruption::Ledger(error) => {
                    tracing::warn!(partition = %self.partition, %error, "reading the ledger again");
                }
                Interruption::Log(why) => {
                    tracing::warn!(partition = %self.partition, why, "the log does not answer; trying again");
                }
            }
            self.revoked.run_until_cancelled(backoff.wait()).await;
        }
        self.board.update(self.partition.partition, |status| status.state = PartitionState::Stopped);
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(self.options.backoff_min, self.options.backoff_max, self.ports.random.clone())
    }
}

/// What is ready for one turn.
#[derive(Default)]
struct Work {
    acknowledged: Vec<u64>,
    undone: Vec<u64>,
    refused: Vec<(Arc<SagaRow>, Ending)>,
    records: Vec<Inbound>,
    published: Option<u64>,
}

/// One stretch of owning, from a lease to an interruption.
struct Tenure<'a> {
    owner: &'a Owner,
    lease: Lease,
    backlog: Backlog,
    executor: Executor,
    reports: mpsc::Receiver<Report>,
    records: mpsc::Receiver<intake::Batch>,
    finishes: watch::Sender<u64>,
    published: watch::Receiver<u64>,
    /// Outcomes up to this finish are marked in the ledger.
    marked: u64,
    watermark: u64,
    /// Only for a planted bug.
    put_back: Vec<Inbound>,
}

impl<'a> Tenure<'a> {
    async fn serve(owner: &'a Owner, backoff: &mut Backoff) -> Result<(), Interruption> {
        let ports = &owner.ports;
        let lease = ports.ledger.acquire(owner.partition, owner.nonce).await?;
        let row = ports.ledger.partition(owner.partition).await?;
        match checks::compare(&*ports.log, &*ports.outcomes, owner.partition, &row).await {
            Compared::Agree => {}
            Compared::Contradict(contradiction) => return Err(contradiction.into()),
            Compared::Unknown(why) => return Err(Interruption::Log(why)),
        }
        let backlog = load(owner).await?;
        backoff.reset();

        let let_go = CancellationToken::new();
        let _let_go_at_the_end = let_go.clone().drop_guard();
        let (report_sender, reports) = mpsc::channel(REPORTS_MAX);
        let (record_sender, records) = mpsc::channel(1);
        let (finishes, finishes_seen) = watch::channel(row.finishes);
        let (mark_sender, published) = watch::channel(row.published);
        let executor = Executor {
            partition: owner.partition,
            stores: Stores { vectors: ports.vectors.clone(), graph: ports.graph.clone() },
            reports: report_sender,
            let_go,
            tasks: owner.tasks.clone(),
            backoff: (owner.options.backoff_min, owner.options.backoff_max),
            random: ports.random.clone(),
        };
        spawn_relay(owner, row.published, finishes_seen, mark_sender);
        spawn_intake(owner, row.watermark, record_sender);
        let mut tenure = Tenure {
            owner,
            lease,
            backlog,
            executor,
            reports,
            records,
            finishes,
            published,
            marked: row.published,
            watermark: row.watermark,
            put_back: Vec::new(),
        };
        tenure.resume().await?;
        tenure.turns().await
    }

    /// Sends everything again that an earlier owner had begun.
    async fn resume(&mut self) -> Result<(), Interruption> {
        let running = |saga: &&Arc<SagaRow>| saga.state == State::Running;
        let forward: Vec<_> = self.backlog.running().filter(running).cloned().collect();
        let back: Vec<_> = self.backlog.running().filter(|saga| !running(saga)).cloned().collect();
        if self.backlog.unfinished_count() > 0 {
            tracing::info!(partition = %self.owner.partition, unfinished = self.backlog.unfinished_count(),
                forward = forward.len(), back = back.len(), "resuming unfinished sagas");
        }
        for batch in forward.chunks(self.owner.options.batch_count_max) {
            self.executor.run(batch.to_vec(), true);
        }
        if !back.is_empty() {
            let mut turn = self.open().await?;
            let undos = turn.before(back).await?;
            drop(turn);
            self.executor.undo(undos);
        }
        self.tell();
        Ok(())
    }

    async fn turns(&mut self) -> Result<(), Interruption> {
        while let Some(work) = self.gather().await? {
            self.turn(work).await?;
            self.tell();
        }
        self.drain().await
    }

    /// What has ended so far is finished; what is still with the stores is left to the next owner.
    async fn drain(&mut self) -> Result<(), Interruption> {
        let deadline = tokio::time::Instant::now() + DRAIN_MAX;
        while self.backlog.running_count() > 0 {
            let Ok(Some(report)) = tokio::time::timeout_at(deadline, self.reports.recv()).await else {
                break;
            };
            let mut work = Work::default();
            self.sort(report, &mut work)?;
            self.turn(work).await?;
        }
        Ok(())
    }

    /// Waits until something is ready, then takes all that is. `None`: the partition is revoked.
    async fn gather(&mut self) -> Result<Option<Work>, Interruption> {
        let mut work = Work { records: std::mem::take(&mut self.put_back), ..Work::default() };
        let startable = !self.backlog.ready.is_empty() && self.room() > 0;
        let takes_records = self.takes_records();
        if !startable {
            let unmarked = *self.published.borrow() > self.marked;
            tokio::select! {
                biased;
                () = self.owner.revoked.cancelled() => return Ok(None),
                report = self.reports.recv() => {
                    if let Some(report) = report {
                        self.sort(report, &mut work)?;
                    }
                }
                batch = self.records.recv(), if takes_records => match batch {
                    Some(batch) => work.records.extend(batch.map_err(|gone| Interruption::from_read(&gone))?),
                    None => return Err(Interruption::Log("intake has ended".to_owned())),
                },
                _ = self.published.changed(), if !unmarked => {}
                () = tokio::time::sleep(MARK_DELAY), if unmarked => {}
            }
        } else if self.owner.revoked.is_cancelled() {
            return Ok(None);
        }
        while let Ok(report) = self.reports.try_recv() {
            self.sort(report, &mut work)?;
        }
        if takes_records
            && work.records.is_empty()
            && let Ok(batch) = self.records.try_recv()
        {
            work.records.extend(batch.map_err(|gone| Interruption::from_read(&gone))?);
        }
        let published = *self.published.borrow_and_update();
        work.published = (published > self.marked).then_some(published);
        Ok(Some(work))
    }

    fn sort(&self, report: Report, work: &mut Work) -> Result<(), Interruption> {
        match report {
            Report::Acknowledged(offsets) => work.acknowledged.extend(offsets),
            Report::Undone(offsets) => work.undone.extend(offsets),
            Report::Refused { offset, store, answer } => {
                if let Some(saga) = self.backlog.running_in(offset, State::Running) {
                    let ending = compensate::undone(saga, self.owner.partition, store.as_str(), &answer);
                    work.refused.push((saga.clone(), ending));
                }
            }
            Report::Overtaken(offset) => {
                let found = format!("saga {} was undone by another owner", self.owner.partition.at(offset));
                return Err(ledger::Error::Indeterminate(found).into());
            }
        }
        Ok(())
    }

    /// One transaction for all that is ready.
    async fn turn(&mut self, mut work: Work) -> Result<(), Interruption> {
        self.plant_watermark_bugs(&mut work).await?;
        let (begins, ends) = (!work.records.is_empty(), !work.acknowledged.is_empty());
        let ends_now = self.ends(&work);
        let mut turn = self.open().await?;
        turn.finish(&ends_now).await?;
        for end in &ends_now {
            self.backlog.ended(end.saga.offset);
        }
        let undos = turn.turn_back(&work.refused).await?;
        let waiting = self.waiting();
        let started = turn.start(&waiting, &self.backlog.held).await?;
        self.backlog.runs(&started.running);
        for offset in &started.ended {
            self.backlog.ended(*offset);
        }
        let room = self.room();
        let next = work.records.last().map_or(self.watermark, |record| record.position.offset + 1);
        let begun = turn.begin(work.records, &mut self.backlog.held, room).await?;
        if let Some(published) = work.published {
            turn.published(published).await?;
        }
        if planted(Bug::UndoBeforeDurable) {
            self.executor.undo(undos.clone());
        }

        self.pass(begins, "begin.sent", ends, "finish.sent").await;
        let finished = turn.commit().await?;
        self.pass(begins, "begin.committed", ends, "finish.committed").await;

        self.watermark = self.watermark.max(next);
        self.marked = work.published.unwrap_or(self.marked);
        self.backlog.runs(&begun.running);
        self.backlog.ready.extend(begun.ready);
        for (first, duplicate) in begun.duplicates {
            self.backlog.duplicate(first, duplicate);
        }
        let compensating: Vec<Arc<SagaRow>> = undos.iter().map(|undo| undo.saga.clone()).collect();
        self.backlog.runs(&compensating);
        self.executor.undo(undos);
        self.executor.run(started.running, false);
        self.executor.run(begun.running, false);
        if let Some(number) = finished {
            self.finishes.send_replace(number);
        }
        if begun.inboxed > 0 {
            self.owner.ports.log.note_watermark(self.owner.partition.partition, self.watermark).await;
        }
        Ok(())
    }

    fn ends(&self, work: &Work) -> Vec<End> {
        let forward = work.acknowledged.iter().map(|offset| (*offset, State::Running));
        let back = work.undone.iter().map(|offset| (*offset, State::Compensating));
        forward.chain(back).filter_map(|(offset, state)| self.backlog.end(offset, state)).collect()
    }

    /// The waiting sagas that start in this turn.
    fn waiting(&self) -> Vec<Waiting> {
        let most = self.room().min(self.owner.options.batch_count_max);
        let ready = self.backlog.ready.iter().take(most);
        ready
            .map(|offset| Waiting {
                offset: *offset,
                duplicates: self.backlog.duplicates_of(*offset).to_vec(),
            })
            .collect()
    }

    fn room(&self) -> usize {
        self.owner.options.window_count_max.saturating_sub(self.backlog.running_count())
    }

    fn takes_records(&self) -> bool {
        self.backlog.unfinished_count() < self.owner.options.backlog_count_max
    }

    async fn open(&self) -> Result<Turn<'a>, ledger::Error> {
        let ports = &self.owner.ports;
        Turn::open(&*ports.ledger, self.lease, &*ports.decide, ports.clock.now()).await
    }

    async fn pass(&self, begins: bool, begin: &'static str, ends: bool, end: &'static str) {
        if begins {
            fault::point(begin).await;
        }
        if ends {
            fault::point(end).await;
        }
    }

    fn tell(&self) {
        self.owner.board.update(self.owner.partition.partition, |status| {
            status.state = PartitionState::Working;
            status.reason = None;
            status.watermark = self.watermark;
            status.unfinished = self.backlog.unfinished_count() as u64;
            status.running = self.backlog.running_count() as u64;
            status.oldest_unfinished = self.backlog.oldest();
            status.finishes = *self.finishes.borrow();
        });
    }

    /// The two mistakes about the watermark that cannot be planted anywhere else.
    async fn plant_watermark_bugs(&mut self, work: &mut Work) -> Result<(), Interruption> {
        if planted(Bug::WatermarkOverGap) && work.records.len() > 1 {
            self.put_back.push(work.records.remove(0));
        }
        if planted(Bug::WatermarkBeforeInbox)
            && let Some(last) = work.records.last()
        {
            let mut early = self.owner.ports.ledger.transaction(&self.lease).await?;
            early.advance(last.position.offset + 1, None).await?;
            early.commit().await?;
        }
        Ok(())
    }
}

impl Interruption {
    fn from_read(error: &ReadError) -> Self {
        match error {
            ReadError::Unavailable(why) => Self::Log(why.clone()),
            ReadError::OutOfRange { offset, bounds } => Self::Halt(format!(
                "the worker was to read offset {offset}, but the log holds {} to {}; restore the log, then start again",
                bounds.start, bounds.end
            )),
        }
    }
}

/// Reads every unfinished saga of the partition.
async fn load(owner: &Owner) -> Result<Backlog, Interruption> {
    let mut backlog = Backlog::default();
    let mut from = 0;
    loop {
        let rows = owner.ports.ledger.unfinished(owner.partition, from, LOAD_COUNT_MAX).await?;
        let Some(last) = rows.last() else { return Ok(backlog) };
        from = last.offset + 1;
        rows.into_iter().for_each(|row| backlog.load(row));
    }
}

fn spawn_relay(owner: &Owner, published: u64, finishes: watch::Receiver<u64>, marks: watch::Sender<u64>) {
    let (ports, partition, backoff) = (owner.ports.clone(), owner.partition, owner.backoff());
    owner
        .tasks
        .spawn(async move { relay::run(&ports, partition, published, finishes, marks, backoff).await });
}

fn spawn_intake(owner: &Owner, watermark: u64, records: mpsc::Sender<intake::Batch>) {
    let (ports, options, backoff) = (owner.ports.clone(), owner.options.clone(), owner.backoff());
    let partition = (owner.partition.epoch, owner.partition.partition);
    owner.tasks.spawn(async move {
        let count = options.batch_count_max;
        intake::run(&*ports.log, partition, watermark, count, options.limits, backoff, records).await;
    });
}
