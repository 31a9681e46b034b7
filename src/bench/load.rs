//! The load: encoded records, ready to append, so that making them is not measured.

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::json;

use crate::{
    log::{NewRecord, envelope::encode::Draft},
    model::{Space, memory::f32s_to_bytes},
    random::Random,
};

/// The space of the load.
pub(super) fn space() -> Space {
    Space::new("bench").expect("a constant name")
}

/// One of several spaces, so that partitions share the load.
#[cfg(all(feature = "postgres", feature = "qdrant"))]
pub(super) fn space_of(number: usize) -> Space {
    Space::new(format!("bench-{number}")).expect("a plain name")
}

/// Declares the space.
pub(super) fn declaration(dimension: usize, text: bool) -> NewRecord {
    declaration_of(space(), dimension, text)
}

/// Declares a space.
pub(super) fn declaration_of(space: Space, dimension: usize, text: bool) -> NewRecord {
    Draft::new(space, "space.create", &json!({ "dimension": dimension, "text": text }))
        .with_id("declare")
        .bare()
}

/// A unit vector, by chance.
#[expect(clippy::cast_possible_truncation, reason = "chance loses nothing in a shorter float")]
pub(super) fn vector(random: &Random, dimension: usize) -> Vec<f32> {
    let raw: Vec<f32> = (0..dimension).map(|_| (random.unit() - 0.5) as f32).collect();
    let norm = raw.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    raw.into_iter().map(|value| value / norm).collect()
}

/// A sentence of words that repeat as words do.
pub(super) fn sentence(random: &Random) -> String {
    let word = || format!("word{}", random.below(40) * random.below(50));
    (0..12).map(|_| word()).collect::<Vec<_>>().join(" ")
}

/// Puts of new memories, one a number, as bare JSON with base64 vectors. Ids rise with time, as UUIDv7 do.
pub(super) fn puts(random: &Random, numbers: Range<usize>, dimension: usize) -> Vec<NewRecord> {
    numbers.map(|number| put(random, space(), number, dimension)).collect()
}

/// One put of a new memory.
pub(super) fn put(random: &Random, space: Space, number: usize, dimension: usize) -> NewRecord {
    let data = format!(
        r#"{{"id":"m-{number:010}-{:08x}","kind":"Episode","content":"{}","session":"s-{}","properties":{{"turn":{number}}},"vector":{{"b64":"{}"}}}}"#,
        random.below(1 << 32),
        sentence(random),
        number / 50,
        STANDARD.encode(f32s_to_bytes(&vector(random, dimension))),
    );
    let mut draft = Draft::new(space, "memory.put", &json!({}));
    draft.data = Bytes::from(data);
    draft.with_id(format!("c-{number}")).bare()
}
