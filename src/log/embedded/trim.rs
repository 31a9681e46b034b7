//! Trimming: records that were read a day ago go, a few at a time.
//!
//! "A day ago" is counted by how long the log has been open, over all its runs: now and then it notes
//! how far each partition has been read, and what was read at the mark of a day ago is dropped. A jump of
//! the wall clock, or a laptop that sleeps, can only make records stay longer. The day is what a ledger
//! restored from a backup can still be brought up to date from.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sqlx::Row;

use super::{EmbeddedLog, LETTER_DAYS, Shared, writer::Change};
use crate::model::{Timestamp, version::OFFSET_MAX};

/// How often a mark is set; a crash forgets at most this much of the running time.
pub(super) const MARK_EVERY: Duration = Duration::from_secs(600);

/// Records that one commit drops, so that appends wait for milliseconds at most.
const TRIM_RECORDS_MAX: u64 = 1_000;

impl EmbeddedLog {
    /// Notes how far the log has been read when it has now run for `ran` since it was opened, and drops what
    /// was read longer than the retention ago.
    pub(super) async fn trim_tick(&self, ran: Duration) -> Result<(), String> {
        let shared = &self.0;
        let ran_ms = shared.ran_before_ms + millis(ran);
        let then_ms = ran_ms - millis(shared.retention);
        for partition in 0..shared.topology.partitions {
            let task = shared.tasks.spawn(mark_before(Arc::clone(shared), partition, then_ms));
            let mark = task.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            let watermark = shared.watermark(partition);
            let (forget_ms, read_then) = mark.unwrap_or((0, 0));
            // 0: the ledger has not said yet, in this run. Marks below the one that counts now are not needed.
            if watermark > 0 {
                shared.change(Change::Mark { partition, ran_ms, watermark, forget_ms }).await?;
            }
            if read_then > 0 {
                self.trim_below(partition, read_then).await?;
            }
        }
        let kept_micros = LETTER_DAYS * 24 * 3_600 * 1_000_000;
        let before = Timestamp::from_micros(shared.clock.now().as_micros() - kept_micros);
        shared.change(Change::ForgetLetters { before }).await
    }

    /// Drops every record below `start`, but never the newest: the end is known by it.
    pub(super) async fn trim_below(&self, partition: u32, start: u64) -> Result<(), String> {
        let shared = &self.0;
        let Some(bounds) = shared.bounds(partition) else { return Ok(()) };
        let target = start.min(bounds.end.saturating_sub(1));
        let mut start = bounds.start;
        while start < target {
            start = target.min(start + TRIM_RECORDS_MAX);
            shared.change(Change::Trim { partition, start }).await?;
        }
        Ok(())
    }
}

/// The newest mark that was set at `then_ms` of running time or before: its time and its watermark.
async fn mark_before(
    shared: Arc<Shared>,
    partition: u32,
    then_ms: i64,
) -> Result<Option<(i64, u64)>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT ran_ms, watermark FROM mark WHERE partition = ? AND ran_ms <= ? ORDER BY ran_ms DESC LIMIT 1",
    )
    .bind(partition)
    .bind(then_ms)
    .fetch_optional(&shared.readers)
    .await?;
    row.map(|row| Ok((row.try_get("ran_ms")?, row.try_get::<i64, _>("watermark")?.unsigned_abs())))
        .transpose()
}

impl Shared {
    /// How far the ledger says it has read.
    fn watermark(&self, partition: u32) -> u64 {
        let noted = self.watermarks.get(partition as usize);
        noted.map_or(0, |noted| noted.load(Ordering::Acquire)).min(OFFSET_MAX)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
