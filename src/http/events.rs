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

use std::time::Duration;

use axum::{
    extract::{Query, rejection::QueryRejection},
    http::HeaderMap,
    response::sse::{Event, Sse},
};
use futures::{Stream, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    model::{Outcome, Space},
    reader::{Cursor, Follow, FollowError},
};

use super::{Problem, access::Access, openapi::words::SpaceName, parameters, problem::Reason};

/// How long a stream is silent at most.
const SILENCE: Duration = Duration::from_secs(15);
/// How long a client should wait before it connects again.
const RECONNECT: Duration = Duration::from_secs(1);

/// Where a stream begins that goes on from nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EventsFrom")]
enum From {
    /// With what happens next.
    #[default]
    Now,
    /// With the oldest outcome that is kept.
    Start,
}

/// What may be asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    #[schemars(with = "SpaceName")]
    space: Space,
    #[serde(default)]
    from: From,
}

type Line = Result<Event, std::convert::Infallible>;

/// Follows a space.
pub(super) async fn follow(
    access: Access,
    query: Result<Query<EventsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Line>>, Problem> {
    let query = parameters::query(query)?;
    let space = access.read(query.space)?;
    let partition = access.partition_of(&space).await?;
    let last = headers.get("last-event-id").filter(|last| !last.is_empty());
    let last = last.map(|last| Cursor::parse(last.to_str().unwrap_or_default(), &space)).transpose();
    let last = last.map_err(|error| Problem::bad_request(format!("`Last-Event-ID`: {error}")))?;
    let from = last.or_else(|| (query.from == From::Start).then(|| Cursor::start(partition)));
    let permit = access.place_to_stream().ok_or_else(|| {
        Problem::new(Reason::TooManyStreams, "as many streams are open as may; close one, or try again later")
    })?;
    let follow = space.follow(partition, from).await.map_err(problem)?;
    Ok(Sse::new(lines(follow, permit)))
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
