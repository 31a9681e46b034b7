//! What every request shares: ports, bounds, and what is known of the log.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::http::{HeaderMap, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::{
    ledger::Ledger,
    log::CommandLog,
    model::{PartitionId, Position, Space},
    reader::{self, CommandState, Demand, Feed, Reader},
    tasks::Tasks,
};

use super::{
    super::{Guarantees, Options, Ports, Problem, ingest::Rules, parameters, problem::Reason},
    tokens::{Holder, Tokens},
};

/// How often the ledger is asked for new outcomes while anybody follows them.
const FEED_INTERVAL: Duration = Duration::from_millis(20);

/// The ports, which [`super::Access`] guards, and all that needs no guard.
pub(in crate::http) struct Shared {
    ports: Ports,
    options: Options,
    tokens: Tokens,
    partitions: u32,
    epoch: OnceLock<u32>,
    waiting: Semaphore,
    streams: Arc<Semaphore>,
    feed: Feed,
}

impl Shared {
    /// Around these ports, for the holders of these tokens; for everybody where there are none.
    /// What follows outcomes ends with `tasks`.
    pub(in crate::http) fn new(ports: Ports, options: Options, tokens: Tokens, tasks: Tasks) -> Self {
        Self {
            partitions: ports.log.topology().partitions,
            epoch: OnceLock::new(),
            waiting: Semaphore::new(options.waiting_count_max),
            streams: Arc::new(Semaphore::new(options.streams_count_max)),
            feed: Feed::new(Arc::clone(&ports.ledger), tasks, FEED_INTERVAL),
            ports,
            options,
            tokens,
        }
    }

    /// How the server is set up.
    pub(in crate::http) fn options(&self) -> &Options {
        &self.options
    }

    /// How many partitions the log has.
    pub(in crate::http) fn partitions(&self) -> u32 {
        self.partitions
    }

    /// What the deployment promises.
    pub(in crate::http) fn guarantees(&self) -> &Guarantees {
        &self.ports.guarantees
    }

    /// What a command may be.
    pub(in crate::http) fn rules(&self) -> Rules<'_> {
        Rules { limits: &self.ports.limits, clock: &*self.ports.clock, random: &self.ports.random }
    }

    /// The log's epoch, once the worker has opened it.
    pub(in crate::http) async fn epoch(&self) -> Result<u32, Problem> {
        if let Some(epoch) = self.epoch.get() {
            return Ok(*epoch);
        }
        match self.ports.ledger.epoch().await? {
            Some(row) => Ok(*self.epoch.get_or_init(|| row.epoch)),
            None => Err(Problem::new(Reason::Starting, "the worker has not opened the log yet")),
        }
    }

    /// Whether commands and questions can be taken: the worker has opened the log, and the ledger
    /// answers now.
    pub(in crate::http) async fn ready(&self) -> Result<(), Problem> {
        self.epoch().await?;
        self.ports.ledger.epoch().await?;
        Ok(())
    }

    /// A `limit` within its bounds.
    pub(in crate::http) fn limit(&self, asked: Option<usize>) -> Result<usize, Problem> {
        let most = self.ports.reader.options().limit_max;
        let limit = asked.unwrap_or(parameters::LIMIT_DEFAULT.min(most));
        if (1..=most).contains(&limit) {
            Ok(limit)
        } else {
            Err(Problem::bad_request(format!("`limit` goes from 1 to {most}")))
        }
    }

    /// A `depth` within its bounds.
    pub(in crate::http) fn depth(&self, asked: Option<u32>, default: u32) -> Result<u32, Problem> {
        let most = self.ports.reader.options().depth_max;
        let depth = asked.unwrap_or(default.min(most));
        if (1..=most).contains(&depth) {
            Ok(depth)
        } else {
            Err(Problem::bad_request(format!("`depth` goes from 1 to {most}")))
        }
    }

    /// The right to wait for an outcome; `None` when as many wait as may.
    pub(in crate::http) fn place_to_wait(&self) -> Option<SemaphorePermit<'_>> {
        self.waiting.try_acquire().ok()
    }

    /// The right to hold a stream of events; `None` when as many are open as may.
    pub(in crate::http) fn place_to_stream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().ok()
    }

    /// Where the commands of `space` lie in the present epoch.
    pub(in crate::http) async fn partition_of(&self, space: &Space) -> Result<PartitionId, Problem> {
        let topology = self.ports.log.topology();
        let partition = topology.partitioner.partition(space.as_str().as_bytes(), topology.partitions);
        Ok(PartitionId { epoch: self.epoch().await?, partition })
    }

    /// The right to wait, for a read that may have to.
    pub(in crate::http) fn permit(&self, demand: Demand) -> Result<Option<SemaphorePermit<'_>>, Problem> {
        if demand.token.is_none() {
            return Ok(None);
        }
        let full = || Problem::new(Reason::TooManyWaiting, "as many requests wait as may; try again");
        self.place_to_wait().ok_or_else(full).map(Some)
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.ports.reader
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.feed
    }

    pub(super) fn ports(&self) -> &Ports {
        &self.ports
    }

    pub(super) fn ledger(&self) -> &dyn Ledger {
        &*self.ports.ledger
    }

    pub(super) fn log(&self) -> &dyn CommandLog {
        &*self.ports.log
    }

    /// Whose request has these headers; `None` where no tokens are configured.
    pub(super) fn holder(&self, headers: &HeaderMap) -> Result<Option<Arc<Holder>>, Problem> {
        if self.tokens.is_empty() {
            return Ok(None);
        }
        let refused = |detail: &str| Problem::new(Reason::Unauthenticated, detail);
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(refused("send the header `Authorization: Bearer <token>`"));
        };
        let (scheme, token) = value.as_bytes().split_at_checked(7).unwrap_or_default();
        let holder = self.tokens.holder(token.trim_ascii());
        match holder.filter(|_| scheme.eq_ignore_ascii_case(b"bearer ")) {
            Some(holder) => Ok(Some(holder)),
            None => Err(refused("this is no token that the server knows")),
        }
    }

    /// The space of the command at `position`; `None` where there is none, or none any more.
    pub(super) async fn space_of(&self, position: Position) -> Result<Option<Space>, Problem> {
        match self.ports.reader.command(position).await? {
            CommandState::Known(row) => Ok(row.header.map(|header| header.space)),
            // Only the log knows it yet; its key is the space.
            CommandState::Accepted => {
                let record = self.ports.log.record(position.partition, position.offset).await;
                let key = record.map_err(reader::Error::from)?.and_then(|record| record.key);
                let space = key.and_then(|key| std::str::from_utf8(&key).ok().map(Space::new));
                Ok(space.and_then(Result::ok))
            }
            CommandState::Swept | CommandState::Unknown => Ok(None),
        }
    }
}
