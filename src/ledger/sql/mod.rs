//! What two SQL databases share: the statements, the dialect that fits them to a database, and the
//! form of every column that is not a plain value.
//!
//! ```text
//! statements ──$1, keys($2), rows(18)──▶ dialect ──▶ text, made once and kept
//! rows ◀──▶ codec ◀──▶ columns
//! ```
//!
//! Nothing here talks to a database; a backend executes the texts over its own driver.

pub(super) mod codec;
pub(super) mod dialect;
pub(super) mod statements;
