//! The channel to the server: one HTTP/2 connection that mends itself, a key, and a deadline a call.
//!
//! Calls are made with the generated clients rather than through the driver's own wrapper, which repeats
//! calls of its own accord and turns a refused connection into an internal error: neither a breaker nor a
//! saga may be told that.

use std::{future::Future, time::Duration};

use qdrant_client::qdrant::{
    collections_client::CollectionsClient, points_client::PointsClient, qdrant_client::QdrantClient,
};
use tonic::{
    Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::{OpenError, Options, failure::Failure};

type Service = InterceptedService<Channel, Key>;

/// The way to one server.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    channel: Channel,
    key: Key,
    timeout: Duration,
}

/// The key, put on every call. Marked as sensitive: it shows in no debug output.
#[derive(Debug, Clone)]
pub(super) struct Key(Option<MetadataValue<Ascii>>);

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("api-key", key.clone());
        }
        Ok(request)
    }
}

impl Connection {
    /// Prepares the channel; it connects with the first call, and again whenever it must.
    pub(super) fn new(options: &Options) -> Result<Self, OpenError> {
        let endpoint = Endpoint::from_shared(options.url.clone()).map_err(|_| OpenError::Address)?;
        let endpoint = endpoint
            .connect_timeout(options.connect_timeout())
            .keep_alive_while_idle(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_adaptive_window(true)
            .tcp_nodelay(true);
        let endpoint = if options.url.starts_with("https://") {
            endpoint.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(|_| OpenError::Tls)?
        } else {
            endpoint
        };
        let key = if options.api_key.is_empty() {
            None
        } else {
            let mut key: MetadataValue<Ascii> = options.api_key.parse().map_err(|_| OpenError::Key)?;
            key.set_sensitive(true);
            Some(key)
        };
        Ok(Self { channel: endpoint.connect_lazy(), key: Key(key), timeout: options.timeout() })
    }

    pub(super) fn points(&self) -> PointsClient<Service> {
        PointsClient::with_interceptor(self.channel.clone(), self.key.clone())
            .max_decoding_message_size(usize::MAX)
    }

    pub(super) fn collections(&self) -> CollectionsClient<Service> {
        CollectionsClient::with_interceptor(self.channel.clone(), self.key.clone())
            .max_decoding_message_size(usize::MAX)
    }

    pub(super) fn server(&self) -> QdrantClient<Service> {
        QdrantClient::with_interceptor(self.channel.clone(), self.key.clone())
    }

    /// Makes one call within the deadline; `call` names it in the log.
    pub(super) async fn within<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(Failure::of(call, &status)),
            Err(_) => Err(Failure::deadline()),
        }
    }
}
