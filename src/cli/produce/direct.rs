//! Lines straight into the embedded log of a server that is stopped.

use std::sync::Arc;

use crate::{
    app,
    cli::{Exit, Failure, runtime},
    clock::{Clock, SystemClock},
    config::Config,
    http::ingest::{self, Item, Rules},
    log::{CommandLog, embedded::EmbeddedLog, envelope::Limits},
    random::Random,
};

use super::{Sent, Sink, lines::Batch};

pub(super) struct Direct {
    runtime: tokio::runtime::Runtime,
    log: EmbeddedLog,
    limits: Limits,
    clock: Arc<dyn Clock>,
    random: Random,
}

impl Direct {
    pub(super) fn open(config: &Config) -> Result<Self, Failure> {
        let runtime = runtime()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random = Random::from_system();
        let log = runtime.block_on(app::open_log(config, Arc::clone(&clock), &random))?;
        Ok(Self { runtime, log, limits: config.limits.into(), clock, random })
    }
}

impl Sink for Direct {
    fn send(&mut self, batch: &Batch) -> Result<Vec<Sent>, Failure> {
        let rules = Rules { limits: &self.limits, clock: &*self.clock, random: &self.random };
        let prepared: Vec<_> = batch
            .lines
            .iter()
            .map(|line| ingest::prepare(&Item::json(line.json.clone()), None, rules))
            .collect();
        let records = prepared.iter().flatten().map(|prepared| prepared.record.clone()).collect();
        let mut appended = self.runtime.block_on(self.log.append(records)).into_iter();
        prepared
            .into_iter()
            .map(|prepared| match prepared {
                Err(refusal) => {
                    let first = refusal.errors.first();
                    let detail = first.map_or_else(String::new, |error| format!(": {}", error.detail));
                    Ok(Sent::Refused(format!("{}{detail}", refusal.code)))
                }
                Ok(_) => match appended.next() {
                    Some(Ok(_)) => Ok(Sent::Accepted),
                    Some(Err(error)) => Err(Failure::chain(Exit::Failed, &error)),
                    None => Err(Failure::new(Exit::Failed, "the log answered for fewer records than it got")),
                },
            })
            .collect()
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.runtime.block_on(self.log.close());
    }
}
