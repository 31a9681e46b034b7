//! The index folder: a lock, a checkpoint and one shard of the engine a place.
//!
//! ```text
//! folder/lock               held while open
//! folder/checkpoint.json    see `checkpoint`
//! folder/plain/             points without a dense vector, and every tombstone
//! folder/384-cosine/        points with a dense vector, and its sparse one beside it
//! ```
//!
//! All spaces of one dimension and metric share a shard: a shard costs files and memory, a space must
//! not. A point lies in one place at a time; a write that changes its place removes it from the other.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use qdrant_edge::{PointId, Record};
use uuid::Uuid;

use super::{
    super::{Checkpoint, Error, Stored},
    OpenError, Options, checkpoint,
    engine::{self, Engine, Failure},
    point,
};
use crate::model::space::Metric;

/// Where a point lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Place {
    /// It has no dense vector, or is a tombstone.
    Plain,
    /// Its dense vector has this dimension and is compared so.
    Dense(u32, Metric),
}

/// The open index.
#[derive(Debug)]
pub(super) struct Shards {
    folder: PathBuf,
    options: Options,
    slots: RwLock<BTreeMap<Place, Arc<Slot>>>,
    /// Held while segments are rebuilt and while a shard is flushed or opened again: the engine panics
    /// when the two meet.
    maintenance: Mutex<()>,
    /// The folder's lock; `None` once closed.
    lock: Mutex<Option<fs::File>>,
    /// The engine lost what it had not flushed: only a new start, which applies it again, helps.
    lost: AtomicBool,
}

/// One shard, which may be opened again behind its callers.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) place: Place,
    engine: RwLock<Option<Engine>>,
    broken: AtomicBool,
}

impl Slot {
    /// Asks the shard.
    pub(super) fn ask<T>(&self, call: impl FnOnce(&Engine) -> Result<T, Failure>) -> Result<T, Failure> {
        self.engine.read().as_ref().map_or(Err(Failure::Broken), call)
    }

    /// Changes the shard; after a failure it is opened again before the next change.
    pub(super) fn change<T>(&self, call: impl FnOnce(&Engine) -> Result<T, Failure>) -> Result<T, Failure> {
        let done = self.ask(call);
        if matches!(done, Err(Failure::Broken)) {
            self.broken.store(true, Ordering::Release);
        }
        done
    }
}

impl Shards {
    pub(super) fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        fs::create_dir_all(folder)?;
        let lock = fs::File::create(folder.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => OpenError::InUse,
            fs::TryLockError::Error(error) => OpenError::Io(error),
        })?;
        let shards = Self {
            folder: folder.to_owned(),
            options,
            slots: RwLock::default(),
            maintenance: Mutex::default(),
            lock: Mutex::new(Some(lock)),
            lost: AtomicBool::new(false),
        };
        let opened = shards.places()?.into_iter().try_for_each(|place| shards.add(place).map(drop));
        if opened.is_err() {
            tracing::warn!("the vector index is damaged and is emptied; it must be rebuilt");
            shards.empty()?;
        }
        Ok(shards)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every shard there is.
    pub(super) fn all(&self) -> Result<Vec<Arc<Slot>>, Error> {
        if self.lost.load(Ordering::Acquire) {
            return Err(Error::Unavailable(
                "the vector index lost its files; a restart builds it again from the ledger".to_owned(),
            ));
        }
        if self.lock.lock().is_none() {
            return Err(Error::Unavailable("the vector index is closed".to_owned()));
        }
        Ok(self.slots.read().values().cloned().collect())
    }

    /// The shard of `place`, made if there is none. The writer's thread alone.
    pub(super) fn at(&self, place: Place) -> Result<Arc<Slot>, Failure> {
        let held = self.slots.read().get(&place).cloned();
        held.map_or_else(|| self.add(place), Ok)
    }

    /// Opens broken shards again. The writer's thread alone.
    pub(super) fn mend(&self) -> Result<(), Error> {
        for slot in self.all()? {
            if slot.broken.load(Ordering::Acquire) {
                let _held = self.maintenance.lock();
                self.reopen(&slot).map_err(unavailable)?;
            }
        }
        Ok(())
    }

    pub(super) fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let Some(_held) = self.maintenance.try_lock() else {
            return Err(Error::Unavailable("the vector index is being optimised".to_owned()));
        };
        for slot in self.all()? {
            slot.change(Engine::flush).map_err(unavailable)?;
            let bytes = engine::log_bytes(&self.path(slot.place)).map_err(|error| disk(&error))?;
            if bytes > self.options.log_bytes_max {
                self.reopen(&slot).map_err(unavailable)?;
            }
        }
        checkpoint::write(&self.folder, checkpoint).map_err(|error| disk(&error))
    }

    pub(super) fn optimize(&self) -> Result<bool, Error> {
        let Some(_held) = self.maintenance.try_lock() else {
            return Err(Error::Unavailable("the vector index is busy with itself".to_owned()));
        };
        let mut any = false;
        for slot in self.all()? {
            any |= slot.ask(Engine::optimize).map_err(unavailable)?;
        }
        Ok(any)
    }

    pub(super) fn clear(&self) -> Result<(), Error> {
        if self.lock.lock().is_none() {
            return Err(Error::Unavailable("the vector index is closed".to_owned()));
        }
        let _held = self.maintenance.lock();
        self.empty().map_err(|error| disk(&error))?;
        self.lost.store(false, Ordering::Release);
        Ok(())
    }

    pub(super) fn close(&self) {
        let _held = self.maintenance.lock();
        self.let_go();
        *self.lock.lock() = None;
    }

    /// A page of every point there is, with its content; a cursor as for [`Self::page`].
    pub(super) fn scan(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Stored>, Option<String>), Error> {
        let (records, next) = self.page(cursor, limit, true)?;
        Ok((records.into_iter().map(stored).collect::<Result<_, _>>()?, next))
    }

    /// A page of the ids of every point there is; a cursor as for [`Self::page`].
    pub(super) fn ids(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<Uuid>, Option<String>), Error> {
        let (records, next) = self.page(cursor, limit, false)?;
        let uuid = |record: Record| match record.id {
            PointId::Uuid(id) => Ok(id),
            PointId::NumId(_) => Err(foreign_point()),
        };
        Ok((records.into_iter().map(uuid).collect::<Result<_, _>>()?, next))
    }

    /// The points with these ids, wherever they lie, with their content.
    pub(super) fn points(&self, ids: &[PointId]) -> Result<Vec<Stored>, Error> {
        let mut found = Vec::with_capacity(ids.len());
        for slot in self.all()? {
            for record in slot.ask(|engine| engine.points(ids)).map_err(unavailable)? {
                found.push(stored(record)?);
            }
        }
        Ok(found)
    }

    /// A page of every point there is, with or without content: shard by shard, by rising point id. A
    /// cursor is `place/point id`, of the first point that is still to come.
    fn page(
        &self,
        cursor: Option<&str>,
        limit: usize,
        content: bool,
    ) -> Result<(Vec<Record>, Option<String>), Error> {
        let foreign = || Error::Unsupported("this is not a cursor of this store".to_owned());
        let (first, mut from) = match cursor {
            Some(cursor) => {
                let (place, id) = cursor.split_once('/').ok_or_else(foreign)?;
                let id = id.parse().map_err(|_| foreign())?;
                (place.parse().map_err(|()| foreign())?, Some(PointId::Uuid(id)))
            }
            None => (Place::Plain, None),
        };
        let (mut found, limit) = (Vec::new(), limit.max(1));
        for slot in self.all()?.iter().filter(|slot| slot.place >= first) {
            let from = from.take().filter(|_| slot.place == first);
            // One more than is wanted would not do: a page may end exactly with its shard.
            let wanted = limit - found.len();
            if wanted == 0 {
                let (ahead, _) = slot.ask(|engine| engine.scroll(None, 1, false)).map_err(unavailable)?;
                let Some(next) = ahead.first() else { continue };
                return Ok((found, Some(format!("{}/{}", slot.place, next.id))));
            }
            let (records, next) =
                slot.ask(|engine| engine.scroll(from, wanted, content)).map_err(unavailable)?;
            found.extend(records);
            if let Some(next) = next {
                return Ok((found, Some(format!("{}/{next}", slot.place))));
            }
        }
        Ok((found, None))
    }

    fn path(&self, place: Place) -> PathBuf {
        self.folder.join(place.to_string())
    }

    /// The places that the folder has.
    fn places(&self) -> io::Result<Vec<Place>> {
        let mut places = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            places.extend(entry?.file_name().to_str().and_then(|name| name.parse::<Place>().ok()));
        }
        places.sort_unstable();
        Ok(places)
    }

    fn add(&self, place: Place) -> Result<Arc<Slot>, Failure> {
        let engine = Engine::open(&self.path(place), place, self.options)?;
        checkpoint::sync_folder(&self.folder).map_err(|_| Failure::Broken)?;
        let slot = Slot { place, engine: RwLock::new(Some(engine)), broken: AtomicBool::new(false) };
        let slot = Arc::new(slot);
        self.slots.write().insert(place, Arc::clone(&slot));
        Ok(slot)
    }

    /// Flushes a shard and opens it again; searches wait meanwhile. Maintenance must be held.
    fn reopen(&self, slot: &Slot) -> Result<(), Failure> {
        let mut engine = slot.engine.write();
        let reopened = engine.take().map_or(Ok(()), Engine::close).and_then(|()| {
            *engine = Some(Engine::open(&self.path(slot.place), slot.place, self.options)?);
            Ok(())
        });
        slot.broken.store(false, Ordering::Release);
        if reopened.is_err() {
            self.lost.store(true, Ordering::Release);
        }
        reopened
    }

    /// Removes the checkpoint first: a crash on the way leaves an index that knows it is none.
    fn empty(&self) -> io::Result<()> {
        checkpoint::remove(&self.folder)?;
        self.let_go();
        for place in self.places()? {
            fs::remove_dir_all(self.path(place))?;
        }
        checkpoint::sync_folder(&self.folder)
    }

    fn let_go(&self) {
        let slots = std::mem::take(&mut *self.slots.write());
        for slot in slots.into_values() {
            if let Some(Err(_)) = slot.engine.write().take().map(Engine::close) {
                tracing::warn!(place = %slot.place, "a shard of the vector index was not flushed");
            }
        }
    }
}

fn stored(record: Record) -> Result<Stored, Error> {
    point::to_stored(record).ok_or_else(foreign_point)
}

fn foreign_point() -> Error {
    Error::Unavailable("the vector index holds a foreign point".to_owned())
}

pub(super) fn unavailable(failure: Failure) -> Error {
    match failure {
        Failure::Refused => Error::Unsupported("the vector engine refuses the question".to_owned()),
        Failure::Broken => Error::Unavailable("the vector engine failed".to_owned()),
    }
}

fn disk(error: &io::Error) -> Error {
    Error::Unavailable(format!("the vector index cannot use its disk: {}", error.kind()))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("plain"),
            Self::Dense(dimension, Metric::Cosine) => write!(f, "{dimension}-cosine"),
            Self::Dense(dimension, Metric::Dot) => write!(f, "{dimension}-dot"),
            Self::Dense(dimension, Metric::Euclid) => write!(f, "{dimension}-euclid"),
        }
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        if name == "plain" {
            return Ok(Self::Plain);
        }
        let (dimension, metric) = name.split_once('-').ok_or(())?;
        let metric = match metric {
            "cosine" => Metric::Cosine,
            "dot" => Metric::Dot,
            "euclid" => Metric::Euclid,
            _ => return Err(()),
        };
        Ok(Self::Dense(dimension.parse().map_err(|_| ())?, metric))
    }
}
