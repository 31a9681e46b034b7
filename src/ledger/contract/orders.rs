//! Orders: left by anybody, taken away by the owner's transaction alone. And the order to begin a new epoch.

use super::world::{OWNER, PARTITION, begin, commit, epoch, own, put};
use crate::{
    ledger::{Anchor, EpochRow, Error, Ledger, Order, Side, Start},
    model::PartitionId,
};

async fn obeyed(ledger: &dyn Ledger, orders: &[(u64, Order)]) {
    let mut transaction = begin(ledger).await;
    transaction.obeyed(orders).await.unwrap();
    transaction.commit().await.unwrap();
}

pub(crate) async fn an_order_stands_until_its_transaction_commits(ledger: &dyn Ledger) {
    own(ledger).await;
    assert!(ledger.order(PARTITION.at(7), Order::Cancel).await.unwrap());
    assert!(ledger.order(PARTITION.at(3), Order::Retry).await.unwrap());
    let other = PartitionId { partition: 1, ..PARTITION };
    assert!(ledger.order(other.at(3), Order::Cancel).await.unwrap());
    let both = [(3, Order::Retry), (7, Order::Cancel)];
    let mut dropped = begin(ledger).await;
    dropped.obeyed(&both).await.unwrap();
    drop(dropped);
    assert_eq!(ledger.orders(PARTITION, 0).await.unwrap(), both, "by offset, and of this partition alone");
    assert_eq!(ledger.orders(PARTITION, 4).await.unwrap(), both[1..]);
    obeyed(ledger, &both[1..]).await;
    assert_eq!(ledger.orders(PARTITION, 0).await.unwrap(), both[..1]);
    assert_eq!(ledger.orders(other, 0).await.unwrap(), [(3, Order::Cancel)]);
}

pub(crate) async fn a_resolve_gives_way_to_no_other_order(ledger: &dyn Ledger) {
    own(ledger).await;
    let (before, after) = (Order::Resolve(Side::Before), Order::Resolve(Side::After));
    assert!(ledger.order(PARTITION.at(7), Order::Retry).await.unwrap());
    assert!(
        ledger.order(PARTITION.at(7), after).await.unwrap(),
        "a resolve takes the place of another order"
    );
    for late in [Order::Retry, Order::Cancel, before] {
        assert!(!ledger.order(PARTITION.at(7), late).await.unwrap(), "{late:?}");
    }
    assert!(ledger.order(PARTITION.at(7), after).await.unwrap(), "the same again changes nothing");
    assert_eq!(ledger.orders(PARTITION, 0).await.unwrap(), [(7, after)]);
}

pub(crate) async fn an_order_that_came_meanwhile_is_not_taken_away(ledger: &dyn Ledger) {
    own(ledger).await;
    let (seen, meanwhile) = (Order::Cancel, Order::Resolve(Side::After));
    assert!(ledger.order(PARTITION.at(7), seen).await.unwrap());
    assert!(ledger.order(PARTITION.at(7), meanwhile).await.unwrap());
    obeyed(ledger, &[(7, seen)]).await;
    assert_eq!(ledger.orders(PARTITION, 0).await.unwrap(), [(7, meanwhile)]);
}

pub(crate) async fn why_a_partition_stands_still_is_kept_until_it_goes_on(ledger: &dyn Ledger) {
    let halt = |reason: Option<&'static str>| async move {
        let mut transaction = begin(ledger).await;
        transaction.halted(reason).await.unwrap();
        transaction.commit().await.unwrap();
        ledger.partition(PARTITION).await.unwrap().halt
    };
    assert_eq!(halt(Some("truncated: the log ends")).await.as_deref(), Some("truncated: the log ends"));
    assert_eq!(halt(None).await, None);
}

pub(crate) async fn an_epoch_follows_one_that_rests_and_whose_leases_hold(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "a", Some("one"))]).await;
    let mut leases = vec![own(ledger).await];
    for partition in 0..3 {
        leases.push(ledger.acquire(PartitionId { partition, ..PARTITION }, OWNER).await.unwrap());
    }
    let next = EpochRow { epoch: 2, partitions: 5, ..epoch() };
    let anchor = Some(Anchor { offset: 6, crc: 9 });
    let starts: Vec<Start> = (0..5).map(|partition| Start { partition, offset: 7, anchor }).collect();
    let fenced = Err(Error::Fenced { partition: PARTITION });

    let mut busy = begin(ledger).await;
    busy.insert_sagas(&[put(2, "b", Some("two"))]).await.unwrap();
    busy.commit().await.unwrap();
    assert_eq!(ledger.succeed(&next, &starts, &leases).await, fenced, "a saga is unfinished");
    commit_started(ledger).await;
    let lost = ledger.acquire(PARTITION, 1).await.unwrap();
    assert_eq!(ledger.succeed(&next, &starts, &leases).await, fenced, "another has the lease");
    assert_eq!(ledger.epoch().await.unwrap(), Some(epoch()), "nothing happened");
    leases[0] = lost;
    ledger.succeed(&next, &starts, &leases).await.unwrap();
    ledger.succeed(&next, &starts, &leases).await.unwrap();

    assert_eq!(ledger.epoch().await.unwrap(), Some(next));
    let row = ledger.partition(PartitionId { epoch: 2, partition: 4 }).await.unwrap();
    assert_eq!((row.first, row.watermark, row.anchor, row.finishes), (7, 7, anchor, 0));
    assert_eq!(
        ledger.acquire(PARTITION, 5).await.map(drop),
        fenced,
        "nobody works on the last epoch any more"
    );
    assert!(ledger.acquire(PartitionId { epoch: 2, partition: 4 }, 5).await.is_ok());
    assert!(ledger.saga(PARTITION.at(1)).await.unwrap().is_some(), "what it did is still known");
}

/// Ends the saga at offset 2.
async fn commit_started(ledger: &dyn Ledger) {
    use super::world::{at, step};
    use crate::{ledger::Transition, model::State};
    let mut transaction = begin(ledger).await;
    let number = transaction.partition().finishes + 1;
    let end =
        Transition { finish: number, finished_at: Some(at(20)), ..step(2, State::Running, State::Committed) };
    assert_eq!(transaction.transition(&[end]).await.unwrap(), [2]);
    transaction.finished(number, &[2], at(20)).await.unwrap();
    transaction.commit().await.unwrap();
}
