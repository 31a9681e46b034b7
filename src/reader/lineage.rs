//! Lineage: which relations say that one memory came of another, and which of their ends is the older.

use crate::{
    graph::{Direction, Walk},
    model::Name,
};

/// The newer end is the source: `new DERIVED_FROM old`.
const NEW_TO_OLD: [&str; 4] = ["DERIVED_FROM", "EVOLVES_FROM", "IMPROVES_ON", "SUPERSEDES"];
/// The older end is the source: `old CONSOLIDATED_INTO new`.
const OLD_TO_NEW: [&str; 2] = ["CONSOLIDATED_INTO", "SOURCE_OF"];

/// Which way in time a lineage is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineageSide {
    /// To what it came from.
    Backward,
    /// To what came of it.
    Forward,
}

impl LineageSide {
    /// The walk that follows it.
    #[must_use]
    pub fn walk(self) -> Walk {
        let names = |all: &[&str]| all.iter().filter_map(|name| Name::new(*name).ok()).collect::<Vec<_>>();
        let direction = match self {
            Self::Backward => Direction::Out,
            Self::Forward => Direction::In,
        };
        let types = [names(&NEW_TO_OLD), names(&OLD_TO_NEW)].concat();
        Walk { direction, types, against: names(&OLD_TO_NEW), ..Walk::default() }
    }
}
