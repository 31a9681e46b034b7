//! The group: which process works on which partition, and nothing else.
//!
//! ```text
//! broker ── assign, revoke ──▶ Rebalances ──▶ Member::next ──▶ worker
//!        ◀── acknowledged ─────────────────── Member::released ◀┘   when its last turn is over
//! ```
//!
//! The member consumer is assigned nothing in librdkafka's own sense, so it fetches nothing: whoever reads
//! does so elsewhere, from the ledger's offset. What is left is the protocol: heartbeats, and polls that no
//! slow store can hold up. Rebalancing is cooperative, so partitions that stay are not interrupted, and a
//! revoked one goes to the next process only after this one has released it.
//!
//! A process that the group has lost keeps working for as long as nobody takes its leases: the ledger
//! decides who may write, and the group only who should try.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::{
    ClientContext, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext, StreamConsumer},
    error::{KafkaError, KafkaResult},
    types::RDKafkaRespErr,
};
use tokio::sync::Notify;

use super::{Options, client, reader::unavailable};
use crate::{
    log::{Assignment, Membership, ReadError},
    tasks::Tasks,
};

/// How long the member waits after an error that the client does not get over by itself.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// How long leaving may take: with a broker that answers, a moment. Without one, the session runs out by itself.
const LEAVE_MAX: Duration = Duration::from_secs(10);

/// How long a client that is being closed may take to end where it waits for nothing.
const CLOSING_PAUSE: Duration = Duration::from_millis(200);
const CLOSING_LOOK: Duration = Duration::from_millis(10);

/// What the group has said and the worker has not heard yet.
#[derive(Default)]
struct Group {
    state: Mutex<State>,
    changed: Notify,
}

/// Bounded by the number of partitions: a rebalance does not begin before the last one is acknowledged.
#[derive(Default)]
struct State {
    changes: VecDeque<Assignment>,
    held: BTreeSet<u32>,
    /// Held when the group lost this process, and not confirmed since.
    unconfirmed: BTreeSet<u32>,
    /// Revoked, and still worked on; the group waits until it is empty.
    releasing: BTreeSet<u32>,
    /// Nobody works on anything any more.
    closing: bool,
}

impl State {
    fn assigned(&mut self, partitions: BTreeSet<u32>) {
        // What the group does not name again belongs to somebody else by now.
        let gone = std::mem::take(&mut self.unconfirmed);
        for partition in gone.difference(&partitions) {
            self.changes.push_back(Assignment::Revoked(*partition));
        }
        self.changes.extend(partitions.iter().map(|partition| Assignment::Assigned(*partition)));
        self.held.extend(partitions);
    }

    fn revoked(&mut self, partitions: BTreeSet<u32>) {
        self.held.retain(|partition| !partitions.contains(partition));
        self.changes.extend(partitions.iter().map(|partition| Assignment::Revoked(*partition)));
        self.releasing.extend(partitions);
    }

    fn lost(&mut self) {
        let lost = std::mem::take(&mut self.held);
        self.changes.extend(lost.iter().map(|partition| Assignment::Unconfirmed(*partition)));
        self.unconfirmed.extend(lost);
        // It waits for nobody any more.
        let releasing = std::mem::take(&mut self.releasing);
        self.changes.extend(releasing.into_iter().map(Assignment::Unconfirmed));
    }
}

/// Hears what the group says.
pub(super) struct Rebalances(Arc<Group>);

impl ClientContext for Rebalances {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the group's client reports an error");
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let named: BTreeSet<u32> = partitions
            .elements()
            .iter()
            .filter_map(|element| u32::try_from(element.partition()).ok())
            .collect();
        let lost = consumer.assignment_lost();
        let mut state = self.0.state.lock();
        if state.closing && terminates(consumer) {
            return;
        }
        let acknowledged = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            tracing::info!(partitions = ?named, "the group assigns partitions");
            state.assigned(named);
            Some(consumer.incremental_assign(&TopicPartitionList::new()))
        } else if lost {
            tracing::warn!(partitions = ?named, "the group has lost this process; its leases decide");
            state.lost();
            Some(acknowledge(consumer))
        } else {
            tracing::info!(partitions = ?named, "the group takes partitions back");
            state.revoked(named);
            (state.closing || state.releasing.is_empty()).then(|| acknowledge(consumer))
        };
        drop(state);
        if let Some(Err(error)) = acknowledged {
            tracing::warn!(%error, "a rebalance could not be acknowledged");
        }
        self.0.changed.notify_one();
    }
}

/// Whether a client that is being closed has ended, or does so within moments. One that waits for an
/// acknowledgement never does; to one that has ended, librdkafka would let an acknowledgement wait for ever.
#[expect(clippy::disallowed_methods, reason = "the driver's own thread waits here, which runs no tasks")]
fn terminates<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> bool {
    let looks = CLOSING_PAUSE.as_millis() / CLOSING_LOOK.as_millis();
    (0..looks).any(|_| {
        std::thread::sleep(CLOSING_LOOK);
        consumer.closed()
    })
}

/// Tells the group that what it took back is free. The list is empty because the client was assigned nothing.
fn acknowledge<C: ConsumerContext>(consumer: &impl Consumer<C>) -> KafkaResult<()> {
    consumer.incremental_unassign(&TopicPartitionList::new())
}

/// The consumer that is a member.
pub(super) type MemberConsumer = StreamConsumer<Rebalances>;

/// This process in the group.
pub(super) struct Member {
    group: Arc<Group>,
    /// `None` only while it is dropped.
    consumer: Option<Arc<MemberConsumer>>,
    tasks: Tasks,
}

impl Member {
    /// Joins the group of these options; `tasks` waits for it to have left.
    pub(super) fn join(options: &Options, tasks: Tasks) -> Result<Self, ReadError> {
        let group = Arc::<Group>::default();
        let open = || -> KafkaResult<MemberConsumer> {
            let rebalances = Rebalances(Arc::clone(&group));
            let consumer: MemberConsumer = client::member(options).create_with_context(rebalances)?;
            consumer.subscribe(&[&options.commands_topic()])?;
            Ok(consumer)
        };
        let consumer = Arc::new(open().map_err(|error| unavailable(&error))?);
        Ok(Self { group, consumer: Some(consumer), tasks })
    }

    /// The consumer, as long as it is a member: the group takes commits of members alone.
    pub(super) fn consumer(&self) -> Option<&Arc<MemberConsumer>> {
        self.consumer.as_ref()
    }
}

#[async_trait]
impl Membership for Member {
    async fn next(&mut self) -> Option<Assignment> {
        let consumer = Arc::clone(self.consumer.as_ref()?);
        loop {
            if let Some(change) = self.group.state.lock().changes.pop_front() {
                return Some(change);
            }
            tokio::select! {
                biased;
                () = self.tasks.stopping() => return None,
                () = self.group.changed.notified() => {}
                received = consumer.recv() => if let Err(error) = received {
                    tracing::warn!(%error, "the group does not answer");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }

    async fn released(&mut self, partition: u32) {
        let free = {
            let mut state = self.group.state.lock();
            state.releasing.remove(&partition) && state.releasing.is_empty()
        };
        let Some(consumer) = self.consumer.as_ref().filter(|_| free) else { return };
        if let Err(error) = acknowledge(consumer.as_ref()) {
            tracing::warn!(%error, partition, "a released partition could not be given back");
        }
    }
}

impl Drop for Member {
    /// Leaves the group, so that others need not wait until its session has run out. That takes a
    /// conversation with the broker, and happens aside; the log waits for it when it is closed.
    fn drop(&mut self) {
        let unreleased = {
            let mut state = self.group.state.lock();
            state.closing = true;
            !std::mem::take(&mut state.releasing).is_empty()
        };
        let Some(consumer) = self.consumer.take() else { return };
        let leave = move || {
            // The group would wait for what nobody can release any more, and the client for the group.
            if unreleased && let Err(error) = acknowledge(consumer.as_ref()) {
                tracing::debug!(%error, "what was to be released could not be given back");
            }
            drop(consumer);
        };
        drop(self.tasks.spawn(async move {
            let left = tokio::time::timeout(LEAVE_MAX, tokio::task::spawn_blocking(leave)).await;
            if !matches!(left, Ok(Ok(()))) {
                tracing::warn!("the group was not left in good order; it will miss this process by itself");
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Assignment::{Assigned, Revoked, Unconfirmed};

    fn told(state: &mut State) -> Vec<Assignment> {
        state.changes.drain(..).collect()
    }

    #[test]
    fn a_process_that_was_lost_keeps_what_the_group_names_again_and_gives_up_the_rest() {
        let mut state = State::default();
        state.assigned([0, 1, 2].into());
        assert_eq!(told(&mut state), [Assigned(0), Assigned(1), Assigned(2)]);
        state.lost();
        assert_eq!(told(&mut state), [Unconfirmed(0), Unconfirmed(1), Unconfirmed(2)]);
        state.assigned([1].into());
        assert_eq!(told(&mut state), [Revoked(0), Revoked(2), Assigned(1)]);
        assert!(state.releasing.is_empty(), "the group waits for none of them");
    }

    #[test]
    fn a_revoked_partition_is_waited_for_and_one_that_stays_hears_nothing() {
        let mut state = State::default();
        state.assigned([0, 1].into());
        told(&mut state);
        state.revoked([1].into());
        assert_eq!(told(&mut state), [Revoked(1)]);
        assert_eq!((state.releasing, state.held), ([1].into(), [0].into()));
    }
}
