//! The vector store behind its guard: both sides share it.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::{
    fault::{Bug, planted},
    model::{Answer, Digest, MemoryId, Space, Version, answer::Reason},
    random::Random,
    vector::{Checkpoint, Error, Hit, Layout, Project, Read, Search, Stored, Write},
};

use super::{Evidence, Guard, Options, Stopped};

/// The write side, and the guard that its read side shares.
#[must_use]
pub fn vectors(inner: Arc<dyn Project>, options: Options, random: Random) -> (Arc<dyn Project>, Arc<Guard>) {
    let store = Arc::clone(&inner);
    let probe = Box::new(move || -> futures::future::BoxFuture<'static, bool> {
        let store = Arc::clone(&store);
        Box::pin(async move { store.probe().await.is_ok() })
    });
    let guard = Guard::new("vector", options, random, probe);
    (Arc::new(Guarded { inner, guard: Arc::clone(&guard) }), guard)
}

/// The read side, behind the guard of the write side.
#[must_use]
pub fn points(inner: Arc<dyn Read>, guard: Arc<Guard>) -> Arc<dyn Read> {
    Arc::new(Guarded { inner, guard })
}

struct Guarded<T: ?Sized> {
    inner: Arc<T>,
    guard: Arc<Guard>,
}

/// What a bulk says of the store: one that holds anything works; refusals are their items' own.
#[expect(clippy::ptr_arg, reason = "it judges what a call answers, which is a vector")]
pub(super) fn judged(answers: &Vec<Answer>) -> Evidence {
    let failed = |answer: &Answer| matches!(answer, Answer::Transient(_) | Answer::Indeterminate(_));
    if answers.iter().any(Answer::is_held) {
        Evidence::Healthy
    } else if answers.iter().any(failed) || (planted(Bug::BreakerCountsBadRequests) && !answers.is_empty()) {
        Evidence::Unhealthy
    } else {
        Evidence::None
    }
}

/// What the writes of a call that was stopped are answered.
pub(super) fn stopped(why: Stopped, count: usize) -> Vec<Answer> {
    let answer = match why {
        Stopped::Open => Answer::Transient(Reason::new("breaker_open", "the store's breaker is open")),
        Stopped::Full => {
            Answer::Transient(Reason::new("too_many_calls", "too many calls wait for the store"))
        }
        Stopped::Late => Answer::Indeterminate(Reason::new("deadline", "the store did not answer in time")),
    };
    vec![answer; count]
}

fn read_judged<T>(answer: &Result<T, Error>) -> Evidence {
    match answer {
        Ok(_) => Evidence::Healthy,
        Err(Error::Unavailable(_)) => Evidence::Unhealthy,
        Err(Error::Unsupported(_)) => Evidence::None,
    }
}

fn unread<T>(answer: Result<Result<T, Error>, Stopped>) -> Result<T, Error> {
    answer.unwrap_or_else(|stopped| Err(Error::Unavailable(stopped.sentence())))
}

#[async_trait]
impl Project for Guarded<dyn Project> {
    async fn write(&self, writes: &[Write]) -> Vec<Answer> {
        let answers = self.guard.call("write", self.inner.write(writes), judged).await;
        answers.unwrap_or_else(|why| stopped(why, writes.len()))
    }

    async fn markers(
        &self,
        points: &[(Space, MemoryId, Layout)],
    ) -> Result<Vec<Option<(Version, Digest)>>, Error> {
        unread(self.guard.read("markers", || self.inner.markers(points), read_judged).await)
    }

    async fn remove(&self, points: &[(Space, MemoryId, Version)]) -> Result<Vec<bool>, Error> {
        unread(self.guard.call("remove", self.inner.remove(points), read_judged).await)
    }

    fn durable_when_acknowledged(&self) -> bool {
        self.inner.durable_when_acknowledged()
    }

    /// Outside the guard, like all that maintains the store: it may take long, and nobody waits for it.
    async fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.inner.checkpoint(checkpoint).await
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        self.inner.last_checkpoint().await
    }

    async fn clear(&self) -> Result<(), Error> {
        self.inner.clear().await
    }

    async fn probe(&self) -> Result<(), Error> {
        self.inner.probe().await
    }
}

#[async_trait]
impl Read for Guarded<dyn Read> {
    async fn search(&self, search: &Search) -> Result<Vec<Hit>, Error> {
        unread(self.guard.read("search", || self.inner.search(search), read_judged).await)
    }

    async fn ids(&self, cursor: Option<String>, limit: usize) -> Result<(Vec<Uuid>, Option<String>), Error> {
        unread(self.guard.read("ids", || self.inner.ids(cursor.clone(), limit), read_judged).await)
    }

    async fn points(&self, ids: &[Uuid]) -> Result<Vec<Stored>, Error> {
        unread(self.guard.read("points", || self.inner.points(ids), read_judged).await)
    }

    async fn scan(
        &self,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Stored>, Option<String>), Error> {
        unread(self.guard.read("scan", || self.inner.scan(cursor.clone(), limit), read_judged).await)
    }
}
