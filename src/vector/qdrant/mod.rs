//! The vector store on a Qdrant server, over gRPC.
//!
//! ```text
//! Project ─▶ write ─┐                    ┌─▶ connection ─▶ server
//! Read ─▶ question ─┴─▶ collection ready ┘   key, deadline, what a failure says
//! ```
//!
//! One collection holds every space. A dense vector lies under the name of its dimension and metric, which
//! is added when the first memory needs it; the space is a payload field with a tenant's index, and every
//! search names it. The fence is a condition of the upsert ([`write`]).
//!
//! It repeats nothing and opens no breaker: that is the guard's. It trusts the server that an acknowledged
//! write is durable.
//!
//! The stand-in speaks the server's side of the protocol, for tests and benches.

#[cfg(feature = "qdrant")]
mod collection;
#[cfg(feature = "qdrant")]
mod condition;
#[cfg(feature = "qdrant")]
mod connection;
#[cfg(feature = "qdrant")]
mod failure;
mod options;
#[cfg(feature = "qdrant")]
mod point;
#[cfg(feature = "qdrant")]
mod question;
#[cfg(all(feature = "edge", feature = "qdrant"))]
pub mod standin;
#[cfg(feature = "qdrant")]
mod store;
#[cfg(all(test, feature = "edge", feature = "qdrant"))]
mod tests;
#[cfg(feature = "qdrant")]
mod write;

pub use options::{Invalid, Options};
#[cfg(feature = "qdrant")]
pub use store::{OpenError, QdrantVectors};
