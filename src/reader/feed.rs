//! Outcomes of a space as they come: each once, in order, from wherever a follower left off.
//!
//! ```text
//!           ┌─ source, one a partition while anybody follows ─▶ broadcast ─┐
//! ledger ───┤                                                              ├─▶ Follow ─▶ one space's outcomes
//!           └─ a Follow that is behind reads for itself ───────────────────┘
//! ```
//!
//! Finishes are numbered without gaps within their partition, so a follower knows when it has missed one,
//! for instance because it was slow: then it reads the ledger until it is level again. Nothing is kept
//! for a follower but its place.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};

use super::cursor::Cursor;
use crate::{
    ledger::{self, Ledger, SagaRow},
    model::{Outcome, PartitionId, Space},
    tasks::Tasks,
};

/// Rows read at once.
const ROWS: usize = 500;
/// Pages that a follower may be behind before it reads the ledger for itself.
const PAGES: usize = 8;
/// How long a source waits after the ledger did not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Why a follower cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FollowError {
    /// The ledger did not answer.
    #[error("read the ledger")]
    Ledger(#[from] ledger::Error),
    /// What comes next was swept.
    #[error("the outcomes after this cursor are swept")]
    Swept,
    /// The cursor is ahead of the ledger, or of another partition.
    #[error("this ledger has not made this cursor")]
    Foreign,
}

/// Finishes of one partition.
#[derive(Debug)]
struct Page {
    /// The finish before the first.
    after: u64,
    finishes: Vec<(u64, Vec<SagaRow>)>,
}

type Sources = Mutex<HashMap<PartitionId, broadcast::Sender<Arc<Page>>>>;

/// Hands outcomes to whoever follows. Clones share their sources.
#[derive(Clone)]
pub struct Feed {
    ledger: Arc<dyn Ledger>,
    tasks: Tasks,
    interval: Duration,
    sources: Arc<Sources>,
}

impl Feed {
    /// A feed from `ledger`, which is asked every `interval` while anybody follows. It ends with `tasks`.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, tasks: Tasks, interval: Duration) -> Self {
        Self { ledger, tasks, interval, sources: Arc::default() }
    }

    /// Follows `space`, which lies in `partition`, behind `from`; `None`: from now on.
    ///
    /// # Errors
    /// [`FollowError`] when that cannot be.
    pub async fn follow(
        &self,
        space: Space,
        partition: PartitionId,
        from: Option<Cursor>,
    ) -> Result<Follow, FollowError> {
        let last = self.ledger.partition(partition).await?.finishes;
        let cursor = from.unwrap_or(Cursor { partition, finish: last, offset: Cursor::ALL });
        match cursor.partition {
            of if of.epoch < partition.epoch => return Err(FollowError::Swept),
            of if of != partition || cursor.finish > last => return Err(FollowError::Foreign),
            _ => {}
        }
        let live = self.source(partition, last);
        let ledger = Arc::clone(&self.ledger);
        Ok(Follow { ledger, space, cursor, live, ready: VecDeque::new(), behind: cursor.finish < last })
    }

    /// Joins the source of `partition`, or starts it behind finish `last`.
    fn source(&self, partition: PartitionId, last: u64) -> broadcast::Receiver<Arc<Page>> {
        let mut sources = self.sources.lock();
        if let Some(source) = sources.get(&partition) {
            return source.subscribe();
        }
        let (source, live) = broadcast::channel(PAGES);
        sources.insert(partition, source);
        drop(self.tasks.spawn(self.clone().run(partition, last)));
        live
    }

    /// Reads a partition's finishes as they come, until nobody follows any more or the process stops.
    async fn run(self, partition: PartitionId, mut after: u64) {
        while !self.tasks.is_stopping() && !self.retired(partition) {
            let pause = match self.ledger.ended_after(partition, after, ROWS).await {
                Ok(finishes) if finishes.is_empty() => self.interval,
                Ok(finishes) => {
                    let last = finishes.last().map_or(after, |(finish, _)| *finish);
                    let page = Arc::new(Page { after, finishes });
                    if let Some(source) = self.sources.lock().get(&partition) {
                        // Nobody there to take it: the next look retires the source.
                        source.send(page).ok();
                    }
                    after = last;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%partition, %error, "followers of outcomes wait for the ledger");
                    RETRY
                }
            };
            tokio::select! {
                () = self.tasks.stopping() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.sources.lock().remove(&partition);
    }

    /// Removes a source that nobody follows; whether it did. Under the lock under which others join.
    fn retired(&self, partition: PartitionId) -> bool {
        let mut sources = self.sources.lock();
        let followed = sources.get(&partition).is_some_and(|source| source.receiver_count() > 0);
        if !followed {
            sources.remove(&partition);
        }
        !followed
    }
}

/// One who follows a space.
pub struct Follow {
    ledger: Arc<dyn Ledger>,
    space: Space,
    /// Behind everything that was read.
    cursor: Cursor,
    live: broadcast::Receiver<Arc<Page>>,
    ready: VecDeque<(Cursor, Outcome)>,
    behind: bool,
}

impl Follow {
    /// The space that is followed.
    #[must_use]
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Behind everything that was read: where to go on when nothing that was read waits to be given, as while
    /// [`Follow::next`] waits.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The next outcome and the cursor behind it; `None`: the process stops. Cancel-safe.
    ///
    /// # Errors
    /// [`FollowError`] when it cannot go on from here; after an error of the ledger it may be asked again.
    pub async fn next(&mut self) -> Result<Option<(Cursor, Outcome)>, FollowError> {
        loop {
            if let Some(next) = self.ready.pop_front() {
                return Ok(Some(next));
            }
            if self.behind {
                self.catch_up().await?;
                continue;
            }
            match self.live.recv().await {
                Ok(page) if page.after <= self.cursor.finish => self.take(&page.finishes),
                Ok(_) | Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return Ok(None),
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), FollowError> {
        let Cursor { partition, finish, offset } = self.cursor;
        // A finish of which a part was given is read again.
        let after = if offset == Cursor::ALL { finish } else { finish.saturating_sub(1) };
        let finishes = self.ledger.ended_after(partition, after, ROWS).await?;
        match finishes.first() {
            Some((first, _)) if *first > after + 1 => return Err(FollowError::Swept),
            Some(_) => self.take(&finishes),
            None => self.behind = false,
        }
        Ok(())
    }

    /// Makes ready what of these finishes is the space's and was not given yet.
    fn take(&mut self, finishes: &[(u64, Vec<SagaRow>)]) {
        let partition = self.cursor.partition;
        for (finish, rows) in finishes {
            for row in rows {
                let place = Cursor { partition, finish: *finish, offset: row.offset };
                let is_new = (place.finish, place.offset) > (self.cursor.finish, self.cursor.offset);
                let is_ours = row.header.as_ref().is_some_and(|header| header.space == self.space);
                if is_new && is_ours {
                    self.ready.extend(row.outcome(partition).map(|outcome| (place, outcome)));
                }
            }
        }
        let last = finishes.last().map_or(self.cursor.finish, |(finish, _)| *finish);
        if last >= self.cursor.finish {
            self.cursor = Cursor { partition, finish: last, offset: Cursor::ALL };
        }
    }
}
