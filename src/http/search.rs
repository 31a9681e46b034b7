//! `POST /v1/search`.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{
    model::{Code, FieldError, Space, Sparse, memory::f32s_from_bytes},
    reader::Question,
};

use super::{
    Problem, Shared, State, body,
    filter::FilterParts,
    parameters,
    views::{HitView, Read},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    space: Space,
    #[serde(default)]
    vector: Option<Dense>,
    #[serde(default)]
    sparse: Option<SparseParts>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    filter: Option<FilterParts>,
    #[serde(default)]
    min_score: Option<f32>,
    #[serde(default)]
    include: Vec<Include>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Dense {
    Numbers(Vec<f32>),
    Bytes { b64: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SparseParts {
    indices: Vec<u32>,
    values: Vec<f32>,
}

/// What hits carry beside the memory itself.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Include {
    Vectors,
}

#[derive(Debug, Serialize)]
struct Found {
    hits: Vec<HitView>,
}

/// Searches one space.
pub(super) async fn search(shared: State, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let demand = parameters::demand(&headers, &shared.options)?;
    let bytes = body::read(body, &shared.options).await?;
    let wanted: Wanted =
        serde_json::from_slice(&bytes).map_err(|error| refused(Code::Malformed, "", &error))?;
    let (question, vectors) = wanted.checked(&shared)?;
    let _permit = shared.permit(demand)?;
    let answer = shared.ports.reader.search(&question, demand).await?;
    let value = Found { hits: answer.value.iter().map(|hit| HitView::of(hit, vectors)).collect() };
    Ok(Json(Read { value, provenance: answer.provenance }).into_response())
}

/// Most questions of one batch.
const SEARCHES_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Several {
    searches: Vec<Wanted>,
}

#[derive(Debug, Serialize)]
struct Answers {
    answers: Vec<Read<Found>>,
}

/// `POST /v1/search/batch`: independent questions, answered in their order.
pub(super) async fn batch(shared: State, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let demand = parameters::demand(&headers, &shared.options)?;
    let bytes = body::read(body, &shared.options).await?;
    let Several { searches } =
        serde_json::from_slice(&bytes).map_err(|error| refused(Code::Malformed, "", &error))?;
    if !(1..=SEARCHES_MAX).contains(&searches.len()) {
        let detail = format!("a batch holds 1 to {SEARCHES_MAX} searches; this one has {}", searches.len());
        return Err(refused(Code::InvalidField, "/searches", &detail));
    }
    let questions = searches.into_iter().map(|wanted| wanted.checked(&shared));
    let questions = questions.collect::<Result<Vec<_>, Problem>>()?;
    let _permit = shared.permit(demand)?;
    let mut answers = Vec::with_capacity(questions.len());
    for (question, vectors) in &questions {
        let answer = shared.ports.reader.search(question, demand).await?;
        let value = Found { hits: answer.value.iter().map(|hit| HitView::of(hit, *vectors)).collect() };
        answers.push(Read { value, provenance: answer.provenance });
    }
    Ok(Json(Answers { answers }).into_response())
}

fn refused(code: Code, pointer: &str, detail: &dyn std::fmt::Display) -> Problem {
    Problem::refused(code, vec![FieldError::new(code, pointer, detail.to_string())])
}

impl Wanted {
    /// The question, and whether hits are to carry their vectors.
    fn checked(self, shared: &Shared) -> Result<(Question, bool), Problem> {
        let vectors = self.include.contains(&Include::Vectors);
        let limit = shared.limit(self.limit)?;
        Ok((self.question(limit)?, vectors))
    }

    fn question(self, limit: usize) -> Result<Question, Problem> {
        Ok(Question {
            space: self.space,
            vector: self.vector.map(Dense::values).transpose()?,
            sparse: self.sparse.map(SparseParts::checked).transpose()?,
            text: self.text,
            limit,
            filter: self.filter.unwrap_or_default().checked()?,
            min_score: self.min_score,
        })
    }
}

impl Dense {
    fn values(self) -> Result<Arc<[f32]>, Problem> {
        let bad = |detail: &str| refused(Code::InvalidField, "/vector", &detail);
        let values: Arc<[f32]> = match self {
            Self::Numbers(values) => values.into(),
            Self::Bytes { b64 } => STANDARD
                .decode(b64)
                .ok()
                .and_then(|bytes| f32s_from_bytes(&bytes))
                .ok_or_else(|| bad("`b64` is base64 of little-endian f32 values, four bytes each"))?,
        };
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(bad("the vector holds a value that is not a finite f32"))
        }
    }
}

impl SparseParts {
    fn checked(self) -> Result<Sparse, Problem> {
        let finite = self.values.iter().all(|value| value.is_finite());
        let rising = self.indices.is_sorted_by(|a, b| a < b);
        if !finite || !rising || self.indices.len() != self.values.len() {
            let detail = "a sparse vector has strictly rising `indices` and as many finite `values`";
            return Err(refused(Code::InvalidField, "/sparse", &detail));
        }
        Ok(Sparse { indices: self.indices.into(), values: self.values.into(), derived: false })
    }
}
