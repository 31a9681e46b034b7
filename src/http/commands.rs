//! Commands in, and what became of them.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Path, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    ledger::SagaRow,
    log::{AppendError, AppendedAt},
    model::{Effect, Outcome, PartitionId, Position, Timestamp, Token, outcome::Verdict},
    reader::CommandState,
};

use super::{
    Problem, Shared, State, body, forms,
    forms::Submission,
    ingest::{self, Item, Prepared, Rules},
    parameters,
    problem::Reason,
};

/// A command that is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Accepted {
    position: Position,
    command_id: String,
    state: &'static str,
    token: String,
}

/// One answer of several.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Accepted(Accepted),
    Ended(Box<Outcome>),
    Problem(Box<Problem>),
}

#[derive(Debug, Serialize)]
struct Answers {
    items: Vec<Answer>,
}

/// `POST /v1/commands`.
pub(super) async fn submit(shared: State, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let wait = parameters::wait(&headers, &shared.options)?;
    let key = parameters::idempotency_key(&headers)?;
    let bytes = body::read(body, &shared.options).await?;
    match forms::split(&headers, bytes)? {
        Submission::One(item) => one(&shared, &item, key, wait, StatusCode::OK).await,
        Submission::Several(_) if key.is_some() => Err(Problem::new(
            Reason::KeyForSeveral,
            "`Idempotency-Key` goes with one command; give each of several its own `id`",
        )),
        Submission::Several(items) => several(&shared, &items, wait).await,
    }
}

/// Sends one command, and answers for it: with `of_creation` when it made its only record.
pub(super) async fn one(
    shared: &Shared,
    item: &Item,
    key: Option<&str>,
    wait: Option<Duration>,
    of_creation: StatusCode,
) -> Result<Response, Problem> {
    let epoch = shared.epoch().await?;
    let prepared = ingest::prepare(item, key, shared.rules())
        .map_err(|refusal| Problem::refused(refusal.code, refusal.errors))?;
    let appended = shared.ports.log.append(vec![prepared.record]).await.pop();
    let accepted = accepted(epoch, appended, prepared.command_id)?;
    match shared.ended(accepted.position, wait).await? {
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

async fn several(shared: &Shared, items: &[Item], wait: Option<Duration>) -> Result<Response, Problem> {
    let epoch = shared.epoch().await?;
    let prepared: Vec<_> = items.iter().map(|item| ingest::prepare(item, None, shared.rules())).collect();
    let records = prepared.iter().flatten().map(|prepared| prepared.record.clone()).collect();
    let mut appended = shared.ports.log.append(records).await.into_iter();
    let mut answers: Vec<Answer> = prepared
        .into_iter()
        .map(|prepared| match prepared {
            Ok(Prepared { command_id, .. }) => match accepted(epoch, appended.next(), command_id) {
                Ok(accepted) => Answer::Accepted(accepted),
                Err(problem) => Answer::Problem(Box::new(problem)),
            },
            Err(refusal) => Answer::Problem(Box::new(Problem::refused(refusal.code, refusal.errors))),
        })
        .collect();
    let status = if wait.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    if let Some(wait) = wait {
        shared.end(&mut answers, wait).await?;
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

impl Shared {
    fn rules(&self) -> Rules<'_> {
        Rules { limits: &self.ports.limits, clock: &*self.ports.clock, random: &self.ports.random }
    }

    /// The outcome, if it was asked for and comes in time. When as many requests wait as may, nobody
    /// else does: the command is in the log all the same.
    async fn ended(&self, position: Position, wait: Option<Duration>) -> Result<Option<Outcome>, Problem> {
        let Some(wait) = wait else { return Ok(None) };
        let Ok(_permit) = self.waiting.try_acquire() else { return Ok(None) };
        match self.ports.reader.wait_for(position, wait).await? {
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
#[derive(Debug, Serialize)]
struct Command {
    position: Position,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
}

/// `GET /v1/commands/{position}`.
pub(super) async fn show(
    shared: State,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<serde_json::Value>, Problem> {
    let Path(text) = path.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let position: Position = text.parse().map_err(|error| Problem::bad_request(format!("{error}")))?;
    let wait = parameters::wait(&headers, &shared.options)?;
    let permit = shared.waiting.try_acquire();
    let wait = wait.filter(|_| permit.is_ok()).unwrap_or_default();
    let command = match shared.ports.reader.wait_for(position, wait).await? {
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
    Ok(Json(serde_json::to_value(command).expect("a view always serialises")))
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
