//! From rows to what they mean. What cannot be read is [`Error::Corrupt`], with the row named.

use std::sync::Arc;

use super::{
    cells::Cells,
    codec,
    driver::Row,
    values::{Put, integer},
};
use crate::{
    ledger::{Anchor, EpochRow, Error, Head, PartitionRow, RelationHead, SagaRow, questions::Past},
    model::{
        Digest, Key, Memory, MemoryId, PartitionId, Relation, RelationKey, Space, Sparse, State, Timestamp,
        Version,
        memory::{f32s_from_bytes, f32s_to_bytes, tombstone_hash},
    },
};

pub(super) fn epoch(row: &impl Row) -> Result<EpochRow, Error> {
    let mut cells = Cells::of(row, "epoch");
    Ok(EpochRow {
        epoch: cells.get()?,
        identity: cells.get()?,
        partitions: cells.get()?,
        partitioner: cells.get()?,
    })
}

pub(super) fn partition(row: &impl Row) -> Result<PartitionRow, Error> {
    let mut cells = Cells::of(row, "partition");
    let nonce = cells.bytes(|bytes| Some(u128::from_be_bytes(bytes.try_into().ok()?)))?;
    let (lease_epoch, watermark) = (cells.number()?, cells.number()?);
    let (offset, crc): (Option<i64>, Option<u32>) = (cells.get()?, cells.get()?);
    let anchor = offset.zip(crc).map(|(offset, crc)| Anchor { offset: offset.unsigned_abs(), crc });
    Ok(PartitionRow {
        nonce,
        lease_epoch,
        watermark,
        anchor,
        finishes: cells.number()?,
        published: cells.number()?,
        unproven: cells.get()?,
        halt: cells.get::<Option<&str>>()?.map(str::to_owned),
        first: cells.number()?,
    })
}

fn version(cells: &mut Cells<'_, impl Row>) -> Result<Version, Error> {
    Ok(Version { epoch: cells.get()?, sequence: cells.number()? })
}

fn time(cells: &mut Cells<'_, impl Row>) -> Result<Timestamp, Error> {
    Ok(Timestamp::from_micros(cells.get()?))
}

fn time_if_any(cells: &mut Cells<'_, impl Row>) -> Result<Option<Timestamp>, Error> {
    Ok(cells.get::<Option<i64>>()?.map(Timestamp::from_micros))
}

fn u32s(bytes: &[u8]) -> Option<Arc<[u32]>> {
    let (chunks, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| chunks.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect())
}

/// The columns of an image: its content and its hash.
fn memory(cells: &mut Cells<'_, impl Row>) -> Result<(Arc<Memory>, Digest), Error> {
    let hash = cells.bytes(Digest::from_slice)?;
    let (kind, session, content) = (cells.name()?, cells.get()?, cells.get()?);
    let properties = codec::from_json(cells.get()?, || format!("image {hash}"))?;
    let importance = cells.get()?;
    let (occurred_at, valid_from, valid_until) = (time(cells)?, time(cells)?, time_if_any(cells)?);
    let derived = cells.get()?;
    let indices = cells.bytes_if_any(u32s)?;
    let values = cells.bytes_if_any(f32s_from_bytes)?;
    let sparse = indices.zip(values).map(|(indices, values)| Sparse { indices, values, derived });
    let dense = cells.bytes_if_any(f32s_from_bytes)?;
    let memory = Memory {
        kind,
        content,
        properties,
        session,
        importance,
        dense,
        sparse,
        occurred_at,
        valid_from,
        valid_until,
    };
    Ok((Arc::new(memory), hash))
}

/// The inverse of [`memory`].
pub(super) fn bind_memory(binds: &mut impl Put, memory: &Memory, hash: &Digest) {
    let sparse = memory.sparse.as_ref();
    let indices = |sparse: &Sparse| sparse.indices.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    binds
        .add(hash.0.as_slice())
        .add(memory.kind.as_str())
        .add(memory.session.as_deref())
        .add(memory.content.as_str())
        .add(codec::json(&memory.properties))
        .add(memory.importance)
        .add(memory.occurred_at.as_micros())
        .add(memory.valid_from.as_micros())
        .add(memory.valid_until.map(Timestamp::as_micros))
        .add(sparse.is_some_and(|sparse| sparse.derived))
        .add(sparse.map(indices))
        .add(sparse.map(|sparse| f32s_to_bytes(&sparse.values)))
        .add(memory.dense.as_deref().map(f32s_to_bytes));
}

/// A head with its image, and its key.
pub(super) fn head(row: &impl Row) -> Result<(Key, Head), Error> {
    numbered_head(row).map(|(key, _, head)| (key, head))
}

/// A head with its image, its key, and the number of its row.
pub(super) fn numbered_head(row: &impl Row) -> Result<(Key, u64, Head), Error> {
    head_cells(&mut Cells::of(row, "head"))
}

/// A head that is or was, and what wrote it.
pub(super) fn past(row: &impl Row) -> Result<Past, Error> {
    let mut cells = Cells::of(row, "history");
    let (_, _, head) = head_cells(&mut cells)?;
    let until = time_if_any(&mut cells)?;
    let written_by = match &head.memory {
        Some(_) => {
            let (epoch, partition) = (cells.get()?, cells.get()?);
            Some(PartitionId { epoch, partition }.at(cells.number()?))
        }
        None => None,
    };
    Ok(Past { head, written_by, until })
}

fn head_cells(cells: &mut Cells<'_, impl Row>) -> Result<(Key, u64, Head), Error> {
    let key = cells.bytes(Key::from_slice)?;
    let (space, id): (Space, MemoryId) = (cells.name()?, cells.name()?);
    let version = version(cells)?;
    let (created_at, updated_at) = (time(cells)?, time(cells)?);
    let accessed_at = time_if_any(cells)?;
    let number = cells.number()?;
    let image: Option<i64> = cells.get()?;
    let (memory, hash) = match image {
        None => {
            cells.skip(IMAGE_COLUMNS);
            (None, tombstone_hash())
        }
        Some(number) => {
            let gone =
                |_| Error::Corrupt(format!("head {key}: its image {number} is not there or unreadable"));
            let (memory, hash) = memory(cells).map_err(gone)?;
            (Some(memory), hash)
        }
    };
    Ok((key, number, Head { space, id, version, memory, hash, created_at, updated_at, accessed_at }))
}

/// A relation's head, its key, and the session that it was found by.
pub(super) fn relation(row: &impl Row) -> Result<(Key, RelationHead, Option<String>), Error> {
    let mut cells = Cells::of(row, "relation");
    let key = cells.bytes(Key::from_slice)?;
    let relation = RelationKey {
        space: cells.name()?,
        source: cells.name()?,
        kind: cells.name()?,
        target: cells.name()?,
        discriminator: cells.get()?,
    };
    let version = version(&mut cells)?;
    let hash = cells.bytes(Digest::from_slice)?;
    let weight: Option<f64> = cells.get()?;
    let state = match weight {
        None => {
            cells.skip(4);
            None
        }
        Some(weight) => Some(Relation {
            weight,
            properties: codec::from_json(cells.get()?, || format!("relation {key}"))?,
            valid_from: time(&mut cells)?,
            valid_until: time_if_any(&mut cells)?,
            used_at: time(&mut cells)?,
        }),
    };
    Ok((key, RelationHead { relation, version, hash, state }, cells.get()?))
}

/// Whole sagas from rows that come by offset and, within one, by image.
pub(super) fn sagas<R: Row>(partition: PartitionId, rows: &[R]) -> Result<Vec<SagaRow>, Error> {
    let offset = |row: &R| Cells::of(row, "saga").number();
    let mut sagas = Vec::new();
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let own = offset(first)?;
        let mut count = 1;
        while rest.get(count).map(offset).transpose()? == Some(own) {
            count += 1;
        }
        let (rows, later) = rest.split_at(count);
        sagas.push(saga(partition, first, rows)?);
        rest = later;
    }
    Ok(sagas)
}

fn saga(partition: PartitionId, row: &impl Row, images: &[impl Row]) -> Result<SagaRow, Error> {
    let mut cells = Cells::of(row, "saga");
    let offset = cells.number()?;
    let what = || format!("saga {}", partition.at(offset));
    let number: i64 = cells.get()?;
    let state = u8::try_from(number).ok().and_then(State::from_number);
    let state = state.ok_or_else(|| Error::Corrupt(format!("{}: no state has number {number}", what())))?;
    let (finish, attempts, finished_at) = (cells.number()?, cells.get()?, time_if_any(&mut cells)?);
    let header: Option<&str> = cells.get()?;
    let header = header.map(|text| codec::header_from(text, what)).transpose()?;
    let (claims, dead_letter) = (cells.get()?, cells.get()?);
    let body_hash = cells.bytes(Digest::from_slice)?;
    let duplicate_of = cells.get::<Option<i64>>()?.map(i64::unsigned_abs);
    let accepted_at = time(&mut cells)?;
    let judgement = codec::from_json(cells.get()?, what)?;
    let keys = cells.bytes_if_any(codec::keys_from)?.filter(|_| !state.is_terminal()).unwrap_or_default();
    let body = cells.bytes_if_any(|bytes| Some(Arc::from(bytes)))?;
    let plan: Option<&str> = cells.get()?;
    let plan = match (plan, &header) {
        (Some(text), Some(header)) if !state.is_terminal() => {
            Some(codec::plan_from(text, &header.space, plan_images(images)?, what)?)
        }
        _ => None,
    };
    let ending: Option<&str> = cells.get()?;
    let ending = ending.map(|text| codec::from_json(text, what)).transpose()?;
    Ok(SagaRow {
        offset,
        header,
        claims,
        body_hash,
        duplicate_of,
        accepted_at,
        judgement,
        keys,
        body,
        state,
        plan,
        ending,
        finish,
        finished_at,
        dead_letter,
        attempts,
    })
}

/// How many columns an image has, its number apart.
const IMAGE_COLUMNS: usize = 13;
/// Where the columns of an image begin in a row of a saga.
const IMAGE_COLUMN: usize = 16;

fn plan_images(rows: &[impl Row]) -> Result<Vec<(Arc<Memory>, Digest)>, Error> {
    let mut images = Vec::with_capacity(rows.len());
    for row in rows {
        let mut cells = Cells::of(row, "image");
        cells.skip(IMAGE_COLUMN);
        if cells.get::<Option<i64>>()?.is_some() {
            images.push(memory(&mut cells)?);
        }
    }
    Ok(images)
}

/// The values of a partition's row that a transaction may have moved.
pub(super) fn bind_partition(binds: &mut impl Put, partition: PartitionId, row: &PartitionRow) {
    binds
        .add(partition.epoch)
        .add(partition.partition)
        .add(integer(row.watermark))
        .add(row.anchor.map(|anchor| integer(anchor.offset)))
        .add(row.anchor.map(|anchor| anchor.crc))
        .add(integer(row.finishes))
        .add(integer(row.published))
        .add(row.unproven)
        .add(row.halt.as_deref());
}
