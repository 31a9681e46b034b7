//! The engine on its own, for the benchmark to compare with: bulk upserts with our payload and our
//! indexes, but without a queue, a look at versions, or a fence.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Options,
    engine::Engine,
    point::{point_id, to_engine},
    shards::Place,
};
use crate::{
    model::{
        Memory, MemoryId, Name, PartitionId, Phase, Space, Timestamp,
        space::{Layout, Metric},
    },
    vector::Write,
};

/// Seconds that the engine takes for these vectors in bulk upserts of `batch`, flushed every
/// `flush_interval` and at the end. Blocks.
///
/// # Errors
/// A sentence, when the engine does not take them.
pub fn bulk_seconds(
    folder: &Path,
    dimension: usize,
    vectors: Vec<Vec<f32>>,
    batch: usize,
    flush_interval: Duration,
) -> Result<f64, String> {
    let dimension = u32::try_from(dimension).map_err(|_| "the dimension is too large".to_owned())?;
    let failed = |failure| format!("the engine failed: {failure:?}");
    let place = Place::Dense(dimension, Metric::Cosine);
    let engine = Engine::open(folder, place, Options::default()).map_err(failed)?;
    let writes: Vec<Write> =
        vectors.into_iter().enumerate().map(|(number, vector)| write(number, dimension, vector)).collect();
    let started = Instant::now();
    let mut flushed = started;
    for writes in writes.chunks(batch) {
        let points = writes.iter().map(|write| to_engine(write, point_id(&write.space, &write.id), false));
        engine.upsert(points.collect()).map_err(failed)?;
        if flushed.elapsed() >= flush_interval {
            engine.flush().map_err(failed)?;
            flushed = Instant::now();
        }
    }
    engine.flush().map_err(failed)?;
    Ok(started.elapsed().as_secs_f64())
}

fn write(number: usize, dimension: u32, vector: Vec<f32>) -> Write {
    let memory = Memory {
        kind: Name::new("Episode").expect("a constant name"),
        content: String::new(),
        properties: serde_json::Map::from_iter([("turn".to_owned(), number.into())]),
        session: Some(format!("s-{}", number / 50)),
        importance: 0.5,
        dense: Some(Arc::from(vector)),
        sparse: None,
        occurred_at: Timestamp::from_micros(0),
        valid_from: Timestamp::from_micros(0),
        valid_until: None,
    };
    let position = PartitionId { epoch: 1, partition: 0 }.at(number as u64);
    Write {
        space: Space::new("bench").expect("a constant name"),
        id: MemoryId::new(format!("m-{number:010}")).expect("a constant name"),
        version: position.version(Phase::Forward),
        hash: memory.hash(),
        layout: Layout { dimension: Some(dimension), metric: Metric::Cosine },
        after: Some(Arc::new(memory)),
    }
}
