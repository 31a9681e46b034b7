//! Orders in memory.

use async_trait::async_trait;

use super::MemoryLedger;
use crate::{
    ledger::{Error, Order, Orders, orders::ORDERS_MAX},
    model::{PartitionId, Position},
};

#[async_trait]
impl Orders for MemoryLedger {
    async fn order(&self, position: Position, order: Order) -> Result<bool, Error> {
        let mut tables = self.shared.tables.lock();
        let stands = tables.orders.entry(position).or_insert(order);
        if stands.can_be_replaced() {
            *stands = order;
        }
        Ok(*stands == order)
    }

    async fn orders(&self, partition: PartitionId, from: u64) -> Result<Vec<(u64, Order)>, Error> {
        let whole = partition.at(from)..=partition.at(u64::MAX);
        Ok(self.read(|tables| {
            let orders = tables.orders.range(whole).take(ORDERS_MAX);
            orders.map(|(position, order)| (position.offset, *order)).collect()
        }))
    }
}
