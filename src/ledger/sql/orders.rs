//! Orders: left, and read.

use async_trait::async_trait;

use super::{
    SqlLedger,
    cells::Cells,
    driver::{Database, Session, Writer},
    statements as sql,
    values::{binds, integer},
};
use crate::{
    ledger::{Error, Order, Orders, orders::ORDERS_MAX},
    model::{PartitionId, Position},
};

#[async_trait]
impl<D: Database> Orders for SqlLedger<D> {
    async fn order(&self, position: Position, order: Order) -> Result<bool, Error> {
        let mut writer = self.shared.database.begin().await?;
        let binds = binds!(position.epoch, position.partition, integer(position.offset), order.number());
        let taken = writer.run(sql::GIVE_ORDER, binds).await? == 1;
        writer.commit().await?;
        Ok(taken)
    }

    async fn orders(&self, partition: PartitionId, from: u64) -> Result<Vec<(u64, Order)>, Error> {
        let most = integer(ORDERS_MAX as u64);
        let binds = binds!(partition.epoch, partition.partition, integer(from), most);
        let mut orders = Vec::new();
        for row in self.rows(sql::ORDERS, binds).await? {
            let mut cells = Cells::of(&row, "saga_order");
            let (offset, number): (u64, u8) = (cells.number()?, cells.get()?);
            let unknown = || Error::Corrupt(format!("no order has number {number}"));
            orders.push((offset, Order::from_number(number).ok_or_else(unknown)?));
        }
        Ok(orders)
    }
}
