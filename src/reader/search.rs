//! Search: the vector store finds, the heads decide.
//!
//! ```text
//! question ─▶ one leg each for vector, sparse, text ─▶ store's hits ─▶ heads ─▶ dead dropped,
//!                                                                       differing rescored
//!                                               fused by rank ◀─ each leg, best first ◀──┘
//! ```

use std::{collections::HashMap, sync::Arc};

use crate::{
    ledger::Head,
    model::{Code, Declaration, FieldError, MemoryId, Space, Sparse, space::Metric},
    vector::{self, Filter, Payload, Point, Query, Search, exact},
};

use super::{
    Answer, Demand, Error, Provenance, Reader, Scope,
    fusion::{OF_VECTORS, OF_WORDS, fuse},
};

/// How many hits each leg of a hybrid search brings for one that is asked for: what is tenth by
/// meaning and tenth by words may well be first of both.
const HYBRID_PREFETCH: usize = 4;
/// Hits beyond what is asked for, to fill the places of those that heads drop.
const SPARE_HITS: usize = 16;

/// What to look for: at least one of `vector`, `sparse` and `text`; several are fused.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Where.
    pub space: Space,
    /// Near to this dense vector.
    pub vector: Option<Arc<[f32]>>,
    /// Near to this sparse vector.
    pub sparse: Option<Sparse>,
    /// Near to these words.
    pub text: Option<String>,
    /// At most so many hits.
    pub limit: usize,
    /// Conditions that all must hold.
    pub filter: Filter,
    /// Leave out what scores below (euclid: above). Of a hybrid search, the fused score.
    pub min_score: Option<f32>,
}

/// A live memory that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The memory, at its head.
    pub head: Head,
    /// Similarity, or distance under euclid; of a hybrid search, the sum of reciprocal ranks.
    pub score: f32,
    /// The store had another version than the head; the score is that of the head's image.
    pub stale: bool,
}

/// One leg's hits after their heads have been read, best first.
struct Leg {
    /// What its ranks count for beside those of other legs.
    weight: f32,
    hits: Vec<Hit>,
}

impl Reader {
    /// The nearest live memories.
    ///
    /// # Errors
    /// [`Error`] when the question is wrong, a store does not answer, or the demand is not met in time.
    pub async fn search(&self, question: &Question, demand: Demand) -> Result<Answer<Vec<Hit>>, Error> {
        let scope = Scope::Space(&question.space);
        let demand = self.level(demand).await?;
        self.meet(demand, scope).await?;
        // Asked before the store is: what was level then has answered in full.
        let was_level = self.ports.level.is_reached();
        let pending = self.pending(scope).await?.count;
        let mut provenance = Provenance::current(None, pending);
        let declaration = self.declaration(&question.space).await?.unwrap_or_default();
        let queries = question.queries(&declaration)?;
        let limit = question.limit.clamp(1, self.options.limit_max);
        let hybrid = queries.len() > 1;
        let fetch = if hybrid { limit * HYBRID_PREFETCH } else { limit } + SPARE_HITS;
        let mut legs = Vec::with_capacity(queries.len());
        for (query, weight) in queries {
            let search = Search {
                space: question.space.clone(),
                layout: declaration.layout(),
                query,
                limit: fetch,
                filter: question.filter.clone(),
                min_score: question.min_score.filter(|_| !hybrid),
            };
            legs.push(self.leg(&search, weight).await?);
        }
        let mut hits = if hybrid { fused(legs, question.min_score) } else { single(legs) };
        hits.truncate(limit);
        provenance.stale = !was_level || hits.iter().any(|hit| hit.stale);
        Ok(Answer { value: hits, provenance })
    }

    /// A token is met only by a store that is level with the heads: waits for that; what of the time is left.
    async fn level(&self, demand: Demand) -> Result<Demand, Error> {
        if demand.token.is_none() {
            return Ok(demand);
        }
        let started = tokio::time::Instant::now();
        let reached = tokio::time::timeout(demand.wait, self.ports.level.reached()).await;
        reached.map_err(|_| Error::ConsistencyTimeout)?;
        Ok(Demand { wait: demand.wait.saturating_sub(started.elapsed()), ..demand })
    }

    /// One search of the store, checked against heads.
    async fn leg(&self, search: &Search, weight: f32) -> Result<Leg, Error> {
        let found = self.ports.vectors.search(search).await?;
        let ids: Vec<_> = found.iter().map(|hit| (search.space.clone(), hit.id.clone())).collect();
        let heads = self.ports.ledger.heads(&ids).await?;
        let mut heads: HashMap<MemoryId, Head> =
            heads.into_iter().map(|head| (head.id.clone(), head)).collect();
        let mut hits: Vec<Hit> = found
            .into_iter()
            .filter_map(|hit| {
                let head = heads.remove(&hit.id)?;
                judged(search, hit, head)
            })
            .collect();
        let distance = exact::is_distance(&search.query, search.layout);
        hits.sort_by(|a, b| {
            let rising = a.score.total_cmp(&b.score);
            let by_score = if distance { rising } else { rising.reverse() };
            by_score.then_with(|| a.head.id.cmp(&b.head.id))
        });
        Ok(Leg { weight, hits })
    }
}

/// A hit as its head sees it; `None` when the head is dead, or would not have been found.
fn judged(search: &Search, hit: vector::Hit, head: Head) -> Option<Hit> {
    let memory = head.memory.as_ref()?;
    if head.version == hit.version {
        return Some(Hit { head, score: hit.score, stale: false });
    }
    let payload = Payload::of(memory);
    if !search.filter.matches(&payload) {
        return None;
    }
    let point = Point { dense: memory.dense.clone(), sparse: memory.sparse.clone(), payload };
    let score = exact::score(&search.query, search.layout, &point)?;
    let distance = exact::is_distance(&search.query, search.layout);
    exact::reaches(score, search.min_score, distance).then_some(Hit { head, score, stale: true })
}

fn single(legs: Vec<Leg>) -> Vec<Hit> {
    legs.into_iter().flat_map(|leg| leg.hits).collect()
}

fn fused(legs: Vec<Leg>, min_score: Option<f32>) -> Vec<Hit> {
    let order: Vec<(MemoryId, f32)> =
        fuse(legs.iter().map(|leg| (leg.weight, leg.hits.iter().map(|hit| &hit.head.id).collect())))
            .into_iter()
            .filter(|(_, score)| exact::reaches(*score, min_score, false))
            .map(|(id, score)| (id.clone(), score))
            .collect();
    let mut hits: HashMap<MemoryId, Hit> = HashMap::new();
    for hit in legs.into_iter().flat_map(|leg| leg.hits) {
        let stale = hit.stale;
        hits.entry(hit.head.id.clone()).or_insert(hit).stale |= stale;
    }
    order.into_iter().filter_map(|(id, score)| Some(Hit { score, ..hits.remove(&id)? })).collect()
}

impl Question {
    fn queries(&self, declaration: &Declaration) -> Result<Vec<(Query, f32)>, Error> {
        let mut refused = Vec::new();
        let mut queries = Vec::new();
        if let Some(vector) = &self.vector {
            refused.extend(refused_vector(vector, declaration));
            queries.push((Query::Dense(Arc::clone(vector)), OF_VECTORS));
        }
        if let Some(sparse) = &self.sparse {
            queries.push((Query::Sparse(sparse.clone()), OF_VECTORS));
        }
        if let Some(text) = &self.text {
            // A text without any word finds nothing by words.
            queries.extend(vector::text::query(text).map(|words| (Query::Sparse(words), OF_WORDS)));
        }
        if self.vector.is_none() && self.sparse.is_none() && self.text.is_none() {
            let detail = "say what to look for: `text`, `vector` or `sparse`, or several of them";
            refused.push(FieldError::new(Code::MissingField, "", detail));
        }
        if refused.is_empty() { Ok(queries) } else { Err(Error::Question(refused)) }
    }
}

fn refused_vector(vector: &[f32], declaration: &Declaration) -> Option<FieldError> {
    let length = vector.len();
    match declaration.dimension {
        Some(dimension) if dimension as usize != length => {
            let detail = format!("the vector has {length} values, but this space's vectors have {dimension}");
            Some(FieldError::new(Code::DimensionMismatch, "/vector", detail))
        }
        _ if declaration.metric == Metric::Cosine && vector.iter().all(|value| *value == 0.0) => {
            let detail = "the vector is zero and has no direction, but this space measures by cosine";
            Some(FieldError::new(Code::ZeroVector, "/vector", detail))
        }
        _ => None,
    }
}
