//! A projecting graph store behind its guard.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    graph::{Error, Project, Register, Write},
    model::{Answer, Digest, Version},
    random::Random,
};

use super::{
    Evidence, Guard, Options, Stopped,
    vectors::{judged, stopped},
};

/// The write side, and its guard. It has no health write of its own: the probe reads one register's page.
#[must_use]
pub fn graph(inner: Arc<dyn Project>, options: Options, random: Random) -> (Arc<dyn Project>, Arc<Guard>) {
    let store = Arc::clone(&inner);
    let probe = Box::new(move || -> futures::future::BoxFuture<'static, bool> {
        let store = Arc::clone(&store);
        Box::pin(async move { store.scan(None, 1).await.is_ok() })
    });
    let guard = Guard::new("graph", options, random, probe);
    (Arc::new(Guarded { inner, guard: Arc::clone(&guard) }), guard)
}

struct Guarded {
    inner: Arc<dyn Project>,
    guard: Arc<Guard>,
}

fn read_judged<T>(answer: &Result<T, Error>) -> Evidence {
    if answer.is_ok() { Evidence::Healthy } else { Evidence::Unhealthy }
}

fn unread<T>(answer: Result<Result<T, Error>, Stopped>) -> Result<T, Error> {
    answer.unwrap_or_else(|why| {
        let why = match why {
            Stopped::Open => "its breaker is open",
            Stopped::Full => "too many calls wait for it",
            Stopped::Late => "it did not answer in time",
        };
        Err(Error::Unavailable(why.to_owned()))
    })
}

#[async_trait]
impl Project for Guarded {
    async fn write(&self, writes: &[Write]) -> Vec<Answer> {
        let answers = self.guard.call("write", self.inner.write(writes), judged).await;
        answers.unwrap_or_else(|why| stopped(why, writes.len()))
    }

    async fn markers(&self, registers: &[Register]) -> Result<Vec<Option<(Version, Digest)>>, Error> {
        unread(self.guard.read("markers", || self.inner.markers(registers), read_judged).await)
    }

    async fn scan(
        &self,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Write>, Option<String>), Error> {
        unread(self.guard.read("scan", || self.inner.scan(cursor.clone(), limit), read_judged).await)
    }
}
