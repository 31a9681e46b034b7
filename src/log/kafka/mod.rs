//! The command log on Kafka: three topics, any number of producers in any language.
//!
//! ```text
//! engraft.commands.v1       p ──▶ reader at the ledger's offset ──▶ worker
//! engraft.outcomes.v1       p ◀── its outcomes, in the same partition number
//! engraft.commands.v1.dlq   p ◀── its dead letters, likewise
//! ```
//!
//! What is durable is what `acks=all` says: with `min.insync.replicas >= 2` a record survives the loss of a
//! broker. Kafka itself does not fsync each write. The group's offsets are kept for lag tools; no reader
//! starts from them.
//!
//! Processes share the partitions through a group, which says who should work on what; who may is decided by
//! leases in the ledger, which a process takes as soon as the group names it. A partition moves only when its
//! process has released it, or when the group has not heard of that process for its session's time. A ledger
//! that one process alone can open needs no group: [`KafkaLog::work_alone`]. Readers hold no membership that
//! a slow store could let expire.
//!
//! The options can be read in every build; the client itself needs the feature `kafka`.

pub mod event;
pub mod options;

#[cfg(test)]
#[cfg(feature = "kafka")]
mod asyncapi;
#[cfg(feature = "kafka")]
mod client;
#[cfg(feature = "kafka")]
mod connection;
#[cfg(feature = "kafka")]
mod fetcher;
#[cfg(feature = "kafka")]
mod group;
#[cfg(feature = "kafka")]
mod reader;
#[cfg(feature = "kafka")]
mod sinks;
#[cfg(feature = "kafka")]
mod survey;
#[cfg(feature = "kafka")]
pub mod topics;

#[cfg(feature = "kafka")]
pub use connection::{ConnectError, KafkaLog};
pub use options::{Options, RefusedProperty};
