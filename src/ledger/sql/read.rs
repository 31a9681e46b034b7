//! The ledger as one shared thing: epochs, leases, and every read outside a transaction.

use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::{
    SqlLedger,
    cells::Cells,
    codec,
    driver::{Database, Session, Writer},
    heads, relations, rows, sagas, statements as sql,
    transaction::{SqlTransaction, lock_partition, read_partition},
    values::{Binds, Put, binds, integer, texts},
};
use crate::{
    ledger::{
        EpochRow, Error, Head, HeadCursor, Lease, Ledger, PartitionRow, RelationHead, RelationsOf, SagaRow,
        Swept, Transaction,
    },
    model::{ConflictKey, Declaration, Key, MemoryId, PartitionId, Position, Space},
};

/// How many images a sweep looks at for each that it may drop.
const LOOKED_AT_PER_DROP: u64 = 8;

/// A row that a reader of `D` answers.
pub(super) type RowOf<D> = <<D as Database>::Reader as Session>::Row;

#[expect(private_bounds, reason = "a ledger is public, how it reaches its database is not")]
impl<D: Database> SqlLedger<D> {
    pub(super) async fn reader(&self) -> Result<D::Reader, Error> {
        self.shared.database.reader().await
    }

    pub(super) async fn rows(&self, statement: &'static str, binds: Binds) -> Result<Vec<RowOf<D>>, Error> {
        self.reader().await?.rows(statement, binds).await
    }

    pub(super) async fn row(&self, statement: &'static str, binds: Binds) -> Result<Option<RowOf<D>>, Error> {
        self.reader().await?.row(statement, binds).await
    }

    /// Finishes after number `after` with their offsets, until these are `limit` or more.
    async fn finishes_after(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u64>)>, Error> {
        let most = integer(limit.max(1) as u64);
        let binds = binds!(partition.epoch, partition.partition, integer(after), most);
        let (mut finishes, mut count) = (Vec::new(), 0);
        for row in self.rows(sql::FINISHES_AFTER, binds).await? {
            let mut cells = Cells::of(&row, "finish");
            let (number, offsets) = (cells.number()?, cells.bytes(codec::offsets_from)?);
            count += offsets.len();
            finishes.push((number, offsets));
            if count >= limit {
                break;
            }
        }
        Ok(finishes)
    }
}

#[async_trait]
impl<D: Database> Ledger for SqlLedger<D> {
    async fn epoch(&self) -> Result<Option<EpochRow>, Error> {
        self.row(sql::EPOCH, binds!()).await?.as_ref().map(rows::epoch).transpose()
    }

    async fn open_epoch(&self, epoch: &EpochRow) -> Result<(), Error> {
        let mut writer = self.shared.database.begin().await?;
        if let Some(row) = writer.row(sql::EPOCH_NUMBERED, binds!(epoch.epoch)).await? {
            let known = rows::epoch(&row)?;
            writer.roll_back().await;
            let other = || Error::Corrupt(format!("epoch {} was opened over another log", epoch.epoch));
            return if known == *epoch { Ok(()) } else { Err(other()) };
        }
        let EpochRow { epoch: number, identity, partitions, partitioner } = epoch;
        let binds = binds!(*number, identity.as_str(), *partitions, partitioner.as_str());
        writer.run(sql::OPEN_EPOCH, binds).await?;
        let partitions: Vec<u32> = (0..*partitions).collect();
        let nobody = [0_u8; 16];
        let bind = |binds: &mut <D::Writer as Session>::Bulk, partition: &u32| {
            binds.add(*number).add(*partition).add(nobody.as_slice());
        };
        writer.write(sql::INSERT_PARTITIONS, &partitions, bind).await?;
        writer.commit().await
    }

    async fn acquire(&self, partition: PartitionId, nonce: u128) -> Result<Lease, Error> {
        let mut writer = self.shared.database.begin().await?;
        let row = lock_partition(&mut writer, partition).await?;
        if row.nonce == nonce {
            writer.roll_back().await;
            return Ok(Lease { partition, nonce, epoch: row.lease_epoch });
        }
        let bytes = nonce.to_be_bytes();
        let another_process = row.nonce >> 64 != nonce >> 64;
        let binds = binds!(
            partition.epoch,
            partition.partition,
            bytes.as_slice(),
            integer(row.lease_epoch),
            i64::from(another_process),
        );
        if writer.run(sql::TAKE_LEASE, binds).await? != 1 {
            writer.roll_back().await;
            return Err(Error::Fenced { partition });
        }
        writer.commit().await?;
        Ok(Lease { partition, nonce, epoch: row.lease_epoch + 1 })
    }

    async fn transaction(&self, lease: &Lease) -> Result<Box<dyn Transaction>, Error> {
        Ok(Box::new(SqlTransaction::begin(self.clone(), lease).await?))
    }

    async fn partition(&self, partition: PartitionId) -> Result<PartitionRow, Error> {
        read_partition(&mut self.reader().await?, partition).await
    }

    async fn unfinished(
        &self,
        partition: PartitionId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<SagaRow>, Error> {
        let binds = binds!(partition.epoch, partition.partition, integer(from), integer(limit as u64));
        rows::sagas(partition, &self.rows(sql::UNFINISHED, binds).await?)
    }

    async fn ended_after(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<SagaRow>)>, Error> {
        // Neither finishes nor ended rows change, so that two statements see one state.
        let finishes = self.finishes_after(partition, after, limit).await?;
        let offsets: Vec<u64> = finishes.iter().flat_map(|(_, offsets)| offsets).copied().collect();
        let sagas = sagas::sagas(&mut self.reader().await?, partition, &offsets).await?;
        let mut ended: Vec<(u64, Vec<SagaRow>)> =
            finishes.iter().map(|(number, _)| (*number, Vec::new())).collect();
        for saga in sagas {
            let at = ended.binary_search_by_key(&saga.finish, |(number, _)| *number).ok();
            let rows = at.and_then(|at| ended.get_mut(at)).ok_or_else(|| {
                let position = partition.at(saga.offset);
                Error::Corrupt(format!(
                    "saga {position} was ended by finish {}, which does not name it",
                    saga.finish
                ))
            })?;
            rows.1.push(saga);
        }
        Ok(ended)
    }

    async fn saga(&self, position: Position) -> Result<Option<SagaRow>, Error> {
        let reader = &mut self.reader().await?;
        let found = sagas::sagas(reader, position.partition_id(), &[position.offset]).await?;
        Ok(found.into_iter().next())
    }

    async fn claimed(&self, epoch: u32, claim: Key) -> Result<Option<Position>, Error> {
        let row = self.row(sql::CLAIMED, binds!(epoch, claim.0.as_slice())).await?;
        row.map(|row| {
            let mut cells = Cells::of(&row, "claim");
            Ok(PartitionId { epoch, partition: cells.get()? }.at(cells.number()?))
        })
        .transpose()
    }

    async fn heads(&self, ids: &[(Space, MemoryId)]) -> Result<Vec<Head>, Error> {
        heads::heads(&mut self.reader().await?, ids).await
    }

    async fn list(&self, space: &Space, after: Option<&MemoryId>, limit: usize) -> Result<Vec<Head>, Error> {
        let after = after.map_or("", MemoryId::as_str);
        let rows = self.rows(sql::LIST_HEADS, binds!(space.as_str(), after, integer(limit as u64))).await?;
        rows.iter().map(|row| Ok(rows::head(row)?.1)).collect()
    }

    async fn relations_of(&self, space: &Space, id: &MemoryId) -> Result<Vec<RelationHead>, Error> {
        let question = RelationsOf::Memory(space.clone(), id.clone());
        let found = relations::relations_of(&mut self.reader().await?, &[question]).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn declaration(&self, space: &Space) -> Result<Option<Declaration>, Error> {
        let name = texts(std::iter::once(space.as_str()));
        let row = self.row(sql::DECLARATIONS, binds!(name)).await?;
        row.map(|row| {
            let mut cells = Cells::of(&row, "space");
            cells.skip(1);
            codec::from_json(cells.get()?, || format!("space `{space}`"))
        })
        .transpose()
    }

    async fn spaces(&self) -> Result<Vec<Space>, Error> {
        let rows = self.rows(sql::SPACES, binds!()).await?;
        rows.iter().map(|row| Cells::of(row, "space").name()).collect()
    }

    async fn unfinished_of(
        &self,
        space: &Space,
        limit: usize,
    ) -> Result<Vec<(Position, Vec<ConflictKey>)>, Error> {
        let rows = self.rows(sql::UNFINISHED_OF, binds!(space.as_str(), integer(limit as u64))).await?;
        let saga = |row: &RowOf<D>| {
            let mut cells = Cells::of(row, "saga");
            let position = Position { epoch: cells.get()?, partition: cells.get()?, offset: cells.number()? };
            Ok((position, cells.bytes_if_any(codec::keys_from)?.unwrap_or_default()))
        };
        rows.iter().map(saga).collect()
    }

    async fn scan_heads(
        &self,
        from: Option<HeadCursor>,
        limit: usize,
    ) -> Result<(Vec<Head>, Option<HeadCursor>), Error> {
        // Row numbers begin at 1, and are what this ledger gave out: they fit.
        let last = from.map_or(0, |HeadCursor(number)| i64::try_from(number).unwrap_or(i64::MAX));
        let rows = self.rows(sql::SCAN_HEADS, binds!(last, integer(limit as u64))).await?;
        let (mut heads, mut next) = (Vec::with_capacity(rows.len()), None);
        for row in &rows {
            let (_, number, head) = rows::numbered_head(row)?;
            heads.push(head);
            next = Some(HeadCursor(number.into()));
        }
        Ok((heads, next.filter(|_| rows.len() >= limit)))
    }

    async fn scan_relations(&self, after: Option<Key>, limit: usize) -> Result<Vec<RelationHead>, Error> {
        let rows = self.rows(sql::SCAN_RELATIONS, scan(after, limit)).await?;
        rows.iter().map(|row| Ok(rows::relation(row)?.1)).collect()
    }

    async fn heads_since(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Option<(u64, Vec<Head>)>, Error> {
        let finishes = self.finishes_after(partition, after, limit).await?;
        let Some((last, _)) = finishes.last() else { return Ok(None) };
        let offsets: Vec<u64> = finishes.iter().flat_map(|(_, offsets)| offsets).copied().collect();
        let mut reader = self.reader().await?;
        let writes = sagas::writes(&mut reader, partition, &offsets).await?;
        let mut keys: Vec<Key> =
            writes.into_iter().flat_map(|(_, _, writes)| writes).map(|(_, key)| key).collect();
        keys.sort_unstable();
        keys.dedup();
        let heads = heads::heads_by_key(&mut reader, &keys).await?;
        Ok(Some((*last, keys.iter().filter_map(|key| heads.get(key)).cloned().collect())))
    }

    async fn sweep_images(&self, limit: usize) -> Result<Swept, Error> {
        let limit = limit.max(1) as u64;
        let mut writer = self.shared.database.begin().await?;
        let from = self.shared.swept.load(Ordering::Relaxed);
        let window = limit.saturating_mul(LOOKED_AT_PER_DROP);
        let row = writer.row(sql::SWEEP_UNTIL, binds!(integer(from), integer(window))).await?;
        let row = row.ok_or_else(|| Error::Corrupt("image: an aggregate has no row".to_owned()))?;
        let mut cells = Cells::of(&row, "image");
        let (count, until): (u64, Option<i64>) = (cells.number()?, cells.get()?);
        let until = until.map_or(from, i64::unsigned_abs);
        let binds = binds!(integer(from), integer(until), integer(limit));
        let mut dropped = Vec::new();
        for row in writer.rows(sql::SWEEP_IMAGES, binds).await? {
            dropped.push(Cells::of(&row, "image").number()?);
        }
        writer.commit().await?;
        // A full hand may have left some of the window; the last window starts the next round.
        let swept = match dropped.iter().max() {
            Some(last) if dropped.len() as u64 >= limit => *last,
            _ if count < window => 0,
            _ => until,
        };
        self.shared.swept.store(swept, Ordering::Relaxed);
        Ok(Swept { dropped: dropped.len() as u64, round_over: swept == 0 })
    }

    async fn identity(&self) -> Result<String, Error> {
        Ok(self.shared.identity.clone())
    }
}

fn scan(after: Option<Key>, limit: usize) -> Binds {
    let after = after.map_or_else(Vec::new, |key| key.0.to_vec());
    binds!(after, integer(limit as u64))
}
