//! Leases, isolation, and the partition's own row.

use super::world::{OWNER, PARTITION, at, begin, commit, epoch, forward, head, id, own, pending, put, space};
use crate::{
    ledger::{Anchor, EpochRow, Error, Ledger},
    model::{Declaration, PartitionId},
};

pub(crate) async fn a_lease_is_kept_by_its_owner_and_lost_to_another(ledger: &dyn Ledger) {
    let first = own(ledger).await;
    assert_eq!(ledger.acquire(PARTITION, OWNER).await.unwrap(), first, "taking it again changes nothing");
    assert!(ledger.transaction(&first).await.is_ok());
    let second = ledger.acquire(PARTITION, 8).await.unwrap();
    assert!(second.epoch > first.epoch);
    let fenced = ledger.transaction(&first).await.err();
    assert_eq!(fenced, Some(Error::Fenced { partition: PARTITION }));
    assert!(ledger.transaction(&second).await.is_ok(), "a fenced owner leaves nothing behind");
    let row = ledger.partition(PARTITION).await.unwrap();
    assert_eq!((row.nonce, row.lease_epoch), (8, second.epoch));
    let other = ledger.partition(PartitionId { epoch: 1, partition: 0 }).await.unwrap();
    assert_eq!(other.nonce, 0, "other partitions have no owner");
}

pub(crate) async fn an_epoch_is_opened_once(ledger: &dyn Ledger) {
    assert_eq!(ledger.epoch().await.unwrap(), None);
    own(ledger).await;
    ledger.open_epoch(&epoch()).await.unwrap();
    let other = EpochRow { identity: "topic-2".to_owned(), ..epoch() };
    assert!(matches!(ledger.open_epoch(&other).await, Err(Error::Corrupt(_))));
    assert_eq!(ledger.epoch().await.unwrap(), Some(epoch()));
    let next = EpochRow { epoch: 2, ..other };
    ledger.open_epoch(&next).await.unwrap();
    assert_eq!(ledger.epoch().await.unwrap(), Some(next));
    assert!(ledger.partition(PartitionId { epoch: 1, partition: 4 }).await.is_err());
    assert_eq!(ledger.partition(PARTITION).await.unwrap().nonce, OWNER);
    assert!(!ledger.identity().await.unwrap().is_empty());
}

pub(crate) async fn a_transaction_that_is_dropped_never_was(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "a", Some("one"))]).await;
    let before = ledger.partition(PARTITION).await.unwrap();
    let mut lost = begin(ledger).await;
    lost.insert_sagas(&[pending(2), put(3, "b", Some("two")), put(4, "a", None)]).await.unwrap();
    lost.declare(&[(space(), Declaration::default())]).await.unwrap();
    lost.write_heads(&[forward(3, "b", Some("two")), forward(4, "a", None)]).await.unwrap();
    lost.advance(9, None).await.unwrap();
    lost.finished(2, &[3, 4], at(0)).await.unwrap();
    drop(lost);
    assert_eq!(ledger.partition(PARTITION).await.unwrap(), before);
    assert!(ledger.unfinished(PARTITION, 0, 10).await.unwrap().is_empty());
    assert!(ledger.spaces().await.unwrap().is_empty());
    assert!(head(ledger, "a").await.unwrap().memory.is_some());
    assert!(head(ledger, "b").await.is_none());
    commit(ledger, &[(2, "b", Some("three"))]).await;
    assert_eq!(head(ledger, "b").await.unwrap().memory.unwrap().content, "three");
}

pub(crate) async fn a_transaction_sees_its_own_writes_and_nobody_else_does(ledger: &dyn Ledger) {
    let mut own = begin(ledger).await;
    own.insert_sagas(&[put(1, "a", Some("one"))]).await.unwrap();
    own.write_heads(&[forward(1, "a", Some("one"))]).await.unwrap();
    own.declare(&[(space(), Declaration::default())]).await.unwrap();
    assert_eq!(own.sagas(&[1]).await.unwrap(), vec![put(1, "a", Some("one"))]);
    assert_eq!(own.heads(&[(space(), id("a"))]).await.unwrap().len(), 1);
    assert_eq!(own.count_live(&space()).await.unwrap(), 1);
    assert_eq!(own.declarations(&[space()]).await.unwrap().len(), 1);
    assert!(head(ledger, "a").await.is_none());
    assert!(ledger.saga(PARTITION.at(1)).await.unwrap().is_none());
    own.commit().await.unwrap();
    assert!(head(ledger, "a").await.is_some());
    assert!(ledger.saga(PARTITION.at(1)).await.unwrap().is_some());
}

pub(crate) async fn write_transactions_of_a_partition_run_one_by_one(ledger: &dyn Ledger) {
    let lease = own(ledger).await;
    let mut first = ledger.transaction(&lease).await.unwrap();
    first.advance(5, None).await.unwrap();
    let second = async {
        let second = ledger.transaction(&lease).await.unwrap();
        second.partition().watermark
    };
    let (seen, ()) = futures::join!(second, async { first.commit().await.unwrap() });
    assert_eq!(seen, 5, "the second began after the first had committed");
}

pub(crate) async fn the_watermark_and_the_published_mark_never_move_back(ledger: &dyn Ledger) {
    let anchor = |offset| Some(Anchor { offset, crc: u32::MAX });
    for (watermark, published) in [(10, 4), (3, 2), (12, 3)] {
        let mut transaction = begin(ledger).await;
        transaction.advance(watermark, anchor(watermark - 1)).await.unwrap();
        transaction.published(published).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let mut gap = begin(ledger).await;
    gap.advance(20, None).await.unwrap();
    gap.commit().await.unwrap();
    let row = ledger.partition(PARTITION).await.unwrap();
    assert_eq!((row.watermark, row.published, row.anchor), (20, 4, anchor(11)));
    let mut back = begin(ledger).await;
    back.advance(3, anchor(2)).await.unwrap();
    back.commit().await.unwrap();
    assert_eq!(ledger.partition(PARTITION).await.unwrap(), row);
}

pub(crate) async fn a_finish_follows_the_last_one(ledger: &dyn Ledger) {
    commit(ledger, &[(1, "a", Some("one"))]).await;
    assert_eq!(ledger.partition(PARTITION).await.unwrap().finishes, 1);
    for wrong in [1, 3] {
        let mut transaction = begin(ledger).await;
        assert!(matches!(transaction.finished(wrong, &[], at(0)).await, Err(Error::Corrupt(_))));
    }
    let mut two = begin(ledger).await;
    two.finished(2, &[], at(0)).await.unwrap();
    two.finished(3, &[], at(0)).await.unwrap();
    two.commit().await.unwrap();
    assert_eq!(ledger.partition(PARTITION).await.unwrap().finishes, 3);
}

pub(crate) async fn declarations_are_written_whole(ledger: &dyn Ledger) {
    let other = crate::model::Space::new("b").unwrap();
    let plain = Declaration::default();
    let full = Declaration { dimension: Some(384), quota: Some(5), declared: true, ..plain.clone() };
    let mut transaction = begin(ledger).await;
    transaction.declare(&[(other.clone(), full.clone()), (space(), plain.clone())]).await.unwrap();
    transaction.commit().await.unwrap();
    let mut transaction = begin(ledger).await;
    transaction.declare(&[(space(), full.clone())]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(ledger.spaces().await.unwrap(), vec![space(), other.clone()]);
    assert_eq!(ledger.declaration(&space()).await.unwrap(), Some(full.clone()));
    let missing = crate::model::Space::new("c").unwrap();
    assert_eq!(ledger.declaration(&missing).await.unwrap(), None);
    let mut transaction = begin(ledger).await;
    let found = transaction.declarations(&[missing, other.clone(), space()]).await.unwrap();
    assert_eq!(found, [(space(), full.clone()), (other, full)].into());
}
