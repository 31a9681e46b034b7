//! What goes wrong on purpose: a plan that can be changed while the stand-in runs.
//!
//! Counted faults strike the next writes (upserts and deletions) and count down; the others hold until
//! they are taken back. Reads know latency and outage alone.

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tonic::Status;
use uuid::Uuid;

/// What is to go wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Milliseconds that every call waits before it is looked at.
    pub latency_ms: u64,
    /// The port is closed, and every connection cut.
    pub outage: bool,
    /// So many of the next writes are neither done nor answered.
    pub lost_requests: u32,
    /// So many of the next writes are done and not answered.
    pub lost_replies: u32,
    /// So many of the next writes are done a second time, after they were answered.
    pub doubled: u32,
    /// Milliseconds between the two times.
    pub doubled_after_ms: u64,
    /// Points that are refused for good, and with them every call that has one.
    pub refused: BTreeSet<Uuid>,
}

/// The plan in force. Clones share it.
#[derive(Debug, Clone)]
pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    outage: watch::Sender<bool>,
}

/// What happens to one write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) request_lost: bool,
    pub(super) reply_lost: bool,
    pub(super) doubled_after: Option<Duration>,
}

impl Faults {
    /// Begins with `plan`.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let (outage, _) = watch::channel(plan.outage);
        Self { plan: Arc::new(Mutex::new(plan)), outage }
    }

    /// The plan, with what is left of its counts.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.plan.lock().clone()
    }

    /// Changes the plan.
    pub fn change(&self, change: impl FnOnce(&mut Plan)) {
        let outage = {
            let mut plan = self.plan.lock();
            change(&mut plan);
            plan.outage
        };
        self.outage.send_if_modified(|held| std::mem::replace(held, outage) != outage);
    }

    /// Whether the port is closed, as it changes.
    pub(super) fn outage(&self) -> watch::Receiver<bool> {
        self.outage.subscribe()
    }

    /// Holds a call back as long as the plan says, and answers it during an outage.
    pub(super) async fn pass(&self) -> Result<(), Status> {
        let latency = Duration::from_millis(self.plan.lock().latency_ms);
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        if self.plan.lock().outage { Err(Status::unavailable("the stand-in is away")) } else { Ok(()) }
    }

    /// What happens to the next write.
    pub(super) fn fate(&self) -> Fate {
        let mut plan = self.plan.lock();
        let strikes = |count: &mut u32| {
            let strikes = *count > 0;
            *count = count.saturating_sub(1);
            strikes
        };
        let request_lost = strikes(&mut plan.lost_requests);
        let reply_lost = !request_lost && strikes(&mut plan.lost_replies);
        let doubled = !request_lost && strikes(&mut plan.doubled);
        let after = Duration::from_millis(plan.doubled_after_ms);
        Fate { request_lost, reply_lost, doubled_after: doubled.then_some(after) }
    }

    /// Refuses a call that has a point which is refused for good.
    pub(super) fn admit(&self, ids: impl IntoIterator<Item = Uuid>) -> Result<(), Status> {
        let plan = self.plan.lock();
        if ids.into_iter().any(|id| plan.refused.contains(&id)) {
            return Err(Status::invalid_argument("the stand-in refuses a point of this call"));
        }
        Ok(())
    }
}

/// A call whose answer never comes: it ends when the client gives up.
pub(super) fn silence<T>() -> impl Future<Output = T> {
    std::future::pending()
}
