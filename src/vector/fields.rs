//! What a point's payload is called in every store that keeps points. Stable: stores outlive the program.

/// The sparse vector's name.
pub(super) const SPARSE: &str = "sparse";
/// The space.
pub(super) const SPACE: &str = "space";
/// The true id.
pub(super) const ID: &str = "id";
/// The kind.
pub(super) const KIND: &str = "kind";
/// The session.
pub(super) const SESSION: &str = "session";
/// What holds the properties.
pub(super) const PROPERTIES: &str = "properties";
/// The version's epoch.
pub(super) const EPOCH: &str = "_e";
/// The version's sequence.
pub(super) const SEQUENCE: &str = "_s";
/// The hash.
pub(super) const HASH: &str = "_h";
/// Set on a tombstone.
pub(super) const DEAD: &str = "_dead";
/// Set where the sparse vector counts.
pub(super) const HAS_SPARSE: &str = "_sparse";
