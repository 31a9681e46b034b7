//! `POST /v1/commands/{position}/cancel`, `/retry`, `/resolve`: what an operator does about one command.
//!
//! The order is durable when it is answered, and carried out by whichever process works on the partition.
//! What became of it is the command's own outcome.

use axum::{
    Json,
    extract::{
        Path, Query,
        rejection::{PathRejection, QueryRejection},
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ledger::{Order, SagaRow, Side},
    log::envelope::schema::outcome,
    model::{Position, State},
    reader::CommandState,
};

use super::{
    access::{Access, Operator},
    problem::{Problem, Reason},
};

/// What can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OrderName {
    /// End it: failed if it waits, else undone.
    Cancel,
    /// Send it again now, as it stands.
    Retry,
    /// End it with the image that `to` names.
    Resolve,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderQuery {
    /// Of `resolve`: what its records are to be like.
    to: Option<SideName>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SideName {
    /// As before the command.
    Before,
    /// As the command makes them.
    After,
}

/// An order that will be carried out.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Ordered {
    #[schemars(with = "outcome::Position")]
    position: Position,
    order: OrderName,
    /// How far the command had come.
    state: &'static str,
}

/// `POST /v1/commands/{position}/{order}`.
pub(super) async fn order(
    access: Access,
    path: Result<Path<(String, OrderName)>, PathRejection>,
    query: Result<Query<OrderQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let operator = access.operator()?;
    let Path((text, name)) = path.map_err(|_| Problem::absent("this order", false))?;
    let position: Position =
        text.parse().map_err(|error| Problem::bad_request(format!("`position`: {error}")))?;
    let Query(OrderQuery { to }) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let order = meant(name, to)?;
    let row = operator.unfinished(position).await?;
    refuse(&row, order)?;
    if !operator.ledger().order(position, order).await? {
        return Err(refused("an operator has resolved it already, and that is being carried out"));
    }
    let location = [(header::LOCATION, format!("/v1/commands/{position}"))];
    let ordered = Ordered { position, order: name, state: row.state.as_str() };
    Ok((StatusCode::ACCEPTED, location, Json(ordered)).into_response())
}

fn meant(name: OrderName, to: Option<SideName>) -> Result<Order, Problem> {
    match (name, to) {
        (OrderName::Cancel, None) => Ok(Order::Cancel),
        (OrderName::Retry, None) => Ok(Order::Retry),
        (OrderName::Resolve, Some(SideName::Before)) => Ok(Order::Resolve(Side::Before)),
        (OrderName::Resolve, Some(SideName::After)) => Ok(Order::Resolve(Side::After)),
        (OrderName::Resolve, None) => Err(Problem::bad_request("`resolve` takes `to=before` or `to=after`")),
        (_, Some(_)) => Err(Problem::bad_request("only `resolve` takes `to`")),
    }
}

/// What has no meaning for a command as it stands. It may come to stand otherwise at any moment: the owner
/// of its partition looks again.
fn refuse(row: &SagaRow, order: Order) -> Result<(), Problem> {
    if let Some(first) = row.duplicate_of {
        return Err(refused(format!("it repeats the command at offset {first}, and ends with that one")));
    }
    match (row.state, order) {
        (State::Pending, Order::Resolve(_)) => {
            Err(refused("it has not begun, so there is nothing to resolve; `cancel` ends it"))
        }
        (State::Compensating, Order::Cancel) => Err(refused("it is being undone already")),
        _ => Ok(()),
    }
}

fn refused(detail: impl Into<String>) -> Problem {
    Problem::new(Reason::OrderRefused, detail)
}

impl Operator<'_> {
    /// The command at `position`, which has not ended.
    async fn unfinished(&self, position: Position) -> Result<SagaRow, Problem> {
        match self.reader().command(position).await? {
            CommandState::Known(row) if row.state.is_terminal() => {
                Err(refused(format!("it has ended: {}", row.state.as_str())))
            }
            CommandState::Known(row) => Ok(*row),
            CommandState::Accepted => {
                Err(refused("it is in the log alone; no worker has taken it in, so try again"))
            }
            CommandState::Swept => Err(Problem::new(Reason::Swept, "this command ended long ago")),
            CommandState::Unknown => {
                Err(Problem::new(Reason::UnknownPosition, "the log has no such position"))
            }
        }
    }
}
