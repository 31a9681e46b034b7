//! A ledger on Postgres, for as many processes as have partitions to own.
//!
//! ```text
//! write transactions ──▶ a pool: BEGIN · SELECT … FROM partition … FOR UPDATE · lease · bulk · COMMIT
//! reads ───────────────▶ another pool, one statement each
//! ```
//!
//! **Isolation.** A transaction first locks its partition's row, then checks the lease on it, and
//! every row that it reads or writes afterwards belongs to that partition: a space lies in one
//! partition, and its claims, sagas, heads and relations with it. Whoever else would write these rows
//! waits for the same lock. READ COMMITTED takes a new snapshot for every statement, hence after the
//! lock, so each statement sees all that earlier owners committed and no half of anything. What is
//! shared by partitions is numbers alone: spaces' (given out once, never changed) and the blocks below.
//! The one who reads without the lock, the sweep, deletes only images that nobody can point at again.
//!
//! **Numbers.** Records and images are numbered by the process that writes them, from blocks of a
//! million that it takes from a row of their own, in a transaction of its own.
//!
//! The options can be read in every build; the ledger itself needs the feature `postgres`.

mod options;

#[cfg(feature = "postgres")]
mod arguments;
#[cfg(feature = "postgres")]
mod database;
#[cfg(feature = "postgres")]
mod dialect;
#[cfg(feature = "postgres")]
mod error;
#[cfg(feature = "postgres")]
mod open;
#[cfg(feature = "postgres")]
mod queue;
#[cfg(feature = "postgres")]
mod session;

#[cfg(feature = "postgres")]
pub use database::{PostgresDatabase, PostgresLedger};
#[cfg(feature = "postgres")]
pub use open::OpenError;
pub use options::{Options, Refused};

#[cfg(all(test, feature = "postgres"))]
mod tests;
