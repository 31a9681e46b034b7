//! One transaction: an overlay of what it wrote, looked through to what is committed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use tokio::sync::OwnedMutexGuard;

use super::{
    MemoryLedger,
    tables::{HeadRow, Image, ImageName, KeptHead, Saga, Tables, live},
};
use crate::{
    fault::{Bug, planted},
    ledger::{
        Anchor, Claimed, Error, Head, HeadWrite, ImagePointer, Order, PartitionRow, Plan, RelationHead,
        RelationHeadWrite, RelationState, RelationsOf, SagaRow, Transaction, Transition,
    },
    model::{
        Declaration, Key, MemoryId, PartitionId, Position, Relation, RelationKey, Space, State, Timestamp,
        conflict::memory_key, memory::tombstone_hash,
    },
};

pub(super) struct MemoryTransaction {
    ledger: MemoryLedger,
    partition: PartitionId,
    locked: PartitionRow,
    overlay: Tables,
    /// Held until this transaction has committed or is dropped.
    _guard: Option<OwnedMutexGuard<()>>,
}

impl MemoryTransaction {
    pub(super) fn new(
        ledger: MemoryLedger,
        partition: PartitionId,
        locked: PartitionRow,
        guard: Option<OwnedMutexGuard<()>>,
    ) -> Self {
        let mut overlay = Tables::default();
        overlay.partitions.insert(partition, locked.clone());
        Self { ledger, partition, locked, overlay, _guard: guard }
    }

    /// The row under `key` as this transaction sees it.
    fn get<K: Ord, V: Clone>(&self, table: impl Fn(&Tables) -> &BTreeMap<K, V>, key: &K) -> Option<V> {
        table(&self.overlay)
            .get(key)
            .cloned()
            .or_else(|| self.ledger.read(|base| table(base).get(key).cloned()))
    }

    /// A whole table as this transaction sees it.
    fn table<K: Ord + Clone, V: Clone>(&self, table: impl Fn(&Tables) -> &BTreeMap<K, V>) -> BTreeMap<K, V> {
        let mut rows = self.ledger.read(|base| table(base).clone());
        rows.extend(table(&self.overlay).iter().map(|(key, row)| (key.clone(), row.clone())));
        rows
    }

    fn row(&mut self) -> &mut PartitionRow {
        self.overlay.partitions.entry(self.partition).or_default()
    }

    fn head(&self, row: &HeadRow) -> Result<Head, Error> {
        let image = row.image.and_then(|name| self.get(|tables| &tables.images, &name));
        row.with(|_| image.as_ref())
    }

    /// Stores the images of a plan and answers which memories it writes.
    fn write_images(&mut self, position: Position, space: &Space, plan: &Plan) -> Vec<Key> {
        let mut writes = Vec::with_capacity(plan.memories.len());
        for write in &plan.memories {
            let key = memory_key(space, &write.id);
            if let Some(memory) = &write.after {
                let image = Image { memory: Arc::clone(memory), hash: write.hash };
                self.overlay.images.insert(ImageName { key, position }, image);
            }
            writes.push(key);
        }
        writes
    }

    /// `decided`: its plan is new, and its images are yet to be written. That happens once: what a sweep
    /// dropped by mistake must not come back from a plan that happens to be in memory here.
    fn store(&mut self, mut row: SagaRow, decided: bool) -> Result<(), Error> {
        let position = self.partition.at(row.offset);
        let writes = match (row.plan.as_ref().filter(|_| decided), &row.header) {
            (None, _) => {
                self.get(|tables| &tables.sagas, &position).map_or_else(Vec::new, |saga| saga.writes)
            }
            (Some(plan), Some(header)) => self.write_images(position, &header.space, plan),
            (Some(_), None) => {
                return Err(Error::Corrupt(format!("saga {position} has a plan but no space")));
            }
        };
        if row.state != State::Pending && !planted(Bug::AfterImageRecomputed) {
            row.body = None;
        }
        if row.state.is_terminal() {
            row.body = None;
            row.plan = None;
            row.keys.clear();
        }
        self.overlay.sagas.insert(position, Saga { row, writes });
        Ok(())
    }

    fn write_head(&mut self, write: &HeadWrite) -> Result<(), Error> {
        let key = memory_key(&write.space, &write.id);
        let before = self.get(|tables| &tables.heads, &key);
        if before.as_ref().is_some_and(|head| head.version >= write.version) {
            return Ok(());
        }
        let new = |image| HeadRow {
            space: write.space.clone(),
            id: write.id.clone(),
            version: write.version,
            image,
            created_at: write.at,
            updated_at: write.at,
            accessed_at: None,
        };
        let head = match &write.image {
            ImagePointer::Forward { after } => {
                self.keep(key, before.as_ref(), write);
                let position = self.partition.at(write.version.offset());
                let name = after.as_ref().map(|_| ImageName { key, position });
                if name.is_some_and(|name| self.get(|tables| &tables.images, &name).is_none()) {
                    return Err(Error::Corrupt(format!("saga {position} wrote no image of `{}`", write.id)));
                }
                match before.filter(|head| head.image.is_some() && name.is_some()) {
                    Some(live) => {
                        HeadRow { version: write.version, image: name, updated_at: write.at, ..live }
                    }
                    None => new(name),
                }
            }
            ImagePointer::Untouched => {
                before.map_or_else(|| new(None), |head| HeadRow { version: write.version, ..head })
            }
        };
        self.overlay.heads.insert(key, head);
        Ok(())
    }

    /// Keeps the head that this write replaces, where its space keeps its history.
    fn keep(&mut self, key: Key, before: Option<&HeadRow>, write: &HeadWrite) {
        let declaration = self.get(|tables| &tables.declarations, &write.space);
        if !declaration.is_some_and(|declaration| declaration.history) {
            return;
        }
        if self.get(|tables| &tables.history_since, &write.space).flatten().is_none() {
            self.overlay.history_since.insert(write.space.clone(), Some(write.at));
        }
        if let Some(row) = before.cloned() {
            let kept = KeptHead { row: HeadRow { accessed_at: None, ..row }, until: write.at };
            self.overlay.kept.insert((key, kept.row.version), kept);
        }
    }

    fn write_relation(&mut self, write: &RelationHeadWrite) {
        let key = write.relation.key();
        let before = self.get(|tables| &tables.relations, &key);
        if before.as_ref().is_some_and(|head| head.version >= write.version) {
            return;
        }
        let (state, hash) = match (&write.state, before) {
            (RelationState::Forward(after), _) => {
                (after.clone(), after.as_ref().map_or_else(tombstone_hash, Relation::hash))
            }
            (RelationState::Untouched, Some(before)) => (before.state, before.hash),
            (RelationState::Untouched, None) => (None, tombstone_hash()),
        };
        let head = RelationHead { relation: write.relation.clone(), version: write.version, state, hash };
        self.overlay.relations.insert(key, head);
    }
}

#[async_trait]
impl Transaction for MemoryTransaction {
    fn partition(&self) -> &PartitionRow {
        &self.locked
    }

    async fn claims(&mut self, claims: &[Key]) -> Result<HashMap<Key, Claimed>, Error> {
        let mut found = HashMap::new();
        for claim in claims {
            let holder = self.get(|tables| &tables.claims, &(self.partition.epoch, *claim));
            let Some(position) = holder.filter(|position| position.partition_id() == self.partition) else {
                continue;
            };
            let saga = self.get(|tables| &tables.sagas, &position).ok_or_else(|| {
                Error::Corrupt(format!("a claim names saga {position}, which is not there"))
            })?;
            let SagaRow { offset, body_hash, state, ending, .. } = saga.row;
            let ending = ending.filter(|_| state.is_terminal());
            found.insert(*claim, Claimed { offset, body_hash, state, ending });
        }
        Ok(found)
    }

    async fn declarations(&mut self, spaces: &[Space]) -> Result<BTreeMap<Space, Declaration>, Error> {
        let found = spaces.iter().filter_map(|space| {
            self.get(|tables| &tables.declarations, space).map(|declaration| (space.clone(), declaration))
        });
        Ok(found.collect())
    }

    async fn declare(&mut self, declarations: &[(Space, Declaration)]) -> Result<(), Error> {
        let ceased = declarations.iter().filter(|(_, declaration)| !declaration.history);
        self.overlay.history_since.extend(ceased.map(|(space, _)| (space.clone(), None)));
        self.overlay.declarations.extend(declarations.iter().cloned());
        Ok(())
    }

    async fn heads(&mut self, ids: &[(Space, MemoryId)]) -> Result<Vec<Head>, Error> {
        let rows =
            ids.iter().filter_map(|(space, id)| self.get(|tables| &tables.heads, &memory_key(space, id)));
        rows.map(|row| self.head(&row)).collect()
    }

    async fn relations(&mut self, keys: &[RelationKey]) -> Result<Vec<RelationHead>, Error> {
        Ok(keys.iter().filter_map(|key| self.get(|tables| &tables.relations, &key.key())).collect())
    }

    async fn relations_of(&mut self, questions: &[RelationsOf]) -> Result<Vec<Vec<RelationHead>>, Error> {
        let relations = self.table(|tables| &tables.relations);
        let mut answers = Vec::with_capacity(questions.len());
        for question in questions {
            let of_session = |id: &MemoryId| {
                let RelationsOf::Session(space, session) = question else { return false };
                let head = self.get(|tables| &tables.heads, &memory_key(space, id));
                let image = head.and_then(|head| head.image);
                let image = image.and_then(|name| self.get(|tables| &tables.images, &name));
                image.is_some_and(|image| image.memory.session.as_ref() == Some(session))
            };
            answers.push(live(relations.values(), question, of_session));
        }
        Ok(answers)
    }

    async fn count_live(&mut self, space: &Space) -> Result<u64, Error> {
        let heads = self.table(|tables| &tables.heads);
        Ok(heads.values().filter(|head| head.space == *space && head.image.is_some()).count() as u64)
    }

    async fn insert_sagas(&mut self, rows: &[SagaRow]) -> Result<(), Error> {
        for row in rows {
            let position = self.partition.at(row.offset);
            if self.get(|tables| &tables.sagas, &position).is_some() {
                return Err(Error::Corrupt(format!("saga {position} is there already")));
            }
            if let Some(header) = row.header.as_ref().filter(|_| row.claims) {
                let claim = Key::of(&[header.space.as_str(), &header.source, &header.id]);
                if let Some(holder) = self.get(|tables| &tables.claims, &(position.epoch, claim)) {
                    return Err(Error::Corrupt(format!("saga {position} claims what {holder} holds")));
                }
                self.overlay.claims.insert((position.epoch, claim), position);
            }
            self.store(row.clone(), true)?;
        }
        Ok(())
    }

    async fn transition(&mut self, moves: &[Transition]) -> Result<Vec<u64>, Error> {
        let mut moved = Vec::with_capacity(moves.len());
        for step in moves {
            let saga = self.get(|tables| &tables.sagas, &self.partition.at(step.offset));
            let guarded = |saga: &Saga| saga.row.state == step.from || planted(Bug::NoStateGuard);
            let Some(Saga { mut row, .. }) = saga.filter(guarded) else { continue };
            row.state = step.to;
            row.plan = step.plan.clone().or(row.plan);
            row.ending = step.ending.clone().or(row.ending);
            row.finish = row.finish.max(step.finish);
            row.finished_at = step.finished_at.or(row.finished_at);
            self.store(row, step.plan.is_some())?;
            moved.push(step.offset);
        }
        moved.sort_unstable();
        Ok(moved)
    }

    async fn sagas(&mut self, offsets: &[u64]) -> Result<Vec<SagaRow>, Error> {
        let mut offsets = offsets.to_vec();
        offsets.sort_unstable();
        let sagas =
            offsets.iter().filter_map(|offset| self.get(|tables| &tables.sagas, &self.partition.at(*offset)));
        Ok(sagas.map(|saga| saga.row).collect())
    }

    async fn proven(&mut self) -> Result<(), Error> {
        self.row().unproven = 0;
        Ok(())
    }

    async fn count_attempts(&mut self, offsets: &[u64]) -> Result<(), Error> {
        for offset in offsets {
            let position = self.partition.at(*offset);
            let Some(mut saga) = self.get(|tables| &tables.sagas, &position) else { continue };
            saga.row.attempts += 1;
            self.overlay.sagas.insert(position, saga);
        }
        Ok(())
    }

    async fn write_heads(&mut self, heads: &[HeadWrite]) -> Result<(), Error> {
        heads.iter().try_for_each(|write| self.write_head(write))
    }

    async fn write_relations(&mut self, relations: &[RelationHeadWrite]) -> Result<(), Error> {
        relations.iter().for_each(|write| self.write_relation(write));
        Ok(())
    }

    async fn touch(&mut self, memories: &[(Space, MemoryId)], at: Timestamp) -> Result<(), Error> {
        for (space, id) in memories {
            let key = memory_key(space, id);
            let head = self.get(|tables| &tables.heads, &key);
            let Some(mut head) = head.filter(|head| head.image.is_some()) else { continue };
            head.accessed_at = head.accessed_at.max(Some(at));
            self.overlay.heads.insert(key, head);
        }
        Ok(())
    }

    async fn advance(&mut self, watermark: u64, anchor: Option<Anchor>) -> Result<(), Error> {
        let row = self.row();
        if watermark >= row.watermark || planted(Bug::WatermarkNotMonotone) {
            row.watermark = watermark;
            row.anchor = anchor.or(row.anchor);
        }
        Ok(())
    }

    async fn finished(&mut self, number: u64, offsets: &[u64], _at: Timestamp) -> Result<(), Error> {
        let partition = self.partition;
        let row = self.row();
        if number != row.finishes + 1 {
            let last = row.finishes;
            return Err(Error::Corrupt(format!("finish {number} of partition {partition} follows {last}")));
        }
        row.finishes = number;
        let mut offsets = offsets.to_vec();
        offsets.sort_unstable();
        self.overlay.finishes.insert((partition, number), offsets);
        Ok(())
    }

    async fn published(&mut self, finish: u64) -> Result<(), Error> {
        let row = self.row();
        row.published = row.published.max(finish);
        Ok(())
    }

    async fn obeyed(&mut self, orders: &[(u64, Order)]) -> Result<(), Error> {
        let partition = self.partition;
        self.overlay.obeyed.extend(orders.iter().map(|(offset, order)| (partition.at(*offset), *order)));
        Ok(())
    }

    async fn halted(&mut self, reason: Option<&str>) -> Result<(), Error> {
        self.row().halt = reason.map(str::to_owned);
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), Error> {
        let Self { ledger, overlay, _guard, .. } = *self;
        ledger.shared.tables.lock().commit(overlay);
        Ok(())
    }
}
