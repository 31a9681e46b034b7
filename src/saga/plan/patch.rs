//! A merge patch (RFC 7396) of one memory.
//!
//! What makes it more than a merge is that vectors stand for a text. When the content changes,
//! what stood for the old text goes, unless the client says that it still fits:
//!
//! | the content changes, and the patch … | dense vector | client's sparse | derived sparse |
//! |---|---|---|---|
//! | does not speak of it | dropped | dropped, derived anew | derived anew |
//! | says `keep_vector` | kept | kept | derived anew |
//! | brings another | that one | that one | that one |
//! | says `null` | gone | derived anew | derived anew |
//!
//! "Derived anew" means none where the space derives nothing. A patch that sets the content to what
//! it is does not change it, and keeps both.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    Refusal,
    memory::{IMPORTANCE, default_kind},
    overlay::Terms,
};
use crate::model::{
    Code, Memory, Sparse, canonical,
    command::{MemoryPatch, Patch},
    memory::Properties,
    outcome::VectorFate,
};

/// A memory after a patch.
pub(super) struct Patched {
    pub(super) memory: Memory,
    /// What became of vectors that stood for a text that is gone, if there were any.
    pub(super) fate: Option<VectorFate>,
}

/// The memory that `patch` makes of `memory`.
pub(super) fn apply(
    memory: &Memory,
    patch: &MemoryPatch,
    terms: &Terms<'_>,
    at: &str,
) -> Result<Patched, Refusal> {
    let content = patched(&patch.content, &memory.content, String::new);
    let is_new_text = content != memory.content;
    let (dense, dense_fate) = dense(memory, patch, is_new_text);
    let (sparse, sparse_fate) = sparse(memory, patch, is_new_text, &content, terms);
    let memory = Memory {
        kind: patched(&patch.kind, &memory.kind, default_kind),
        properties: properties(&memory.properties, &patch.properties, terms, at)?,
        session: optional(&patch.session, memory.session.as_ref()),
        importance: patched(&patch.importance, &memory.importance, || IMPORTANCE),
        occurred_at: patched(&patch.occurred_at, &memory.occurred_at, || terms.now),
        valid_from: patched(&patch.valid_from, &memory.valid_from, || terms.now),
        valid_until: optional(&patch.valid_until, memory.valid_until.as_ref()),
        content,
        dense,
        sparse,
    };
    Ok(Patched { memory, fate: dense_fate.or(sparse_fate) })
}

/// A field that always has a value.
fn patched<T: Clone>(patch: &Patch<T>, current: &T, default: impl FnOnce() -> T) -> T {
    match patch {
        Patch::Keep => current.clone(),
        Patch::Remove => default(),
        Patch::Set(value) => value.clone(),
    }
}

/// A field that may be absent.
fn optional<T: Clone>(patch: &Patch<T>, current: Option<&T>) -> Option<T> {
    match patch {
        Patch::Keep => current.cloned(),
        Patch::Remove => None,
        Patch::Set(value) => Some(value.clone()),
    }
}

fn dense(
    memory: &Memory,
    patch: &MemoryPatch,
    is_new_text: bool,
) -> (Option<Arc<[f32]>>, Option<VectorFate>) {
    if patch.vector.is_named() || !is_new_text || memory.dense.is_none() {
        return (optional(&patch.vector, memory.dense.as_ref()), None);
    }
    if patch.keep_vector {
        (memory.dense.clone(), Some(VectorFate::Kept))
    } else {
        (None, Some(VectorFate::Dropped))
    }
}

fn sparse(
    memory: &Memory,
    patch: &MemoryPatch,
    is_new_text: bool,
    content: &str,
    terms: &Terms<'_>,
) -> (Option<Sparse>, Option<VectorFate>) {
    match &patch.sparse {
        Patch::Set(brought) => return (Some(Sparse { derived: false, ..brought.clone() }), None),
        Patch::Remove => return (terms.derived(content), None),
        Patch::Keep if !is_new_text => return (memory.sparse.clone(), None),
        Patch::Keep => {}
    }
    let brought_earlier = memory.sparse.as_ref().filter(|sparse| !sparse.derived);
    match brought_earlier {
        Some(sparse) if patch.keep_vector => (Some(sparse.clone()), Some(VectorFate::Kept)),
        Some(_) => (terms.derived(content), Some(VectorFate::Dropped)),
        None => (terms.derived(content), None),
    }
}

/// Merges properties, and refuses what grew beyond what a put could have brought. Depth needs no
/// look: a merge is never deeper than the deeper of the two.
fn properties(
    current: &Properties,
    patch: &Patch<Properties>,
    terms: &Terms<'_>,
    at: &str,
) -> Result<Properties, Refusal> {
    let change = match patch {
        Patch::Keep => return Ok(current.clone()),
        Patch::Remove => return Ok(Properties::new()),
        Patch::Set(change) => change,
    };
    let mut merged = current.clone();
    merge(&mut merged, change);
    let too_large = |detail: String| Err(Refusal::new(Code::TooLarge, format!("{at}/properties"), detail));
    let (count, count_max) = (merged.len(), terms.limits.properties_max);
    if count > count_max {
        return too_large(format!(
            "the memory would have {count} properties; at most {count_max} are allowed"
        ));
    }
    let mut text = Vec::new();
    canonical::write_object(&merged, &mut text);
    let (bytes, bytes_max) = (text.len(), terms.limits.record_bytes_max);
    if bytes > bytes_max {
        return too_large(format!(
            "the properties would take {bytes} bytes; at most {bytes_max} are allowed"
        ));
    }
    Ok(merged)
}

/// RFC 7396: objects merge name by name, `null` removes a name, anything else replaces.
fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, change) in patch {
        match change {
            Value::Null => drop(target.remove(name)),
            Value::Object(change) => {
                let slot = target.entry(name.clone()).or_insert(Value::Null);
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(inner) = slot {
                    merge(inner, change);
                }
            }
            _ => drop(target.insert(name.clone(), change.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396's appendix whose target and patch are objects.
    #[test]
    fn properties_merge_as_the_standard_says() {
        let table = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (target, patch, expected) in table {
            let mut merged = target.as_object().expect("an object").clone();
            merge(&mut merged, patch.as_object().expect("an object"));
            assert_eq!(Value::Object(merged), expected, "{target} patched by {patch}");
        }
    }
}
