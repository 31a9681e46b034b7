//! Resolve: the image that an operator chose goes to every store, newer than all else of its saga.
//!
//! Senders that run the same saga forward or back may be out at the same time. Their writes are older, so
//! it does not matter in which order they arrive.

use std::sync::Arc;

use super::{
    execute::{Executor, Report},
    step::{Item, Store, forward_writes, send},
    undo::before_writes,
};
use crate::{
    ledger::{
        Side,
        resolve::{PHASE, Resolution},
    },
    model::Version,
};

impl Executor {
    /// Writes the chosen image of each of these sagas, until every store holds it.
    pub fn resolve(&self, resolutions: Vec<Resolution>) {
        for resolution in resolutions {
            let executor = self.clone();
            self.tasks.spawn(async move { executor.resolve_one(Arc::new(resolution)).await });
        }
    }

    async fn resolve_one(self, resolution: Arc<Resolution>) {
        let mut backoff = self.new_backoff();
        let offset = resolution.saga.offset;
        let version = self.partition.at(offset).version(PHASE);
        for store in [Store::Vector, Store::Graph] {
            let mut items = vec![item(&resolution, version, store)];
            while !items.is_empty() {
                if !self.may_send(&mut backoff).await {
                    return;
                }
                let sorted = send(&self.stores, store, |_| version, items).await;
                for (_, answer) in &sorted.refused {
                    tracing::error!(
                        saga.offset = offset,
                        store.name = store.as_str(),
                        ?answer,
                        "the store refuses what an operator chose; later commands on these records wait"
                    );
                }
                items = sorted.again;
                items.extend(sorted.refused.into_iter().map(|(item, _)| item));
                if !items.is_empty() {
                    self.pause(&mut backoff).await;
                }
            }
        }
        self.report(Report::Resolved(offset)).await;
    }
}

fn item(resolution: &Arc<Resolution>, version: Version, store: Store) -> Item<Arc<Resolution>> {
    let Resolution { saga, side, before } = &**resolution;
    let writes = match side {
        Side::After => forward_writes(saga, version, store),
        Side::Before => before_writes(saga, before, version, store),
    };
    Item { work: Arc::clone(resolution), writes }
}
