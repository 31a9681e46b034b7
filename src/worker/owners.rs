//! Which partitions this process works on: an owner for each, started and let go as the group says.
//!
//! An owner that is to go finishes what is with the stores, as far as that is quick, and only then is
//! its partition released; many go at once. A partition that comes back before its owner has gone gets
//! a new one after it: one process has at most one owner a partition.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Options, Ports,
    owner::{Owner, Standing},
    window::Window,
};
use crate::{log::Assignment, model::PartitionId, tasks::Tasks};

/// How the group stands to an owner, and how to let it go.
struct Owned {
    standing: watch::Sender<Standing>,
    revoked: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

/// The owners of this process.
pub(super) struct Owners {
    ports: Ports,
    options: Options,
    epoch: u32,
    process: u64,
    tasks: Tasks,
    /// Shared by all owners.
    window: Arc<Window>,
    owned: BTreeMap<u32, Owned>,
    /// Owners that are on their way out, by the partitions that they still hold.
    leaving: FuturesUnordered<BoxFuture<'static, u32>>,
    /// Where they hear how the group stands to them meanwhile.
    held: BTreeMap<u32, watch::Sender<Standing>>,
    /// Assigned again before their last owners have gone, and how the group stands to that since.
    returning: BTreeMap<u32, Standing>,
}

impl Owners {
    /// None yet. `process`: this process's random number.
    pub(super) fn new(ports: Ports, options: Options, epoch: u32, process: u64, tasks: Tasks) -> Self {
        let window = Window::new(options.window_count_max, options.window_bytes_max);
        Self {
            ports,
            options,
            epoch,
            process,
            tasks,
            window,
            owned: BTreeMap::new(),
            leaving: FuturesUnordered::new(),
            held: BTreeMap::new(),
            returning: BTreeMap::new(),
        }
    }

    /// Does what the group says.
    pub(super) fn hear(&mut self, assignment: Assignment) {
        match assignment {
            Assignment::Assigned(partition) => self.assigned(partition),
            Assignment::Unconfirmed(partition) => {
                let owned = self.owned.get(&partition).map(|owned| &owned.standing);
                if let Some(standing) = owned.or(self.held.get(&partition)) {
                    standing.send_replace(Standing::Unconfirmed);
                }
                if let Some(standing) = self.returning.get_mut(&partition) {
                    *standing = Standing::Unconfirmed;
                }
            }
            Assignment::Revoked(partition) => self.revoked(partition),
        }
    }

    fn assigned(&mut self, partition: u32) {
        // A group that was slow to revoke, or that had lost us, may assign again what is still owned.
        if let Some(owned) = self.owned.get(&partition) {
            owned.standing.send_replace(Standing::Assigned);
        } else if self.held.contains_key(&partition) {
            self.returning.insert(partition, Standing::Assigned);
        } else {
            self.start(partition, Standing::Assigned);
        }
    }

    fn start(&mut self, partition: u32, standing: Standing) {
        let revoked = CancellationToken::new();
        let (standing, heard) = watch::channel(standing);
        let owner = Owner {
            partition: PartitionId { epoch: self.epoch, partition },
            process: self.process,
            ports: self.ports.clone(),
            options: self.options.clone(),
            board: self.ports.board.clone(),
            tasks: self.tasks.clone(),
            window: Arc::clone(&self.window),
            attempted: Arc::default(),
            standing: heard,
            revoked: revoked.clone(),
        };
        let owned = Owned { standing, revoked, ended: self.tasks.spawn(owner.run()) };
        self.owned.insert(partition, owned);
    }

    fn revoked(&mut self, partition: u32) {
        self.returning.remove(&partition);
        match self.owned.remove(&partition) {
            Some(owned) => self.let_go(partition, owned),
            // Nobody owns it here; the group must hear so all the same.
            None if !self.held.contains_key(&partition) => {
                self.held.insert(partition, watch::Sender::new(Standing::Assigned));
                self.leaving.push(Box::pin(std::future::ready(partition)));
            }
            None => {}
        }
    }

    fn let_go(&mut self, partition: u32, owned: Owned) {
        owned.revoked.cancel();
        self.held.insert(partition, owned.standing);
        self.leaving.push(Box::pin(async move {
            if let Err(error) = owned.ended.await {
                tracing::error!(partition, %error, "an owner ended badly; its sagas are resumed by the next one");
            }
            partition
        }));
    }

    /// The next partition that nobody here works on any more; never while there is none. Cancel-safe. The group is
    /// to hear of it, and then [`Self::released`] to be called.
    pub(super) async fn left(&mut self) -> u32 {
        match self.leaving.next().await {
            Some(partition) => partition,
            None => std::future::pending().await,
        }
    }

    /// The group knows that the partition is free: if it has come back meanwhile, it is worked on again.
    pub(super) fn released(&mut self, partition: u32) {
        self.held.remove(&partition);
        if let Some(standing) = self.returning.remove(&partition) {
            self.start(partition, standing);
        }
    }

    /// Lets every owner go, and waits for them all.
    pub(super) async fn let_all_go(&mut self) {
        for (partition, owned) in std::mem::take(&mut self.owned) {
            self.let_go(partition, owned);
        }
        while self.leaving.next().await.is_some() {}
    }
}
