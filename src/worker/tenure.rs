//! One stretch of owning a partition, from a lease to an interruption: the loop of turns.
//!
//! ```text
//!  gather what is ready ─▶ one transaction ─▶ tell the stores, wake the waiting ─▶ again
//! ```
//!
//! Stores are called while the next transaction is open; reports and records gather meanwhile, so
//! batches form by themselves.

mod opening;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::DropGuard;

use super::{
    backlog::Backlog,
    board::PartitionState,
    intake, orders,
    owner::{Interruption, Owner},
    window::Share,
};
use crate::{
    fault::{self, Bug, planted},
    ledger::{
        self, Lease, Order, SagaRow,
        begin::Inbound,
        compensate,
        finish::End,
        turn::{Finished, Turn, Waiting},
    },
    model::{State, outcome::Ending},
    saga::execute::{Executor, Report},
};

/// An idle owner marks outcomes as published after this long.
const MARK_DELAY: Duration = Duration::from_millis(100);
/// How long a stopping owner waits for what is with the stores.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// What is ready for one turn.
#[derive(Default)]
pub(super) struct Work {
    pub(super) acknowledged: Vec<u64>,
    pub(super) undone: Vec<u64>,
    /// Sagas whose stores hold what an operator chose.
    pub(super) resolved: Vec<u64>,
    /// What operators order.
    pub(super) orders: Vec<(u64, Order)>,
    /// Sagas to turn back, with the ending that they will have when undone.
    pub(super) refused: Vec<(Arc<SagaRow>, Ending)>,
    pub(super) records: Vec<Inbound>,
    pub(super) published: Option<u64>,
    /// Which waiting sagas start in this turn.
    pub(super) start: Start,
}

impl Work {
    fn is_empty(&self) -> bool {
        let sagas = [self.acknowledged.is_empty(), self.undone.is_empty(), self.resolved.is_empty()];
        let lists = [self.refused.is_empty(), self.records.is_empty(), self.orders.is_empty()];
        sagas.into_iter().chain(lists).all(|is_empty| is_empty) && self.published.is_none()
    }
}

/// Which waiting sagas start in a turn.
#[derive(Default, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// As many as are free and have room.
    #[default]
    Free,
    /// These, as far as they are free.
    Only(BTreeSet<u64>),
    /// None.
    Nothing,
}

/// One stretch of owning, from a lease to an interruption.
pub(super) struct Tenure<'a> {
    pub(super) owner: &'a Owner,
    lease: Lease,
    pub(super) backlog: Backlog,
    share: Share,
    pub(super) executor: Executor,
    pub(super) reports: mpsc::Receiver<Report>,
    records: mpsc::Receiver<intake::Batch>,
    /// Where nothing is read from the log: keeps the channel open.
    _silent: Option<mpsc::Sender<intake::Batch>>,
    _let_go_at_the_end: Option<DropGuard>,
    finishes: watch::Sender<u64>,
    /// What has just ended, for the relay, as far as it keeps up.
    ended: mpsc::Sender<Finished>,
    published: watch::Receiver<u64>,
    /// Outcomes up to this finish are marked in the ledger.
    marked: u64,
    watermark: u64,
    /// When to look for orders again.
    next_orders: tokio::time::Instant,
    /// When this owner will have lived long enough; `None`: it has.
    proves_at: Option<tokio::time::Instant>,
    /// Only for a planted bug.
    put_back: Vec<Inbound>,
}

impl<'a> Tenure<'a> {
    /// Sends everything again that an earlier owner had begun.
    async fn resume(&mut self) -> Result<(), Interruption> {
        let running = |saga: &&Arc<SagaRow>| saga.state == State::Running;
        let mut forward: Vec<_> = self.backlog.running().filter(running).cloned().collect();
        let back: Vec<_> = self.backlog.running().filter(|saga| !running(saga)).cloned().collect();
        if self.backlog.unfinished_count() > 0 {
            tracing::info!(partition = %self.owner.partition, unfinished = self.backlog.unfinished_count(),
                forward = forward.len(), back = back.len(), "resuming unfinished sagas");
        }
        if planted(Bug::AfterImageRecomputed) {
            forward = self.open().await?.decide_again(forward).await?;
            self.backlog.runs(&forward);
        }
        for batch in forward.chunks(self.owner.options.batch_count_max) {
            self.executor.run(batch.to_vec(), true);
        }
        self.resume_undos(back).await?;
        self.tell(Duration::ZERO);
        Ok(())
    }

    /// Reads again what stood before these sagas, and writes it back.
    pub(super) async fn resume_undos(&self, back: Vec<Arc<SagaRow>>) -> Result<(), Interruption> {
        if !back.is_empty() {
            let mut turn = self.open().await?;
            let undos = turn.before(back).await?;
            drop(turn);
            self.executor.undo(undos);
        }
        Ok(())
    }

    async fn turns(&mut self) -> Result<(), Interruption> {
        while let Some(mut work) = self.gather().await? {
            let started = tokio::time::Instant::now();
            self.plant_watermark_bugs(&mut work).await?;
            let turn = self.open().await?;
            // While it waited for its place, more became ready. This is what makes batches under load.
            self.take_all(&mut work)?;
            self.turn_with(turn, work).await?;
            self.tell(started.elapsed());
        }
        self.drain().await
    }

    /// What has ended so far is finished; what is still with the stores is left to the next owner. So is
    /// everything once the group waits for this one no longer: the next may be at work already.
    async fn drain(&mut self) -> Result<(), Interruption> {
        let lost = self.owner.lost();
        tokio::pin!(lost);
        let patience = if planted(Bug::WindowOutlivesTenure) { Duration::ZERO } else { DRAIN_MAX };
        let deadline = tokio::time::Instant::now() + patience;
        while self.backlog.running_count() > 0 {
            let report = tokio::select! {
                biased;
                () = &mut lost => return Ok(()),
                report = tokio::time::timeout_at(deadline, self.reports.recv()) => report,
            };
            let Ok(Some(report)) = report else { break };
            let mut work = Work::default();
            self.sort(report, &mut work)?;
            self.turn(work).await?;
        }
        // Stopping in good order is proof of health: nothing here was killed.
        self.proves_at = self.proves_at.map(|_| tokio::time::Instant::now());
        self.turn(Work { start: Start::Nothing, ..Work::default() }).await
    }

    /// Waits until something is ready, then takes all that is. `None`: the partition is revoked.
    async fn gather(&mut self) -> Result<Option<Work>, Interruption> {
        loop {
            let Some(mut work) = self.gather_once().await? else { return Ok(None) };
            if self.next_orders > tokio::time::Instant::now() {
                return Ok(Some(work));
            }
            work.orders = orders::standing(self.owner).await?;
            self.next_orders = tokio::time::Instant::now() + self.owner.options.orders_interval;
            if !work.is_empty() {
                return Ok(Some(work));
            }
        }
    }

    async fn gather_once(&mut self) -> Result<Option<Work>, Interruption> {
        let mut work = Work { records: std::mem::take(&mut self.put_back), ..Work::default() };
        let startable = !self.backlog.ready.is_empty() && self.share.has_room();
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
                () = tokio::time::sleep_until(self.next_orders) => {}
            }
        } else if self.owner.revoked.is_cancelled() {
            return Ok(None);
        }
        self.take_all(&mut work)?;
        Ok(Some(work))
    }

    /// Adds what is ready at this moment.
    fn take_all(&mut self, work: &mut Work) -> Result<(), Interruption> {
        while let Ok(report) = self.reports.try_recv() {
            self.sort(report, work)?;
        }
        if work.records.len() <= self.owner.options.batch_count_max / 2
            && self.takes_records()
            && let Ok(batch) = self.records.try_recv()
        {
            work.records.extend(batch.map_err(|gone| Interruption::from_read(&gone))?);
        }
        let published = *self.published.borrow_and_update();
        work.published = (published > self.marked).then_some(published);
        Ok(())
    }

    pub(super) fn sort(&self, report: Report, work: &mut Work) -> Result<(), Interruption> {
        match report {
            Report::Acknowledged(offsets) => work.acknowledged.extend(offsets),
            Report::Undone(offsets) => work.undone.extend(offsets),
            Report::Resolved(offset) => work.resolved.push(offset),
            Report::Refused { offset, store, answer } => {
                if let Some(saga) = self.backlog.running_in(offset, State::Running) {
                    let ending = compensate::undone(saga, self.owner.partition, store.as_str(), &answer);
                    work.refused.push((saga.clone(), ending));
                }
            }
            // Its own undo, which an operator ordered, or what else one chose.
            Report::Overtaken(offset) if self.backlog.running_in(offset, State::Running).is_none() => {}
            Report::Overtaken(offset) => {
                let found = format!("saga {} was undone by another owner", self.owner.partition.at(offset));
                return Err(ledger::Error::Indeterminate(found).into());
            }
            Report::Fenced => return Err(ledger::Error::Fenced { partition: self.owner.partition }.into()),
        }
        Ok(())
    }

    /// One transaction for all that is ready.
    pub(super) async fn turn(&mut self, work: Work) -> Result<(), Interruption> {
        let turn = self.open().await?;
        self.turn_with(turn, work).await
    }

    async fn turn_with(&mut self, mut turn: Turn<'a>, work: Work) -> Result<(), Interruption> {
        let (begins, ends) = (!work.records.is_empty(), !work.acknowledged.is_empty());
        let ends_now = self.ends(&work);
        let obeyed = self.obeyed_by(&work.resolved);
        if planted(Bug::HeadsBeforeQuestion) {
            turn.read_ahead(&work.records).await?;
        }
        turn.finish(&ends_now).await?;
        for end in &ends_now {
            self.backlog.ended(end.saga.offset);
        }
        let heeded = self.heed(&work, obeyed);
        let resolutions = self.obey(&mut turn, &heeded).await?;
        let undos = turn.turn_back(&heeded.turned_back).await?;
        let ready = self.backlog.ready.len().min(self.owner.options.batch_count_max);
        let room = self.share.reserve(ready + work.records.len(), self.backlog.largest());
        let waiting = self.waiting(&work.start, room);
        let started = turn.start(&waiting, &self.backlog.held).await?;
        self.backlog.runs(&started.running);
        for offset in &started.ended {
            self.backlog.ended(*offset);
        }
        let room = room.saturating_sub(waiting.len());
        let next = work.records.last().map_or(self.watermark, |record| record.position.offset + 1);
        let begun = turn.begin(work.records, &mut self.backlog.held, room).await?;
        if let Some(published) = work.published {
            turn.published(published).await?;
        }
        let proven = self.proves_at.is_some_and(|at| at <= tokio::time::Instant::now());
        if proven {
            turn.proven().await?;
        }
        if planted(Bug::UndoBeforeDurable) {
            self.executor.undo(undos.clone());
        }

        self.pass(begins, "begin.sent", ends, "finish.sent").await;
        let finished = turn.commit().await?;
        self.pass(begins, "begin.committed", ends, "finish.committed").await;

        self.watermark = self.watermark.max(next);
        self.marked = work.published.unwrap_or(self.marked);
        self.proves_at = self.proves_at.filter(|_| !proven);
        self.backlog.runs(&begun.running);
        self.backlog.ready.extend(begun.ready);
        for (first, duplicate) in begun.duplicates {
            self.backlog.duplicate(first, duplicate);
        }
        let compensating: Vec<Arc<SagaRow>> = undos.iter().map(|undo| undo.saga.clone()).collect();
        self.backlog.runs(&compensating);
        self.share.settle(self.backlog.running_count(), self.backlog.running_bytes());
        self.executor.undo(undos);
        self.executor.run(started.running, false);
        self.executor.run(begun.running, false);
        self.send_resolutions(resolutions);
        self.tell_relay(finished);
        if begun.inboxed > 0 {
            self.owner.ports.log.note_watermark(self.owner.partition.partition, self.watermark).await;
        }
        self.send_again(heeded.again).await
    }

    /// There are outcomes to publish.
    pub(super) fn tell_relay(&self, finished: Option<Finished>) {
        let Some(finished) = finished else { return };
        let number = finished.number;
        if self.ended.try_send(finished).is_err() {
            tracing::debug!(number, "the relay is behind; it will read the ledger");
        }
        self.finishes.send_replace(number);
    }

    fn ends(&self, work: &Work) -> Vec<End> {
        let forward = work.acknowledged.iter().map(|offset| (*offset, State::Running));
        let back = work.undone.iter().map(|offset| (*offset, State::Compensating));
        let ends = forward.chain(back).filter_map(|(offset, state)| self.backlog.end(offset, state));
        ends.chain(work.resolved.iter().filter_map(|offset| self.backlog.resolved(*offset))).collect()
    }

    /// The waiting sagas that start in this turn.
    fn waiting(&self, start: &Start, room: usize) -> Vec<Waiting> {
        let most = room.min(self.owner.options.batch_count_max);
        let wanted = |offset: &&u64| match start {
            Start::Free => true,
            Start::Only(only) => only.contains(*offset),
            Start::Nothing => false,
        };
        let ready = self.backlog.ready.iter().filter(wanted).take(most);
        ready
            .map(|offset| Waiting {
                offset: *offset,
                duplicates: self.backlog.duplicates_of(*offset).to_vec(),
            })
            .collect()
    }

    fn takes_records(&self) -> bool {
        self.backlog.unfinished_count() < self.owner.options.backlog_count_max
    }

    pub(super) async fn open(&self) -> Result<Turn<'a>, ledger::Error> {
        let ports = &self.owner.ports;
        let at = self.executor.lease.now();
        let turn = Turn::open(&*ports.ledger, self.lease, &*ports.decide, ports.clock.now()).await?;
        self.executor.lease.seen(at);
        // Under this lease nobody else moves these. A ledger that was swapped for an older copy of itself
        // still knows the lease, and would take what comes next for what comes after its own last.
        let (watermark, finishes) = (self.watermark, *self.finishes.borrow());
        // It would also stand in for the lease check, which is planted against.
        let looks = !planted(Bug::LedgerSwapUnnoticed) && !planted(Bug::NoLeaseCheck);
        if turn.stands_at() != (watermark, finishes) && looks {
            let (found, last) = turn.stands_at();
            let sentence = format!(
                "the partition stands at {found} and finish {last}; its owner left it at {watermark} and {finishes}"
            );
            return Err(ledger::Error::Indeterminate(sentence));
        }
        Ok(turn)
    }

    /// Whatever stopped an earlier owner is over.
    async fn goes_on(&self, halt: Option<&str>) -> Result<(), Interruption> {
        if let Some(reason) = halt {
            tracing::info!(partition = %self.owner.partition, reason, "what halted the partition is over");
            let mut turn = self.open().await?;
            turn.halted(None).await?;
            turn.commit().await?;
        }
        Ok(())
    }

    async fn pass(&self, begins: bool, begin: &'static str, ends: bool, end: &'static str) {
        if begins {
            fault::point(begin).await;
        }
        if ends {
            fault::point(end).await;
        }
    }

    fn tell(&self, turn: Duration) {
        self.owner.board.update(self.owner.partition.partition, |status| {
            status.state = PartitionState::Working;
            status.reason = None;
            status.halt = None;
            status.watermark = self.watermark;
            status.unfinished = self.backlog.unfinished_count() as u64;
            status.intake_paused = !self.takes_records();
            status.running = self.backlog.running_count() as u64;
            status.oldest_unfinished = self.backlog.oldest();
            status.finishes = *self.finishes.borrow();
            status.turns += 1;
            status.turns_micros += u64::try_from(turn.as_micros()).unwrap_or(u64::MAX);
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
