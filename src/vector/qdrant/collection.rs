//! The collection: made when it is not there, with its indexes, its vectors and its checkpoint.
//!
//! Everything here is safe to repeat and to do from several processes at once: whoever comes second finds
//! it done. A collection that has vanished is made anew, empty, with an error in the log: what it held is
//! written again by `engraft audit --repair`.

use std::{collections::BTreeSet, sync::Arc};

use qdrant_client::qdrant::{
    CollectionExistsRequest, CreateCollection, CreateFieldIndexCollection, CreateVectorNameRequest,
    DeleteCollection, DenseVectorCreationConfig, FieldType, GetCollectionInfoRequest, HealthCheckRequest,
    IntegerIndexParams, KeywordIndexParams, PayloadIndexParams, SparseVectorConfig, SparseVectorParams,
    UpdateCollection, Value, VectorParams, VectorParamsMap, VectorsConfig,
    create_vector_name_request::VectorConfig, payload_index_params::IndexParams, vectors_config,
};
use tokio::sync::Mutex;

use super::{
    Options,
    connection::Connection,
    failure::Failure,
    point::{self, Dense},
};
use crate::{model::answer::Reason, vector::Checkpoint};

/// The first release that knows the condition on which the fence rests.
const FENCED_FROM: (u64, u64) = (1, 16);
/// The first release that replays conditional writes safely after a crash of its own.
const REPLAYED_FROM: (u64, u64) = (1, 19);
/// Where the collection's metadata keeps the checkpoint.
const CHECKPOINT: &str = "engraft_checkpoint";

/// The collection on its server.
#[derive(Debug, Clone)]
pub(super) struct Collection {
    pub(super) connection: Connection,
    pub(super) name: Arc<str>,
    layouts: Arc<[Dense]>,
    /// Held across the calls that set the collection up, so that they are made once.
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    ready: bool,
    seen: bool,
    vectors: BTreeSet<String>,
}

impl Collection {
    pub(super) fn new(connection: Connection, options: &Options) -> Self {
        let layouts = options.layouts.iter().filter_map(|layout| Dense::parse(layout)).collect();
        Self { connection, name: options.collection.as_str().into(), layouts, state: Arc::default() }
    }

    /// Checks the server and sets the collection up, once.
    pub(super) async fn ready(&self) -> Result<(), Failure> {
        let mut state = self.state.lock().await;
        if state.ready {
            return Ok(());
        }
        self.check_version().await?;
        if !self.exists().await? {
            if state.seen {
                tracing::error!("the vector store has lost the collection; audit --repair fills the new one");
            }
            self.create().await?;
        }
        self.index().await?;
        state.vectors = self.vectors().await?;
        (state.ready, state.seen) = (true, true);
        Ok(())
    }

    /// Looks at the server again before the next call.
    pub(super) async fn doubt(&self) {
        self.state.lock().await.ready = false;
    }

    /// Whether the collection has this dense vector.
    pub(super) async fn has(&self, dense: Dense) -> Result<bool, Failure> {
        let mut state = self.state.lock().await;
        if !state.vectors.contains(&dense.name()) {
            // Another process may have added it.
            state.vectors = self.vectors().await?;
        }
        Ok(state.vectors.contains(&dense.name()))
    }

    /// The same, asked of the server in any case.
    pub(super) async fn still_has(&self, dense: Dense) -> Result<bool, Failure> {
        let mut state = self.state.lock().await;
        state.vectors = self.vectors().await?;
        Ok(state.vectors.contains(&dense.name()))
    }

    /// Adds this dense vector if the collection has it not.
    pub(super) async fn add(&self, dense: Dense) -> Result<(), Failure> {
        if self.has(dense).await? {
            return Ok(());
        }
        let config = DenseVectorCreationConfig {
            size: u64::from(dense.dimension),
            distance: dense.distance() as i32,
            ..DenseVectorCreationConfig::default()
        };
        let request = CreateVectorNameRequest {
            collection_name: self.name.to_string(),
            wait: Some(true),
            vector_name: dense.name(),
            vector_config: Some(VectorConfig::DenseConfig(config)),
            ..CreateVectorNameRequest::default()
        };
        let mut points = self.connection.points();
        let added = self.connection.within("create_vector_name", points.create_vector_name(request)).await;
        // Who comes second is told an error, whichever it is: what counts is that it is there.
        if self.has(dense).await? {
            return Ok(());
        }
        match added {
            Err(Failure::Away(reason)) if reason.code == "unsupported" => Err(Failure::Away(Reason::new(
                "layout_missing",
                format!(
                    "this Qdrant cannot add a vector to a collection: name `{}` in `qdrant.layouts` before the \
                     collection is made, or upgrade it",
                    dense.name()
                ),
            ))),
            Err(failure) => Err(failure),
            Ok(_) => Err(Failure::Unknown(Reason::new("layout_missing", "the vector was not added"))),
        }
    }

    /// Remembers `checkpoint` in the collection's metadata, so that it goes when the collection goes.
    pub(super) async fn remember(&self, checkpoint: &Checkpoint) -> Result<(), Failure> {
        self.ready().await?;
        let text = serde_json::to_string(checkpoint).expect("numbers and a string always serialise");
        let request = UpdateCollection {
            collection_name: self.name.to_string(),
            metadata: [(CHECKPOINT.to_owned(), Value::from(text))].into(),
            ..UpdateCollection::default()
        };
        let mut collections = self.connection.collections();
        self.connection.within("update_collection", collections.update(request)).await.map(drop)
    }

    /// What was remembered last.
    pub(super) async fn remembered(&self) -> Result<Option<Checkpoint>, Failure> {
        self.ready().await?;
        let info = self.info().await?;
        let metadata = info.config.map(|config| config.metadata).unwrap_or_default();
        Ok(point::text_of(&metadata, CHECKPOINT).and_then(|text| serde_json::from_str(text).ok()))
    }

    /// Drops the collection and makes it anew.
    pub(super) async fn clear(&self) -> Result<(), Failure> {
        {
            let mut state = self.state.lock().await;
            *state = State::default();
            let request =
                DeleteCollection { collection_name: self.name.to_string(), ..DeleteCollection::default() };
            let mut collections = self.connection.collections();
            match self.connection.within("delete_collection", collections.delete(request)).await {
                Ok(_) | Err(Failure::Missing) => {}
                Err(failure) => return Err(failure),
            }
        }
        self.ready().await
    }

    async fn check_version(&self) -> Result<(), Failure> {
        let mut server = self.connection.server();
        let reply =
            self.connection.within("health_check", server.health_check(HealthCheckRequest {})).await?;
        let version = reply.version;
        match release(&version) {
            None => tracing::warn!("the vector store does not say which release it is; 1.19 is needed"),
            Some(release) if release < FENCED_FROM => {
                return Err(Failure::Away(Reason::new(
                    "server_too_old",
                    format!(
                        "the vector store is Qdrant {version}: writes are fenced by conditions, which it \
                             knows from 1.16 on; upgrade it"
                    ),
                )));
            }
            Some(release) if release < REPLAYED_FROM => tracing::warn!(
                server.version = version,
                "this Qdrant may replay conditional writes wrongly after a crash of its own; upgrade it to \
                 1.19, and run an audit after each of its crashes until then"
            ),
            Some(_) => {}
        }
        Ok(())
    }

    async fn exists(&self) -> Result<bool, Failure> {
        let request = CollectionExistsRequest { collection_name: self.name.to_string() };
        let mut collections = self.connection.collections();
        let answer =
            self.connection.within("collection_exists", collections.collection_exists(request)).await?;
        Ok(answer.result.is_some_and(|result| result.exists))
    }

    async fn create(&self) -> Result<(), Failure> {
        let params = |dense: &Dense| VectorParams {
            size: u64::from(dense.dimension),
            distance: dense.distance() as i32,
            ..VectorParams::default()
        };
        let map = self.layouts.iter().map(|dense| (dense.name(), params(dense))).collect();
        let request = CreateCollection {
            collection_name: self.name.to_string(),
            vectors_config: Some(VectorsConfig {
                config: Some(vectors_config::Config::ParamsMap(VectorParamsMap { map })),
            }),
            sparse_vectors_config: Some(SparseVectorConfig {
                map: [(point::SPARSE.to_owned(), SparseVectorParams::default())].into(),
            }),
            ..CreateCollection::default()
        };
        let mut collections = self.connection.collections();
        let created = self.connection.within("create_collection", collections.create(request)).await;
        match created {
            Ok(_) => Ok(()),
            // Another process was quicker.
            Err(failure) => {
                if self.exists().await? {
                    Ok(())
                } else {
                    Err(failure)
                }
            }
        }
    }

    /// Indexes what is filtered by: a strict server refuses conditions on anything else.
    async fn index(&self) -> Result<(), Failure> {
        let held = self.info().await?.payload_schema;
        let tenant = KeywordIndexParams { is_tenant: Some(true), ..KeywordIndexParams::default() };
        let number = |lookup| IntegerIndexParams {
            lookup: Some(lookup),
            range: Some(true),
            ..IntegerIndexParams::default()
        };
        let fields = [
            (point::SPACE, FieldType::Keyword, Some(IndexParams::KeywordIndexParams(tenant))),
            (point::KIND, FieldType::Keyword, None),
            (point::SESSION, FieldType::Keyword, None),
            (point::HAS_DENSE, FieldType::Keyword, None),
            (point::HAS_SPARSE, FieldType::Bool, None),
            (point::EPOCH, FieldType::Integer, Some(IndexParams::IntegerIndexParams(number(true)))),
            (point::SEQUENCE, FieldType::Integer, Some(IndexParams::IntegerIndexParams(number(true)))),
        ];
        for (field, kind, params) in fields.into_iter().filter(|(field, ..)| !held.contains_key(*field)) {
            let request = CreateFieldIndexCollection {
                collection_name: self.name.to_string(),
                wait: Some(true),
                field_name: field.to_owned(),
                field_type: Some(kind as i32),
                field_index_params: params.map(|params| PayloadIndexParams { index_params: Some(params) }),
                ..CreateFieldIndexCollection::default()
            };
            let mut points = self.connection.points();
            self.connection.within("create_field_index", points.create_field_index(request)).await?;
        }
        Ok(())
    }

    async fn vectors(&self) -> Result<BTreeSet<String>, Failure> {
        let params = self.info().await?.config.and_then(|config| config.params);
        let config = params.and_then(|params| params.vectors_config).and_then(|vectors| vectors.config);
        Ok(match config {
            Some(vectors_config::Config::ParamsMap(named)) => named.map.into_keys().collect(),
            _ => BTreeSet::new(),
        })
    }

    async fn info(&self) -> Result<qdrant_client::qdrant::CollectionInfo, Failure> {
        let request = GetCollectionInfoRequest { collection_name: self.name.to_string() };
        let mut collections = self.connection.collections();
        let answer = self.connection.within("get_collection", collections.get(request)).await?;
        answer.result.ok_or_else(|| {
            Failure::Unknown(Reason::new("unknown_reply", "the vector store says nothing of its collection"))
        })
    }
}

/// Major and minor of a release; `None` when it cannot be read.
fn release(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.trim_start_matches('v').split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_however_it_is_written() {
        assert_eq!(release("1.19.2"), Some((1, 19)));
        assert_eq!(release("v1.16.0-dev"), Some((1, 16)));
        assert_eq!(release("dev"), None);
        assert!(release("1.9.9") < Some(FENCED_FROM));
    }
}
