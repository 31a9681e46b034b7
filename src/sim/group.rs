//! The group that shares the log's partitions between nodes, and gets it wrong as groups do.
//!
//! It is what makes zombies: it takes a silent node's partitions away without asking, can give a partition
//! to a new node before the old one has heard, and can lose a node that lives. Two nodes then believe that
//! they own it, and only the ledger's lease and the stores' fences stand between them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::{
    log::{Assignment, CommandLog, Membership},
    model::PartitionId,
};

use super::{faults::Fault, log::SharedLog, network::Link, senders::Rights};

/// How long a node has to give a revoked partition back.
const RELEASE_MS_MAX: u64 = 3_000;

/// Who is a member, and who owns what.
#[derive(Default)]
pub(super) struct Group {
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
    /// What it owned when the group lost it, and has not been told about since.
    unconfirmed: BTreeSet<u32>,
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
            // It hears of it when it goes on, if it stands still: for good, or that nothing is certain yet.
            let for_good = self.network.faults.between(Fault::GroupLost, 0, 1) == 0;
            for partition in owned {
                if for_good {
                    member.tell(Assignment::Revoked(partition));
                } else if member.unconfirmed.insert(partition) {
                    member.tell(Assignment::Unconfirmed(partition));
                }
            }
        }
        drop(group);
        self.rebalance();
    }

    /// There are no members any more.
    pub(super) fn dissolve(&self) {
        *self.group.lock() = Group::default();
    }

    /// A silent node is heard of again: of what was not certain it keeps what it is named for now.
    pub(super) fn heard(self: &Arc<Self>, node: u32) {
        let Some(unconfirmed) = self.group.lock().members.get_mut(&node).map(|member| {
            member.silent = false;
            std::mem::take(&mut member.unconfirmed)
        }) else {
            return;
        };
        self.rebalance();
        let mut group = self.group.lock();
        let owned: BTreeSet<u32> = unconfirmed
            .iter()
            .copied()
            .filter(|partition| group.owners.get(partition) == Some(&node))
            .collect();
        if let Some(member) = group.members.get_mut(&node) {
            unconfirmed.difference(&owned).for_each(|partition| member.tell(Assignment::Revoked(*partition)));
        }
    }

    /// The group loses a node that lives, for a while.
    pub(super) fn lose_for_a_while(self: &Arc<Self>, node: u32) {
        let away = self.network.faults.between(Fault::GroupLost, 50, 5_000);
        self.network.trace.event(&"group", format_args!("loses node-{node} for {away} ms"));
        self.lose(node, false);
        let log = Arc::clone(self);
        self.network.spawn(async move {
            tokio::time::sleep(Duration::from_millis(away)).await;
            log.heard(node);
        });
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
                log.loses_patience(from, partition);
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

    /// A node that has not given a partition back by now is waited for no longer, and hears so.
    fn loses_patience(self: &Arc<Self>, node: u32, partition: u32) {
        let mut group = self.group.lock();
        if group.revoking.get(&partition) == Some(&node)
            && let Some(member) = group.members.get_mut(&node)
        {
            member.tell(Assignment::Unconfirmed(partition));
        }
        drop(group);
        self.released(node, partition);
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

    /// A node joins, or joins again; what tells it that there is news.
    pub(super) fn join(self: &Arc<Self>, node: u32) -> Arc<Notify> {
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

/// One node's place in the group.
pub(super) struct SimulatedMembership {
    /// The node's way to it.
    pub(super) link: Link,
    /// What nodes share.
    pub(super) shared: Arc<SharedLog>,
    /// Woken when there is news.
    pub(super) changed: Arc<Notify>,
    /// What the node was told.
    pub(super) rights: Arc<Rights>,
}

#[async_trait]
impl Membership for SimulatedMembership {
    async fn next(&mut self) -> Option<Assignment> {
        loop {
            self.link.node.gate().await;
            if let Some(assignment) = self.shared.take(self.link.node.id) {
                self.link.event(format_args!("hears {assignment:?}"));
                match assignment {
                    Assignment::Assigned(partition) => self.rights.standing(partition, true),
                    Assignment::Unconfirmed(partition) => self.rights.standing(partition, false),
                    Assignment::Revoked(_) => {}
                }
                return Some(assignment);
            }
            self.changed.notified().await;
        }
    }

    async fn released(&mut self, partition: u32) {
        self.link.node.gate().await;
        self.link.event(format_args!("gives partition {partition} back"));
        self.rights.gave_back(PartitionId { epoch: self.shared.epoch(), partition });
        self.shared.released(self.link.node.id, partition);
    }
}
