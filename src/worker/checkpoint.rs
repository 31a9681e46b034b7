//! Keeps a vector store durable that does not make each write so by itself.
//!
//! The checkpoint is, per partition, the last finish that had committed before the flush began: what
//! those finishes wrote was acknowledged, hence applied, hence flushed. At start every head that a
//! later finish wrote is applied again, tombstones included; the fence makes the rest a no-op. A
//! checkpoint that is missing, or belongs to another ledger, or is ahead of this one, means: rebuild.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Error;
use crate::{
    ledger::{EpochRow, Head, Ledger},
    model::{Answer, PartitionId, Space},
    vector::{self, Checkpoint, Layout, Project},
};

/// Heads read at once.
const HEADS_MAX: usize = 1_000;

/// What it took to bring the vector store up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// Its acknowledgements are durable; nothing to do.
    Durable,
    /// So many heads were newer than its checkpoint.
    Applied(u64),
    /// It had no usable checkpoint and was built anew from so many heads.
    Rebuilt(u64),
}

/// Brings the vector store up to date with the ledger.
///
/// # Errors
/// [`Error`] when a store does not answer.
pub async fn bring_up_to_date(
    ledger: &dyn Ledger,
    vectors: &dyn Project,
    epoch: &EpochRow,
) -> Result<Recovered, Error> {
    if vectors.durable_when_acknowledged() {
        return Ok(Recovered::Durable);
    }
    let identity = ledger.identity().await?;
    let usable = match vectors.last_checkpoint().await? {
        Some(checkpoint) if checkpoint.ledger == identity => !is_ahead(ledger, &checkpoint).await?,
        _ => false,
    };
    let mut layouts = Layouts::default();
    let mut count = 0;
    let recovered = if usable {
        let checkpoint = vectors.last_checkpoint().await?.unwrap_or_default();
        for partition in partitions_after(&checkpoint, epoch) {
            let mut after = checkpoint.finish(partition);
            while let Some((last, heads)) = ledger.heads_since(partition, after, HEADS_MAX).await? {
                after = last;
                count += apply(ledger, vectors, heads, &mut layouts).await?;
            }
        }
        Recovered::Applied(count)
    } else {
        vectors.clear().await?;
        let mut cursor = None;
        loop {
            let (heads, next) = ledger.scan_heads(cursor, HEADS_MAX).await?;
            count += apply(ledger, vectors, heads, &mut layouts).await?;
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        Recovered::Rebuilt(count)
    };
    // A store that has just been brought up to date is worth a checkpoint: the next start is short.
    if count > 0 || !usable {
        make(ledger, vectors, epoch).await?;
    }
    Ok(recovered)
}

/// The partitions whose finishes the checkpoint may not cover: those of this epoch, and those that it
/// names of an earlier one, whose last finishes may have come after it.
fn partitions_after(checkpoint: &Checkpoint, epoch: &EpochRow) -> BTreeSet<PartitionId> {
    let named = checkpoint.finishes.iter().map(|(epoch, partition, _)| (*epoch, *partition));
    let current = (0..epoch.partitions).map(|partition| (epoch.epoch, partition));
    named.chain(current).map(|(epoch, partition)| PartitionId { epoch, partition }).collect()
}

async fn is_ahead(ledger: &dyn Ledger, checkpoint: &Checkpoint) -> Result<bool, Error> {
    for (epoch, partition, finish) in &checkpoint.finishes {
        let row = ledger.partition(PartitionId { epoch: *epoch, partition: *partition }).await?;
        if *finish > row.finishes {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes a checkpoint now.
///
/// # Errors
/// [`Error`] when a store does not answer; the earlier checkpoint stands.
pub async fn make(ledger: &dyn Ledger, vectors: &dyn Project, epoch: &EpochRow) -> Result<Checkpoint, Error> {
    let mut finishes = Vec::new();
    for partition in 0..epoch.partitions {
        let row = ledger.partition(PartitionId { epoch: epoch.epoch, partition }).await?;
        finishes.push((epoch.epoch, partition, row.finishes));
    }
    let checkpoint = Checkpoint { ledger: ledger.identity().await?, finishes };
    vectors.checkpoint(&checkpoint).await?;
    Ok(checkpoint)
}

#[derive(Default)]
struct Layouts(HashMap<Space, Layout>);

impl Layouts {
    async fn of(&mut self, ledger: &dyn Ledger, space: &Space) -> Result<Layout, Error> {
        if let Some(layout) = self.0.get(space) {
            return Ok(*layout);
        }
        let declaration = ledger.declaration(space).await?.unwrap_or_default();
        self.0.insert(space.clone(), declaration.layout());
        Ok(declaration.layout())
    }
}

/// Writes heads to the vector store; how many it did not hold.
async fn apply(
    ledger: &dyn Ledger,
    vectors: &dyn Project,
    heads: Vec<Head>,
    layouts: &mut Layouts,
) -> Result<u64, Error> {
    // A record that several finishes wrote comes several times, each time as its head is now.
    let mut writes: BTreeMap<(Space, crate::model::MemoryId), vector::Write> = BTreeMap::new();
    for head in heads {
        let layout = layouts.of(ledger, &head.space).await?;
        let key = (head.space.clone(), head.id.clone());
        let Head { space, id, version, hash, memory, .. } = head;
        writes.insert(key, vector::Write { space, id, version, hash, layout, after: memory });
    }
    let mut writes: Vec<vector::Write> = writes.into_values().collect();
    drop_needless_tombstones(vectors, &mut writes).await?;
    if writes.is_empty() {
        return Ok(0);
    }
    let answers = vectors.write(&writes).await;
    let failed = answers.iter().find(|answer| !answer.is_held());
    if let Some(Answer::Rejected(reason) | Answer::Transient(reason) | Answer::Indeterminate(reason)) = failed
    {
        return Err(vector::Error::Unavailable(reason.detail.clone()).into());
    }
    Ok(answers.iter().filter(|answer| **answer == Answer::Applied).count() as u64)
}

/// A memory without vectors, of which the store has never heard, needs no tombstone there.
async fn drop_needless_tombstones(
    vectors: &dyn Project,
    writes: &mut Vec<vector::Write>,
) -> Result<(), Error> {
    let dead: Vec<_> = writes
        .iter()
        .filter(|write| write.live().is_none())
        .map(|write| (write.space.clone(), write.id.clone(), write.layout))
        .collect();
    if dead.is_empty() {
        return Ok(());
    }
    let mut known = vectors.markers(&dead).await?.into_iter();
    writes.retain(|write| write.live().is_some() || known.next().flatten().is_some());
    Ok(())
}
