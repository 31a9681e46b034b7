//! The `Points` service: conditional upserts, deletions, reads, nearest-neighbour queries.

use std::sync::Arc;

use qdrant_client::qdrant::{
    self as api, PointsOperationResponse, UpdateResult, UpdateStatus, UpsertPoints,
    create_vector_name_request::VectorConfig, points_selector::PointsSelectorOneOf, points_server::Points,
    query, vector_input, with_vectors_selector,
};
use qdrant_edge::{
    self as engine, ConditionalInsertOperation, CreateIndex, FieldIndexOperations, NamedQuery,
    PayloadSchemaType, PointInsertOperations, PointOperations, QueryEnum, ScrollRequest, SearchRequest,
    UpdateOperation, VectorInternal, VectorNameConfig, WithVector,
};
use serde_json::json;
use tonic::{Request, Response, Status};

use super::{
    collections, convert,
    service::{Service, blocking, services},
};

services! {
    impl Points for Service {
        async fn upsert(
            &self,
            request: Request<UpsertPoints>,
        ) -> Result<Response<PointsOperationResponse>, Status> {
            self.faults.pass().await?;
            let request = request.into_inner();
            let shard = self.store.get(&request.collection_name)?;
            let points =
                request.points.into_iter().map(convert::point).collect::<Result<Vec<_>, _>>()?;
            self.faults.admit(points.iter().filter_map(|point| match point.id {
                engine::PointId::Uuid(id) => Some(id),
                engine::PointId::NumId(_) => None,
            }))?;
            let points_op = PointInsertOperations::PointsList(points);
            let operation = match request.update_filter {
                Some(filter) => PointOperations::UpsertPointsConditional(ConditionalInsertOperation {
                    points_op,
                    condition: convert::filter(&filter)?,
                    update_mode: None,
                }),
                None => PointOperations::UpsertPoints(points_op),
            };
            self.update(shard, UpdateOperation::PointOperation(operation)).await
        }

        async fn delete(
            &self,
            request: Request<api::DeletePoints>,
        ) -> Result<Response<PointsOperationResponse>, Status> {
            self.faults.pass().await?;
            let request = request.into_inner();
            let shard = self.store.get(&request.collection_name)?;
            let operation = match request.points.and_then(|points| points.points_selector_one_of) {
                Some(PointsSelectorOneOf::Points(list)) => {
                    PointOperations::DeletePoints { ids: convert::ids(list.ids)? }
                }
                Some(PointsSelectorOneOf::Filter(filter)) => {
                    PointOperations::DeletePointsByFilter(convert::filter(&filter)?)
                }
                None => return Err(Status::invalid_argument("nothing is to be deleted")),
            };
            self.update(shard, UpdateOperation::PointOperation(operation)).await
        }

        async fn get(&self, request: Request<api::GetPoints>) -> Result<Response<api::GetResponse>, Status> {
            self.faults.pass().await?;
            let request = request.into_inner();
            let shard = self.store.get(&request.collection_name)?;
            let (ids, payload) = (convert::ids(request.ids)?, convert::wanted(request.with_payload)?);
            let vectors = vectors(request.with_vectors)?;
            let records = blocking(move || {
                shard.ask(|engine| engine.retrieve(&ids, Some(payload), Some(vectors)))
            })
            .await?;
            let result = records.into_iter().map(convert::retrieved).collect();
            Ok(Response::new(api::GetResponse { result, ..Default::default() }))
        }

        async fn scroll(
            &self,
            request: Request<api::ScrollPoints>,
        ) -> Result<Response<api::ScrollResponse>, Status> {
            self.faults.pass().await?;
            let request = request.into_inner();
            let shard = self.store.get(&request.collection_name)?;
            let offset = request.offset.map(|id| convert::uuid(Some(id))).transpose()?;
            let scroll = ScrollRequest {
                offset: offset.map(engine::PointId::Uuid),
                limit: request.limit.map(|limit| limit as usize),
                filter: request.filter.as_ref().map(convert::filter).transpose()?,
                with_payload: Some(convert::wanted(request.with_payload)?),
                with_vector: vectors(request.with_vectors)?,
                ..ScrollRequest::default()
            };
            let (records, next) = blocking(move || shard.ask(|engine| engine.scroll(scroll))).await?;
            Ok(Response::new(api::ScrollResponse {
                next_page_offset: convert::offset_of(next),
                result: records.into_iter().map(convert::retrieved).collect(),
                ..Default::default()
            }))
        }

        async fn query(
            &self,
            request: Request<api::QueryPoints>,
        ) -> Result<Response<api::QueryResponse>, Status> {
            self.faults.pass().await?;
            let request = request.into_inner();
            let shard = self.store.get(&request.collection_name)?;
            let search = nearest(request)?;
            let found = blocking(move || shard.ask(|engine| engine.search(search))).await?;
            let result = found.into_iter().map(convert::scored).collect();
            Ok(Response::new(api::QueryResponse { result, ..Default::default() }))
        }

        async fn create_field_index(
            &self,
            request: Request<api::CreateFieldIndexCollection>,
        ) -> Result<Response<PointsOperationResponse>, Status> {
            self.faults.pass().await?;
            let request = request.into_inner();
            let shard = self.store.get(&request.collection_name)?;
            let schema = match request.field_type.map(api::FieldType::try_from) {
                Some(Ok(api::FieldType::Keyword)) => PayloadSchemaType::Keyword,
                Some(Ok(api::FieldType::Integer)) => PayloadSchemaType::Integer,
                Some(Ok(api::FieldType::Bool)) => PayloadSchemaType::Bool,
                _ => return Err(Status::unimplemented("the stand-in does not know this index")),
            };
            let field = request.field_name;
            let field_name = field.parse().map_err(|()| Status::invalid_argument("this is no path"))?;
            blocking(move || {
                let create = CreateIndex { field_name, field_schema: Some(schema.into()) };
                let create = FieldIndexOperations::CreateIndex(create);
                shard.update(UpdateOperation::FieldIndexOperation(create))?;
                shard.change_meta(|meta| {
                    meta.indexed.retain(|held| *held != field);
                    meta.indexed.push(field);
                })
            })
            .await?;
            Ok(completed())
        }

        async fn create_vector_name(
            &self,
            request: Request<api::CreateVectorNameRequest>,
        ) -> Result<Response<PointsOperationResponse>, Status> {
            self.faults.pass().await?;
            let request = request.into_inner();
            let shard = self.store.get(&request.collection_name)?;
            let Some(VectorConfig::DenseConfig(dense)) = request.vector_config else {
                return Err(Status::unimplemented("the stand-in adds dense vectors alone"));
            };
            let distance = collections::distance(dense.distance)?;
            let config = json!({ "dense": { "size": dense.size, "distance": distance } });
            let config: VectorNameConfig = serde_json::from_value(config)
                .map_err(|_| Status::invalid_argument("this is no vector"))?;
            blocking(move || shard.add_vector(&request.vector_name, config)).await?;
            Ok(completed())
        }
    }
    without {
        update_vectors(api::UpdatePointVectors) -> PointsOperationResponse;
        delete_vectors(api::DeletePointVectors) -> PointsOperationResponse;
        set_payload(api::SetPayloadPoints) -> PointsOperationResponse;
        overwrite_payload(api::SetPayloadPoints) -> PointsOperationResponse;
        delete_payload(api::DeletePayloadPoints) -> PointsOperationResponse;
        clear_payload(api::ClearPayloadPoints) -> PointsOperationResponse;
        delete_field_index(api::DeleteFieldIndexCollection) -> PointsOperationResponse;
        delete_vector_name(api::DeleteVectorNameRequest) -> PointsOperationResponse;
        search(api::SearchPoints) -> api::SearchResponse;
        search_batch(api::SearchBatchPoints) -> api::SearchBatchResponse;
        search_groups(api::SearchPointGroups) -> api::SearchGroupsResponse;
        recommend(api::RecommendPoints) -> api::RecommendResponse;
        recommend_batch(api::RecommendBatchPoints) -> api::RecommendBatchResponse;
        recommend_groups(api::RecommendPointGroups) -> api::RecommendGroupsResponse;
        discover(api::DiscoverPoints) -> api::DiscoverResponse;
        discover_batch(api::DiscoverBatchPoints) -> api::DiscoverBatchResponse;
        count(api::CountPoints) -> api::CountResponse;
        update_batch(api::UpdateBatchPoints) -> api::UpdateBatchResponse;
        query_batch(api::QueryBatchPoints) -> api::QueryBatchResponse;
        query_groups(api::QueryPointGroups) -> api::QueryGroupsResponse;
        facet(api::FacetCounts) -> api::FacetResponse;
        search_matrix_pairs(api::SearchMatrixPoints) -> api::SearchMatrixPairsResponse;
        search_matrix_offsets(api::SearchMatrixPoints) -> api::SearchMatrixOffsetsResponse;
    }
}

impl Service {
    /// Carries a write out as its fate wants it.
    async fn update(
        &self,
        shard: Arc<super::shard::Shard>,
        operation: UpdateOperation,
    ) -> Result<Response<PointsOperationResponse>, Status> {
        let fate = self.faults.fate();
        if fate.request_lost {
            return super::faults::silence().await;
        }
        let again = fate.doubled_after.map(|after| (after, Arc::clone(&shard), operation.clone()));
        let done = blocking(move || shard.update(operation)).await;
        if let Some((after, shard, operation)) = again {
            self.tasks.spawn_until_stopped(async move {
                tokio::time::sleep(after).await;
                if let Err(status) = blocking(move || shard.update(operation)).await {
                    tracing::warn!(code = ?status.code(), "a doubled write failed");
                }
            });
        }
        if fate.reply_lost {
            return super::faults::silence().await;
        }
        done.map(|()| completed())
    }
}

fn completed() -> Response<PointsOperationResponse> {
    let result = UpdateResult { operation_id: None, status: UpdateStatus::Completed as i32 };
    Response::new(PointsOperationResponse { result: Some(result), ..Default::default() })
}

fn vectors(selector: Option<api::WithVectorsSelector>) -> Result<WithVector, Status> {
    match selector.and_then(|selector| selector.selector_options) {
        None => Ok(WithVector::Bool(false)),
        Some(with_vectors_selector::SelectorOptions::Enable(all)) => Ok(WithVector::Bool(all)),
        Some(with_vectors_selector::SelectorOptions::Include(_)) => {
            Err(Status::unimplemented("the stand-in gives all vectors or none"))
        }
    }
}

fn nearest(request: api::QueryPoints) -> Result<SearchRequest, Status> {
    let unknown = || Status::unimplemented("the stand-in answers nearest-neighbour queries alone");
    if !request.prefetch.is_empty() {
        return Err(unknown());
    }
    let Some(query::Variant::Nearest(input)) = request.query.and_then(|query| query.variant) else {
        return Err(unknown());
    };
    let query = match input.variant {
        Some(vector_input::Variant::Dense(dense)) => VectorInternal::Dense(dense.data),
        Some(vector_input::Variant::Sparse(sparse)) => {
            VectorInternal::Sparse(convert::sparse_vector(sparse.indices, sparse.values)?)
        }
        _ => return Err(unknown()),
    };
    Ok(SearchRequest {
        query: QueryEnum::Nearest(NamedQuery { query, using: request.using }),
        filter: request.filter.as_ref().map(convert::filter).transpose()?,
        params: None,
        limit: usize::try_from(request.limit.unwrap_or(10)).unwrap_or(usize::MAX),
        offset: usize::try_from(request.offset.unwrap_or(0)).unwrap_or(usize::MAX),
        with_payload: Some(convert::wanted(request.with_payload)?),
        with_vector: Some(vectors(request.with_vectors)?),
        score_threshold: request.score_threshold,
    })
}
