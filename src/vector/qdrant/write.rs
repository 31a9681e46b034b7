//! The fence over the wire, in three calls a bulk.
//!
//! ```text
//! get     which versions lie there: what is held already is answered so, and not sent
//! upsert  the rest, on the condition that what lies there is below the bulk's lowest version
//! get     what has moved; what has not is sent alone, below its own version
//! ```
//!
//! The first look only saves work; the condition alone fences, since another writer may come between.
//! A point that is not there is inserted whatever the condition says.
//!
//! A refused bulk is halved until the refusal names one point.

use std::collections::HashMap;

use futures::future::BoxFuture;
use qdrant_client::qdrant::{
    Condition as ServerCondition, DeletePoints, Filter as ServerFilter, GetPoints, HasIdCondition,
    PayloadIncludeSelector, PointsIdsList, PointsSelector, ReadConsistency, ReadConsistencyType,
    UpdateStatus, UpsertPoints, WithPayloadSelector, WithVectorsSelector, WriteOrdering, WriteOrderingType,
    condition::ConditionOneOf, points_selector::PointsSelectorOneOf, read_consistency, with_payload_selector,
    with_vectors_selector,
};
use uuid::Uuid;

use super::{
    super::{Error, Write, point_id},
    collection::Collection,
    condition,
    failure::Failure,
    point,
};
use crate::model::{Answer, Digest, MemoryId, Space, Version, answer::Reason};

/// Points that one filter removes: each is a condition of its own.
const REMOVED_AT_ONCE: usize = 100;

/// A write that is to be sent, and its place in the call.
#[derive(Clone, Copy)]
struct Sent<'a> {
    index: usize,
    write: &'a Write,
    id: Uuid,
}

/// Applies `writes`, each only over a lower version; one answer a write, in order.
pub(super) async fn apply(collection: &Collection, writes: &[Write]) -> Vec<Answer> {
    let mut answers: Vec<Option<Answer>> =
        writes.iter().map(|write| write.refusal().map(Answer::Rejected)).collect();
    let mut sent: Vec<Sent<'_>> = writes
        .iter()
        .enumerate()
        .map(|(index, write)| Sent { index, write, id: point_id(&write.space, &write.id) })
        .filter(|sent| answers.get(sent.index).is_some_and(Option::is_none))
        .collect();
    if let Err(failure) = prepare(collection, &mut sent, &mut answers).await {
        answer_all(&sent, &mut answers, &failure.unsent());
        return finished(answers);
    }
    let landed = upsert(collection, &sent, &mut answers).await;
    let unmoved = settle(collection, &landed, &mut answers).await;
    for one in unmoved {
        let landed = upsert(collection, std::slice::from_ref(&one), &mut answers).await;
        for one in settle(collection, &landed, &mut answers).await {
            let reason = Reason::new("not_moved", "the vector store took the point and does not show it");
            put(&mut answers, one.index, Answer::Indeterminate(reason));
        }
    }
    finished(answers)
}

/// Makes sure that the collection can take `sent`, and leaves out what it holds already.
async fn prepare(
    collection: &Collection,
    sent: &mut Vec<Sent<'_>>,
    answers: &mut [Option<Answer>],
) -> Result<(), Failure> {
    if sent.is_empty() {
        return Ok(());
    }
    collection.ready().await?;
    let mut places: Vec<point::Dense> = sent.iter().filter_map(|one| point::dense_of(one.write)).collect();
    places.sort_unstable();
    places.dedup();
    for place in places {
        if let Err(failure) = collection.add(place).await {
            let answer = match failure {
                Failure::Refused => Failure::Refused.answer(),
                other => other.unsent(),
            };
            sent.retain(|one| {
                let there = point::dense_of(one.write) != Some(place);
                if !there {
                    put(answers, one.index, answer.clone());
                }
                there
            });
        }
    }
    let ids: Vec<Uuid> = sent.iter().map(|one| one.id).collect();
    let held = held(collection, &ids).await?;
    sent.retain(|one| {
        let version = held.get(&one.id).map(|(version, _)| *version);
        let fenced = Answer::fenced(version, one.write.version);
        let passes = fenced.is_none();
        if let Some(answer) = fenced {
            put(answers, one.index, answer);
        }
        passes
    });
    Ok(())
}

/// Sends points in one call, halved while it is refused; those that the server says it took.
fn upsert<'c, 'w: 'c>(
    collection: &'c Collection,
    sent: &'c [Sent<'w>],
    answers: &'c mut [Option<Answer>],
) -> BoxFuture<'c, Vec<Sent<'w>>> {
    Box::pin(async move {
        let Some(lowest) = sent.iter().map(|one| one.write.version).min() else { return Vec::new() };
        let request = UpsertPoints {
            collection_name: collection.name.to_string(),
            wait: Some(true),
            points: sent.iter().map(|one| point::to_point(one.write)).collect(),
            // Two writers of one point must be ordered alike on every replica, or the fence would differ.
            ordering: Some(WriteOrdering { r#type: WriteOrderingType::Strong as i32 }),
            update_filter: Some(condition::below(lowest)),
            ..UpsertPoints::default()
        };
        let mut points = collection.connection.points();
        match collection.connection.within("upsert", points.upsert(request)).await {
            Ok(answer) if is_completed(answer.result.as_ref().map(|result| result.status)) => sent.to_vec(),
            Ok(_) => {
                let reason = Reason::new("not_waited", "the vector store took the points for later");
                answer_all(sent, answers, &Answer::Indeterminate(reason));
                Vec::new()
            }
            Err(Failure::Refused) if sent.len() > 1 => {
                let (left, right) = sent.split_at(sent.len() / 2);
                let mut landed = upsert(collection, left, &mut *answers).await;
                landed.extend(upsert(collection, right, answers).await);
                landed
            }
            Err(failure) => {
                if failure == Failure::Missing {
                    collection.doubt().await;
                }
                answer_all(sent, answers, &verdict(collection, sent, failure).await);
                Vec::new()
            }
        }
    })
}

/// What a failed call means for its points. A refusal counts only where the collection still has the vector
/// that the point needs: another process may have made the collection anew.
async fn verdict(collection: &Collection, sent: &[Sent<'_>], failure: Failure) -> Answer {
    let place = sent.first().and_then(|one| point::dense_of(one.write));
    match (failure, place) {
        (Failure::Refused, Some(place)) => match collection.still_has(place).await {
            Ok(true) => Failure::Refused.answer(),
            Ok(false) => Failure::Missing.answer(),
            Err(failure) => failure.unsent(),
        },
        (failure, _) => failure.answer(),
    }
}

fn is_completed(status: Option<i32>) -> bool {
    status == Some(UpdateStatus::Completed as i32)
}

/// Reads back what was taken; those that still lie below their version.
async fn settle<'a>(
    collection: &Collection,
    landed: &[Sent<'a>],
    answers: &mut [Option<Answer>],
) -> Vec<Sent<'a>> {
    let ids: Vec<Uuid> = landed.iter().map(|one| one.id).collect();
    let held = match held(collection, &ids).await {
        Ok(held) => held,
        Err(_) => {
            let reason =
                Reason::new("not_read_back", "the vector store took the points and then went silent");
            answer_all(landed, answers, &Answer::Indeterminate(reason));
            return Vec::new();
        }
    };
    let mut unmoved = Vec::new();
    for one in landed {
        match held.get(&one.id).map(|(version, _)| *version) {
            Some(version) if version == one.write.version => put(answers, one.index, Answer::Applied),
            Some(version) if version > one.write.version => {
                put(answers, one.index, Answer::Superseded(version));
            }
            _ => unmoved.push(*one),
        }
    }
    unmoved
}

/// Version and hash of points, as far as there are any.
pub(super) async fn held(
    collection: &Collection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, (Version, Digest)>, Failure> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let fields = [point::EPOCH, point::SEQUENCE, point::HASH].map(str::to_owned).to_vec();
    let include = with_payload_selector::SelectorOptions::Include(PayloadIncludeSelector { fields });
    let vectors = with_vectors_selector::SelectorOptions::Enable(false);
    let majority = read_consistency::Value::Type(ReadConsistencyType::Majority as i32);
    let request = GetPoints {
        collection_name: collection.name.to_string(),
        ids: ids.iter().copied().map(point::point_id).collect(),
        with_payload: Some(WithPayloadSelector { selector_options: Some(include) }),
        with_vectors: Some(WithVectorsSelector { selector_options: Some(vectors) }),
        read_consistency: Some(ReadConsistency { value: Some(majority) }),
        ..GetPoints::default()
    };
    let mut points = collection.connection.points();
    let answer = collection.connection.within("get", points.get(request)).await;
    if answer == Err(Failure::Missing) {
        collection.doubt().await;
    }
    // A point without a readable marker is none of ours, and counts as not there.
    let marker = |point: &qdrant_client::qdrant::RetrievedPoint| {
        let id = point::uuid(point.id.as_ref())?;
        Some((id, (point::version(&point.payload)?, point::hash(&point.payload)?)))
    };
    Ok(answer?.result.iter().filter_map(marker).collect())
}

/// Removes points whole, each only while it has this version; whether each is gone.
pub(super) async fn remove(
    collection: &Collection,
    points: &[(Space, MemoryId, Version)],
) -> Result<Vec<bool>, Error> {
    collection.ready().await.map_err(Failure::error)?;
    let ids: Vec<Uuid> = points.iter().map(|(space, id, _)| point_id(space, id)).collect();
    let wanted: Vec<(Uuid, Version)> =
        ids.iter().copied().zip(points.iter().map(|(_, _, version)| *version)).collect();
    for wanted in wanted.chunks(REMOVED_AT_ONCE) {
        let should = wanted.iter().map(|(id, version)| {
            let mut must = condition::at(*version);
            must.push(has_id(*id));
            condition::all(must)
        });
        let filter = ServerFilter { should: should.collect(), ..ServerFilter::default() };
        delete(collection, PointsSelectorOneOf::Filter(filter)).await.map_err(Failure::error)?;
    }
    let left = held(collection, &ids).await.map_err(Failure::error)?;
    Ok(ids.iter().map(|id| !left.contains_key(id)).collect())
}

/// A write that goes all the way through the server and changes nothing: it removes the point that no
/// memory has.
pub(super) async fn probe(collection: &Collection) -> Result<(), Failure> {
    collection.ready().await?;
    let ids = vec![point::point_id(Uuid::nil())];
    delete(collection, PointsSelectorOneOf::Points(PointsIdsList { ids })).await
}

async fn delete(collection: &Collection, which: PointsSelectorOneOf) -> Result<(), Failure> {
    let request = DeletePoints {
        collection_name: collection.name.to_string(),
        wait: Some(true),
        points: Some(PointsSelector { points_selector_one_of: Some(which) }),
        ordering: Some(WriteOrdering { r#type: WriteOrderingType::Strong as i32 }),
        ..DeletePoints::default()
    };
    let mut points = collection.connection.points();
    let answer = collection.connection.within("delete", points.delete(request)).await;
    if answer == Err(Failure::Missing) {
        collection.doubt().await;
    }
    answer.map(drop)
}

fn has_id(id: Uuid) -> ServerCondition {
    let has_id = HasIdCondition { has_id: vec![point::point_id(id)] };
    ServerCondition { condition_one_of: Some(ConditionOneOf::HasId(has_id)) }
}

fn put(answers: &mut [Option<Answer>], index: usize, with: Answer) {
    if let Some(answer) = answers.get_mut(index) {
        *answer = Some(with);
    }
}

fn answer_all(sent: &[Sent<'_>], answers: &mut [Option<Answer>], with: &Answer) {
    for one in sent {
        put(answers, one.index, with.clone());
    }
}

fn finished(answers: Vec<Option<Answer>>) -> Vec<Answer> {
    let unknown = || Answer::Indeterminate(Reason::new("unknown_reply", "the write has no answer"));
    answers.into_iter().map(|answer| answer.unwrap_or_else(unknown)).collect()
}
