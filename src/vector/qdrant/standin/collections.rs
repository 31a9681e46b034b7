//! The `Collections` and `Qdrant` services: make, show, change and drop collections; say the release.

use std::sync::Arc;

use qdrant_client::qdrant::{
    self as api, CollectionConfig, CollectionExists, CollectionInfo, CollectionOperationResponse,
    CollectionParams, CollectionStatus, CreateCollection, PayloadSchemaInfo, SparseVectorConfig,
    SparseVectorParams, VectorParams, VectorParamsMap, VectorsConfig, collections_server::Collections,
    qdrant_server::Qdrant, vectors_config,
};
use qdrant_edge::Distance;
use tonic::{Request, Response, Status};

use super::{
    convert,
    service::{Service, blocking, services},
    shard::Meta,
};

services! {
    impl Collections for Service {
        async fn get(
            &self,
            request: Request<api::GetCollectionInfoRequest>,
        ) -> Result<Response<api::GetCollectionInfoResponse>, Status> {
            self.faults.pass().await?;
            let shard = self.store.get(&request.into_inner().collection_name)?;
            let result = Some(info(shard.meta()));
            Ok(Response::new(api::GetCollectionInfoResponse { result, ..Default::default() }))
        }

        async fn create(
            &self,
            request: Request<CreateCollection>,
        ) -> Result<Response<CollectionOperationResponse>, Status> {
            self.faults.pass().await?;
            let request = request.into_inner();
            let (name, meta) = (request.collection_name.clone(), meta(request)?);
            let store = Arc::clone(&self.store);
            blocking(move || store.create(&name, meta)).await?;
            Ok(done(true))
        }

        async fn update(
            &self,
            request: Request<api::UpdateCollection>,
        ) -> Result<Response<CollectionOperationResponse>, Status> {
            self.faults.pass().await?;
            let request = request.into_inner();
            let shard = self.store.get(&request.collection_name)?;
            blocking(move || {
                shard.change_meta(|meta| meta.metadata.extend(convert::object(request.metadata)))
            })
            .await?;
            Ok(done(true))
        }

        async fn delete(
            &self,
            request: Request<api::DeleteCollection>,
        ) -> Result<Response<CollectionOperationResponse>, Status> {
            self.faults.pass().await?;
            let (store, name) = (Arc::clone(&self.store), request.into_inner().collection_name);
            blocking(move || store.delete(&name)).await.map(done)
        }

        async fn collection_exists(
            &self,
            request: Request<api::CollectionExistsRequest>,
        ) -> Result<Response<api::CollectionExistsResponse>, Status> {
            self.faults.pass().await?;
            let exists = self.store.get(&request.into_inner().collection_name).is_ok();
            let result = Some(CollectionExists { exists });
            Ok(Response::new(api::CollectionExistsResponse { result, ..Default::default() }))
        }
    }
    without {
        list(api::ListCollectionsRequest) -> api::ListCollectionsResponse;
        update_aliases(api::ChangeAliases) -> CollectionOperationResponse;
        list_collection_aliases(api::ListCollectionAliasesRequest) -> api::ListAliasesResponse;
        list_aliases(api::ListAliasesRequest) -> api::ListAliasesResponse;
        collection_cluster_info(api::CollectionClusterInfoRequest) -> api::CollectionClusterInfoResponse;
        update_collection_cluster_setup(api::UpdateCollectionClusterSetupRequest)
            -> api::UpdateCollectionClusterSetupResponse;
        create_shard_key(api::CreateShardKeyRequest) -> api::CreateShardKeyResponse;
        delete_shard_key(api::DeleteShardKeyRequest) -> api::DeleteShardKeyResponse;
        list_shard_keys(api::ListShardKeysRequest) -> api::ListShardKeysResponse;
    }
}

#[tonic::async_trait]
impl Qdrant for Service {
    async fn health_check(
        &self,
        _: Request<api::HealthCheckRequest>,
    ) -> Result<Response<api::HealthCheckReply>, Status> {
        self.faults.pass().await?;
        let title = "qdrant - vector search engine".to_owned();
        let version = self.release.to_string();
        Ok(Response::new(api::HealthCheckReply { title, version, commit: None }))
    }
}

fn done(result: bool) -> Response<CollectionOperationResponse> {
    Response::new(CollectionOperationResponse { result, time: 0.0 })
}

fn meta(request: CreateCollection) -> Result<Meta, Status> {
    let mut meta = Meta::default();
    match request.vectors_config.and_then(|config| config.config) {
        Some(vectors_config::Config::ParamsMap(named)) => {
            for (name, params) in named.map {
                meta.dense.insert(name, (params.size, distance(params.distance)?));
            }
        }
        None => {}
        Some(vectors_config::Config::Params(_)) => {
            return Err(Status::unimplemented("the stand-in keeps named vectors alone"));
        }
    }
    meta.sparse = request.sparse_vectors_config.unwrap_or_default().map.into_keys().collect();
    meta.metadata = convert::object(request.metadata);
    Ok(meta)
}

/// The protocol's metric as the engine's.
pub(super) fn distance(distance: i32) -> Result<Distance, Status> {
    match api::Distance::try_from(distance) {
        Ok(api::Distance::Cosine) => Ok(Distance::Cosine),
        Ok(api::Distance::Dot) => Ok(Distance::Dot),
        Ok(api::Distance::Euclid) => Ok(Distance::Euclid),
        _ => Err(Status::invalid_argument("this is no metric")),
    }
}

fn info(meta: Meta) -> CollectionInfo {
    let params = |(size, distance): (u64, Distance)| {
        let distance = match distance {
            Distance::Dot => api::Distance::Dot,
            Distance::Euclid => api::Distance::Euclid,
            _ => api::Distance::Cosine,
        };
        VectorParams { size, distance: distance as i32, ..VectorParams::default() }
    };
    let map = meta.dense.into_iter().map(|(name, held)| (name, params(held))).collect();
    let sparse = meta.sparse.into_iter().map(|name| (name, SparseVectorParams::default())).collect();
    let params = CollectionParams {
        shard_number: 1,
        vectors_config: Some(VectorsConfig {
            config: Some(vectors_config::Config::ParamsMap(VectorParamsMap { map })),
        }),
        sparse_vectors_config: Some(SparseVectorConfig { map: sparse }),
        ..CollectionParams::default()
    };
    let config = CollectionConfig {
        params: Some(params),
        metadata: convert::payload(meta.metadata),
        ..CollectionConfig::default()
    };
    CollectionInfo {
        status: CollectionStatus::Green as i32,
        segments_count: 1,
        config: Some(config),
        payload_schema: meta.indexed.into_iter().map(|field| (field, PayloadSchemaInfo::default())).collect(),
        ..CollectionInfo::default()
    }
}
