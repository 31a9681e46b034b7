//! What a space is declared to be, and how commands extend that declaration.
//!
//! Declarations are folded when a command is inboxed, in log order, from its shape alone. A command
//! that the declaration refuses declares nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Code, Command, FieldError, Name, command::SpaceCreate};

/// Most kinds, and most relation types, of one space.
pub const NAMES_MAX: usize = 256;
/// The kinds of a space that declares none.
pub const KINDS: [&str; 3] = ["Episode", "Entity", "Procedure"];
/// The relation types of a space that declares none.
pub const RELATION_TYPES: [&str; 19] = [
    "USES",
    "PRODUCES",
    "REQUIRES",
    "CAUSES",
    "PART_OF",
    "SIMILAR_TO",
    "IMPLEMENTS",
    "IMPROVES_ON",
    "CONSOLIDATED_INTO",
    "SOURCE_OF",
    "RELATES_TO",
    "HAS_CONTEXT",
    "DERIVED_FROM",
    "SUPERSEDES",
    "DEPENDS_ON",
    "TEMPORAL_BEFORE",
    "TEMPORAL_AFTER",
    "CONTRADICTS",
    "EVOLVES_FROM",
];

/// How a space measures the nearness of two vectors.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// By angle; a zero vector has none and is refused.
    #[default]
    Cosine,
    /// By inner product.
    Dot,
    /// By distance.
    Euclid,
}

/// How a space's dense vectors are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Layout {
    /// The length of every dense vector; `None`: there was none yet.
    pub dimension: Option<u32>,
    /// How they are compared.
    pub metric: Metric,
}

/// What a space is declared to be. Stored as JSON; fields are only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declaration {
    /// The length of every dense vector; set by the first one. `None`: there was none yet.
    pub dimension: Option<u32>,
    /// How vectors are compared.
    pub metric: Metric,
    /// The kinds that its memories may have.
    pub kinds: BTreeSet<Name>,
    /// The types that its relations may have.
    pub relation_types: BTreeSet<Name>,
    /// Properties that a vector store can filter by.
    pub indexed: BTreeSet<Name>,
    /// Whether a sparse vector is derived from content.
    pub text: bool,
    /// Whether a new kind or type joins its set on first use.
    pub open: bool,
    /// Whether earlier images are kept.
    pub history: bool,
    /// Most memories; `None`: no limit.
    pub quota: Option<u64>,
    /// Whether a `space.create` fixed it, rather than first use.
    pub declared: bool,
}

impl Default for Declaration {
    fn default() -> Self {
        let names = |all: &[&str]| all.iter().filter_map(|name| Name::new(name).ok()).collect();
        Self {
            dimension: None,
            metric: Metric::Cosine,
            kinds: names(&KINDS),
            relation_types: names(&RELATION_TYPES),
            indexed: BTreeSet::new(),
            text: true,
            open: true,
            history: false,
            quota: None,
            declared: false,
        }
    }
}

/// What a command needs to know of its space when it starts, judged when it was inboxed and kept
/// in its row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Judgement {
    /// Why the declaration refuses the command; empty: it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<FieldError>,
    /// How the space's vectors are kept.
    #[serde(default)]
    pub layout: Layout,
    /// Whether a sparse vector is derived from content.
    #[serde(default)]
    pub text: bool,
    /// Most memories of the space, if it has a quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<u64>,
    /// Whether earlier images are kept.
    #[serde(default)]
    pub history: bool,
}

impl Declaration {
    /// Folds one command in: extends the declaration by what the command declares, and says
    /// whether the declaration allows the command.
    pub fn fold(&mut self, command: &Command) -> Judgement {
        let mut next = self.clone();
        let mut refused = Vec::new();
        next.fold_at(command, "/data", &mut refused);
        if refused.is_empty() {
            *self = next;
        }
        Judgement {
            refused,
            layout: self.layout(),
            text: self.text,
            quota: self.quota,
            history: self.history,
        }
    }

    /// How its vectors are kept.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout { dimension: self.dimension, metric: self.metric }
    }

    fn fold_at(&mut self, command: &Command, pointer: &str, refused: &mut Vec<FieldError>) {
        match command {
            Command::MemoryPut(put) => {
                self.admit_kind(&put.kind, pointer, refused);
                self.admit_vector(put.vector.as_deref(), pointer, refused);
            }
            Command::MemoryPatch(patch) => {
                if let Some(kind) = patch.kind.set() {
                    self.admit_kind(kind, pointer, refused);
                }
                self.admit_vector(patch.vector.set().map(|vector| &**vector), pointer, refused);
            }
            Command::MemorySupersede(supersede) => {
                let by = format!("{pointer}/by");
                self.admit_kind(&supersede.by.kind, &by, refused);
                self.admit_vector(supersede.by.vector.as_deref(), &by, refused);
                self.admit_type(&supersede.relation().kind, pointer, refused);
            }
            Command::RelationPut(put) => self.admit_type(&put.relation.kind, pointer, refused),
            Command::RelationStrengthen(strengthen) => {
                self.admit_type(&strengthen.relation.kind, pointer, refused);
            }
            Command::Batch(batch) => {
                for (index, item) in batch.items.iter().enumerate() {
                    self.fold_at(item, &format!("{pointer}/items/{index}/data"), refused);
                }
            }
            Command::SpaceCreate(create) => self.create(create, pointer, refused),
            Command::MemoryTouch(_)
            | Command::MemoryDelete(_)
            | Command::MemoryArchive(_)
            | Command::MemoryRestore(_)
            | Command::RelationDelete(_)
            | Command::RelationInvalidate(_)
            | Command::RelationDecay(_)
            | Command::SpaceErase => {}
        }
    }

    fn admit_kind(&mut self, kind: &Name, pointer: &str, refused: &mut Vec<FieldError>) {
        if !admit(&mut self.kinds, kind, self.open) {
            let detail = not_admitted("kind", kind, self.open);
            refused.push(FieldError::new(Code::KindNotAllowed, format!("{pointer}/kind"), detail));
        }
    }

    fn admit_type(&mut self, kind: &Name, pointer: &str, refused: &mut Vec<FieldError>) {
        if !admit(&mut self.relation_types, kind, self.open) {
            let detail = not_admitted("relation type", kind, self.open);
            refused.push(FieldError::new(Code::RelationTypeNotAllowed, format!("{pointer}/type"), detail));
        }
    }

    fn admit_vector(&mut self, vector: Option<&[f32]>, pointer: &str, refused: &mut Vec<FieldError>) {
        let Some(vector) = vector else { return };
        let pointer = format!("{pointer}/vector");
        // Lengths are bounded far below 2^32 by the record limit.
        let length = u32::try_from(vector.len()).unwrap_or(u32::MAX);
        match self.dimension {
            Some(dimension) if dimension != length => {
                let detail =
                    format!("the vector has {length} values, but this space's vectors have {dimension}");
                refused.push(FieldError::new(Code::DimensionMismatch, pointer, detail));
                return;
            }
            Some(_) => {}
            None => self.dimension = Some(length),
        }
        if self.metric == Metric::Cosine && vector.iter().all(|value| *value == 0.0) {
            let detail = "the vector is zero and has no direction, but this space measures by cosine";
            refused.push(FieldError::new(Code::ZeroVector, pointer, detail));
        }
    }

    fn create(&mut self, create: &SpaceCreate, pointer: &str, refused: &mut Vec<FieldError>) {
        let mut conflict = |field: &str, stands: String| {
            let detail = format!("this space has {field} {stands}, which cannot change");
            refused.push(FieldError::new(Code::SpaceConflict, format!("{pointer}/{field}"), detail));
        };
        // Vectors that are stored already were judged and indexed by the metric that stands.
        let settled = self.declared || self.dimension.is_some();
        match (self.dimension, create.dimension) {
            (Some(stands), Some(wanted)) if stands != wanted => conflict("dimension", stands.to_string()),
            (None, Some(wanted)) => self.dimension = Some(wanted),
            _ => {}
        }
        match create.metric {
            Some(wanted) if wanted != self.metric && settled => {
                conflict("metric", format!("{:?}", self.metric).to_lowercase());
            }
            Some(wanted) => self.metric = wanted,
            None => {}
        }
        self.kinds.extend(create.kinds.iter().cloned());
        self.relation_types.extend(create.relation_types.iter().cloned());
        self.indexed.extend(create.indexed.iter().cloned());
        for (field, count) in [("kinds", self.kinds.len()), ("relation_types", self.relation_types.len())] {
            if count > NAMES_MAX {
                let detail =
                    format!("this space would have {count} {field}; at most {NAMES_MAX} are allowed");
                refused.push(FieldError::new(Code::TooLarge, format!("{pointer}/{field}"), detail));
            }
        }
        self.text = create.text.unwrap_or(self.text);
        self.open = create.open.unwrap_or(self.open);
        self.history = create.history.unwrap_or(self.history);
        self.quota = create.quota.or(self.quota);
        self.declared = true;
    }
}

fn admit(names: &mut BTreeSet<Name>, name: &Name, open: bool) -> bool {
    if names.contains(name) {
        return true;
    }
    if !open || names.len() >= NAMES_MAX {
        return false;
    }
    names.insert(name.clone())
}

fn not_admitted(what: &str, name: &Name, open: bool) -> String {
    if open {
        format!(
            "this space has {NAMES_MAX} {what}s already, the most it may have; `{name}` is not one of them"
        )
    } else {
        format!("this space is closed, and `{name}` is not among its {what}s; add it with space.create")
    }
}
