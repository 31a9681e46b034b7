//! `GET /v1/commands?space=`: commands by the key that they hold, or by how far they have come.

use axum::{
    Json,
    extract::{Query, rejection::QueryRejection},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ledger::SagaRow,
    log::envelope::schema::{outcome, text},
    model::{Outcome, Position, Space, State as Stage, Timestamp},
    reader::CommandsWanted,
};

use super::{
    Problem,
    access::Access,
    memories::Consistency,
    openapi::words::{OutcomeRef, SpaceName},
    parameters,
    views::Read,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FindQuery {
    #[schemars(with = "SpaceName")]
    space: Space,
    /// The source that goes with `id`; none: the empty one.
    source: Option<String>,
    /// The one command that holds this id.
    id: Option<String>,
    /// Those in any of these states, with commas between them; none: all.
    state: Option<String>,
    #[serde(default)]
    order: Order,
    /// How many at most; 50.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<usize>,
    /// Where to go on: the `next_cursor` of the list before.
    cursor: Option<String>,
    #[serde(default, rename = "consistency")]
    _consistency: Consistency,
}

/// In which order commands are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// As they stand in the log.
    #[default]
    Oldest,
    /// The other way round.
    Newest,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Commands")]
pub(super) struct Found {
    commands: Vec<CommandView>,
    /// Null: there are no more.
    next_cursor: Option<String>,
}

/// A command, and how far it has come.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FoundCommand")]
struct CommandView {
    #[schemars(with = "outcome::Position")]
    position: Position,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    kind: Option<String>,
    #[schemars(with = "text::Time")]
    accepted_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<text::Time>")]
    finished_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OutcomeRef>")]
    outcome: Option<Outcome>,
}

impl From<(Position, SagaRow)> for CommandView {
    fn from((position, row): (Position, SagaRow)) -> Self {
        let outcome = row.outcome(position.partition_id());
        let (mut command_id, mut source, mut kind) = (None, None, None);
        if let Some(header) = row.header {
            (command_id, source, kind) = (Some(header.id), Some(header.source), Some(header.kind));
        }
        Self {
            position,
            state: row.state.as_str(),
            command_id,
            source,
            kind,
            accepted_at: row.accepted_at,
            finished_at: row.finished_at,
            outcome,
        }
    }
}

/// Finds one command by its id, or lists those in some states.
pub(super) async fn find(
    access: Access,
    query: Result<Query<FindQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = parameters::query(query)?;
    let space = access.read(query.space)?;
    let limit = access.limit(query.limit)?;
    let (demand, _permit) = space.demand(&headers).await?;
    let reader = space.reader();
    if let Some(id) = &query.id {
        if query.state.is_some() || query.cursor.is_some() {
            return Err(Problem::bad_request("`id` names one command; leave out `state` and `cursor`"));
        }
        let source = query.source.as_deref().unwrap_or_default();
        let answer = reader.command_named(&space, source, id, demand).await?;
        let commands = answer.value.into_iter().map(CommandView::from).collect();
        let value = Found { commands, next_cursor: None };
        return Ok(Json(Read { value, provenance: answer.provenance }).into_response());
    }
    if query.source.is_some() {
        return Err(Problem::bad_request("`source` belongs to an `id`: together they name one command"));
    }
    let wanted = CommandsWanted {
        states: states(query.state.as_deref())?,
        newest_first: query.order == Order::Newest,
        after: query.cursor.as_deref().map(after).transpose()?,
        limit,
        space: space.clone(),
    };
    let answer = reader.commands(&wanted, demand).await?;
    let value = Found {
        commands: answer.value.found.into_iter().map(CommandView::from).collect(),
        next_cursor: answer.value.next.map(|position| URL_SAFE_NO_PAD.encode(position.to_string())),
    };
    Ok(Json(Read { value, provenance: answer.provenance }).into_response())
}

/// `state=running,pending`; `unfinished` and `ended` stand for three each.
fn states(text: Option<&str>) -> Result<Vec<Stage>, Problem> {
    let unfinished = [Stage::Pending, Stage::Running, Stage::Compensating];
    let ended = [Stage::Committed, Stage::Compensated, Stage::Failed];
    let mut states = Vec::new();
    for word in text.unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
        match word {
            "unfinished" => states.extend(unfinished),
            "ended" => states.extend(ended),
            word => {
                let named = unfinished.iter().chain(&ended).find(|state| state.as_str() == word);
                states.extend(Some(*named.ok_or_else(|| {
                    let detail = "`state` is any of pending, running, compensating, committed, compensated, \
                                  failed, unfinished, ended";
                    Problem::bad_request(detail)
                })?));
            }
        }
    }
    Ok(states)
}

/// The position beyond which a part begins.
fn after(cursor: &str) -> Result<Position, Problem> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let position = text.and_then(|text| text.parse().ok());
    position
        .ok_or_else(|| Problem::bad_request("`cursor` is not one that a list of commands has answered with"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_named_one_by_one_or_by_whether_they_have_ended() {
        let named = |text| states(Some(text)).expect("known");
        assert_eq!(named("running,failed"), [Stage::Running, Stage::Failed]);
        assert_eq!(named("unfinished").len() + named("ended").len(), 6);
        assert!(named("ended").iter().all(|state| state.is_terminal()));
        assert_eq!(states(None).expect("all"), []);
        assert!(states(Some("stuck")).is_err());
    }

    #[test]
    fn a_cursor_leads_back_to_its_position() {
        let position: Position = "1.17.1680".parse().expect("a position");
        assert_eq!(after(&URL_SAFE_NO_PAD.encode(position.to_string())).expect("ours"), position);
        assert!(after("…").is_err());
    }
}
