//! The server's part of a commit: what it does when the COMMIT arrives, whoever is left to hear.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    ledger::{Error, Ledger, Transaction},
    model::PartitionId,
};

use super::{
    monitor::{Effect, Monitor},
    network::Link,
};

/// The server's part of a commit.
pub(super) struct Server {
    pub(super) inner: Mutex<Option<Box<dyn Transaction>>>,
    pub(super) effects: Vec<Effect>,
    pub(super) monitor: Arc<Monitor>,
    pub(super) partition: PartitionId,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) link: Link,
}

impl Server {
    pub(super) async fn commit(&self) -> Result<(), Error> {
        // A second COMMIT of one transaction finds nothing to do.
        let Some(inner) = self.inner.lock().take() else { return Ok(()) };
        let answer = inner.commit().await;
        if answer.is_ok() {
            let mut effects = self.effects.clone();
            let row = self.ledger.partition(self.partition).await?;
            effects.push(Effect::Watermark(row.watermark));
            self.link.event(format_args!("ledger: committed on {}: {}", self.partition, summary(&effects)));
            self.monitor.committed(self.partition, effects);
        }
        answer
    }
}

/// What a transaction did, in short: `+` a row, `>` a move, `w` the watermark.
fn summary(effects: &[Effect]) -> String {
    let one = |effect: &Effect| match effect {
        Effect::Inserted(offset, row) => format!("+{offset} {}", row.state.as_str()),
        Effect::Moved(offset, _, to) => format!(">{offset} {}", to.as_str()),
        Effect::Watermark(watermark) => format!("w{watermark}"),
    };
    effects.iter().map(one).collect::<Vec<_>>().join(", ")
}
