//! One step of many sagas: a bulk call to one store, sorted by what it means for each saga.

use std::sync::Arc;

use crate::{
    fault::{Bug, planted},
    graph,
    ledger::SagaRow,
    model::{Answer, Digest, Phase, Version},
    vector,
};

/// The stores that sagas write to.
#[derive(Clone)]
pub struct Stores {
    /// The vector store.
    pub vectors: Arc<dyn vector::Project>,
    /// The graph store, where it is a projection.
    pub graph: Option<Arc<dyn graph::Project>>,
}

/// A saga's writes to one store.
#[derive(Debug, Clone)]
pub(super) struct Item<T> {
    /// The saga, or what else the caller wants back.
    pub(super) work: T,
    /// Its writes; empty: the store need not be told.
    pub(super) writes: Writes,
}

/// Writes to one of the two stores.
#[derive(Debug, Clone)]
pub(super) enum Writes {
    Vectors(Vec<vector::Write>),
    Graph(Vec<graph::Write>),
}

impl Writes {
    fn len(&self) -> usize {
        match self {
            Self::Vectors(writes) => writes.len(),
            Self::Graph(writes) => writes.len(),
        }
    }
}

/// What a bulk call means for each saga.
pub(super) struct Sorted<T> {
    /// The store holds all of its writes.
    pub(super) held: Vec<Item<T>>,
    /// The store refuses one of its writes for good, and does not hold it.
    pub(super) refused: Vec<(Item<T>, Answer)>,
    /// Another owner has undone it already.
    pub(super) overtaken: Vec<Item<T>>,
    /// Ask again.
    pub(super) again: Vec<Item<T>>,
}

/// Sends the writes of many sagas, which cannot conflict, in one call.
pub(super) async fn send<T>(
    stores: &Stores,
    store: Store,
    version_of: impl Fn(&T) -> Version,
    items: Vec<Item<T>>,
) -> Sorted<T> {
    let mut sorted =
        Sorted { held: Vec::new(), refused: Vec::new(), overtaken: Vec::new(), again: Vec::new() };
    let (told, silent): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.writes.len() > 0);
    sorted.held = silent;
    if told.is_empty() {
        return sorted;
    }
    let mut answers = call(stores, store, &told).await.into_iter();
    for item in told {
        let answers: Vec<Answer> = answers.by_ref().take(item.writes.len()).collect();
        match verdict(&answers, item.writes.len(), version_of(&item.work)) {
            Verdict::Held => sorted.held.push(item),
            Verdict::Overtaken => sorted.overtaken.push(item),
            Verdict::Again => sorted.again.push(item),
            // An answer that was lost on the way may have been "applied": ask the store before
            // believing that it refused.
            Verdict::Refused(answer) => match holds(stores, &item.writes).await {
                Some(true) => sorted.held.push(item),
                Some(false) => sorted.refused.push((item, answer)),
                None => sorted.again.push(item),
            },
        }
    }
    sorted
}

/// Which store a step is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The vector store: first, because it is the likeliest to refuse.
    Vector,
    /// The graph store, where it is a projection.
    Graph,
}

impl Store {
    /// The word for people and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::Graph => "graph",
        }
    }
}

async fn call<T>(stores: &Stores, store: Store, items: &[Item<T>]) -> Vec<Answer> {
    let count: usize = items.iter().map(|item| item.writes.len()).sum();
    let answers = match (store, &stores.graph) {
        (Store::Vector, _) => {
            let mut writes = Vec::with_capacity(count);
            for item in items {
                if let Writes::Vectors(of_item) = &item.writes {
                    writes.extend(of_item.iter().cloned());
                }
            }
            stores.vectors.write(&writes).await
        }
        (Store::Graph, Some(graph)) => {
            let mut writes = Vec::with_capacity(count);
            for item in items {
                if let Writes::Graph(of_item) = &item.writes {
                    writes.extend(of_item.iter().cloned());
                }
            }
            graph.write(&writes).await
        }
        (Store::Graph, None) => vec![Answer::Same; count],
    };
    match answers.first() {
        Some(first) if planted(Bug::PartialBatchIsWhole) => vec![first.clone(); count],
        _ => answers,
    }
}

enum Verdict {
    Held,
    Refused(Answer),
    Overtaken,
    Again,
}

/// What the answers to one saga's writes mean. A missing answer is an unknown one.
fn verdict(answers: &[Answer], expected: usize, version: Version) -> Verdict {
    let undone = |answer: &Answer| match answer {
        Answer::Superseded(found) => {
            found.epoch == version.epoch
                && found.offset() == version.offset()
                && matches!(found.phase(), Phase::Undo | Phase::RecoveredUndo)
                && version.phase() == Phase::Forward
        }
        _ => false,
    };
    if answers.iter().any(undone) {
        return Verdict::Overtaken;
    }
    let refused = |answer: &&Answer| match answer {
        Answer::Rejected(_) => !planted(Bug::RefusalIsTransient),
        Answer::Indeterminate(_) => planted(Bug::TimeoutIsRefusal),
        Answer::Transient(_) => planted(Bug::TransientIsRefusal),
        _ => false,
    };
    if let Some(answer) = answers.iter().find(refused) {
        return Verdict::Refused(answer.clone());
    }
    if answers.len() == expected && answers.iter().all(Answer::is_held) {
        Verdict::Held
    } else {
        Verdict::Again
    }
}

/// Whether the store holds every one of these writes, or a later one; `None`: it does not say.
async fn holds(stores: &Stores, writes: &Writes) -> Option<bool> {
    if planted(Bug::TimeoutIsRefusal) || planted(Bug::TransientIsRefusal) {
        return Some(false);
    }
    let (found, wanted): (Vec<Option<(Version, Digest)>>, Vec<Version>) = match writes {
        Writes::Vectors(writes) => {
            let points: Vec<_> =
                writes.iter().map(|write| (write.space.clone(), write.id.clone(), write.layout)).collect();
            let found = stores.vectors.markers(&points).await.ok()?;
            (found, writes.iter().map(|write| write.version).collect())
        }
        Writes::Graph(writes) => {
            let registers: Vec<_> = writes.iter().map(graph::Write::register).collect();
            let found = stores.graph.as_ref()?.markers(&registers).await.ok()?;
            (found, writes.iter().map(|write| write.version).collect())
        }
    };
    let held = |(found, wanted): (&Option<(Version, Digest)>, &Version)| {
        found.as_ref().is_some_and(|(version, _)| version >= wanted)
    };
    Some(found.len() == wanted.len() && found.iter().zip(&wanted).all(held))
}

/// A saga's after-images, as writes to one store.
pub(super) fn forward_writes(saga: &SagaRow, version: Version, store: Store) -> Writes {
    let (Some(header), Some(plan)) = (&saga.header, &saga.plan) else { return nothing(store) };
    match store {
        Store::Vector => Writes::Vectors(
            plan.memories
                .iter()
                .filter(|write| write.vector)
                .map(|write| vector::Write {
                    space: header.space.clone(),
                    id: write.id.clone(),
                    version,
                    hash: write.hash,
                    layout: saga.judgement.layout,
                    after: write.after.clone(),
                })
                .collect(),
        ),
        Store::Graph => {
            let memories = plan.memories.iter().map(|write| graph::Target::Memory {
                space: header.space.clone(),
                id: write.id.clone(),
                hash: write.hash,
                after: write.after.clone(),
            });
            let relations = plan.relations.iter().map(|write| graph::Target::Relation {
                relation: write.relation.clone(),
                after: write.after.clone(),
            });
            Writes::Graph(memories.chain(relations).map(|target| graph::Write { version, target }).collect())
        }
    }
}

pub(super) fn nothing(store: Store) -> Writes {
    match store {
        Store::Vector => Writes::Vectors(Vec::new()),
        Store::Graph => Writes::Graph(Vec::new()),
    }
}
