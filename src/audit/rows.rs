//! The ledger's rows against each other: how sagas stand, how they ended, and what the log has.
//!
//! Unfinished rows are always read; ended rows, and the log, in a deep audit alone.

use std::collections::{HashMap, HashSet};

use super::{
    CHUNK,
    judge::Judge,
    report::{Finding, Mend, Record, Stop, Store},
};
use crate::{
    invariant::Invariant,
    ledger::{SagaRow, keys::HeldKeys},
    model::{PartitionId, Phase, Space, State, Version, outcome::Verdict},
};

/// Most records of the log that are looked up because no row has their offset.
const GAPS_MAX: usize = 10_000;

/// Every partition of the newest epoch. Answers the forward versions of what was undone.
pub(super) async fn pass(judge: &Judge) -> Result<HashSet<(Space, Version)>, Stop> {
    let mut undone = HashSet::new();
    let Some(epoch) = judge.ports.ledger.epoch().await? else { return Ok(undone) };
    for number in 0..epoch.partitions {
        let partition = PartitionId { epoch: epoch.epoch, partition: number };
        let mut offsets = Offsets::default();
        unfinished(judge, partition, &mut offsets).await?;
        if judge.options.deep {
            ended(judge, partition, &mut offsets, &mut undone).await?;
        }
        of_partition(judge, partition, &offsets).await?;
    }
    Ok(undone)
}

async fn unfinished(judge: &Judge, partition: PartitionId, offsets: &mut Offsets) -> Result<(), Stop> {
    let mut held = HeldKeys::default();
    let mut overtaking = Vec::new();
    let mut from = 0;
    loop {
        let rows = judge.ports.ledger.unfinished(partition, from, CHUNK).await?;
        let Some(last) = rows.last() else { break };
        from = last.offset + 1;
        judge.count_read("sagas", rows.len());
        for row in &rows {
            offsets.insert(row.offset);
            if row.state != State::Pending && held.must_wait(row.offset, &row.keys) {
                overtaking.push(row.offset);
            }
            held.hold(row.offset, &row.keys);
            if let Some((expected, found)) = illegal_unfinished(row) {
                convict_saga(judge, Invariant::I13, partition, row.offset, expected, &found);
            }
        }
        judge.count_checked(Invariant::I13, rows.len() as u64);
    }
    overtaken(judge, partition, &overtaking).await
}

fn illegal_unfinished(row: &SagaRow) -> Option<(&'static str, String)> {
    let found = || format!("{:?} with finish {}", row.state, row.finish);
    if row.state.is_terminal() || row.finish != 0 {
        return Some(("an unfinished saga in no finish", found()));
    }
    match row.state {
        State::Pending if row.plan.is_some() => Some(("no images before the start", found())),
        State::Running | State::Compensating if row.plan.is_none() => {
            Some(("images after the start", found()))
        }
        State::Pending if row.body.is_none() && row.duplicate_of.is_none() => {
            Some(("a command that can still be decided", found()))
        }
        _ => None,
    }
}

/// Sagas that had started at the first look although, at this second one, an earlier saga that they
/// conflict with has not ended: it cannot have ended in between.
async fn overtaken(judge: &Judge, partition: PartitionId, suspects: &[u64]) -> Result<(), Stop> {
    if suspects.is_empty() {
        return Ok(());
    }
    let mut held = HeldKeys::default();
    let mut from = 0;
    loop {
        let rows = judge.ports.ledger.unfinished(partition, from, CHUNK).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        from = last.offset + 1;
        for row in &rows {
            if suspects.contains(&row.offset) && held.must_wait(row.offset, &row.keys) {
                let expected = "to wait for an earlier unfinished saga on the same records";
                convict_saga(
                    judge,
                    Invariant::I13,
                    partition,
                    row.offset,
                    expected,
                    "a saga that has started",
                );
            }
            held.hold(row.offset, &row.keys);
        }
    }
}

async fn ended(
    judge: &Judge,
    partition: PartitionId,
    offsets: &mut Offsets,
    undone: &mut HashSet<(Space, Version)>,
) -> Result<(), Stop> {
    let mut seen = Offsets::default();
    let mut after = 0;
    loop {
        let finishes = judge.ports.ledger.ended_after(partition, after, CHUNK).await?;
        let Some((last, _)) = finishes.last() else { return Ok(()) };
        after = *last;
        for (finish, rows) in &finishes {
            judge.count_read("sagas", rows.len());
            judge.count_checked(Invariant::I2, rows.len() as u64);
            for row in rows {
                offsets.insert(row.offset);
                if !seen.insert(row.offset) {
                    let found = format!("another one in finish {finish}");
                    convict_saga(judge, Invariant::I2, partition, row.offset, "one terminal outcome", &found);
                } else if let Some((expected, found)) = illegal_ended(judge, partition, *finish, row).await? {
                    convict_saga(judge, Invariant::I2, partition, row.offset, expected, &found);
                }
                if let (State::Compensated, Some(header)) = (row.state, &row.header) {
                    let forward = partition.at(row.offset).version(Phase::Forward);
                    undone.insert((header.space.clone(), forward));
                }
            }
        }
        if judge.tasks.is_stopping() {
            return Ok(());
        }
    }
}

async fn illegal_ended(
    judge: &Judge,
    partition: PartitionId,
    finish: u64,
    row: &SagaRow,
) -> Result<Option<(&'static str, String)>, Stop> {
    let verdict = match row.state {
        State::Committed => Verdict::Committed,
        State::Compensated => Verdict::Compensated,
        State::Failed => Verdict::Failed,
        state => return Ok(Some(("an ended saga", format!("{state:?} in finish {finish}")))),
    };
    let Some(ending) = &row.ending else {
        return Ok(Some(("an outcome", format!("none in finish {finish}"))));
    };
    if ending.verdict != verdict || row.finish != finish {
        let found = format!("{:?} as {:?}, in finish {finish} as {}", row.state, ending.verdict, row.finish);
        return Ok(Some(("an outcome that agrees with its state", found)));
    }
    let Some(first) = row.duplicate_of else { return Ok(None) };
    let first = judge.ports.ledger.saga(partition.at(first)).await?;
    // A first that was swept cannot be compared.
    let differs = first.is_some_and(|first| first.ending.as_ref() != Some(ending));
    Ok(differs.then(|| ("a duplicate's outcome to be its first's", format!("{:?}", ending.verdict))))
}

async fn of_partition(judge: &Judge, partition: PartitionId, offsets: &Offsets) -> Result<(), Stop> {
    // Read after the rows: what has begun since has moved it up, never down.
    let row = judge.ports.ledger.partition(partition).await?;
    let convict = |expected: String, found: String| {
        judge.convict(Finding {
            invariant: Invariant::I10,
            record: Record::Partition(partition.to_string()),
            store: Store::Ledger,
            expected,
            found,
            mend: Mend::Report,
        });
    };
    judge.count_checked(Invariant::I10, 1);
    if let Some(highest) = offsets.highest().filter(|highest| *highest >= row.watermark) {
        convict(format!("a watermark above {highest}"), format!("{}", row.watermark));
    }
    if row.published > row.finishes {
        convict(format!("outcomes published up to finish {}", row.finishes), format!("{}", row.published));
    }
    let (Some(log), true) = (&judge.ports.log, judge.options.deep) else { return Ok(()) };
    let bounds = log.bounds(partition.partition).await?;
    let gaps = offsets.gaps(bounds.start.max(row.first), row.watermark.min(bounds.end));
    for offset in gaps.take(GAPS_MAX) {
        // A row that was begun since the rows were read fills its gap.
        let is_lost = log.record(partition.partition, offset).await?.is_some()
            && judge.ports.ledger.saga(partition.at(offset)).await?.is_none();
        if is_lost {
            let expected = "a row for every record below the watermark";
            convict_saga(judge, Invariant::I1, partition, offset, expected, "none");
        }
    }
    judge.count_checked(Invariant::I1, row.watermark.saturating_sub(bounds.start.max(row.first)));
    Ok(())
}

fn convict_saga(
    judge: &Judge,
    invariant: Invariant,
    partition: PartitionId,
    offset: u64,
    expected: &str,
    found: &str,
) {
    judge.convict(Finding {
        invariant,
        record: Record::Saga(partition.at(offset).to_string()),
        store: Store::Ledger,
        expected: expected.to_owned(),
        found: found.to_owned(),
        mend: Mend::Report,
    });
}

/// A set of offsets: a bit each, 64 to a word.
#[derive(Debug, Default)]
struct Offsets {
    words: HashMap<u64, u64>,
    highest: Option<u64>,
}

impl Offsets {
    /// Whether it was not there before.
    fn insert(&mut self, offset: u64) -> bool {
        self.highest = self.highest.max(Some(offset));
        let word = self.words.entry(offset / 64).or_default();
        let bit = 1 << (offset % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Offsets in `start..end` that are not there.
    fn gaps(&self, start: u64, end: u64) -> impl Iterator<Item = u64> + '_ {
        (start..end).filter(|offset| {
            self.words.get(&(offset / 64)).is_none_or(|word| word & (1 << (offset % 64)) == 0)
        })
    }
}
