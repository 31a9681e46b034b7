//! What a client asks for: every command as a type, once its shape has been checked.
//!
//! The wire forms, their decoding and the shape check live in [`crate::log::envelope`]; what a
//! command *means* is decided later, in log order, by [`crate::saga`].

use std::sync::Arc;

use super::{
    Digest, MemoryId, Name, RelationKey, Space, Sparse, Timestamp, Version, memory::Properties, space::Metric,
};

/// A readable, well-shaped command with what travels around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Who asks, for which space, by which id.
    pub header: Header,
    /// What is asked.
    pub command: Command,
    /// RFC 8785 of `{"data":…,"type":…}` as the client sent them, defaults not filled in: what the
    /// ledger keeps while the saga waits, and what the hash covers.
    pub body: Arc<[u8]>,
    /// SHA-256 of `body`: the same id with another hash is another command.
    pub body_hash: Digest,
}

/// What travels around a command, whatever the wire form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The idempotency key within space and source. Where the producer gave none, the position's
    /// text, and `claims` is false.
    pub id: String,
    /// Whether the producer gave the id: only then does a second record with it count as a duplicate.
    pub claims: bool,
    /// The producer's source; `""` where it gave none.
    pub source: String,
    /// The space: isolation and order.
    pub space: Space,
    /// The long form of the type, e.g. `engraft.memory.put.v1`.
    pub kind: String,
    /// Every "now" inside the command means this: the producer's time, else the log's append time.
    pub time: Timestamp,
    /// Past when the saga would start: the command fails with `expired`.
    pub expires_at: Option<Timestamp>,
    /// Carried to the outcome.
    pub trace: Trace,
}

/// Attributes that are carried from a command to its outcome, untouched.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Trace {
    /// `correlationid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// `causationid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// W3C `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// W3C `tracestate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Write a whole memory.
    MemoryPut(MemoryPut),
    /// Change parts of one (RFC 7396).
    MemoryPatch(MemoryPatch),
    /// Set its last access.
    MemoryTouch(MemoryTouch),
    /// Remove it and its relations.
    MemoryDelete(MemoryDelete),
    /// Put another in its place and end its validity.
    MemorySupersede(MemorySupersede),
    /// Move it to the cold tier.
    MemoryArchive(MemoryId),
    /// Bring it back.
    MemoryRestore(MemoryId),
    /// Write a whole relation.
    RelationPut(RelationPut),
    /// Remove one.
    RelationDelete(RelationKey),
    /// Raise its weight.
    RelationStrengthen(RelationStrengthen),
    /// Lower the weights of unused ones, and remove the weakest.
    RelationDecay(RelationDecay),
    /// End its validity.
    RelationInvalidate(RelationInvalidate),
    /// All of these, or none.
    Batch(Batch),
    /// Declare the space.
    SpaceCreate(SpaceCreate),
    /// Remove everything in the space.
    SpaceErase,
}

/// `memory.put`: replaces the whole memory; an absent vector means none.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryPut {
    /// Its id; where the client gave none, derived from the command's.
    pub id: MemoryId,
    /// `Episode` by default.
    pub kind: Name,
    /// `""` by default.
    pub content: String,
    /// `{}` by default.
    pub properties: Properties,
    /// None by default.
    pub session: Option<String>,
    /// 0..1, 0.5 by default.
    pub importance: f64,
    /// Finite; the length is judged against the space.
    pub vector: Option<Arc<[f32]>>,
    /// Brought by the client; absent, it may be derived.
    pub sparse: Option<Sparse>,
    /// The command's time by default.
    pub occurred_at: Option<Timestamp>,
    /// The command's time by default.
    pub valid_from: Option<Timestamp>,
    /// None by default.
    pub valid_until: Option<Timestamp>,
    /// Refuse when the memory is there.
    pub if_absent: bool,
    /// Refuse unless the memory is at this version.
    pub if_version: Option<Version>,
}

/// One field of a merge patch.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Patch<T> {
    /// The patch does not name it.
    #[default]
    Keep,
    /// `null`: back to its default, or gone.
    Remove,
    /// The new value.
    Set(T),
}

impl<T> Patch<T> {
    /// The new value, if there is one.
    pub fn set(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Remove => None,
        }
    }

    /// Whether the patch names the field at all.
    pub fn is_named(&self) -> bool {
        !matches!(self, Self::Keep)
    }
}

/// `memory.patch`: JSON Merge Patch over the fields of a put.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryPatch {
    /// The memory.
    pub id: MemoryId,
    /// Its kind; removed: the default.
    pub kind: Patch<Name>,
    /// Its content; removed: `""`.
    pub content: Patch<String>,
    /// Merged into its properties, `null` removing one; removed: `{}`.
    pub properties: Patch<Properties>,
    /// Its session.
    pub session: Patch<String>,
    /// Its importance; removed: the default.
    pub importance: Patch<f64>,
    /// Its vector.
    pub vector: Patch<Arc<[f32]>>,
    /// Its sparse vector; removed: derived anew where the space says `text`.
    pub sparse: Patch<Sparse>,
    /// When it happened; removed: the command's time.
    pub occurred_at: Patch<Timestamp>,
    /// Removed: the command's time.
    pub valid_from: Patch<Timestamp>,
    /// Removed: it holds for good.
    pub valid_until: Patch<Timestamp>,
    /// Keep the vector (and a client's sparse) although the content changes.
    pub keep_vector: bool,
    /// Refuse unless the memory is at this version.
    pub if_version: Option<Version>,
}

/// `memory.touch`: sets the head's last access; no image, no version, no store call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryTouch {
    /// The memory.
    pub id: MemoryId,
}

/// `memory.delete`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryDelete {
    /// The memory.
    pub id: MemoryId,
    /// Refuse unless it is at this version.
    pub if_version: Option<Version>,
}

/// `memory.supersede`: puts `by`, ends the old memory's validity at the command's time, and puts
/// `SUPERSEDES` from new to old.
#[derive(Debug, Clone, PartialEq)]
pub struct MemorySupersede {
    /// The command's space, which both memories lie in.
    pub space: Space,
    /// The old memory.
    pub id: MemoryId,
    /// The new one; its id is another.
    pub by: MemoryPut,
}

impl MemorySupersede {
    /// The relation that it writes.
    #[must_use]
    pub fn relation(&self) -> RelationKey {
        RelationKey {
            space: self.space.clone(),
            source: self.by.id.clone(),
            kind: Name::new("SUPERSEDES").expect("a constant name"),
            target: self.id.clone(),
            discriminator: String::new(),
        }
    }
}

/// What to do when an end of a relation is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnMissing {
    /// Refuse the command.
    #[default]
    Refuse,
    /// Make the end: an empty memory of the default kind.
    Stub,
}

/// `relation.put`.
#[derive(Debug, Clone, PartialEq)]
pub struct RelationPut {
    /// Which relation.
    pub relation: RelationKey,
    /// 0..1, 1.0 by default.
    pub weight: f64,
    /// `{}` by default.
    pub properties: Properties,
    /// The command's time by default.
    pub valid_from: Option<Timestamp>,
    /// None by default.
    pub valid_until: Option<Timestamp>,
    /// When an end is missing.
    pub on_missing: OnMissing,
}

/// `relation.strengthen`: `w += rate * (1 - w)`; absent, it is created at 0.1.
#[derive(Debug, Clone, PartialEq)]
pub struct RelationStrengthen {
    /// Which relation.
    pub relation: RelationKey,
    /// 0..1, 0.1 by default.
    pub rate: f64,
    /// When an end is missing.
    pub on_missing: OnMissing,
}

/// `relation.invalidate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationInvalidate {
    /// Which relation.
    pub relation: RelationKey,
    /// End of its validity; the command's time by default.
    pub valid_until: Option<Timestamp>,
}

/// `relation.decay`: `w *= 1 - rate` for relations long unused; the weakest are deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct RelationDecay {
    /// Which relations.
    pub scope: DecayScope,
    /// Days without use, 30 by default.
    pub older_than_days: u32,
    /// 0..1, 0.01 by default.
    pub rate: f64,
    /// Below this weight a relation is deleted; 0.01 by default.
    pub prune_below: f64,
}

/// Which relations decay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecayScope {
    /// Those with this memory as an end.
    Memory(MemoryId),
    /// Those whose source lies in a session, given by its name.
    Session(String),
}

/// `batch`: items apply in order and share one version; all or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// 1 to 1,000 memory and relation commands.
    pub items: Vec<Command>,
}

/// `space.create`: fixes or extends the declaration; absent fields say nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpaceCreate {
    /// The length of every dense vector.
    pub dimension: Option<u32>,
    /// How vectors are compared.
    pub metric: Option<Metric>,
    /// Kinds to add.
    pub kinds: Vec<Name>,
    /// Relation types to add.
    pub relation_types: Vec<Name>,
    /// Properties that a vector store can filter by, to add.
    pub indexed: Vec<Name>,
    /// Whether a sparse vector is derived from content.
    pub text: Option<bool>,
    /// Whether new kinds and types join on first use.
    pub open: Option<bool>,
    /// Whether earlier images are kept.
    pub history: Option<bool>,
    /// Most memories.
    pub quota: Option<u64>,
}
