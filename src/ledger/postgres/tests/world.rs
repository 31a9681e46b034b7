//! A schema for each test, on the server that the runner started.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests and their helpers say by panicking that they cannot go on"
)]

use std::{
    io::Write as _,
    sync::atomic::{AtomicU64, Ordering},
};

use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::{
    ledger::postgres::{Options, PostgresLedger},
    random::Random,
};

/// The server that the runner started.
pub(super) struct Server {
    pub(super) url: String,
}

impl Server {
    /// It, or `None` after having said that this test was skipped.
    #[expect(clippy::disallowed_methods, reason = "a test asks the environment, and may block")]
    pub(super) fn there() -> Option<Self> {
        if let Ok(url) = std::env::var("ENGRAFT_TEST_POSTGRES") {
            return Some(Self { url });
        }
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        eprintln!("skipped {test}: ENGRAFT_TEST_POSTGRES is not set");
        if let Ok(log) = std::env::var("ENGRAFT_TEST_SKIP_LOG") {
            let mut log = std::fs::File::options().append(true).create(true).open(log).unwrap();
            writeln!(log, "{test}: no Postgres server").unwrap();
        }
        None
    }
}

/// A schema that nobody else uses.
pub(super) struct Place {
    pub(super) url: String,
    pub(super) schema: String,
}

impl Place {
    pub(super) fn new() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let nonce = Random::from_system().nonce() % (1 << 32);
        let schema = format!("test_{}_{number}_{nonce:x}", std::process::id());
        Some(Self { url: Server::there()?.url, schema })
    }

    /// Few connections: every test has a pool of its own.
    pub(super) fn options(&self) -> Options {
        Options { schema: self.schema.clone(), writers: 2, readers: 2, ..Options::default() }
    }

    pub(super) async fn open(&self) -> PostgresLedger {
        self.open_with(&self.url, &self.options()).await
    }

    pub(super) async fn open_with(&self, url: &str, options: &Options) -> PostgresLedger {
        PostgresLedger::open(url, options, &Random::from_seed(7, 1)).await.unwrap()
    }

    /// A connection beside the ledger's, for what an operator can do.
    pub(super) async fn operator(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let path = format!("SET search_path = \"{}\"", self.schema);
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(path))).await.unwrap();
        connection
    }
}

/// A new ledger in a schema of its own, if there is a server.
pub(super) async fn new() -> Option<(PostgresLedger, Place)> {
    let place = Place::new()?;
    Some((place.open().await, place))
}
