//! The vector stores of a run: one that is asked over the network, and one in a folder.

use std::{path::Path, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _};
use qdrant_client::{
    Payload, Qdrant,
    qdrant::{
        CreateCollectionBuilder, Distance, NamedVectors, PointStruct, UpsertPointsBuilder,
        VectorParamsBuilder, VectorsConfigBuilder,
    },
};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::Servers;
use crate::{
    bench::{Error, Options, Row, at, cpu, load},
    random::Random,
    vector::{
        Project, Read,
        edge::EdgeVectors,
        qdrant::{self, QdrantVectors, standin, standin::Standin},
    },
};

/// What the vectors of the bare collection are called.
const DENSE: &str = "dense";
/// Bulk calls that the bare client has under way at once.
const CALLS: usize = 4;

/// A vector store.
pub(super) enum Store {
    /// Asked over the network.
    Qdrant(Box<Server>),
    /// In a folder.
    Edge(EdgeVectors),
}

/// A server, and what the run has there.
pub(super) struct Server {
    vectors: QdrantVectors,
    url: String,
    collection: String,
    /// It may be a stand-in of this process.
    standin: Option<Standin>,
}

impl Store {
    /// The server's, in a collection of its own.
    pub(super) async fn qdrant(servers: &Servers, folder: &Path) -> Result<Self, Error> {
        let standin = match servers.qdrant {
            Some(_) => None,
            None => {
                let options = standin::Options::on_loopback(&folder.join("standin"));
                Some(Standin::start(options).await.map_err(at("start a stand-in"))?)
            }
        };
        let url = servers.qdrant.clone().or_else(|| standin.as_ref().map(Standin::url)).unwrap_or_default();
        let collection = format!("bench_{:016x}", Random::from_system().next_u64());
        let options = qdrant::Options {
            url: url.clone(),
            collection: collection.clone(),
            ..qdrant::Options::default()
        };
        let vectors = QdrantVectors::open(&options).await.map_err(at("open the vector store"))?;
        Ok(Self::Qdrant(Box::new(Server { vectors, url, collection, standin })))
    }

    /// The embedded one.
    pub(super) fn edge(folder: &Path) -> Result<Self, Error> {
        let vectors = EdgeVectors::open(&folder.join("index"), Default::default());
        vectors.map(Self::Edge).map_err(at("open the index"))
    }

    pub(super) fn project(&self) -> Arc<dyn Project> {
        match self {
            Self::Qdrant(server) => Arc::new(server.vectors.clone()),
            Self::Edge(vectors) => Arc::new(vectors.clone()),
        }
    }

    pub(super) fn read(&self) -> Arc<dyn Read> {
        match self {
            Self::Qdrant(server) => Arc::new(server.vectors.clone()),
            Self::Edge(vectors) => Arc::new(vectors.clone()),
        }
    }

    /// Forgets what the run made.
    pub(super) async fn close(self) -> Result<(), Error> {
        match self {
            Self::Edge(vectors) => vectors.close().await,
            Self::Qdrant(server) => {
                let client = client(&server.url)?;
                client.delete_collection(&server.collection).await.map_err(at("delete the collection"))?;
                if let Some(standin) = server.standin {
                    standin.stop().await;
                }
            }
        }
        Ok(())
    }
}

fn client(url: &str) -> Result<Qdrant, Error> {
    Qdrant::from_url(url).skip_compatibility_check().build().map_err(at("connect to the vector store"))
}

/// The same server, through the same client and nothing else: bulk upserts with the payload of a memory, each
/// acknowledged when it has been applied.
pub(super) async fn bulk(
    options: &Options,
    servers: &Servers,
    folder: &Path,
    random: &Random,
) -> Result<Row, Error> {
    let store = Store::qdrant(servers, folder).await?;
    let Store::Qdrant(server) = &store else { return Err(at("choose a store")("another")) };
    let (client, name) = (client(&server.url)?, format!("{}_bulk", server.collection));
    let mut vectors = VectorsConfigBuilder::default();
    vectors
        .add_named_vector_params(DENSE, VectorParamsBuilder::new(options.dimension as u64, Distance::Cosine));
    let create = CreateCollectionBuilder::new(&name).vectors_config(vectors);
    client.create_collection(create).await.map_err(at("make a collection"))?;
    let points: Vec<PointStruct> = (0..options.count).map(|number| point(random, number, options)).collect();
    let (started, used) = (Instant::now(), cpu::seconds());
    let calls = points.chunks(options.batch).map(|points| {
        let upsert = UpsertPointsBuilder::new(&name, points.to_vec()).wait(true);
        client.upsert_points(upsert)
    });
    let done: Vec<_> = futures::stream::iter(calls)
        .buffer_unordered(CALLS)
        .try_collect()
        .await
        .map_err(at("upsert points"))?;
    let (seconds, used) = (started.elapsed().as_secs_f64(), cpu::seconds() - used);
    drop(done);
    client.delete_collection(&name).await.map_err(at("delete the collection"))?;
    store.close().await?;
    Ok(Row::new("qdrant_bulk", options.count as f64 / seconds, "commands/s")
        .spent("whole", seconds)
        .spent("processor", used))
}

fn point(random: &Random, number: usize, options: &Options) -> PointStruct {
    let payload = json!({ "space": "bench", "id": format!("m-{number}"), "kind": "Episode",
        "session": format!("s-{}", number / 50), "properties": { "turn": number }, "_e": 1, "_s": number });
    let payload = Payload::try_from(payload).unwrap_or_default();
    let id = Uuid::from_u128(u128::from(random.next_u64()) << 64 | number as u128).to_string();
    let vectors = NamedVectors::default().add_vector(DENSE, load::vector(random, options.dimension));
    PointStruct::new(id, vectors, payload)
}
