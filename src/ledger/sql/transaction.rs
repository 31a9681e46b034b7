//! One write transaction: its writer, and the partition's row as it will be written.
//!
//! What it does to sagas, heads and relations stands in the modules of these names.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;

use super::{
    ImagesAt, SqlLedger,
    cells::Cells,
    codec,
    driver::{Database, Session, Writer},
    heads, relations, rows, sagas, statements as sql,
    values::{Binds, Put, binds, integer, integers, key_list, texts},
};
use crate::{
    ledger::{
        Anchor, Claimed, Error, Head, HeadWrite, Lease, Order, PartitionRow, RelationHead, RelationHeadWrite,
        RelationsOf, SagaRow, Transaction, Transition,
    },
    model::{Declaration, Key, MemoryId, PartitionId, RelationKey, Space, Timestamp},
};

/// A write transaction. Dropped without a commit, it is rolled back before the next one begins.
pub(super) struct SqlTransaction<D: Database> {
    pub(super) ledger: SqlLedger<D>,
    pub(super) lease: Lease,
    pub(super) writer: D::Writer,
    /// Where the images are that this transaction wrote: known to others once it has committed.
    pub(super) written: Vec<ImagesAt>,
    locked: PartitionRow,
    /// The partition's row as this transaction leaves it: written once, at commit.
    row: PartitionRow,
    /// Numbers of spaces that this transaction made.
    spaces: HashMap<Space, i64>,
}

impl<D: Database> SqlTransaction<D> {
    pub(super) async fn begin(ledger: SqlLedger<D>, lease: &Lease) -> Result<Self, Error> {
        let mut writer = ledger.shared.database.begin().await?;
        let locked = lock_partition(&mut writer, lease.partition).await?;
        if (locked.nonce, locked.lease_epoch) != (lease.nonce, lease.epoch) {
            writer.roll_back().await;
            return Err(Error::Fenced { partition: lease.partition });
        }
        let row = locked.clone();
        Ok(Self { ledger, lease: *lease, writer, written: Vec::new(), locked, row, spaces: HashMap::new() })
    }

    /// What is known of where the images of these sagas are; leaves the offsets of the others.
    pub(super) fn written_before(&mut self, offsets: &mut Vec<u64>) -> Vec<ImagesAt> {
        let mut found = Vec::with_capacity(offsets.len());
        let mut known = self.ledger.shared.written.lock();
        offsets.retain(|offset| match known.remove(&(self.lease.partition, self.lease.epoch, *offset)) {
            Some((first, writes)) => {
                found.push((*offset, first, writes));
                false
            }
            None => true,
        });
        found
    }

    /// The numbers of these spaces; those that have none yet get one.
    pub(super) async fn space_numbers(
        &mut self,
        spaces: impl Iterator<Item = &Space>,
    ) -> Result<HashMap<Space, i64>, Error> {
        let mut numbers = HashMap::new();
        let mut unknown = Vec::new();
        for space in spaces {
            if numbers.contains_key(space) || unknown.contains(space) {
                continue;
            }
            let committed = self.ledger.shared.spaces.lock().get(space).copied();
            match committed.or_else(|| self.spaces.get(space).copied()) {
                Some(number) => drop(numbers.insert(space.clone(), number)),
                None => unknown.push(space.clone()),
            }
        }
        if unknown.is_empty() {
            return Ok(numbers);
        }
        // In one order: two partitions that name the same spaces must not wait for each other.
        unknown.sort_unstable();
        let names = texts(unknown.iter().map(Space::as_str));
        let session = &mut self.writer;
        session
            .write(sql::INSERT_SPACES, &unknown, |binds, space: &Space| {
                binds.add(space.as_str());
            })
            .await?;
        for row in session.rows(sql::SPACE_NUMBERS, binds!(names)).await? {
            let mut cells = Cells::of(&row, "space");
            let (space, number): (Space, i64) = (cells.name()?, cells.get()?);
            self.spaces.insert(space.clone(), number);
            numbers.insert(space, number);
        }
        Ok(numbers)
    }
}

/// The number of a space among those that [`SqlTransaction::space_numbers`] answered.
pub(super) fn number_of(numbers: &HashMap<Space, i64>, space: &Space) -> i64 {
    numbers.get(space).copied().expect("every space of the batch was asked for")
}

/// A partition's row, without a lock.
pub(super) async fn read_partition(
    session: &mut impl Session,
    partition: PartitionId,
) -> Result<PartitionRow, Error> {
    partition_by(sql::PARTITION, session, partition).await
}

/// A partition's row, which nobody else writes from now on until this transaction ends.
pub(super) async fn lock_partition(
    session: &mut impl Writer,
    partition: PartitionId,
) -> Result<PartitionRow, Error> {
    partition_by(sql::LOCK_PARTITION, session, partition).await
}

async fn partition_by(
    statement: &'static str,
    session: &mut impl Session,
    partition: PartitionId,
) -> Result<PartitionRow, Error> {
    let row = session.row(statement, binds!(partition.epoch, partition.partition)).await?;
    let unknown = || Error::Corrupt(format!("partition {partition} belongs to no epoch that was opened"));
    rows::partition(&row.ok_or_else(unknown)?)
}

#[async_trait]
impl<D: Database> Transaction for SqlTransaction<D> {
    fn partition(&self) -> &PartitionRow {
        &self.locked
    }

    async fn claims(&mut self, claims: &[Key]) -> Result<HashMap<Key, Claimed>, Error> {
        self.read_claims(claims).await
    }

    async fn declarations(&mut self, spaces: &[Space]) -> Result<BTreeMap<Space, Declaration>, Error> {
        let names = texts(spaces.iter().map(Space::as_str));
        let mut declarations = BTreeMap::new();
        for row in self.writer.rows(sql::DECLARATIONS, binds!(names)).await? {
            let mut cells = Cells::of(&row, "space");
            let space: Space = cells.name()?;
            let declaration = codec::from_json(cells.get()?, || format!("space `{space}`"))?;
            declarations.insert(space, declaration);
        }
        Ok(declarations)
    }

    async fn declare(&mut self, declarations: &[(Space, Declaration)]) -> Result<(), Error> {
        let bind = |binds: &mut <D::Writer as Session>::Bulk, (space, declaration): &(Space, Declaration)| {
            binds.add(space.as_str()).add(codec::json(declaration)).add(declaration.history);
        };
        self.writer.write(sql::DECLARE, declarations, bind).await
    }

    async fn heads(&mut self, ids: &[(Space, MemoryId)]) -> Result<Vec<Head>, Error> {
        heads::heads(&mut self.writer, ids).await
    }

    async fn relations(&mut self, keys: &[RelationKey]) -> Result<Vec<RelationHead>, Error> {
        relations::relations(&mut self.writer, keys).await
    }

    async fn relations_of(&mut self, questions: &[RelationsOf]) -> Result<Vec<Vec<RelationHead>>, Error> {
        relations::relations_of(&mut self.writer, questions).await
    }

    async fn count_live(&mut self, space: &Space) -> Result<u64, Error> {
        self.count_live_heads(space).await
    }

    async fn insert_sagas(&mut self, rows: &[SagaRow]) -> Result<(), Error> {
        self.insert(rows).await
    }

    async fn transition(&mut self, moves: &[Transition]) -> Result<Vec<u64>, Error> {
        self.move_sagas(moves).await
    }

    async fn sagas(&mut self, offsets: &[u64]) -> Result<Vec<SagaRow>, Error> {
        sagas::sagas(&mut self.writer, self.lease.partition, offsets).await
    }

    async fn count_attempts(&mut self, offsets: &[u64]) -> Result<(), Error> {
        let PartitionId { epoch, partition } = self.lease.partition;
        let offsets = integers(offsets.iter().copied().map(integer));
        self.writer.put(sql::COUNT_ATTEMPTS, binds!(epoch, partition, offsets)).await
    }

    async fn write_heads(&mut self, heads: &[HeadWrite]) -> Result<(), Error> {
        self.write_all_heads(heads).await
    }

    async fn write_relations(&mut self, relations: &[RelationHeadWrite]) -> Result<(), Error> {
        self.write_all_relations(relations).await
    }

    async fn touch(&mut self, memories: &[(Space, MemoryId)], at: Timestamp) -> Result<(), Error> {
        let binds = binds!(key_list(heads::keys_of(memories).iter()), at.as_micros());
        self.writer.put(sql::TOUCH, binds).await?;
        Ok(())
    }

    async fn advance(&mut self, watermark: u64, anchor: Option<Anchor>) -> Result<(), Error> {
        if watermark >= self.row.watermark {
            self.row.watermark = watermark;
            self.row.anchor = anchor.or(self.row.anchor);
        }
        Ok(())
    }

    async fn finished(&mut self, number: u64, offsets: &[u64], at: Timestamp) -> Result<(), Error> {
        let (partition, last) = (self.lease.partition, self.row.finishes);
        if number != last + 1 {
            return Err(Error::Corrupt(format!("finish {number} of partition {partition} follows {last}")));
        }
        let mut offsets = offsets.to_vec();
        offsets.sort_unstable();
        let binds = binds!(
            partition.epoch,
            partition.partition,
            integer(number),
            at.as_micros(),
            codec::offsets_bytes(&offsets),
        );
        self.writer.put(sql::FINISH, binds).await?;
        self.row.finishes = number;
        Ok(())
    }

    async fn proven(&mut self) -> Result<(), Error> {
        self.row.unproven = 0;
        Ok(())
    }

    async fn published(&mut self, finish: u64) -> Result<(), Error> {
        self.row.published = self.row.published.max(finish);
        Ok(())
    }

    async fn obeyed(&mut self, orders: &[(u64, Order)]) -> Result<(), Error> {
        let PartitionId { epoch, partition } = self.lease.partition;
        let mut alike: BTreeMap<Order, Vec<u64>> = BTreeMap::new();
        for (offset, order) in orders {
            alike.entry(*order).or_default().push(*offset);
        }
        for (order, offsets) in alike {
            let offsets = integers(offsets.into_iter().map(integer));
            self.writer.put(sql::OBEYED, binds!(epoch, partition, order.number(), offsets)).await?;
        }
        Ok(())
    }

    async fn halted(&mut self, reason: Option<&str>) -> Result<(), Error> {
        self.row.halt = reason.map(str::to_owned);
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), Error> {
        let Self { ledger, lease, mut writer, written, locked, row, spaces } = *self;
        if row != locked {
            let mut binds = Binds::default();
            rows::bind_partition(&mut binds, lease.partition, &row);
            writer.put(sql::WRITE_PARTITION, binds).await?;
        }
        writer.commit().await?;
        ledger.remember(spaces);
        ledger.remember_written(&lease, written);
        Ok(())
    }
}
