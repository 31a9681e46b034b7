//! Orders: left by anybody, taken away by the owner's transaction alone.

use super::world::{PARTITION, begin, own};
use crate::{
    ledger::{Ledger, Order, Side},
    model::PartitionId,
};

async fn obeyed(ledger: &dyn Ledger, orders: &[(u64, Order)]) {
    let mut transaction = begin(ledger).await;
    transaction.obeyed(orders).await.unwrap();
    transaction.commit().await.unwrap();
}

pub(in crate::ledger) async fn an_order_stands_until_its_transaction_commits(ledger: &dyn Ledger) {
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

pub(in crate::ledger) async fn a_resolve_gives_way_to_no_other_order(ledger: &dyn Ledger) {
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

pub(in crate::ledger) async fn an_order_that_came_meanwhile_is_not_taken_away(ledger: &dyn Ledger) {
    own(ledger).await;
    let (seen, meanwhile) = (Order::Cancel, Order::Resolve(Side::After));
    assert!(ledger.order(PARTITION.at(7), seen).await.unwrap());
    assert!(ledger.order(PARTITION.at(7), meanwhile).await.unwrap());
    obeyed(ledger, &[(7, seen)]).await;
    assert_eq!(ledger.orders(PARTITION, 0).await.unwrap(), [(7, meanwhile)]);
}

pub(in crate::ledger) async fn why_a_partition_stands_still_is_kept_until_it_goes_on(ledger: &dyn Ledger) {
    let halt = |reason: Option<&'static str>| async move {
        let mut transaction = begin(ledger).await;
        transaction.halted(reason).await.unwrap();
        transaction.commit().await.unwrap();
        ledger.partition(PARTITION).await.unwrap().halt
    };
    assert_eq!(halt(Some("truncated: the log ends")).await.as_deref(), Some("truncated: the log ends"));
    assert_eq!(halt(None).await, None);
}
