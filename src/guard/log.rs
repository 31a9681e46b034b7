//! The producer's side of the log behind its guard. Readers and memberships pass: whoever owns a partition
//! waits for the log as long as it takes.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    fault::{Bug, planted},
    log::{
        AppendError, AppendedAt, Bounds, CommandLog, Membership, NewRecord, ReadError, Reader, Record,
        Topology,
    },
    random::Random,
};

use super::{Evidence, Guard, Options, Stopped};

/// The log, its appends guarded.
#[must_use]
pub fn log(
    inner: Arc<dyn CommandLog>,
    options: Options,
    random: Random,
) -> (Arc<dyn CommandLog>, Arc<Guard>) {
    let store = Arc::clone(&inner);
    let probe = Box::new(move || -> futures::future::BoxFuture<'static, bool> {
        let store = Arc::clone(&store);
        Box::pin(async move { store.bounds(0).await.is_ok() })
    });
    let guard = Guard::new("log", options, random, probe);
    (Arc::new(Guarded { inner, guard: Arc::clone(&guard) }), guard)
}

struct Guarded {
    inner: Arc<dyn CommandLog>,
    guard: Arc<Guard>,
}

#[expect(clippy::ptr_arg, reason = "it judges what a call answers, which is a vector")]
fn judged(answers: &Vec<Result<AppendedAt, AppendError>>) -> Evidence {
    let failed =
        |answer: &Result<_, _>| matches!(answer, Err(AppendError::Unavailable(_) | AppendError::Unknown(_)));
    if answers.iter().any(Result::is_ok) {
        Evidence::Healthy
    } else if answers.iter().any(failed) {
        Evidence::Unhealthy
    } else {
        Evidence::None
    }
}

#[async_trait]
impl CommandLog for Guarded {
    fn topology(&self) -> Topology {
        self.inner.topology()
    }

    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<AppendedAt, AppendError>> {
        let count = records.len();
        let answers = self.guard.call("append", self.inner.append(records), judged).await;
        answers.unwrap_or_else(|why| {
            let error = match why {
                Stopped::Open => AppendError::Unavailable("its breaker is open".to_owned()),
                Stopped::Full => AppendError::Unavailable("too many appends wait for it".to_owned()),
                Stopped::Late if planted(Bug::LateAppendIsRefusal) => {
                    AppendError::Unavailable("it did not answer in time".to_owned())
                }
                Stopped::Late => AppendError::Unknown("it did not answer in time".to_owned()),
            };
            vec![Err(error); count]
        })
    }

    async fn reader(&self, partition: u32, offset: u64) -> Result<Box<dyn Reader>, ReadError> {
        self.inner.reader(partition, offset).await
    }

    async fn bounds(&self, partition: u32) -> Result<Bounds, ReadError> {
        self.inner.bounds(partition).await
    }

    async fn record(&self, partition: u32, offset: u64) -> Result<Option<Record>, ReadError> {
        self.inner.record(partition, offset).await
    }

    async fn join(&self) -> Result<Box<dyn Membership>, ReadError> {
        self.inner.join().await
    }

    async fn note_watermark(&self, partition: u32, watermark: u64) {
        self.inner.note_watermark(partition, watermark).await;
    }
}
