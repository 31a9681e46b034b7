//! The stores of a server, each behind its guard. Audit and repair go past them.

use std::sync::Arc;

use super::Stores;
use crate::{
    config::Config,
    graph::{self, heads::Heads},
    guard::{self, Guards},
    ledger::{Ledger, options::Kind as LedgerKind},
    log::CommandLog,
    random::Random,
    vector,
};

/// What a server works with.
pub(super) struct Guarded {
    pub(super) log: Arc<dyn CommandLog>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) graph: Arc<dyn graph::Read>,
    pub(super) vectors: Arc<dyn vector::Project>,
    pub(super) points: Arc<dyn vector::Read>,
    pub(super) guards: Guards,
}

impl Guarded {
    pub(super) fn new(stores: &Stores, config: &Config, random: &Random) -> Self {
        let options = || config.guard.clone();
        let (log, log_guard) = guard::log(Arc::clone(&stores.log), options(), random.clone());
        let (vectors, vector_guard) = guard::vectors(Arc::clone(&stores.vectors), options(), random.clone());
        let points = guard::points(Arc::clone(&stores.points), Arc::clone(&vector_guard));
        let mut guards = vec![log_guard, vector_guard];
        // A file in this machine is not away.
        if config.ledger.kind() == LedgerKind::Sqlite {
            let (ledger, graph) = (Arc::clone(&stores.ledger), Arc::clone(&stores.graph));
            return Self { log, ledger, graph, vectors, points, guards: Guards::new(guards) };
        }
        let (ledger, ledger_guard) = guard::ledger(Arc::clone(&stores.ledger), options(), random.clone());
        let graph = Arc::new(Heads::new(Arc::clone(&ledger)));
        guards.push(ledger_guard);
        Self { log, ledger, graph, vectors, points, guards: Guards::new(guards) }
    }
}
