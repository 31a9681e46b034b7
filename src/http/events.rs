//! `GET /v1/events?space=`: the outcomes of a space, as server-sent events.
//!
//! ```text
//! id: <cursor>             where the stream begins, so that a client which loses it at once can go on
//!
//! id: <cursor>
//! data: {"command":…}      one outcome, as everywhere
//! ```
//!
//! `Last-Event-ID` goes on behind an event; without it a stream begins now, or with `from=start` at the
//! oldest outcome that is kept. While nothing happens a comment is sent, with the cursor, so that neither
//! side takes silence for a broken line.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Query, rejection::QueryRejection},
    http::HeaderMap,
    response::sse::{Event, Sse},
};
use futures::{Stream, stream};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    model::{Outcome, PartitionId, Space},
    reader::{Cursor, Follow, FollowError},
};

use super::{Problem, Shared, State, parameters, problem::Reason};

/// How long a stream is silent at most.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a client should wait before it connects again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Where a stream begins that goes on from nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum From {
    /// With what happens next.
    #[default]
    Now,
    /// With the oldest outcome that is kept.
    Start,
}

/// What may be asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    space: String,
    #[serde(default)]
    from: From,
}

type Line = Result<Event, std::convert::Infallible>;

/// Follows a space.
pub(super) async fn follow(
    shared: State,
    query: Result<Query<EventsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Line>>, Problem> {
    let query = parameters::query(query)?;
    let space = Space::new(query.space).map_err(|error| Problem::bad_request(error.to_string()))?;
    let partition = shared.partition_of(&space).await?;
    let last = headers.get("last-event-id").filter(|last| !last.is_empty());
    let last = last.map(|last| Cursor::parse(last.to_str().unwrap_or_default(), &space)).transpose();
    let last = last.map_err(|error| Problem::bad_request(format!("`Last-Event-ID`: {error}")))?;
    let from = last.or_else(|| (query.from == From::Start).then(|| Cursor::start(partition)));
    let permit = Arc::clone(&shared.streams).try_acquire_owned().map_err(|_| {
        Problem::new(Reason::TooManyStreams, "as many streams are open as may; close one, or try again later")
    })?;
    let follow = shared.feed.follow(space, partition, from).await.map_err(problem)?;
    Ok(Sse::new(lines(follow, permit)))
}

impl Shared {
    /// Where the commands of `space` lie in the present epoch.
    async fn partition_of(&self, space: &Space) -> Result<PartitionId, Problem> {
        let topology = self.ports.log.topology();
        let partition = topology.partitioner.partition(space.as_str().as_bytes(), topology.partitions);
        Ok(PartitionId { epoch: self.epoch().await?, partition })
    }
}

fn problem(error: FollowError) -> Problem {
    match error {
        FollowError::Ledger(error) => error.into(),
        FollowError::Swept => {
            let detail = "the outcomes after this cursor are swept; begin again with `from=start`";
            Problem::new(Reason::Swept, detail)
        }
        FollowError::Foreign => Problem::bad_request(
            "`Last-Event-ID` is ahead of everything that has happened here; begin again with `from=start`",
        ),
    }
}

/// The stream ends when the server stops, or cannot go on: the client connects again, and is told why.
fn lines(follow: Follow, permit: OwnedSemaphorePermit) -> impl Stream<Item = Line> {
    let first = Event::default().id(follow.cursor().to_text(follow.space())).retry(RECONNECT);
    let rest = stream::unfold((follow, permit), |(mut follow, permit)| async move {
        let event = match tokio::time::timeout(SILENCE, follow.next()).await {
            Ok(Ok(Some((cursor, outcome)))) => of_outcome(follow.space(), cursor, &outcome),
            Ok(Ok(None)) => return None,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a stream of events ends");
                return None;
            }
            Err(_) => Event::default().id(follow.cursor().to_text(follow.space())).comment("nothing new"),
        };
        Some((Ok(event), (follow, permit)))
    });
    stream::StreamExt::chain(stream::once(async { Ok(first) }), rest)
}

fn of_outcome(space: &Space, cursor: Cursor, outcome: &Outcome) -> Event {
    let data = serde_json::to_string(outcome).expect("an outcome always serialises");
    Event::default().id(cursor.to_text(space)).data(data)
}
