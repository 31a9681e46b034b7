//! Sagas: inserted whole, then moved.

use std::collections::{BTreeMap, HashMap};

use super::{
    cells::Cells,
    codec,
    driver::{Database, Session, Writer},
    rows, statements as sql,
    transaction::{SqlTransaction, number_of},
    values::{Put, Special, binds, integer, integers, key_list},
};
use crate::{
    ledger::{Claimed, Error, MemoryWrite, Plan, SagaRow, Transition},
    model::{Digest, Key, PartitionId, Space, State, conflict::memory_key},
};

/// What becomes of a plan: its images' numbers, and which memories they are of.
struct Written<'p> {
    plan: &'p Plan,
    first: i64,
    writes: Vec<(bool, Key)>,
}

impl<'p> Written<'p> {
    /// Numbers the images of `plan` from `next`, which it moves on.
    fn number(plan: &'p Plan, space: &Space, next: &mut i64) -> Self {
        let writes: Vec<(bool, Key)> =
            plan.memories.iter().map(|write| (write.after.is_some(), memory_key(space, &write.id))).collect();
        let first = *next;
        *next += images_of(plan);
        Self { plan, first, writes }
    }

    fn images(&self) -> i64 {
        self.writes.iter().map(|(image, _)| i64::from(*image)).sum()
    }

    /// The writes that have an image: number, key and content.
    fn contents(&self) -> impl Iterator<Item = (i64, &Key, &'p MemoryWrite)> {
        let writes = self.plan.memories.iter().zip(&self.writes).filter(|(_, (image, _))| *image);
        writes.zip(self.first..).map(|((write, (_, key)), number)| (number, key, write))
    }
}

/// Whole sagas by offset.
pub(super) async fn sagas(
    session: &mut impl Session,
    partition: PartitionId,
    offsets: &[u64],
) -> Result<Vec<SagaRow>, Error> {
    let binds = binds!(partition.epoch, partition.partition, offset_list(offsets.iter().copied()));
    rows::sagas(partition, &session.rows(sql::SAGAS, binds).await?)
}

/// Which memories sagas write: `(offset, number of the first image, writes)`.
pub(super) async fn writes(
    session: &mut impl Session,
    partition: PartitionId,
    offsets: &[u64],
) -> Result<Vec<(u64, i64, Vec<(bool, Key)>)>, Error> {
    let binds = binds!(partition.epoch, partition.partition, offset_list(offsets.iter().copied()));
    let mut found = Vec::with_capacity(offsets.len());
    for row in session.rows(sql::WRITES, binds).await? {
        let mut cells = Cells::of(&row, "saga_record");
        let (offset, first): (u64, Option<i64>) = (cells.number()?, cells.get()?);
        if let Some(writes) = cells.bytes_if_any(codec::writes_from)? {
            found.push((offset, first.unwrap_or_default(), writes));
        }
    }
    Ok(found)
}

/// Offsets as a `list` parameter.
fn offset_list(offsets: impl Iterator<Item = u64>) -> Special {
    integers(offsets.map(integer))
}

impl<D: Database> SqlTransaction<D> {
    pub(super) async fn read_claims(&mut self, claims: &[Key]) -> Result<HashMap<Key, Claimed>, Error> {
        let PartitionId { epoch, partition } = self.lease.partition;
        let binds = binds!(epoch, partition, key_list(claims.iter()));
        let mut found = HashMap::new();
        for row in self.writer.rows(sql::CLAIMS, binds).await? {
            let mut cells = Cells::of(&row, "claim");
            let (claim, offset) = (cells.bytes(Key::from_slice)?, cells.number()?);
            let body_hash = cells.bytes(Digest::from_slice)?;
            let number: u8 = cells.get()?;
            let what = || format!("the saga that holds claim {claim}");
            let state = State::from_number(number)
                .ok_or_else(|| Error::Corrupt(format!("{}: no state has number {number}", what())))?;
            let ending: Option<&str> = cells.get()?;
            let ending = ending.filter(|_| state.is_terminal());
            let ending = ending.map(|text| codec::from_json(text, what)).transpose()?;
            found.insert(claim, Claimed { offset, body_hash, state, ending });
        }
        Ok(found)
    }

    pub(super) async fn insert(&mut self, sagas: &[SagaRow]) -> Result<(), Error> {
        let spaces = sagas.iter().filter_map(|row| row.header.as_ref()).map(|header| &header.space);
        let numbers = self.space_numbers(spaces).await?;
        let records = i64::try_from(sagas.len()).expect("a batch has far fewer rows");
        let images = sagas.iter().filter_map(|row| row.plan.as_ref()).map(images_of).sum();
        let (first, mut image) = self.writer.reserve(records, images).await?;
        let mut written = Vec::with_capacity(sagas.len());
        for row in sagas {
            written.push(match (&row.plan, &row.header) {
                (None, _) => None,
                (Some(plan), Some(header)) => Some(Written::number(plan, &header.space, &mut image)),
                (Some(_), None) => {
                    let position = self.lease.partition.at(row.offset);
                    return Err(Error::Corrupt(format!("saga {position} has a plan but no space")));
                }
            });
        }
        let PartitionId { epoch, partition } = self.lease.partition;
        let session = &mut self.writer;
        let bind = |binds: &mut _, (row, record): &(&SagaRow, i64)| {
            let space = row.header.as_ref().map(|header| number_of(&numbers, &header.space));
            let binds: &mut <D::Writer as Session>::Bulk = binds;
            binds.add(epoch).add(partition).add(integer(row.offset)).add(*record).add(space);
            binds.add(row.state as u8).add(integer(row.finish));
        };
        let numbered: Vec<(&SagaRow, i64)> = sagas.iter().zip(first..).collect();
        session.write(sql::INSERT_SAGAS, &numbered, bind).await?;
        let records: Vec<_> = numbered.iter().zip(&written).collect();
        session
            .write(sql::INSERT_RECORDS, records, |binds, ((row, record), written)| {
                bind_record(binds, row, *record, written.as_ref());
            })
            .await?;
        let claims: Vec<(Key, u64)> =
            sagas.iter().filter_map(|row| Some((claim(row)?, row.offset))).collect();
        let bind = |binds: &mut <D::Writer as Session>::Bulk, (key, offset): &(Key, u64)| {
            binds.add(epoch).add(key.0.as_slice()).add(partition).add(integer(*offset));
        };
        session.write(sql::INSERT_CLAIMS, &claims, bind).await?;
        let offsets = sagas.iter().map(|row| row.offset);
        self.write_images(offsets.zip(written).collect()).await
    }

    async fn write_images(&mut self, plans: Vec<(u64, Option<Written<'_>>)>) -> Result<(), Error> {
        let PartitionId { epoch, partition } = self.lease.partition;
        let images: Vec<_> = plans
            .iter()
            .filter_map(|(offset, written)| Some((*offset, written.as_ref()?)))
            .flat_map(|(offset, written)| written.contents().map(move |image| (offset, image)))
            .collect();
        let bind = |binds: &mut <D::Writer as Session>::Bulk,
                    (offset, (number, key, write)): &(u64, (i64, &Key, &MemoryWrite))| {
            binds.add(*number).add(key.0.as_slice()).add(epoch).add(partition).add(integer(*offset));
            let memory = write.after.as_ref().expect("only writes with content have an image");
            rows::bind_memory(binds, memory, &write.hash);
        };
        self.writer.write(sql::INSERT_IMAGES, &images, bind).await?;
        for (offset, written) in plans {
            if let Some(Written { first, writes, .. }) = written {
                self.written.push((offset, first, writes));
            }
        }
        Ok(())
    }

    pub(super) async fn move_sagas(&mut self, moves: &[Transition]) -> Result<Vec<u64>, Error> {
        let mut alike: BTreeMap<(State, State, u64), Vec<&Transition>> = BTreeMap::new();
        for step in moves {
            alike.entry((step.from, step.to, step.finish)).or_default().push(step);
        }
        let PartitionId { epoch, partition } = self.lease.partition;
        let mut moved = Vec::with_capacity(moves.len());
        for ((from, to, finish), steps) in alike {
            let offsets = || offset_list(steps.iter().map(|step| step.offset));
            if !steps.iter().any(|step| brings_more(step)) {
                // The common case, a batch that ends as foreseen, need not be told row by row.
                let count = binds!(epoch, partition, from as u8, offsets());
                let row = self.writer.row(sql::COUNT_MOVES, count).await?;
                let count = row.map_or(Ok(0), |row| Cells::of(&row, "saga").number())?;
                if count == steps.len() as u64 {
                    let binds = binds!(epoch, partition, from as u8, to as u8, integer(finish), offsets());
                    self.writer.put(sql::MOVE_ALL_SAGAS, binds).await?;
                    moved.extend(steps.iter().map(|step| step.offset));
                    continue;
                }
            }
            let binds = binds!(epoch, partition, from as u8, to as u8, integer(finish), offsets());
            let mut records = HashMap::new();
            for row in self.writer.rows(sql::MOVE_SAGAS, binds).await? {
                let mut cells = Cells::of(&row, "saga");
                let (offset, record): (u64, i64) = (cells.number()?, cells.get()?);
                records.insert(offset, record);
            }
            self.complete(&steps, &records).await?;
            moved.extend(records.keys());
        }
        moved.sort_unstable();
        Ok(moved)
    }

    /// Completes the records of sagas that moved and brought something to keep, or have waited.
    async fn complete(&mut self, steps: &[&Transition], records: &HashMap<u64, i64>) -> Result<(), Error> {
        let steps: Vec<(&Transition, i64)> = steps
            .iter()
            .filter(|step| brings_more(step))
            .filter_map(|step| Some((*step, *records.get(&step.offset)?)))
            .collect();
        if steps.is_empty() {
            return Ok(());
        }
        let spaces = self.spaces_of(&steps).await?;
        let images = steps.iter().filter_map(|(step, _)| step.plan.as_ref()).map(images_of).sum();
        let (_, mut image) = self.writer.reserve(0, images).await?;
        let mut plans = Vec::with_capacity(steps.len());
        for (step, _) in &steps {
            let space = spaces.get(&step.offset);
            plans.push(
                step.plan.as_ref().zip(space).map(|(plan, space)| Written::number(plan, space, &mut image)),
            );
        }
        let rows: Vec<_> = steps.iter().zip(&plans).collect();
        self.writer
            .write(sql::COMPLETE_RECORDS, rows, |binds, ((step, record), written)| {
                let written = written.as_ref();
                binds.add(*record).add(written.map(|written| codec::plan_json(written.plan)));
                binds.add(written.map(|written| written.first)).add(written.map(Written::images));
                binds.add(written.map(|written| codec::writes_bytes(&written.writes)));
                binds.add(step.ending.as_ref().map(codec::json));
            })
            .await?;
        let offsets = steps.iter().map(|(step, _)| step.offset);
        self.write_images(offsets.zip(plans).collect()).await
    }

    /// The spaces of sagas that bring a plan.
    async fn spaces_of(&mut self, steps: &[(&Transition, i64)]) -> Result<HashMap<u64, Space>, Error> {
        let offsets = steps.iter().map(|(step, _)| step).filter(|step| step.plan.is_some());
        let offsets = offset_list(offsets.map(|step| step.offset));
        let PartitionId { epoch, partition } = self.lease.partition;
        let binds = binds!(epoch, partition, offsets);
        let mut spaces = HashMap::new();
        for row in self.writer.rows(sql::SPACES_OF_SAGAS, binds).await? {
            let mut cells = Cells::of(&row, "saga");
            spaces.insert(cells.number()?, cells.name()?);
        }
        Ok(spaces)
    }
}

/// How many images a plan comes to.
fn images_of(plan: &Plan) -> i64 {
    plan.memories.iter().map(|write| i64::from(write.after.is_some())).sum()
}

/// Whether a move changes the written-once part of a saga.
fn brings_more(step: &Transition) -> bool {
    step.from == State::Pending || step.plan.is_some() || step.ending.is_some()
}

/// The key of what a row claims, if it does.
fn claim(row: &SagaRow) -> Option<Key> {
    let header = row.header.as_ref().filter(|_| row.claims)?;
    Some(Key::of(&[header.space.as_str(), &header.source, &header.id]))
}

fn bind_record(binds: &mut impl Put, row: &SagaRow, record: i64, written: Option<&Written<'_>>) {
    let body = row.body.as_ref().filter(|_| row.state == State::Pending);
    let keys = (!row.keys.is_empty()).then(|| codec::keys_bytes(&row.keys));
    binds
        .add(record)
        .add(row.header.as_ref().map(codec::header_json))
        .add(row.claims)
        .add(row.dead_letter)
        .add(row.body_hash.0.as_slice())
        .add(row.duplicate_of.map(integer))
        .add(row.accepted_at.as_micros())
        .add(codec::json(&row.judgement))
        .add(keys)
        .add(body.map(|body| &**body))
        .add(written.map(|written| codec::plan_json(written.plan)))
        .add(written.map(|written| written.first))
        .add(written.map_or(0, Written::images))
        .add(written.map(|written| codec::writes_bytes(&written.writes)))
        .add(row.ending.as_ref().map(codec::json));
}
