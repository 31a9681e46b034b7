//! `POST /v1/search`.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model::{Code, FieldError, Space, Sparse, memory::f32s_from_bytes},
    reader::Question,
};

use super::{
    Problem,
    access::{Access, Granted},
    body::{self, Object},
    filter::FilterParts,
    openapi::words::SpaceName,
    views::{HitView, Read},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Search", extend("anyOf" = [
    {"required": ["vector"]}, {"required": ["sparse"]}, {"required": ["text"]},
]))]
pub(super) struct Wanted {
    #[schemars(with = "SpaceName")]
    space: Space,
    #[serde(default)]
    vector: Option<Dense>,
    #[serde(default)]
    #[schemars(with = "Option<SparseParts>")]
    sparse: Option<Object<SparseParts>>,
    #[serde(default)]
    text: Option<String>,
    /// How many hits at most; 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<usize>,
    #[serde(default)]
    #[schemars(with = "Option<FilterParts>")]
    filter: Option<Object<FilterParts>>,
    #[serde(default)]
    min_score: Option<f32>,
    #[serde(default)]
    include: Vec<Include>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SearchVector")]
#[serde(untagged, expecting = "a list of numbers, or {\"b64\": …}")]
enum Dense {
    Numbers(Vec<f32>),
    Bytes { b64: String },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SearchSparse")]
#[serde(deny_unknown_fields)]
struct SparseParts {
    indices: Vec<u32>,
    values: Vec<f32>,
}

/// What hits carry beside the memory itself.
#[derive(Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Include {
    Vectors,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Hits")]
pub(super) struct Found {
    hits: Vec<HitView>,
}

/// Searches one space.
pub(super) async fn search(access: Access, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let bytes = body::read(&headers, body, access.options()).await?;
    let search = Search::checked(body::parse::<Wanted>(&bytes)?, &access)?;
    Ok(Json(search.answer(&headers).await?).into_response())
}

/// Most questions of one batch.
const SEARCHES_MAX: usize = 100;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Searches")]
pub(super) struct Several {
    #[schemars(with = "Vec<Wanted>", length(min = 1, max = 100))]
    searches: Vec<Object<Wanted>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SearchAnswers")]
pub(super) struct Answers {
    answers: Vec<Read<Found>>,
}

/// `POST /v1/search/batch`: independent questions, answered in their order.
pub(super) async fn batch(access: Access, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let bytes = body::read(&headers, body, access.options()).await?;
    let Several { searches } = body::parse(&bytes)?;
    if !(1..=SEARCHES_MAX).contains(&searches.len()) {
        let detail = format!("a batch holds 1 to {SEARCHES_MAX} searches; this one has {}", searches.len());
        return Err(refused(Code::InvalidField, "/searches", &detail));
    }
    let searches = searches.into_iter().map(|Object(wanted)| Search::checked(wanted, &access));
    let searches = searches.collect::<Result<Vec<_>, Problem>>()?;
    let mut answers = Vec::with_capacity(searches.len());
    for search in &searches {
        answers.push(search.answer(&headers).await?);
    }
    Ok(Json(Answers { answers }).into_response())
}

fn refused(code: Code, pointer: &str, detail: &dyn std::fmt::Display) -> Problem {
    Problem::refused(code, vec![FieldError::new(code, pointer, detail.to_string())])
}

/// A question about a space that is open to who asks.
struct Search<'a> {
    space: Granted<'a>,
    question: Question,
    /// Whether hits are to carry their vectors.
    vectors: bool,
}

impl<'a> Search<'a> {
    fn checked(wanted: Wanted, access: &'a Access) -> Result<Self, Problem> {
        let space = access.read(wanted.space.clone())?;
        let vectors = wanted.include.contains(&Include::Vectors);
        let limit = access.limit(wanted.limit)?;
        Ok(Self { space, question: wanted.question(limit)?, vectors })
    }

    async fn answer(&self, headers: &HeaderMap) -> Result<Read<Found>, Problem> {
        let (demand, _permit) = self.space.demand(headers).await?;
        let answer = self.space.reader().search(&self.question, demand).await?;
        let value = Found { hits: answer.value.iter().map(|hit| HitView::of(hit, self.vectors)).collect() };
        Ok(Read { value, provenance: answer.provenance })
    }
}

impl Wanted {
    fn question(self, limit: usize) -> Result<Question, Problem> {
        Ok(Question {
            space: self.space,
            vector: self.vector.map(Dense::values).transpose()?,
            sparse: self.sparse.map(|Object(sparse)| sparse.checked()).transpose()?,
            text: self.text,
            limit,
            filter: self.filter.map(|Object(filter)| filter.checked()).transpose()?.unwrap_or_default(),
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
