//! The next epoch, in one transaction.

use async_trait::async_trait;

use super::{
    SqlLedger,
    cells::Cells,
    driver::{Database, Writer},
    rows, statements as sql,
    transaction::lock_partition,
    values::{Put, binds, integer},
};
use crate::ledger::{EpochRow, Error, Lease, Start, Succession};

#[async_trait]
impl<D: Database> Succession for SqlLedger<D> {
    async fn succeed(&self, epoch: &EpochRow, starts: &[Start], leases: &[Lease]) -> Result<(), Error> {
        let mut writer = self.shared.database.begin().await?;
        let opened = open_next(&mut writer, epoch, starts, leases).await;
        match opened {
            Ok(true) => writer.commit().await,
            refused => {
                writer.roll_back().await;
                refused.map(drop)
            }
        }
    }
}

/// `false`: it is open already, just so.
async fn open_next<W: Writer>(
    writer: &mut W,
    epoch: &EpochRow,
    starts: &[Start],
    leases: &[Lease],
) -> Result<bool, Error> {
    if let Some(row) = writer.row(sql::EPOCH_NUMBERED, binds!(epoch.epoch)).await? {
        let other = || Error::Corrupt(format!("epoch {} was opened over another log", epoch.epoch));
        return if rows::epoch(&row)? == *epoch { Ok(false) } else { Err(other()) };
    }
    for lease in leases {
        let partition = lease.partition;
        let row = lock_partition(writer, partition).await?;
        let count = writer.row(sql::IS_AT_REST, binds!(partition.epoch, partition.partition)).await?;
        let unfinished: u64 = count.map_or(Ok(0), |row| Cells::of(&row, "saga").number())?;
        if (row.nonce, row.lease_epoch) != (lease.nonce, lease.epoch) || unfinished > 0 {
            return Err(Error::Fenced { partition });
        }
    }
    let EpochRow { epoch: number, identity, partitions, partitioner } = epoch;
    let binds = binds!(*number, identity.as_str(), *partitions, partitioner.as_str());
    writer.run(sql::OPEN_EPOCH, binds).await?;
    let nobody = [0_u8; 16];
    let bind = |binds: &mut W::Bulk, start: &Start| {
        binds.add(*number).add(start.partition).add(nobody.as_slice());
        binds.add(integer(start.offset)).add(integer(start.offset));
        binds
            .add(start.anchor.map(|anchor| integer(anchor.offset)))
            .add(start.anchor.map(|anchor| anchor.crc));
    };
    writer.write(sql::START_PARTITIONS, starts, bind).await?;
    Ok(true)
}
