//! Begin: from records to saga rows.
//!
//! In this order, which matters: duplicates are told apart under the partition's lock; declarations
//! are folded in log order; each command's conflict keys are fixed and held; only of those that no
//! earlier unfinished saga conflicts with are heads read and after-images decided. The watermark
//! moves in the same transaction, so that below it every position has a row.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Anchor, Claimed, Decision, Error, RelationsOf, Request, SagaRow, keys::HeldKeys, turn::Turn};
use crate::{
    fault::{Bug, planted},
    log::envelope::{Decoded, FailedRecord},
    model::{
        Access, Code, Command, ConflictKey, Declaration, Digest, Envelope, FieldError, Key, MemoryId,
        Position, Space, State, Timestamp,
        conflict::{self, memory_key},
        outcome::Ending,
        space::Judgement,
    },
};

/// A deletion that takes more relations than this holds the whole space instead of each of them.
const CASCADE_KEYS_MAX: usize = 1_000;

/// One record, as intake has read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbound {
    /// Where it stands.
    pub position: Position,
    /// When the log took it.
    pub accepted_at: Timestamp,
    /// What the anchor remembers of it.
    pub crc: u32,
    /// SHA-256 of its raw value: stands for the body where none can be read.
    pub raw_hash: Digest,
    /// What it is.
    pub decoded: Decoded,
}

/// What a begin did, for its owner to carry on with once the turn has committed.
#[derive(Debug, Default)]
pub struct Begun {
    /// Running: their images are in the ledger, their stores are to be told.
    pub running: Vec<Arc<SagaRow>>,
    /// Pending, and free: they can start as soon as there is room.
    pub ready: Vec<u64>,
    /// Pending duplicates: `(first, duplicate)`.
    pub duplicates: Vec<(u64, u64)>,
    /// How many rows were written.
    pub inboxed: usize,
}

/// A row in the making, with its command while that still matters.
struct Draft {
    row: SagaRow,
    command: Option<Command>,
}

impl Turn<'_> {
    /// Inboxes `records`, which are in offset order, and starts those that are free, up to `room`.
    /// Their keys are held in `held` from here on; when the turn does not commit, the caller must
    /// release them.
    ///
    /// # Errors
    /// [`Error`] of the ledger; the turn is over then.
    pub async fn begin(
        &mut self,
        records: Vec<Inbound>,
        held: &mut HeldKeys,
        room: usize,
    ) -> Result<Begun, Error> {
        let inboxed_out_of_order = planted(Bug::WatermarkBeforeInbox) || planted(Bug::WatermarkOverGap);
        let watermark = if inboxed_out_of_order { 0 } else { self.transaction.partition().watermark };
        let records: Vec<Inbound> =
            records.into_iter().filter(|record| record.position.offset >= watermark).collect();
        let Some(last) = records.last() else { return Ok(Begun::default()) };
        let (next, anchor) =
            (last.position.offset + 1, Anchor { offset: last.position.offset, crc: last.crc });

        let mut drafts = self.tell_apart(records).await?;
        self.fold_declarations(&mut drafts).await?;
        self.fix_keys(&mut drafts, held).await?;
        let ready = self.run_free(&mut drafts, held, room).await?;

        let number = self.number();
        let duplicates = end_with_firsts(&mut drafts, number, self.now);
        let mut rows: Vec<SagaRow> = drafts.into_iter().map(|draft| draft.row).collect();
        rows.iter().filter(|row| row.state.is_terminal()).for_each(|row| {
            self.ended.row(row, row.state, number, self.now);
        });
        if planted(Bug::DuplicateHasNoRow) {
            rows.retain(|row| row.duplicate_of.is_none());
        }
        self.transaction.insert_sagas(&rows).await?;
        self.transaction.advance(next, Some(anchor)).await?;

        let inboxed = rows.len();
        let running = rows.into_iter().filter(|row| row.state == State::Running).map(Arc::new).collect();
        Ok(Begun { running, ready, duplicates, inboxed })
    }

    /// Makes a draft of each record: failed at once, a duplicate, or a command to be judged.
    async fn tell_apart(&mut self, records: Vec<Inbound>) -> Result<Vec<Draft>, Error> {
        let claims: Vec<Key> = records.iter().filter_map(|record| claim_of(&record.decoded)).collect();
        let mut claimed = match claims.is_empty() || planted(Bug::NoDedupe) {
            true => HashMap::new(),
            false => self.transaction.claims(&claims).await?,
        };
        if planted(Bug::DedupeOutsideTransaction) {
            // As if asked before the last few batches had committed.
            let first = records.first().map_or(0, |record| record.position.offset);
            claimed.retain(|_, claimed| claimed.offset + 10 < first);
        }
        let mut drafts = Vec::with_capacity(records.len());
        for record in records {
            let claim = claim_of(&record.decoded);
            let mut draft = self.draft(record);
            if let Some(claim) = claim.filter(|_| !planted(Bug::NoDedupe)) {
                match claimed.get(&claim) {
                    Some(first) => draft.repeats(first, self.number(), self.now),
                    None => {
                        draft.row.claims = true;
                        claimed.insert(
                            claim,
                            Claimed {
                                offset: draft.row.offset,
                                body_hash: draft.row.body_hash,
                                state: State::Pending,
                                ending: None,
                            },
                        );
                    }
                }
            }
            // Dedupe comes before expiry: a late copy of a command that was done has that outcome.
            draft.expire(self.number(), self.now);
            drafts.push(draft);
        }
        Ok(drafts)
    }

    fn draft(&self, record: Inbound) -> Draft {
        let blank = SagaRow {
            offset: record.position.offset,
            header: None,
            claims: false,
            body_hash: record.raw_hash,
            duplicate_of: None,
            accepted_at: record.accepted_at,
            judgement: Judgement::default(),
            keys: Vec::new(),
            body: None,
            state: State::Pending,
            plan: None,
            ending: None,
            finish: 0,
            finished_at: None,
            dead_letter: false,
            attempts: 0,
        };
        match record.decoded {
            Decoded::Command(envelope) => {
                let Envelope { header, command, body, body_hash } = *envelope;
                let row = SagaRow { header: Some(header), body_hash, body: Some(body), ..blank };
                Draft { row, command: Some(command) }
            }
            Decoded::Failed(failed) => {
                let FailedRecord { header, body_hash, code, errors, dead_letter } = *failed;
                let row = SagaRow { header: Some(header), body_hash, dead_letter, ..blank };
                let mut draft = Draft { row, command: None };
                draft.fail(Ending::failed(code, errors), self.number(), self.now);
                draft
            }
            Decoded::Unreadable { code, detail } => {
                let mut draft = Draft { row: SagaRow { dead_letter: true, ..blank }, command: None };
                let errors = vec![FieldError::new(code, "", detail)];
                draft.fail(Ending::failed(code, errors), self.number(), self.now);
                draft
            }
        }
    }

    /// Folds what the commands declare, in log order, and judges each by what stands then.
    async fn fold_declarations(&mut self, drafts: &mut [Draft]) -> Result<(), Error> {
        let mut spaces: Vec<Space> = drafts.iter().filter_map(Draft::space_to_judge).cloned().collect();
        spaces.sort_unstable();
        spaces.dedup();
        if spaces.is_empty() {
            return Ok(());
        }
        let stored = self.transaction.declarations(&spaces).await?;
        let mut folded: BTreeMap<Space, Declaration> = stored.clone();
        for draft in drafts.iter_mut() {
            let Some(space) = draft.space_to_judge().cloned() else { continue };
            let Some(command) = &draft.command else { continue };
            draft.row.judgement = folded.entry(space).or_default().fold(command);
            if let Some(first) = draft.row.judgement.refused.first() {
                let ending = Ending::failed(first.code, draft.row.judgement.refused.clone());
                draft.fail(ending, self.number(), self.now);
            }
        }
        let changed: Vec<(Space, Declaration)> = folded
            .into_iter()
            .filter(|(space, declaration)| stored.get(space) != Some(declaration))
            .collect();
        if changed.is_empty() { Ok(()) } else { self.transaction.declare(&changed).await }
    }

    /// Fixes each command's conflict keys and holds them.
    async fn fix_keys(&mut self, drafts: &mut [Draft], held: &mut HeldKeys) -> Result<(), Error> {
        let mut questions = Vec::new();
        for draft in drafts.iter() {
            if let (Some(space), Some(command)) = (draft.space_to_judge(), &draft.command) {
                deletions(command, &mut |id| questions.push(RelationsOf::Memory(space.clone(), id.clone())));
            }
        }
        let answers = match questions.is_empty() {
            true => Vec::new(),
            false => self.transaction.relations_of(&questions).await?,
        };
        let cascades: HashMap<RelationsOf, Vec<ConflictKey>> = questions
            .into_iter()
            .zip(answers)
            .map(|(question, heads)| {
                let key =
                    |head: &super::RelationHead| ConflictKey::relation(&head.relation, Access::Exclusive);
                (question, heads.iter().map(key).collect())
            })
            .collect();
        for draft in drafts.iter_mut() {
            let (Some(space), Some(command)) = (draft.space_to_judge().cloned(), &draft.command) else {
                continue;
            };
            let mut keys = conflict::keys_of(&space, command);
            if planted(Bug::RelationIgnoresEnds) {
                keys.retain(|key| key.access == Access::Exclusive);
            }
            if draft.row.judgement.quota.is_some() && creates(command) {
                keys.push(ConflictKey::space(&space, Access::Exclusive));
            }
            let offset = draft.row.offset;
            deletions(command, &mut |id| {
                keys.extend(
                    cascades.get(&RelationsOf::Memory(space.clone(), id.clone())).into_iter().flatten(),
                );
                let beside = held.exclusive_beside(memory_key(&space, id), offset);
                keys.extend(beside.into_iter().map(|key| ConflictKey { key, access: Access::Exclusive }));
            });
            if keys.len() > CASCADE_KEYS_MAX {
                keys.push(ConflictKey::space(&space, Access::Exclusive));
            }
            draft.row.keys = conflict::merge(keys);
            held.hold(offset, &draft.row.keys);
        }
        Ok(())
    }

    /// Decides the commands that no earlier unfinished one conflicts with, as many as there is room
    /// for; returns those that are free but for the room.
    async fn run_free(
        &mut self,
        drafts: &mut [Draft],
        held: &mut HeldKeys,
        room: usize,
    ) -> Result<Vec<u64>, Error> {
        let mut free: Vec<&mut Draft> = drafts
            .iter_mut()
            .filter(|draft| draft.space_to_judge().is_some() && is_free_now(draft, held))
            .collect();
        free.truncate(room);

        let partition = self.lease.partition;
        let requests: Vec<Request<'_>> = free
            .iter()
            .filter_map(|draft| {
                Some(Request {
                    position: partition.at(draft.row.offset),
                    header: draft.row.header.as_ref()?,
                    command: draft.command.as_ref()?,
                    judgement: &draft.row.judgement,
                    now: self.now,
                })
            })
            .collect();
        let decisions = match self.read_ahead.take() {
            Some(stale) => self.decide_by(&requests, stale).await?,
            None => self.decide_all(&requests).await?,
        };
        drop(requests);
        let number = self.number();
        for (draft, decision) in free.into_iter().zip(decisions) {
            if let Decision::Done(plan, _) = &decision {
                self.touch(draft.row.header.as_ref().map(|header| &header.space), plan).await?;
            }
            draft.decided(decision, number, self.now);
            if draft.row.state.is_terminal() {
                held.release(draft.row.offset);
            }
        }
        // Free but for the room; or freed just now, by one of this batch that ended at once.
        let waits = |draft: &&Draft| draft.space_to_judge().is_some();
        let offsets = drafts.iter().filter(waits).filter(|draft| is_free_now(draft, held));
        Ok(offsets.map(|draft| draft.row.offset).collect())
    }

    /// Sets the last access of what a command touched.
    pub(super) async fn touch(&mut self, space: Option<&Space>, plan: &super::Plan) -> Result<(), Error> {
        let Some(space) = space.filter(|_| !plan.touched.is_empty()) else { return Ok(()) };
        let touched: Vec<(Space, MemoryId)> =
            plan.touched.iter().map(|id| (space.clone(), id.clone())).collect();
        self.transaction.touch(&touched, plan.now).await
    }
}

impl Draft {
    /// The space of a command that is still to be judged.
    fn space_to_judge(&self) -> Option<&Space> {
        let open = self.row.state == State::Pending && self.row.duplicate_of.is_none();
        let header = self.row.header.as_ref().filter(|_| open && self.command.is_some());
        header.map(|header| &header.space)
    }

    fn fail(&mut self, ending: Ending, number: u64, now: Timestamp) {
        self.end(State::Failed, ending, number, now);
    }

    fn end(&mut self, state: State, ending: Ending, number: u64, now: Timestamp) {
        self.row.state = state;
        self.row.ending = Some(ending);
        self.row.finish = number;
        self.row.finished_at = Some(now);
        self.row.body = None;
        self.row.keys = Vec::new();
    }

    /// Another record came first with the same claim.
    fn repeats(&mut self, first: &Claimed, number: u64, now: Timestamp) {
        if first.body_hash != self.row.body_hash {
            let detail = "this id was used before for another command; give every command an id of its own";
            let errors = vec![FieldError::new(Code::IdReused, "/id", detail)];
            self.fail(Ending::failed(Code::IdReused, errors), number, now);
            return;
        }
        self.row.state = State::Pending;
        self.row.duplicate_of = Some(first.offset);
        self.row.body = None;
        self.row.ending = None;
        self.row.finish = 0;
        self.row.finished_at = None;
        if let (true, Some(ending)) = (first.state.is_terminal(), &first.ending) {
            self.end(first.state, ending.clone(), number, now);
        }
    }

    fn expire(&mut self, number: u64, now: Timestamp) {
        let expires_at = self.row.header.as_ref().and_then(|header| header.expires_at);
        if self.space_to_judge().is_some() && expires_at.is_some_and(|at| at < now) {
            self.fail(expired(), number, now);
        }
    }

    fn decided(&mut self, decision: Decision, number: u64, now: Timestamp) {
        match decision {
            Decision::Run(plan, ending) => {
                self.row.state = State::Running;
                self.row.plan = Some(plan);
                self.row.ending = Some(ending);
                if !planted(Bug::AfterImageRecomputed) {
                    self.row.body = None;
                }
            }
            Decision::Done(_, ending) => self.end(State::Committed, ending, number, now),
            Decision::Refuse(ending) => self.end(State::Failed, ending, number, now),
        }
    }
}

/// Whether no earlier unfinished saga conflicts with this one.
fn is_free_now(draft: &Draft, held: &HeldKeys) -> bool {
    !held.must_wait(draft.row.offset, &draft.row.keys) || planted(Bug::NoKeyOrder)
}

/// The ending of a command that came too late.
#[must_use]
pub fn expired() -> Ending {
    let detail = "its expirytime had passed before it could start; send it again with a later one";
    Ending::failed(Code::Expired, vec![FieldError::new(Code::Expired, "/expirytime", detail)])
}

/// Duplicates of firsts that ended in this very batch end with them; the others wait, by name.
fn end_with_firsts(drafts: &mut [Draft], number: u64, now: Timestamp) -> Vec<(u64, u64)> {
    let ended: HashMap<u64, (State, Ending)> = drafts
        .iter()
        .filter(|draft| draft.row.state.is_terminal() && draft.row.duplicate_of.is_none())
        .filter_map(|draft| Some((draft.row.offset, (draft.row.state, draft.row.ending.clone()?))))
        .collect();
    let mut waiting = Vec::new();
    for draft in drafts.iter_mut().filter(|draft| draft.row.state == State::Pending) {
        let Some(first) = draft.row.duplicate_of else { continue };
        match ended.get(&first) {
            Some((state, ending)) => draft.end(*state, ending.clone(), number, now),
            None => waiting.push((first, draft.row.offset)),
        }
    }
    waiting
}

/// The key of `[space, source, id]`, where the producer gave an id that counts.
fn claim_of(decoded: &Decoded) -> Option<Key> {
    let header = match decoded {
        Decoded::Command(envelope) => &envelope.header,
        Decoded::Failed(failed) => &failed.header,
        Decoded::Unreadable { .. } => return None,
    };
    header.claims.then(|| claim_key(&header.space, &header.source, &header.id))
}

/// The key under which a row claims its id.
#[must_use]
pub fn claim_key(space: &Space, source: &str, id: &str) -> Key {
    Key::of(&[space.as_str(), source, id])
}

/// Whether a command can make memories.
fn creates(command: &Command) -> bool {
    use crate::model::command::OnMissing::Stub;
    match command {
        Command::MemoryPut(_) | Command::MemorySupersede(_) => true,
        Command::RelationPut(put) => put.on_missing == Stub,
        Command::RelationStrengthen(strengthen) => strengthen.on_missing == Stub,
        Command::Batch(batch) => batch.items.iter().any(creates),
        _ => false,
    }
}

/// Calls `found` for each memory that the command deletes.
fn deletions(command: &Command, found: &mut dyn FnMut(&MemoryId)) {
    match command {
        Command::MemoryDelete(delete) => found(&delete.id),
        Command::Batch(batch) => batch.items.iter().for_each(|item| deletions(item, found)),
        _ => {}
    }
}
