//! One worker of a run.

use tokio::{task::JoinHandle, time::Duration};

use super::{Error, at};
use crate::{
    tasks::Tasks,
    worker::{
        self, Options, Ports,
        board::{Board, PartitionState, PartitionStatus},
    },
};

/// How often it is asked whether it is done.
const LOOK: Duration = Duration::from_micros(200);

/// A worker that runs.
pub(super) struct Work {
    board: Board,
    tasks: Tasks,
    running: JoinHandle<Result<(), worker::Error>>,
}

impl Work {
    /// Starts a worker over what `ports` makes around its board.
    pub(super) fn start(options: Options, ports: impl FnOnce(Board) -> Ports) -> Self {
        let (board, tasks) = (Board::default(), Tasks::new());
        let running = tasks.spawn(worker::run(ports(board.clone()), options, tasks.clone()));
        Self { board, tasks, running }
    }

    /// What it says of its partitions.
    pub(super) fn partitions(&self) -> Vec<PartitionStatus> {
        self.board.partitions()
    }

    /// Waits until so many records, of all partitions together, have ended.
    pub(super) async fn until(all: &[&Self], records: u64) -> Result<(), Error> {
        let ended = |status: &[PartitionStatus]| status.iter().all(|status| status.unfinished == 0);
        Self::wait(all, |status| inboxed(status) >= records && ended(status)).await
    }

    /// Waits until so many records, of all partitions together, are in the ledger.
    pub(super) async fn until_inboxed(all: &[&Self], records: u64) -> Result<(), Error> {
        Self::wait(all, |status| inboxed(status) >= records).await
    }

    /// Waits until so many partitions are worked on.
    pub(super) async fn until_working(all: &[&Self], partitions: usize) -> Result<(), Error> {
        Self::wait(all, |status| status.len() >= partitions).await
    }

    async fn wait(all: &[&Self], ready: impl Fn(&[PartitionStatus]) -> bool) -> Result<(), Error> {
        loop {
            let working = |status: &PartitionStatus| status.state == PartitionState::Working;
            let status: Vec<_> = all.iter().flat_map(|work| work.partitions()).filter(working).collect();
            if ready(&status) {
                return Ok(());
            }
            if all.iter().any(|work| work.running.is_finished()) {
                return Err(Error { step: "wait for the worker", why: "it has ended".to_owned() });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Stops in good order.
    pub(super) async fn stop(self) -> Result<(), Error> {
        self.tasks.stop();
        self.running.await.map_err(at("join the worker"))?.map_err(at("stop the worker"))
    }

    /// Its tasks stop where they are.
    pub(super) fn kill(&self) {
        self.tasks.kill();
    }
}

/// Offsets begin at 0 and have no gaps here, so that a watermark counts records.
fn inboxed(status: &[PartitionStatus]) -> u64 {
    status.iter().map(|status| status.watermark).sum()
}
