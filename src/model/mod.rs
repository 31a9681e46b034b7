//! The vocabulary: every noun of Engraft as a type, with no I/O.
//!
//! Read in this order: [`ids`] names things, [`version`] orders them, [`canonical`] and [`hash`] pin their bytes,
//! [`memory`] and [`relation`] are the records, [`command`] is what a client asks for,
//! [`conflict`] says which commands must not overtake each other, [`saga`] is how far one has
//! come, [`outcome`] is its one answer. [`space`] is a declaration, [`answer`] is what a store
//! says to one write.
//!
//! Nothing here reads a clock, a file or a socket; everything here can be tested with values.

pub mod answer;
pub mod canonical;
pub mod command;
pub mod conflict;
pub mod hash;
pub mod ids;
pub mod memory;
pub mod outcome;
pub mod relation;
pub mod saga;
pub mod space;
pub mod time;
pub mod token;
pub mod version;

pub use answer::Answer;
pub use command::{Command, Envelope, Header};
pub use conflict::{Access, ConflictKey};
pub use hash::{Digest, Key};
pub use ids::{MemoryId, Name, Space};
pub use memory::{Memory, Sparse};
pub use outcome::{Code, Effect, FieldError, Outcome};
pub use relation::{Relation, RelationKey};
pub use saga::State;
pub use space::Declaration;
pub use time::Timestamp;
pub use token::Token;
pub use version::{PartitionId, Phase, Position, Version};
