//! What the services share: the store, the faults, and how a service says what it does not do.

use std::sync::Arc;

use tonic::Status;

use super::{faults::Faults, shard::Store};
use crate::tasks::Tasks;

/// The state behind every service. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Service {
    pub(super) store: Arc<Store>,
    pub(super) faults: Faults,
    pub(super) tasks: Tasks,
    pub(super) release: Arc<str>,
}

/// Runs a call of the engine on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(call).await;
    done.unwrap_or_else(|_| Err(Status::internal("the stand-in lost a thread")))
}

/// A service with some of its calls; the others answer that they are not implemented.
macro_rules! services {
    (
        impl $service:ident for Service { $($known:tt)* }
        without { $($name:ident($request:ty) -> $answer:ty;)* }
    ) => {
        #[tonic::async_trait]
        impl $service for Service {
            $($known)*
            $(
                async fn $name(&self, _: Request<$request>) -> Result<Response<$answer>, Status> {
                    Err(Status::unimplemented("the stand-in does not know this call"))
                }
            )*
        }
    };
}
pub(super) use services;
