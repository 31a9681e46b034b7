//! A ledger whose content changes by itself on the way out, with its markers left as they were.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::{
    ledger::{
        EpochRow, Error, Head, HeadCursor, Lease, Ledger, Order, Orders, PartitionRow, RelationHead, SagaRow,
        Start, Succession, Swept, Transaction,
        memory::MemoryLedger,
        questions::{AsOf, CommandsQuestion, Counts, Part, Past, Questions, Selection},
    },
    model::{
        Declaration, Key, MemoryId, PartitionId, Position, RelationKey, Space, Timestamp, Version,
        conflict::ConflictKey,
    },
};

type Change<T> = Box<dyn Fn(&mut T) + Send + Sync>;

/// A ledger in memory, and what has happened to some of its content.
pub(super) struct Tampered {
    inner: MemoryLedger,
    heads: BTreeMap<MemoryId, Change<Head>>,
    relations: BTreeMap<RelationKey, Change<RelationHead>>,
    away: bool,
}

impl Tampered {
    pub(super) fn new(inner: MemoryLedger) -> Self {
        Self { inner, heads: BTreeMap::new(), relations: BTreeMap::new(), away: false }
    }

    /// The head of `id` reads so from now on.
    pub(super) fn head(mut self, id: MemoryId, change: impl Fn(&mut Head) + Send + Sync + 'static) -> Self {
        self.heads.insert(id, Box::new(change));
        self
    }

    /// The relation's head reads so from now on.
    pub(super) fn relation(
        mut self,
        relation: RelationKey,
        change: impl Fn(&mut RelationHead) + Send + Sync + 'static,
    ) -> Self {
        self.relations.insert(relation, Box::new(change));
        self
    }

    /// Reads of heads fail from now on.
    pub(super) fn away(mut self) -> Self {
        self.away = true;
        self
    }

    fn changed(&self, mut heads: Vec<Head>) -> Result<Vec<Head>, Error> {
        if self.away {
            return Err(Error::Unavailable("it is away".to_owned()));
        }
        for head in &mut heads {
            if let Some(change) = self.heads.get(&head.id) {
                change(head);
            }
        }
        Ok(heads)
    }

    fn changed_relations(&self, mut heads: Vec<RelationHead>) -> Vec<RelationHead> {
        for head in &mut heads {
            if let Some(change) = self.relations.get(&head.relation) {
                change(head);
            }
        }
        heads
    }
}

#[async_trait]
impl Ledger for Tampered {
    async fn epoch(&self) -> Result<Option<EpochRow>, Error> {
        self.inner.epoch().await
    }
    async fn open_epoch(&self, epoch: &EpochRow) -> Result<(), Error> {
        self.inner.open_epoch(epoch).await
    }
    async fn acquire(&self, partition: PartitionId, nonce: u128) -> Result<Lease, Error> {
        self.inner.acquire(partition, nonce).await
    }
    async fn transaction(&self, lease: &Lease) -> Result<Box<dyn Transaction>, Error> {
        self.inner.transaction(lease).await
    }
    async fn partition(&self, partition: PartitionId) -> Result<PartitionRow, Error> {
        self.inner.partition(partition).await
    }
    async fn unfinished(
        &self,
        partition: PartitionId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<SagaRow>, Error> {
        self.inner.unfinished(partition, from, limit).await
    }
    async fn ended_after(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<SagaRow>)>, Error> {
        self.inner.ended_after(partition, after, limit).await
    }
    async fn saga(&self, position: Position) -> Result<Option<SagaRow>, Error> {
        self.inner.saga(position).await
    }
    async fn claimed(&self, epoch: u32, claim: Key) -> Result<Option<Position>, Error> {
        self.inner.claimed(epoch, claim).await
    }
    async fn heads(&self, ids: &[(Space, MemoryId)]) -> Result<Vec<Head>, Error> {
        self.changed(self.inner.heads(ids).await?)
    }
    async fn list(&self, space: &Space, after: Option<&MemoryId>, limit: usize) -> Result<Vec<Head>, Error> {
        self.changed(self.inner.list(space, after, limit).await?)
    }
    async fn relations_of(&self, space: &Space, id: &MemoryId) -> Result<Vec<RelationHead>, Error> {
        Ok(self.changed_relations(self.inner.relations_of(space, id).await?))
    }
    async fn declaration(&self, space: &Space) -> Result<Option<Declaration>, Error> {
        self.inner.declaration(space).await
    }
    async fn spaces(&self) -> Result<Vec<Space>, Error> {
        self.inner.spaces().await
    }
    async fn unfinished_of(
        &self,
        space: &Space,
        limit: usize,
    ) -> Result<Vec<(Position, Vec<ConflictKey>)>, Error> {
        self.inner.unfinished_of(space, limit).await
    }
    async fn scan_heads(
        &self,
        from: Option<HeadCursor>,
        limit: usize,
    ) -> Result<(Vec<Head>, Option<HeadCursor>), Error> {
        let (heads, next) = self.inner.scan_heads(from, limit).await?;
        Ok((self.changed(heads)?, next))
    }
    async fn scan_relations(&self, after: Option<Key>, limit: usize) -> Result<Vec<RelationHead>, Error> {
        Ok(self.changed_relations(self.inner.scan_relations(after, limit).await?))
    }
    async fn heads_since(
        &self,
        partition: PartitionId,
        after: u64,
        limit: usize,
    ) -> Result<Option<(u64, Vec<Head>)>, Error> {
        self.inner.heads_since(partition, after, limit).await
    }
    async fn sweep_images(&self, limit: usize) -> Result<Swept, Error> {
        self.inner.sweep_images(limit).await
    }
    async fn identity(&self) -> Result<String, Error> {
        self.inner.identity().await
    }
}

#[async_trait]
impl Orders for Tampered {
    async fn order(&self, position: Position, order: Order) -> Result<bool, Error> {
        self.inner.order(position, order).await
    }
    async fn orders(&self, partition: PartitionId, from: u64) -> Result<Vec<(u64, Order)>, Error> {
        self.inner.orders(partition, from).await
    }
}

#[async_trait]
impl Succession for Tampered {
    async fn succeed(&self, epoch: &EpochRow, starts: &[Start], leases: &[Lease]) -> Result<(), Error> {
        self.inner.succeed(epoch, starts, leases).await
    }
}

#[async_trait]
impl Questions for Tampered {
    async fn list_of(
        &self,
        space: &Space,
        of: &Selection,
        after: Option<&MemoryId>,
        limit: usize,
    ) -> Result<Part<Head, MemoryId>, Error> {
        self.inner.list_of(space, of, after, limit).await
    }
    async fn count_of(&self, space: &Space, of: &Selection) -> Result<u64, Error> {
        self.inner.count_of(space, of).await
    }
    async fn commands(&self, question: &CommandsQuestion) -> Result<Part<SagaRow, u64>, Error> {
        self.inner.commands(question).await
    }
    async fn counts(&self, space: &Space) -> Result<Counts, Error> {
        self.inner.counts(space).await
    }
    async fn history(&self, memory: Key, before: Option<Version>, limit: usize) -> Result<Vec<Past>, Error> {
        self.inner.history(memory, before, limit).await
    }
    async fn as_of(&self, space: &Space, memory: Key, at: Timestamp) -> Result<AsOf, Error> {
        self.inner.as_of(space, memory, at).await
    }
    async fn head_at_rest(&self, memory: Key) -> Result<Option<Head>, Error> {
        self.inner.head_at_rest(memory).await
    }
    async fn history_since(&self, space: &Space) -> Result<Option<Timestamp>, Error> {
        self.inner.history_since(space).await
    }
}
