//! How a tenure begins: the lease, a look at log and ledger, what is unfinished, and the tasks beside the owner.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        backlog::Backlog,
        careful,
        checks::{self, Compared},
        intake, orders,
        owner::{Halt, Interruption, Owner},
        relay,
    },
    Tenure,
};
use crate::{
    fault::{Bug, planted},
    ledger::{Lease, Order, PartitionRow, lease, turn::Finished},
    saga::{backoff::Backoff, execute::Executor, step::Stores},
};

/// Unfinished rows read at once at takeover.
const LOAD_COUNT_MAX: usize = 2_000;
/// Reports that may wait for the owner; executors wait beyond that.
const REPORTS_MAX: usize = 256;
/// Finishes that are handed to the relay in memory; beyond that it reads the ledger.
const ENDED_MAX: usize = 8;

/// A lease, and when it was asked for: what is known of it is as old as that.
type Held = (Lease, Duration);

impl<'a> Tenure<'a> {
    /// Owns the partition until it is revoked, or something goes wrong.
    pub(in crate::worker) async fn serve(
        owner: &'a Owner,
        backoff: &mut Backoff,
    ) -> Result<(), Interruption> {
        let asked = owner.ports.clock.since_boot();
        let lease = owner.ports.ledger.acquire(owner.partition, owner.nonce()).await?;
        let ended = Self::hold(owner, (lease, asked), backoff).await;
        if let Err(Interruption::Halt(halt)) = &ended {
            note(owner, &lease, halt).await;
        }
        ended
    }

    async fn hold(owner: &'a Owner, lease: Held, backoff: &mut Backoff) -> Result<(), Interruption> {
        let row = match checks::compare(&owner.ports, owner.partition).await? {
            Compared::Agree(row) => row,
            Compared::Contradict(contradiction) => return Err(contradiction.into()),
            Compared::Unknown(why) => return Err(Interruption::Log(why)),
        };
        let (mut tenure, orders) = Self::new(owner, lease, &row, true).await?;
        backoff.reset();
        tenure.goes_on(row.halt.as_deref()).await?;
        tenure.resume_resolutions(orders).await?;
        if row.unproven > careful::UNPROVEN_MAX {
            tenure.resume_carefully(row.unproven).await?;
        } else {
            tenure.resume().await?;
        }
        tenure.turns().await
    }

    /// Ends whatever is unfinished and publishes it, without a look at the log; the lease that this was done
    /// with. Returns early when the partition is revoked.
    pub(in crate::worker) async fn bring_to_rest(owner: &'a Owner) -> Result<Lease, Interruption> {
        let asked = owner.ports.clock.since_boot();
        let lease = owner.ports.ledger.acquire(owner.partition, owner.nonce()).await?;
        let row = owner.ports.ledger.partition(owner.partition).await?;
        let (mut tenure, orders) = Self::new(owner, (lease, asked), &row, false).await?;
        tenure.resume_resolutions(orders).await?;
        tenure.resume().await?;
        while tenure.backlog.unfinished_count() > 0 || tenure.marked < *tenure.finishes.borrow() {
            let Some(work) = tenure.gather().await? else { break };
            tenure.turn(work).await?;
        }
        Ok(lease)
    }

    /// Reads what the ledger holds, and the orders that stand. `reads`: what is new is taken from the log.
    async fn new(
        owner: &'a Owner,
        (lease, asked): Held,
        row: &PartitionRow,
        reads: bool,
    ) -> Result<(Self, Vec<(u64, Order)>), Interruption> {
        let ports = &owner.ports;
        let (ledger, clock) = (ports.ledger.clone(), ports.clock.clone());
        let watch = Arc::new(lease::Watch::new(ledger, clock, lease, (asked, owner.options.lease_term)));
        let backlog = load(owner).await?;
        let orders = orders::standing(owner).await?;
        let let_go = CancellationToken::new();
        let let_go_at_the_end = (!planted(Bug::WindowOutlivesTenure)).then(|| let_go.clone().drop_guard());
        let (report_sender, reports) = mpsc::channel(REPORTS_MAX);
        let (record_sender, records) = mpsc::channel(1);
        let (finishes, finishes_seen) = watch::channel(row.finishes);
        let (mark_sender, published) = watch::channel(row.published);
        let executor = Executor {
            partition: owner.partition,
            stores: Stores { vectors: ports.vectors.clone(), graph: ports.graph.clone() },
            reports: report_sender,
            lease: Arc::clone(&watch),
            let_go,
            tasks: owner.tasks.clone(),
            backoff: (owner.options.backoff_min, owner.options.backoff_max),
            random: ports.random.clone(),
        };
        let (ended, ended_seen) = mpsc::channel(ENDED_MAX);
        spawn_relay(owner, row.published, (finishes_seen, ended_seen), mark_sender, watch);
        let silent = match reads {
            true => {
                spawn_intake(owner, row.watermark, record_sender);
                None
            }
            false => Some(record_sender),
        };
        let mut share = owner.window.share();
        share.settle(backlog.running_count(), backlog.running_bytes());
        let tenure = Tenure {
            owner,
            lease,
            backlog,
            share,
            executor,
            reports,
            records,
            _silent: silent,
            _let_go_at_the_end: let_go_at_the_end,
            finishes,
            ended,
            published,
            marked: row.published,
            watermark: row.watermark,
            next_orders: tokio::time::Instant::now() + owner.options.orders_interval,
            proves_at: Some(tokio::time::Instant::now() + careful::PROVEN_AFTER),
            put_back: Vec::new(),
        };
        Ok((tenure, orders))
    }
}

/// Writes down why the partition stands still, for other processes to tell. The halt itself does not depend
/// on it: the next owner finds the same.
async fn note(owner: &Owner, lease: &Lease, halt: &Halt) {
    let reason = format!("{}: {}", halt.code, halt.reason);
    let noted = async {
        let mut transaction = owner.ports.ledger.transaction(lease).await?;
        transaction.halted(Some(&reason)).await?;
        transaction.commit().await
    };
    if let Err(error) = noted.await {
        tracing::warn!(partition = %owner.partition, %error, "other processes will not see why it is halted");
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

fn spawn_relay(
    owner: &Owner,
    published: u64,
    (finishes, ended): (watch::Receiver<u64>, mpsc::Receiver<Finished>),
    marks: watch::Sender<u64>,
    lease: Arc<lease::Watch>,
) {
    let (ports, partition, backoff) = (owner.ports.clone(), owner.partition, owner.backoff());
    owner.tasks.spawn(async move {
        relay::run(&ports, (partition, lease), published, finishes, ended, marks, backoff).await
    });
}

fn spawn_intake(owner: &Owner, watermark: u64, records: mpsc::Sender<intake::Batch>) {
    let (ports, options, backoff) = (owner.ports.clone(), owner.options.clone(), owner.backoff());
    let partition = (owner.partition.epoch, owner.partition.partition);
    let board = owner.board.clone();
    owner.tasks.spawn(async move {
        // Two may become one turn's.
        let count = options.batch_count_max.div_ceil(2);
        let decoded = |micros| board.update(partition.1, |status| status.decode_micros += micros);
        intake::run(&*ports.log, partition, watermark, (count, options.limits), backoff, records, decoded)
            .await;
    });
}
