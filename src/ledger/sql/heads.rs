//! Heads: read with their images, written over lower versions alone.

use std::collections::{BTreeMap, HashMap};

use super::{
    cells::Cells,
    driver::{Database, Session},
    rows, sagas, statements as sql,
    transaction::{SqlTransaction, number_of},
    values::{Put, binds, integer, integers, key_list},
};
use crate::{
    ledger::{Error, Head, HeadWrite, ImagePointer},
    model::{Key, Memory, MemoryId, Space, conflict::memory_key},
};

/// The keys of these memories.
pub(super) fn keys_of(ids: &[(Space, MemoryId)]) -> Vec<Key> {
    ids.iter().map(|(space, id)| memory_key(space, id)).collect()
}

/// Heads with their images, in the order asked.
pub(super) async fn heads(session: &mut impl Session, ids: &[(Space, MemoryId)]) -> Result<Vec<Head>, Error> {
    let keys = keys_of(ids);
    let found = heads_by_key(session, &keys).await?;
    Ok(keys.iter().filter_map(|key| found.get(key)).cloned().collect())
}

/// Heads with their images, by key.
pub(super) async fn heads_by_key(
    session: &mut impl Session,
    keys: &[Key],
) -> Result<HashMap<Key, Head>, Error> {
    let rows = match keys {
        [key] => session.rows(sql::HEAD, binds!(key.0.as_slice())).await?,
        _ => session.rows(sql::HEADS, binds!(key_list(keys.iter()))).await?,
    };
    rows.iter().map(rows::head).collect()
}

/// How many of these are live, by space.
async fn live_among(session: &mut impl Session, keys: &[Key]) -> Result<BTreeMap<i64, i64>, Error> {
    let mut live = BTreeMap::new();
    if keys.is_empty() {
        return Ok(live);
    }
    for row in session.rows(sql::LIVE_AMONG, binds!(key_list(keys.iter()))).await? {
        let mut cells = Cells::of(&row, "head");
        live.insert(cells.get()?, cells.get()?);
    }
    Ok(live)
}

/// A space that a write of heads does more for.
struct Watched {
    number: i64,
    /// Its live heads are counted: it was asked about, i.e. it has a quota. The others need not pay.
    counts: bool,
    /// The heads that are replaced are kept.
    keeps: bool,
    /// They are, and this is the first write since it was said so.
    begins: bool,
}

/// Those of these spaces that a write of heads does more for.
async fn watched<S: Session>(session: &mut S, numbers: &HashMap<Space, i64>) -> Result<Vec<Watched>, Error> {
    let rows = session.rows(sql::WATCHED, binds!(integers(numbers.values().copied()))).await?;
    let watched = |row: &S::Row| {
        let mut cells = Cells::of(row, "space");
        let (number, counts, keeps) = (cells.get()?, cells.get()?, cells.get()?);
        let unbegun: bool = cells.get()?;
        Ok(Watched { number, counts, keeps, begins: keeps && unbegun })
    };
    rows.iter().map(watched).collect()
}

/// Keeps the heads that these will replace, where their space keeps its history.
async fn keep<S: Session>(
    session: &mut S,
    forward: &[Forward<'_>],
    watched: &[Watched],
    numbers: &HashMap<Space, i64>,
) -> Result<(), Error> {
    let of = |space: &Space| {
        let number = number_of(numbers, space);
        watched.iter().find(|watched| watched.number == number && watched.keeps)
    };
    let mut first: BTreeMap<i64, i64> = BTreeMap::new();
    let mut kept = Vec::new();
    for head in forward {
        let Some(space) = of(&head.write.space) else { continue };
        if space.begins {
            let at = head.write.at.as_micros();
            first.entry(space.number).and_modify(|first| *first = at.min(*first)).or_insert(at);
        }
        kept.push(head);
    }
    for (number, at) in first {
        session.put(sql::BEGIN_HISTORY, binds!(number, at)).await?;
    }
    let bind = |binds: &mut S::Bulk, head: &Forward<'_>| {
        binds
            .add(head.key.0.as_slice())
            .add(head.write.version.epoch)
            .add(integer(head.write.version.sequence))
            .add(head.write.at.as_micros());
    };
    session.write(sql::KEEP_HEADS, kept, bind).await
}

/// A head that points forward: its key, and the image it points at.
struct Forward<'w> {
    write: &'w HeadWrite,
    key: Key,
    image: Option<(i64, &'w Memory)>,
}

impl<D: Database> SqlTransaction<D> {
    /// The count of a space's live heads, which is kept from the first question on.
    pub(super) async fn count_live_heads(&mut self, space: &Space) -> Result<u64, Error> {
        let session = &mut self.writer;
        let Some(row) = session.row(sql::COUNT_LIVE, binds!(space.as_str())).await? else { return Ok(0) };
        let mut cells = Cells::of(&row, "space");
        let (number, live): (i64, Option<i64>) = (cells.get()?, cells.get()?);
        if let Some(live) = live {
            return Ok(live.unsigned_abs());
        }
        let row = session.row(sql::START_COUNTING, binds!(number)).await?;
        row.map_or(Ok(0), |row| Cells::of(&row, "space").number())
    }

    pub(super) async fn write_all_heads(&mut self, heads: &[HeadWrite]) -> Result<(), Error> {
        let numbers = self.space_numbers(heads.iter().map(|write| &write.space)).await?;
        let keys: Vec<Key> = heads.iter().map(|write| memory_key(&write.space, &write.id)).collect();
        let images = self.image_numbers(heads).await?;
        let (mut forward, mut raised) = (Vec::with_capacity(heads.len()), Vec::new());
        for (write, key) in heads.iter().zip(&keys) {
            match &write.image {
                ImagePointer::Untouched => raised.push((write, *key)),
                ImagePointer::Forward { after: None } => {
                    forward.push(Forward { write, key: *key, image: None })
                }
                ImagePointer::Forward { after: Some(memory) } => {
                    let offset = write.version.offset();
                    let missing = || {
                        let position = self.lease.partition.at(offset);
                        Error::Corrupt(format!("saga {position} wrote no image of `{}`", write.id))
                    };
                    let number = images.get(&(offset, *key)).copied().ok_or_else(missing)?;
                    forward.push(Forward { write, key: *key, image: Some((number, memory)) });
                }
            }
        }
        let session = &mut self.writer;
        let watched = watched(session, &numbers).await?;
        keep(session, &forward, &watched, &numbers).await?;
        let counted: Vec<i64> =
            watched.iter().filter(|space| space.counts).map(|space| space.number).collect();
        let among = if counted.is_empty() { &[] } else { keys.as_slice() };
        let before = live_among(session, among).await?;
        let bind = |binds: &mut _, head: &Forward<'_>| bind_forward(binds, head, &numbers);
        session.write(sql::WRITE_HEADS, &forward, bind).await?;
        let bind = |binds: &mut _, (write, key): &(&HeadWrite, Key)| bind_head(binds, write, key, &numbers);
        session.write(sql::RAISE_HEADS, &raised, bind).await?;
        let after = live_among(session, among).await?;
        for number in counted {
            let change = after.get(&number).unwrap_or(&0) - before.get(&number).unwrap_or(&0);
            if change != 0 {
                session.put(sql::ADD_LIVE, binds!(number, change)).await?;
            }
        }
        Ok(())
    }

    /// The numbers of the images that these heads are to point at, by saga and memory.
    async fn image_numbers(&mut self, heads: &[HeadWrite]) -> Result<HashMap<(u64, Key), i64>, Error> {
        let forward =
            heads.iter().filter(|write| matches!(&write.image, ImagePointer::Forward { after: Some(_) }));
        let mut offsets: Vec<u64> = forward.map(|write| write.version.offset()).collect();
        offsets.sort_unstable();
        offsets.dedup();
        let mut numbers = HashMap::with_capacity(heads.len());
        let mut found = self.written_before(&mut offsets);
        if !offsets.is_empty() {
            found.extend(sagas::writes(&mut self.writer, self.lease.partition, &offsets).await?);
        }
        for (offset, first, writes) in found {
            let with_image = writes.into_iter().filter(|(image, _)| *image);
            numbers.extend(with_image.zip(first..).map(|((_, key), number)| ((offset, key), number)));
        }
        Ok(numbers)
    }
}

fn bind_forward(binds: &mut impl Put, head: &Forward<'_>, spaces: &HashMap<Space, i64>) {
    let Forward { write, key, image } = head;
    binds
        .add(key.0.as_slice())
        .add(number_of(spaces, &write.space))
        .add(write.id.as_str())
        .add(write.version.epoch)
        .add(integer(write.version.sequence))
        .add(image.map(|(number, _)| number))
        .add(image.map(|(_, memory)| memory.kind.as_str()))
        .add(image.and_then(|(_, memory)| memory.session.as_deref()))
        .add(write.at.as_micros())
        .add(write.at.as_micros());
}

fn bind_head(binds: &mut impl Put, write: &HeadWrite, key: &Key, spaces: &HashMap<Space, i64>) {
    binds
        .add(key.0.as_slice())
        .add(number_of(spaces, &write.space))
        .add(write.id.as_str())
        .add(write.version.epoch)
        .add(integer(write.version.sequence))
        .add(write.at.as_micros())
        .add(write.at.as_micros());
}
