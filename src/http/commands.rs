//! Commands in, and what became of them.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    ledger::SagaRow,
    log::{
        AppendError, AppendedAt,
        envelope::schema::{outcome, text},
    },
    model::{Effect, Outcome, PartitionId, Position, Timestamp, Token, outcome::Verdict},
    reader::CommandState,
};

use super::{
    Problem,
    access::{Access, Admitted},
    body, forms,
    forms::Submission,
    ingest::Item,
    openapi::words::OutcomeRef,
    parameters::{self, OnePart},
    problem::Reason,
};

/// A command that is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Accepted {
    #[schemars(with = "outcome::Position")]
    position: Position,
    command_id: String,
    state: &'static str,
    token: String,
}

/// One answer of several.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Answer {
    Accepted(Accepted),
    Ended(#[schemars(with = "OutcomeRef")] Box<Outcome>),
    Problem(Box<Problem>),
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Answers {
    items: Vec<Answer>,
}

/// `POST /v1/commands`.
pub(super) async fn submit(access: Access, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let wait = parameters::wait(&headers, access.options())?;
    let key = parameters::idempotency_key(&headers)?;
    let bytes = body::read(&headers, body, access.options()).await?;
    match forms::split(&headers, bytes)? {
        Submission::One(item) => one(&access, &item, key, wait, StatusCode::OK).await,
        Submission::Several(_) if key.is_some() => Err(Problem::new(
            Reason::KeyForSeveral,
            "`Idempotency-Key` goes with one command; give each of several its own `id`",
        )),
        Submission::Several(items) => several(&access, &items, wait).await,
    }
}

/// Sends one command, and answers for it: with `of_creation` when it made its only record.
pub(super) async fn one(
    access: &Access,
    item: &Item,
    key: Option<&str>,
    wait: Option<Duration>,
    of_creation: StatusCode,
) -> Result<Response, Problem> {
    let epoch = access.epoch().await?;
    let admitted = access.admit(item, key)?;
    let command_id = admitted.command_id.clone();
    let appended = access.append(vec![admitted]).await.pop();
    let accepted = accepted(epoch, appended, command_id)?;
    match access.ended(accepted.position, wait).await? {
        Some(outcome) if outcome.verdict == Verdict::Committed => {
            Ok((status_of(&outcome, of_creation), token_header(&accepted), Json(outcome)).into_response())
        }
        Some(outcome) => Err(Problem::outcome(outcome)),
        None => {
            let location = format!("/v1/commands/{}", accepted.position);
            let location = [(header::LOCATION, location)];
            Ok((StatusCode::ACCEPTED, location, token_header(&accepted), Json(accepted)).into_response())
        }
    }
}

fn status_of(outcome: &Outcome, of_creation: StatusCode) -> StatusCode {
    match outcome.records.as_slice() {
        [only] if only.effect == Effect::Created => of_creation,
        _ => StatusCode::OK,
    }
}

async fn several(access: &Access, items: &[Item], wait: Option<Duration>) -> Result<Response, Problem> {
    let epoch = access.epoch().await?;
    let mut admitted: Vec<Admitted> = Vec::with_capacity(items.len());
    let mut admit = |item| {
        let one = access.admit(item, None)?;
        let command_id = one.command_id.clone();
        admitted.push(one);
        Ok::<_, Problem>(command_id)
    };
    let ids: Vec<_> = items.iter().map(&mut admit).collect();
    let mut appended = access.append(admitted).await.into_iter();
    let answer = |id: Result<String, Problem>| match id.and_then(|id| accepted(epoch, appended.next(), id)) {
        Ok(accepted) => Answer::Accepted(accepted),
        Err(problem) => Answer::Problem(Box::new(problem)),
    };
    let mut answers: Vec<Answer> = ids.into_iter().map(answer).collect();
    let status = if wait.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    if let Some(wait) = wait {
        access.end(&mut answers, wait).await?;
    }
    Ok((status, Json(Answers { items: answers })).into_response())
}

fn accepted(
    epoch: u32,
    appended: Option<Result<AppendedAt, AppendError>>,
    command_id: String,
) -> Result<Accepted, Problem> {
    let lost = || AppendError::Unknown("there was no answer".to_owned());
    let appended = appended.unwrap_or_else(|| Err(lost())).map_err(|error| {
        tracing::warn!(error = %error, "an append has no position");
        Problem::append(&error, &command_id)
    })?;
    let position = PartitionId { epoch, partition: appended.partition }.at(appended.offset);
    Ok(Accepted { position, command_id, state: "accepted", token: Token(position).to_string() })
}

fn token_header(accepted: &Accepted) -> [(HeaderName, HeaderValue); 1] {
    let value = HeaderValue::from_str(&accepted.token).expect("base64 is a header value");
    [(HeaderName::from_static("consistency-token"), value)]
}

impl Access {
    /// The outcome, if it was asked for and comes in time. When as many requests wait as may, nobody
    /// else does: the command is in the log all the same.
    async fn ended(&self, position: Position, wait: Option<Duration>) -> Result<Option<Outcome>, Problem> {
        let Some(wait) = wait else { return Ok(None) };
        let Some(_place) = self.place_to_wait() else { return Ok(None) };
        match self.command(position, wait).await? {
            CommandState::Known(row) => Ok(row.outcome(position.partition_id())),
            CommandState::Accepted | CommandState::Swept | CommandState::Unknown => Ok(None),
        }
    }

    /// Puts outcomes in the place of acceptances, as far as they come in time.
    async fn end(&self, answers: &mut [Answer], wait: Duration) -> Result<(), Problem> {
        let deadline = tokio::time::Instant::now() + wait;
        for answer in answers {
            let Answer::Accepted(accepted) = answer else { continue };
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if let Some(outcome) = self.ended(accepted.position, Some(left)).await? {
                *answer = Answer::Ended(Box::new(outcome));
            }
        }
        Ok(())
    }
}

/// What `GET /v1/commands/{position}` shows.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CommandStatus")]
pub(super) struct Command {
    #[schemars(with = "outcome::Position")]
    position: Position,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<text::Time>")]
    accepted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<text::Time>")]
    finished_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<OutcomeRef>")]
    outcome: Option<Outcome>,
}

/// `GET /v1/commands/{position}`.
pub(super) async fn show(
    access: Access,
    path: OnePart,
    headers: HeaderMap,
) -> Result<Json<Command>, Problem> {
    let text = parameters::whole(path)?;
    let position: Position =
        text.parse().map_err(|error| Problem::bad_request(format!("`position`: {error}")))?;
    let wait = parameters::wait(&headers, access.options())?;
    let place = wait.and_then(|_| access.place_to_wait());
    let wait = wait.filter(|_| place.is_some()).unwrap_or_default();
    let command = match access.command(position, wait).await? {
        CommandState::Known(row) => Command::of(position, *row),
        CommandState::Accepted => Command {
            position,
            state: "accepted",
            command_id: None,
            accepted_at: None,
            finished_at: None,
            outcome: None,
        },
        CommandState::Swept => {
            return Err(Problem::new(Reason::Swept, "this command ended long ago, and its row was swept"));
        }
        CommandState::Unknown => {
            return Err(Problem::new(Reason::UnknownPosition, "the log has no such position"));
        }
    };
    Ok(Json(command))
}

impl Command {
    fn of(position: Position, row: SagaRow) -> Self {
        Self {
            position,
            state: row.state.as_str(),
            outcome: row.outcome(position.partition_id()),
            command_id: row.header.map(|header| header.id),
            accepted_at: Some(row.accepted_at),
            finished_at: row.finished_at,
        }
    }
}
