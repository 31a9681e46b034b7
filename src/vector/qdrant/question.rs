//! Searches and scrolls, as the server understands them.
//!
//! Every search is built in [`request`], and there alone, so that none can be without its space. What a
//! filter becomes stands in [`condition`].

use std::collections::BTreeSet;

use qdrant_client::qdrant::{
    DenseVector, GetPoints, PayloadIncludeSelector, Query as ServerQuery, QueryPoints, RetrievedPoint,
    ScoredPoint, ScrollPoints, SparseVector, VectorInput, WithPayloadSelector, WithVectorsSelector, query,
    vector_input, with_payload_selector, with_vectors_selector,
};
use uuid::Uuid;

use super::{
    super::{Error, Hit, Query, Search, Stored, exact},
    collection::Collection,
    condition,
    failure::Failure,
    point::{self, Dense},
};
use crate::model::MemoryId;

/// The nearest live points.
pub(super) async fn search(collection: &Collection, search: &Search) -> Result<Vec<Hit>, Error> {
    search.check()?;
    let Some(request) = request(collection, search).filter(|_| search.limit > 0) else {
        return Ok(Vec::new());
    };
    collection.ready().await.map_err(Failure::error)?;
    let there = match &search.query {
        Query::Dense(dense) => {
            collection.has(Dense::of(dense, search.layout)).await.map_err(Failure::error)?
        }
        Query::Sparse(sparse) => !sparse.indices.is_empty(),
    };
    if !there {
        return Ok(Vec::new());
    }
    let mut points = collection.connection.points();
    let answer = collection.connection.within("query", points.query(request)).await;
    let mut hits: Vec<Hit> =
        checked(collection, answer).await?.result.into_iter().filter_map(to_hit).collect();
    let mut seen = BTreeSet::new();
    hits.retain(|hit| seen.insert(hit.id.clone()));
    hits.sort_by(exact::best_first(exact::is_distance(&search.query, search.layout)));
    hits.truncate(search.limit);
    Ok(hits)
}

/// The server's request; `None` when nothing can fulfil the filter.
fn request(collection: &Collection, search: &Search) -> Option<QueryPoints> {
    let (using, lives, vector) = match &search.query {
        Query::Dense(dense) => {
            let name = Dense::of(dense, search.layout).name();
            let lives = condition::has_dense(&name);
            (name, lives, vector_input::Variant::Dense(DenseVector { data: dense.to_vec() }))
        }
        Query::Sparse(sparse) => {
            let sparse = SparseVector { indices: sparse.indices.to_vec(), values: sparse.values.to_vec() };
            (point::SPARSE.to_owned(), condition::has_sparse(), vector_input::Variant::Sparse(sparse))
        }
    };
    let nearest = query::Variant::Nearest(VectorInput { variant: Some(vector) });
    Some(QueryPoints {
        collection_name: collection.name.to_string(),
        query: Some(ServerQuery { variant: Some(nearest) }),
        using: Some(using),
        filter: Some(condition::within(&search.space, lives, &search.filter)?),
        score_threshold: search.min_score,
        limit: Some(search.limit as u64),
        with_payload: Some(payload(&[point::ID, point::EPOCH, point::SEQUENCE, point::DEAD])),
        with_vectors: Some(vectors(false)),
        ..QueryPoints::default()
    })
}

/// A tombstone has no vector and is never found; were it found, it would be dropped here.
fn to_hit(found: ScoredPoint) -> Option<Hit> {
    let payload = Some(found.payload).filter(|payload| !point::is_dead(payload))?;
    let id = MemoryId::new(point::text_of(&payload, point::ID)?).ok()?;
    Some(Hit { id, version: point::version(&payload)?, score: found.score })
}

/// A page of every point there is, by rising id, with its content.
pub(super) async fn scan(
    collection: &Collection,
    cursor: Option<&str>,
    limit: usize,
) -> Result<(Vec<Stored>, Option<String>), Error> {
    let (points, next) = page(collection, cursor, limit, true).await?;
    Ok((points.into_iter().map(stored).collect::<Result<_, _>>()?, next))
}

/// A page of the ids of every point there is, by rising id.
pub(super) async fn ids(
    collection: &Collection,
    cursor: Option<&str>,
    limit: usize,
) -> Result<(Vec<Uuid>, Option<String>), Error> {
    let (points, next) = page(collection, cursor, limit, false).await?;
    let id = |point: RetrievedPoint| point::uuid(point.id.as_ref()).ok_or_else(foreign_point);
    Ok((points.into_iter().map(id).collect::<Result<_, _>>()?, next))
}

/// The points with these ids, with their content.
pub(super) async fn points(collection: &Collection, ids: &[Uuid]) -> Result<Vec<Stored>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    collection.ready().await.map_err(Failure::error)?;
    let request = GetPoints {
        collection_name: collection.name.to_string(),
        ids: ids.iter().copied().map(point::point_id).collect(),
        with_payload: Some(whole(true)),
        with_vectors: Some(vectors(true)),
        ..GetPoints::default()
    };
    let mut client = collection.connection.points();
    let answer = collection.connection.within("get", client.get(request)).await;
    checked(collection, answer).await?.result.into_iter().map(stored).collect()
}

/// A cursor is the id of the first point that is still to come.
async fn page(
    collection: &Collection,
    cursor: Option<&str>,
    limit: usize,
    content: bool,
) -> Result<(Vec<RetrievedPoint>, Option<String>), Error> {
    let foreign = |_| Error::Unsupported("this is not a cursor of this store".to_owned());
    let offset = cursor.map(str::parse::<Uuid>).transpose().map_err(foreign)?;
    collection.ready().await.map_err(Failure::error)?;
    let request = ScrollPoints {
        collection_name: collection.name.to_string(),
        offset: offset.map(point::point_id),
        limit: Some(u32::try_from(limit.max(1)).unwrap_or(u32::MAX)),
        with_payload: Some(whole(content)),
        with_vectors: Some(vectors(content)),
        ..ScrollPoints::default()
    };
    let mut client = collection.connection.points();
    let answer = collection.connection.within("scroll", client.scroll(request)).await;
    let answer = checked(collection, answer).await?;
    let next = match answer.next_page_offset {
        Some(next) => Some(point::uuid(Some(&next)).ok_or_else(foreign_point)?.to_string()),
        None => None,
    };
    Ok((answer.result, next))
}

async fn checked<T>(collection: &Collection, answer: Result<T, Failure>) -> Result<T, Error> {
    if matches!(answer, Err(Failure::Missing)) {
        collection.doubt().await;
    }
    answer.map_err(Failure::error)
}

fn stored(point: RetrievedPoint) -> Result<Stored, Error> {
    point::to_stored(point).ok_or_else(foreign_point)
}

fn foreign_point() -> Error {
    Error::Unavailable("the vector store's collection holds a foreign point".to_owned())
}

fn payload(fields: &[&str]) -> WithPayloadSelector {
    let fields = fields.iter().map(|field| (*field).to_owned()).collect();
    let include = with_payload_selector::SelectorOptions::Include(PayloadIncludeSelector { fields });
    WithPayloadSelector { selector_options: Some(include) }
}

fn whole(all: bool) -> WithPayloadSelector {
    WithPayloadSelector { selector_options: Some(with_payload_selector::SelectorOptions::Enable(all)) }
}

fn vectors(all: bool) -> WithVectorsSelector {
    WithVectorsSelector { selector_options: Some(with_vectors_selector::SelectorOptions::Enable(all)) }
}
