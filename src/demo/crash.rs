//! What a killed server left behind, read from its files.

use std::{path::Path, sync::Arc};

use crate::{
    app::{self, Stores},
    clock::SystemClock,
    config::Config,
    ledger::SagaRow,
    model::{PartitionId, State},
    random::Random,
};

/// Unfinished commands that are looked at.
const LOOKED_AT_MAX: usize = 1_000;

/// What was half done.
#[derive(Debug, Default)]
pub(super) struct HalfDone {
    /// Commands whose images are decided; stores may have been told.
    pub(super) running: usize,
    /// Commands that had not started.
    pub(super) pending: usize,
    /// Memories that the vector store holds, and that have no head: half of a write.
    pub(super) points_without_head: usize,
    /// One of them.
    pub(super) example: Option<String>,
}

/// Looks, and changes nothing.
pub(super) async fn look(data: &Path) -> Result<HalfDone, app::Error> {
    let config = Config { data: data.to_owned(), ..Config::default() };
    let stores = Stores::open(&config, Arc::new(SystemClock), &Random::from_system()).await?;
    let mut found = HalfDone::default();
    if let Some(epoch) = stores.ledger.epoch().await? {
        for partition in 0..epoch.partitions {
            let partition = PartitionId { epoch: epoch.epoch, partition };
            for row in stores.ledger.unfinished(partition, 0, LOOKED_AT_MAX).await? {
                match row.state {
                    State::Running => found.running += 1,
                    _ => found.pending += 1,
                }
                found.count(&stores, &row).await?;
            }
        }
    }
    stores.close().await;
    Ok(found)
}

impl HalfDone {
    /// Counts the memories of an unfinished command that have a point and no head.
    async fn count(&mut self, stores: &Stores, row: &SagaRow) -> Result<(), app::Error> {
        let (Some(header), Some(plan)) = (&row.header, &row.plan) else { return Ok(()) };
        let declaration = stores.ledger.declaration(&header.space).await?.unwrap_or_default();
        for write in &plan.memories {
            let point = [(header.space.clone(), write.id.clone(), declaration.layout())];
            let marker = stores.vectors.markers(&point).await.ok().and_then(|mut markers| markers.pop()?);
            let heads = stores.ledger.heads(&[(header.space.clone(), write.id.clone())]).await?;
            if marker.is_some() && heads.is_empty() {
                self.points_without_head += 1;
                self.example.get_or_insert_with(|| write.id.to_string());
            }
        }
        Ok(())
    }
}
