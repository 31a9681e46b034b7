//! The command log behind a network: the real in-memory log, and a group that shares its partitions.
//!
//! The group is what makes zombies: it takes a silent node's partitions away without asking, and can
//! give a partition to a new node before the old one has heard. Two nodes then believe that they own
//! it, and only the ledger's lease and the stores' fences stand between them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    fault::{Bug, planted},
    log::{
        AppendError, AppendedAt, Assignment, Bounds, CommandLog, DeadLetter, DeadLetters, Headers,
        Membership, NewRecord, OutcomeEvent, OutcomeSink, ReadError, Reader, Record, Topology,
        memory::MemoryLog,
    },
    model::PartitionId,
};

use super::{
    boundary::{Action, Boundary},
    faults::Fault,
    monitor::Monitor,
    network::{Link, Network},
};

/// How long a node has to give a revoked partition back.
const RELEASE_MS_MAX: u64 = 3_000;

/// The log and its group: what every node shares.
pub(super) struct SharedLog {
    /// The log of each epoch, the current one last.
    logs: Mutex<Vec<MemoryLog>>,
    monitor: Arc<Monitor>,
    network: Arc<Network>,
    group: Mutex<Group>,
}

#[derive(Default)]
struct Group {
    members: BTreeMap<u32, Member>,
    /// Who owns each partition; absent: nobody.
    owners: BTreeMap<u32, u32>,
    /// Who is to give each partition back.
    revoking: BTreeMap<u32, u32>,
    rotation: u32,
}

#[derive(Default)]
struct Member {
    silent: bool,
    inbox: VecDeque<Assignment>,
    changed: Arc<Notify>,
}

impl Member {
    fn tell(&mut self, assignment: Assignment) {
        self.inbox.push_back(assignment);
        self.changed.notify_one();
    }
}

impl SharedLog {
    /// An empty log without members.
    pub(super) fn new(log: MemoryLog, monitor: Arc<Monitor>, network: Arc<Network>) -> Self {
        Self { logs: Mutex::new(vec![log]), monitor, network, group: Mutex::default() }
    }

    /// The log of the current epoch.
    pub(super) fn log(&self) -> MemoryLog {
        self.logs.lock().last().cloned().expect("there is a log from the start")
    }

    /// The log of each epoch, from 1.
    pub(super) fn logs(&self) -> Vec<MemoryLog> {
        self.logs.lock().clone()
    }

    /// The epoch that positions carry now.
    pub(super) fn epoch(&self) -> u32 {
        u32::try_from(self.logs.lock().len()).unwrap_or(u32::MAX)
    }

    /// The log is made anew, and its group with it; what is still on its way arrives in the new one.
    pub(super) fn renew(&self, log: MemoryLog) {
        self.logs.lock().push(log);
        self.log().set_epoch(self.epoch());
        *self.group.lock() = Group::default();
    }

    /// Appends one record for a producer, to `partition` whatever its key. `doomed`: whoever made it
    /// knows that it can never commit.
    ///
    /// # Errors
    /// `Unknown` when the answer was lost, whether or not the record is there.
    pub(super) async fn produce(
        self: &Arc<Self>,
        partition: u32,
        key: Option<Bytes>,
        value: Option<Bytes>,
        headers: Headers,
        doomed: bool,
    ) -> Result<AppendedAt, AppendError> {
        let faults = &self.network.faults;
        self.network.latency().await;
        let lost = || Err(AppendError::Unknown("no answer in time".to_owned()));
        let append = {
            let (log, epoch) = (Arc::clone(self), self.epoch());
            // What was in its wrong place may be in its right one when it arrives in another epoch.
            let doomed = move |log: &Self| doomed && log.epoch() == epoch;
            move || {
                let doomed = doomed(&log);
                log.append_one(partition, key.clone(), value.clone(), headers.clone(), doomed)
            }
        };
        if faults.fires(Fault::AppendLostRequest) {
            self.network.give_up().await;
            return lost();
        }
        if faults.fires(Fault::AppendLate) {
            let delay = Duration::from_millis(faults.between(Fault::AppendLate, 300, 4_000));
            self.network.spawn(async move {
                tokio::time::sleep(delay).await;
                drop(append());
            });
            self.network.give_up().await;
            return lost();
        }
        let answer = append();
        let struck = self.network.strike(Boundary::Appended);
        if let Some(action @ (Action::Kill | Action::Zombie)) = struck {
            self.network.blow(action);
        }
        if faults.fires(Fault::AppendDouble) || struck == Some(Action::Repeat) {
            drop(append());
        }
        if faults.fires(Fault::AppendLostReply) || struck == Some(Action::Unknown) {
            self.network.give_up().await;
            return lost();
        }
        answer
    }

    fn append_one(
        &self,
        partition: u32,
        key: Option<Bytes>,
        value: Option<Bytes>,
        headers: Headers,
        doomed: bool,
    ) -> Result<AppendedAt, AppendError> {
        let log = self.log();
        if self.network.faults.fires(Fault::OffsetGap) {
            log.skip(partition, self.network.faults.between(Fault::OffsetGap, 1, 3));
        }
        let appended = log.append_to(partition, key, value, headers)?;
        if planted(Bug::AckBeforeDurable) && appended.offset % 7 == 3 {
            // Acknowledged, and gone with the log's process before it was written down.
            log.truncate(partition, appended.offset);
            log.skip(partition, 1);
        }
        self.monitor.appended(PartitionId { epoch: self.epoch(), partition }, appended.offset, doomed);
        let at = PartitionId { epoch: self.epoch(), partition }.at(appended.offset);
        self.network.trace.event(&"log", format_args!("append {at}"));
        Ok(appended)
    }

    /// The group has not heard of a node for too long, or knows that it is gone.
    pub(super) fn lose(self: &Arc<Self>, node: u32, gone: bool) {
        let mut group = self.group.lock();
        let owned: Vec<u32> = group
            .owners
            .iter()
            .filter(|(_, owner)| **owner == node)
            .map(|(partition, _)| *partition)
            .collect();
        for partition in &owned {
            group.owners.remove(partition);
        }
        group.revoking.retain(|_, from| *from != node);
        if gone {
            group.members.remove(&node);
        } else if let Some(member) = group.members.get_mut(&node) {
            member.silent = true;
            // It hears of it when it goes on.
            owned.iter().for_each(|partition| member.tell(Assignment::Revoked(*partition)));
        }
        drop(group);
        self.rebalance();
    }

    /// A silent node is heard of again.
    pub(super) fn heard(self: &Arc<Self>, node: u32) {
        if let Some(member) = self.group.lock().members.get_mut(&node) {
            member.silent = false;
        }
        self.rebalance();
    }

    /// Moves every partition by one node.
    pub(super) fn rotate(self: &Arc<Self>) {
        self.group.lock().rotation += 1;
        self.rebalance();
    }

    /// Gives each partition to its node of this generation.
    fn rebalance(self: &Arc<Self>) {
        let mut group = self.group.lock();
        let live: Vec<u32> =
            group.members.iter().filter(|(_, member)| !member.silent).map(|(id, _)| *id).collect();
        if live.is_empty() {
            return;
        }
        for partition in 0..self.log().topology().partitions {
            let turn = (partition + group.rotation) as usize % live.len();
            let Some(target) = live.get(turn).copied() else { continue };
            match group.owners.get(&partition).copied() {
                Some(owner) if owner == target => {}
                Some(owner) => self.revoke(&mut group, partition, owner, target),
                None if group.revoking.contains_key(&partition) => {}
                None => self.assign(&mut group, partition, target),
            }
        }
    }

    fn assign(&self, group: &mut Group, partition: u32, node: u32) {
        self.network.trace.event(&"group", format_args!("partition {partition} goes to node-{node}"));
        group.owners.insert(partition, node);
        if let Some(member) = group.members.get_mut(&node) {
            member.tell(Assignment::Assigned(partition));
        }
    }

    fn revoke(self: &Arc<Self>, group: &mut Group, partition: u32, from: u32, to: u32) {
        let faults = &self.network.faults;
        group.owners.remove(&partition);
        let late = faults.fires(Fault::LateRevocation);
        if late {
            self.assign(group, partition, to);
        } else {
            group.revoking.insert(partition, from);
            if let Some(member) = group.members.get_mut(&from) {
                member.tell(Assignment::Revoked(partition));
            }
        }
        let delay = if late { faults.between(Fault::LateRevocation, 50, 3_000) } else { RELEASE_MS_MAX };
        let log = Arc::clone(self);
        self.network.spawn(async move {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            if late {
                log.tell_late(partition, from);
            } else {
                log.released(from, partition);
            }
        });
    }

    /// The old owner hears of a revocation at last, unless it is the owner again.
    fn tell_late(&self, partition: u32, from: u32) {
        let mut group = self.group.lock();
        let owner = group.owners.get(&partition).copied();
        if let Some(member) = group.members.get_mut(&from) {
            member.tell(Assignment::Revoked(partition));
            if owner == Some(from) {
                member.tell(Assignment::Assigned(partition));
            }
        }
    }

    /// A node gives a partition back, or is taken to have done so.
    fn released(self: &Arc<Self>, node: u32, partition: u32) {
        let mut group = self.group.lock();
        if group.revoking.get(&partition) == Some(&node) {
            group.revoking.remove(&partition);
            drop(group);
            self.rebalance();
        }
    }

    fn join(self: &Arc<Self>, node: u32) -> Arc<Notify> {
        let mut group = self.group.lock();
        // A node that joins again has forgotten what it owned.
        group.owners.retain(|_, owner| *owner != node);
        group.revoking.retain(|_, from| *from != node);
        let member = Member::default();
        let changed = Arc::clone(&member.changed);
        group.members.insert(node, member);
        drop(group);
        self.rebalance();
        changed
    }

    fn take(&self, node: u32) -> Option<Assignment> {
        self.group.lock().members.get_mut(&node)?.inbox.pop_front()
    }
}

/// One node's log, sink and dead letters.
pub(super) struct SimulatedLog {
    /// The node's way to it.
    pub(super) link: Link,
    /// What nodes share.
    pub(super) shared: Arc<SharedLog>,
}

impl SimulatedLog {
    async fn reach(&self) -> Result<(), ReadError> {
        reach(&self.link).await
    }
}

async fn reach(link: &Link) -> Result<(), ReadError> {
    link.node.gate().await;
    link.network.latency().await;
    link.node.gate().await;
    if link.network.faults.fires(Fault::LogReadLost) {
        return Err(ReadError::Unavailable("the log did not answer".to_owned()));
    }
    Ok(())
}

#[async_trait]
impl CommandLog for SimulatedLog {
    fn topology(&self) -> Topology {
        self.shared.log().topology()
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<AppendedAt, AppendError>> {
        let Topology { partitions, partitioner, .. } = self.topology();
        let mut answers = Vec::with_capacity(records.len());
        for record in records {
            let partition = partitioner.partition(&record.key, partitions);
            let NewRecord { key, value, headers } = record;
            answers.push(self.shared.produce(partition, Some(key), Some(value), headers, false).await);
        }
        answers
    }

    async fn reader(&self, partition: u32, offset: u64) -> Result<Box<dyn Reader>, ReadError> {
        self.reach().await?;
        let inner = self.shared.log().reader(partition, offset).await?;
        Ok(Box::new(SimulatedReader { link: self.link.clone(), inner, read: VecDeque::new() }))
    }

    async fn bounds(&self, partition: u32) -> Result<Bounds, ReadError> {
        self.reach().await?;
        self.shared.log().bounds(partition).await
    }

    async fn record(&self, partition: u32, offset: u64) -> Result<Option<Record>, ReadError> {
        self.reach().await?;
        self.shared.log().record(partition, offset).await
    }

    async fn join(&self) -> Result<Box<dyn Membership>, ReadError> {
        self.reach().await?;
        let changed = self.shared.join(self.link.node.id);
        Ok(Box::new(SimulatedMembership {
            link: self.link.clone(),
            shared: Arc::clone(&self.shared),
            changed,
        }))
    }

    async fn note_watermark(&self, partition: u32, watermark: u64) {
        self.link.node.gate().await;
        self.shared.log().note_watermark(partition, watermark).await;
    }
}

struct SimulatedReader {
    link: Link,
    inner: Box<dyn Reader>,
    /// Read, and not handed out yet: cancelling a call must lose nothing.
    read: VecDeque<Record>,
}

#[async_trait]
impl Reader for SimulatedReader {
    async fn next(&mut self, count: usize) -> Result<Vec<Record>, ReadError> {
        reach(&self.link).await?;
        if self.read.is_empty() {
            let records = self.inner.next(count).await?;
            self.read.extend(records);
        }
        let struck = self.link.pass(Boundary::Fetched).await;
        if struck == Some(Action::Unknown) {
            return Err(ReadError::Unavailable("the log did not answer".to_owned()));
        }
        let count = count.max(1).min(self.read.len());
        Ok(self.read.drain(..count).collect())
    }
}

struct SimulatedMembership {
    link: Link,
    shared: Arc<SharedLog>,
    changed: Arc<Notify>,
}

#[async_trait]
impl Membership for SimulatedMembership {
    async fn next(&mut self) -> Option<Assignment> {
        loop {
            self.link.node.gate().await;
            if let Some(assignment) = self.shared.take(self.link.node.id) {
                self.link.event(format_args!("hears {assignment:?}"));
                return Some(assignment);
            }
            self.changed.notified().await;
        }
    }

    async fn released(&mut self, partition: u32) {
        self.link.node.gate().await;
        self.link.event(format_args!("gives partition {partition} back"));
        self.shared.released(self.link.node.id, partition);
    }
}

#[async_trait]
impl OutcomeSink for SimulatedLog {
    async fn publish(&self, partition: PartitionId, events: &[OutcomeEvent]) -> Result<(), String> {
        self.link.node.gate().await;
        self.link.network.latency().await;
        let faults = &self.link.network.faults;
        let lost = || Err("the outcomes topic did not answer".to_owned());
        if faults.fires(Fault::PublishLostRequest) {
            return lost();
        }
        let reply_lost = faults.fires(Fault::PublishLostReply);
        let part = if reply_lost {
            faults.between(Fault::PublishLostReply, 0, events.len() as u64)
        } else {
            events.len() as u64
        };
        let taken = events.get(..usize::try_from(part).unwrap_or(events.len())).unwrap_or(events);
        taken.iter().for_each(|event| self.shared.monitor.published(&event.outcome));
        self.shared.log().publish(partition, taken).await?;
        self.link.event(format_args!("publish {} of {} outcomes of {partition}", taken.len(), events.len()));
        if reply_lost {
            return lost();
        }
        match self.link.pass(Boundary::Unmarked).await {
            Some(Action::Unknown) => lost(),
            Some(Action::Repeat) => self.shared.log().publish(partition, taken).await,
            _ => Ok(()),
        }
    }

    async fn witness(&self, partition: PartitionId) -> Result<Option<u64>, String> {
        self.reach().await.map_err(|error| error.to_string())?;
        self.shared.log().witness(partition).await
    }
}

#[async_trait]
impl DeadLetters for SimulatedLog {
    async fn send(&self, letters: &[DeadLetter]) -> Result<(), String> {
        self.link.node.gate().await;
        self.link.network.latency().await;
        self.shared.log().send(letters).await?;
        self.link.event(format_args!("send {} dead letters", letters.len()));
        self.link.node.gate().await;
        if self.link.network.faults.fires(Fault::LetterLostReply) {
            return Err("the dead letters did not answer".to_owned());
        }
        Ok(())
    }
}
