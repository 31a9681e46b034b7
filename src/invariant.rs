//! The catalogue of what always holds: one id and one sentence each.
//!
//! The simulator, the audit and debug assertions speak of invariants by these ids.

use std::fmt;

macro_rules! invariants {
    ($($name:ident = $text:literal,)*) => {
        /// One promise of the catalogue.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub enum Invariant {
            $(#[doc = $text] $name,)*
        }

        impl Invariant {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The promise, as one sentence.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

invariants! {
    I1 = "no accepted command is lost: every acknowledged append has a saga row",
    I2 = "there is exactly one terminal outcome per position, and every published copy is identical",
    I3 = "outcomes are legal: an invalid command never commits, a valid one is never undone unless refused",
    I4 = "each store equals the fold of the log, content and version, with no extra records",
    I5 = "a command id has at most one effect inside the dedupe window",
    I6 = "per record and store, versions never decrease",
    I7 = "at rest, a record is in all its required stores or in none",
    I8 = "no live relation has a dead or absent end, and deleted relations stay deleted",
    I9 = "nothing deleted reappears, not even through a duplicate that arrives late",
    I10 = "below the watermark every position has a saga row, and the watermark never moves back",
    I11 = "the same version has the same content hash everywhere",
    I12 = "compensation is complete: the undone image is visible nowhere, the earlier one is restored exactly",
    I13 = "sagas move along legal edges, and none starts before an earlier unfinished one that it conflicts with",
    I14 = "reads with a token never show anything older than the token",
    I15 = "every answer that is not from the primary, or is older than the head, says so",
    I16 = "a verified hot or cold copy of every live memory exists at every instant",
    I17 = "every queue, cache, backlog and retry budget stays within its bound",
    I18 = "no space can read, change or learn of another's records",
    I19 = "no credential, host, path or memory text appears where it does not belong",
    L1 = "when faults stop, everything accepted becomes terminal",
    L2 = "a fault in one store or one space does not stop the others",
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
