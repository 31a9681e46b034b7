//! Engraft: a write-coordinator with an event log for AI memory.
//!
//! ```text
//!  Kafka producer ─┐
//!                  ├─▶ command log ─▶ intake ─▶ ledger: begin ─▶ schedule ─▶ saga ─▶ vector store
//!  HTTP / CLI ─────┘                  decode    dedupe, images   by keys      guard   │ then
//!                                                                                     ▼
//!      outcomes ◀── relay ◀── ledger: finish (heads) ◀───────────────────────── graph store
//!
//!  reads: HTTP ─▶ reader ─▶ vector store, heads
//! ```
//!
//! The log is the commit point, the ledger is the decision point, the stores are registers that only
//! ever move forward. Every write to a store carries its version and takes effect only if it is
//! newer; so any duplication, delay, reordering or retry converges, and recovery is one line: load
//! the unfinished sagas of the partition in log order and send them again.
//!
//! The modules stand in reading order; a module may use those above it and none below.

pub mod model;

pub mod clock;
pub mod fault;
pub mod invariant;
pub mod metrics;
pub mod random;
pub mod tasks;

pub mod log;

pub mod ledger;

pub mod graph;
pub mod vector;

pub mod guard;

pub mod saga;
pub mod worker;

pub mod reader;

pub mod audit;
pub mod sim;
pub mod telemetry;

pub mod http;

pub mod bench;

pub mod config;

pub mod app;

pub mod demo;

pub mod cli;
