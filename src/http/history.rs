//! What a memory was: `GET /v1/memories/{space}/{id}/history`, and `?as_of=` of the memory itself.

use axum::{
    Json,
    extract::{Query, rejection::QueryRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    log::envelope::schema::{outcome, text},
    model::{Effect, Position, Timestamp, Version, outcome::CommandName},
    reader::{Answer, Entry, Then},
};

use super::{
    Problem,
    access::Access,
    memories::{Consistency, Shown},
    parameters::{self, TwoParts},
    problem::Reason,
    views::{MemoryView, Read, present},
};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HistoryQuery {
    /// Whether vectors come with it.
    vectors: bool,
    /// How many at most; 50.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<usize>,
    /// Where to go on: the `next_cursor` of the list before.
    cursor: Option<String>,
    #[serde(rename = "consistency")]
    _consistency: Consistency,
}

/// One version, and the command that made it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PastMemory")]
struct EntryView {
    #[schemars(with = "text::Version")]
    version: Version,
    #[schemars(with = "outcome::Effect")]
    effect: Effect,
    /// From when it stood.
    #[schemars(with = "text::Time")]
    since: Timestamp,
    /// Until when it stood; null: it stands.
    #[schemars(with = "Option<text::Time>")]
    until: Option<Timestamp>,
    #[schemars(with = "Option<outcome::Position>")]
    position: Option<Position>,
    #[schemars(with = "Option<outcome::Command>")]
    command: Option<CommandName>,
    /// Null where it was deleted.
    memory: Option<MemoryView>,
}

impl EntryView {
    fn of(entry: Entry, vectors: bool) -> Self {
        let Entry { past, effect, position, command } = entry;
        Self {
            version: past.head.version,
            effect,
            since: past.head.updated_at,
            until: past.until,
            position,
            command,
            memory: MemoryView::of(&past.head, vectors),
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "History")]
pub(super) struct Listed {
    versions: Vec<EntryView>,
    /// Since when no version is missing; null: this space keeps none but the present one.
    #[schemars(with = "Option<text::Time>")]
    whole_since: Option<Timestamp>,
    /// Null: there are no more.
    next_cursor: Option<String>,
}

/// `GET /v1/memories/{space}/{id}/history`: newest first.
pub(super) async fn list(
    access: Access,
    path: TwoParts,
    query: Result<Query<HistoryQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (space, id) = parameters::memory(path)?;
    let space = access.read(space)?;
    let query = parameters::query(query)?;
    let before = query.cursor.as_deref().map(before).transpose()?;
    let limit = access.limit(query.limit)?;
    let (demand, _permit) = space.demand(&headers).await?;
    let answer = space.reader().history(&space, &id, before, limit, demand).await?;
    let (history, provenance) = present(answer, "this memory")?;
    let view = |entry| EntryView::of(entry, query.vectors);
    let value = Listed {
        versions: history.entries.into_iter().map(view).collect(),
        whole_since: history.whole_since,
        next_cursor: history.next.map(|version| URL_SAFE_NO_PAD.encode(version.to_string())),
    };
    Ok(Json(Read { value, provenance }).into_response())
}

/// The version below which a part begins.
fn before(cursor: &str) -> Result<Version, Problem> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let version = text.and_then(|text| text.parse().ok());
    version.ok_or_else(|| Problem::bad_request("`cursor` is not one that a history has answered with"))
}

/// The answer to `?as_of=`.
pub(super) fn shown(answer: Answer<Then>, vectors: bool) -> Result<Response, Problem> {
    let provenance = answer.provenance;
    let absent = || Problem::absent("this memory, as of that time,", provenance.pending > 0);
    match answer.value {
        Then::Was(head) => {
            let memory = MemoryView::of(&head, vectors).ok_or_else(absent)?;
            let tag = [(header::ETAG, parameters::etag(head.version))];
            Ok((tag, Json(Read { value: Shown { memory }, provenance })).into_response())
        }
        Then::WasNot => Err(absent()),
        Then::NotKept(None) => Err(Problem::new(
            Reason::HistoryNotKept,
            "what this memory was at that time is not kept; a space that is declared with `history` keeps it \
             from then on",
        )),
        Then::NotKept(Some(since)) => {
            let detail =
                format!("what this memory was at that time is not kept; its space keeps it since {since}");
            Err(Problem::new(Reason::HistoryNotKept, detail))
        }
    }
}
