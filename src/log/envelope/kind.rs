//! The closed set of command types, each with its short and its long name. Stable.

/// What a record asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    MemoryPut,
    MemoryPatch,
    MemoryTouch,
    MemoryDelete,
    MemorySupersede,
    MemoryArchive,
    MemoryRestore,
    RelationPut,
    RelationDelete,
    RelationStrengthen,
    RelationDecay,
    RelationInvalidate,
    Batch,
    SpaceCreate,
    SpaceErase,
}

macro_rules! names {
    ($($kind:ident = $short:literal,)*) => {
        impl Kind {
            /// All of them, in the order in which they are documented.
            pub(super) const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The short name.
            pub(super) const fn short(self) -> &'static str {
                match self { $(Self::$kind => $short,)* }
            }

            /// The name that headers, hashes and outcomes hold.
            pub(super) const fn long(self) -> &'static str {
                match self { $(Self::$kind => concat!("engraft.", $short, ".v1"),)* }
            }
        }
    };
}

names! {
    MemoryPut = "memory.put",
    MemoryPatch = "memory.patch",
    MemoryTouch = "memory.touch",
    MemoryDelete = "memory.delete",
    MemorySupersede = "memory.supersede",
    MemoryArchive = "memory.archive",
    MemoryRestore = "memory.restore",
    RelationPut = "relation.put",
    RelationDelete = "relation.delete",
    RelationStrengthen = "relation.strengthen",
    RelationDecay = "relation.decay",
    RelationInvalidate = "relation.invalidate",
    Batch = "batch",
    SpaceCreate = "space.create",
    SpaceErase = "space.erase",
}

impl Kind {
    /// The type with this short or long name.
    pub(super) fn named(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.short() == text || kind.long() == text)
    }

    /// Whether it may stand in a batch.
    pub(super) const fn may_be_batched(self) -> bool {
        !matches!(
            self,
            Self::MemoryArchive
                | Self::MemoryRestore
                | Self::RelationDecay
                | Self::Batch
                | Self::SpaceCreate
                | Self::SpaceErase
        )
    }
}
