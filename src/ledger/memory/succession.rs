//! The next epoch, in memory.

use async_trait::async_trait;

use super::{MemoryLedger, unknown};
use crate::{
    ledger::{EpochRow, Error, Lease, PartitionRow, Start, Succession},
    model::PartitionId,
};

#[async_trait]
impl Succession for MemoryLedger {
    async fn succeed(&self, epoch: &EpochRow, starts: &[Start], leases: &[Lease]) -> Result<(), Error> {
        let mut guards = Vec::with_capacity(leases.len());
        for lease in leases {
            guards.push(self.lock(lease.partition).await);
        }
        let mut tables = self.shared.tables.lock();
        match tables.epochs.get(&epoch.epoch) {
            Some(known) if known == epoch => return Ok(()),
            Some(_) => {
                return Err(Error::Corrupt(format!("epoch {} was opened over another log", epoch.epoch)));
            }
            None => {}
        }
        for lease in leases {
            let partition = lease.partition;
            let row = tables.partitions.get(&partition).ok_or_else(|| unknown(partition))?;
            let rests = tables.unfinished.iter().all(|position| position.partition_id() != partition);
            if (row.nonce, row.lease_epoch) != (lease.nonce, lease.epoch) || !rests {
                return Err(Error::Fenced { partition });
            }
        }
        for Start { partition, offset, anchor } in starts {
            let row = PartitionRow {
                first: *offset,
                watermark: *offset,
                anchor: *anchor,
                ..PartitionRow::default()
            };
            tables.partitions.insert(PartitionId { epoch: epoch.epoch, partition: *partition }, row);
        }
        tables.epochs.insert(epoch.epoch, epoch.clone());
        drop(guards);
        Ok(())
    }
}
