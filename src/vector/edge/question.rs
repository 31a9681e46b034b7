//! Searches, as the engine understands them.
//!
//! Every request is built in [`request`], and there alone, so that none can be without its space.
//! What a filter becomes stands in [`condition`].

use std::{cmp::Reverse, collections::BTreeSet};

use qdrant_edge::{
    NamedQuery, PayloadSelector, PayloadSelectorInclude, QueryEnum, ScoredPoint, SearchRequest, SparseVector,
    VectorInternal, WithPayloadInterface,
};

use super::{
    super::{Error, Hit, Query, Search, exact},
    condition::{self, path},
    point,
    shards::{Place, Shards, unavailable},
};
use crate::model::MemoryId;

/// Answers a search from every shard that may hold its points.
pub(super) fn search(shards: &Shards, search: &Search) -> Result<Vec<Hit>, Error> {
    search.check()?;
    let Some(request) = request(search).filter(|_| search.limit > 0) else { return Ok(Vec::new()) };
    let mut hits = Vec::new();
    for slot in shards.all()?.iter().filter(|slot| concerns(search, slot.place)) {
        let points = slot.ask(|engine| engine.search(request.clone())).map_err(unavailable)?;
        hits.extend(points.into_iter().filter_map(to_hit));
    }
    // A point on its way from one shard to another may be seen in both: the newer copy counts.
    hits.sort_by_key(|hit| Reverse(hit.version));
    let mut seen = BTreeSet::new();
    hits.retain(|hit| seen.insert(hit.id.clone()));
    hits.sort_by(exact::best_first(exact::is_distance(&search.query, search.layout)));
    hits.truncate(search.limit);
    Ok(hits)
}

/// A dense vector is in the shard of its dimension and metric; a sparse one may be in any.
fn concerns(search: &Search, place: Place) -> bool {
    match &search.query {
        Query::Dense(dense) => {
            let dimension = u32::try_from(dense.len()).unwrap_or(u32::MAX);
            place == Place::Dense(dimension, search.layout.metric)
        }
        Query::Sparse(_) => true,
    }
}

/// The engine's request; `None` when nothing can fulfil the filter.
fn request(search: &Search) -> Option<SearchRequest> {
    let (using, query) = match &search.query {
        Query::Dense(dense) => (point::DENSE, VectorInternal::Dense(dense.to_vec())),
        Query::Sparse(sparse) => {
            let sparse = SparseVector { indices: sparse.indices.to_vec(), values: sparse.values.to_vec() };
            (point::SPARSE, VectorInternal::Sparse(sparse))
        }
    };
    let filter = condition::within(&search.space, &search.filter)?;
    let wanted = [point::ID, point::EPOCH, point::SEQUENCE, point::DEAD].map(path).to_vec();
    let wanted = PayloadSelector::Include(PayloadSelectorInclude::new(wanted));
    Some(SearchRequest {
        query: QueryEnum::Nearest(NamedQuery { query, using: Some(using.to_owned()) }),
        filter: Some(filter),
        params: None,
        limit: search.limit,
        offset: 0,
        with_payload: Some(WithPayloadInterface::Selector(wanted)),
        with_vector: None,
        score_threshold: search.min_score,
    })
}

/// A tombstone has no vector and is never found; were it found, it would be dropped here.
fn to_hit(found: ScoredPoint) -> Option<Hit> {
    let payload = found.payload.filter(|payload| !point::is_dead(&payload.0))?.0;
    let id = MemoryId::new(payload.get(point::ID)?.as_str()?).ok()?;
    Some(Hit { id, version: point::version(&payload)?, score: found.score })
}
