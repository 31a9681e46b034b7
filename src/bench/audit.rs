//! How long an audit takes over many memories that the worker itself has written.

use std::sync::Arc;

use super::{Error, Options, Row, cpu, load, world::World};
use crate::{audit, random::Random, worker};

/// Commands that are made at once, so that the load itself stays small.
const CHUNK: usize = 20_000;

/// Puts `count` memories, then audits them: content, points, versions, hashes.
///
/// # Errors
/// [`Error`] when a store cannot be opened or does not answer, or the audit is not clean.
pub async fn audit(options: &Options, mut loaded: impl FnMut(usize)) -> Result<Row, Error> {
    let random = Random::from_seed(7, 0);
    let world = World::open(&options.folder.join("audit"), worker::Options::default()).await?;
    world.append(vec![load::declaration(options.dimension, false)]).await?;
    for first in (0..options.count).step_by(CHUNK) {
        let last = options.count.min(first + CHUNK);
        world.append_all(load::puts(&random, first..last, options.dimension), options.batch).await?;
        world.until(1 + last as u64).await?;
        loaded(last);
    }
    let index = Arc::new(world.index.clone());
    let ports = audit::Ports {
        ledger: Arc::new(world.ledger.clone()),
        points: Arc::clone(&index) as Arc<_>,
        vector: index,
        graph: None,
        log: None,
    };
    let used = cpu::seconds();
    let report = audit::run(&ports, &audit::Options::default()).await;
    let used = cpu::seconds() - used;
    world.close().await?;
    if report.verdict != audit::Verdict::Clean {
        return Err(Error { step: "audit", why: report.to_string() });
    }
    let seconds = report.elapsed_ms as f64 / 1_000.0;
    Ok(Row::new("audit", options.count as f64 / seconds, "records/s")
        .spent("whole", seconds)
        .spent("processor", used))
}
