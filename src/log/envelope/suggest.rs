//! The nearest known name to one that nobody knows.

/// Longer names are no slips of a known one.
const NAME_BYTES_MAX: usize = 40;

/// The name among `known` that `name` was probably meant to be: at most a third of it is wrong.
pub(super) fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let lower = name.to_ascii_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| (distance(lower.as_bytes(), candidate.to_ascii_lowercase().as_bytes()), candidate))
        .filter(|(wrong, candidate)| wrong * 3 <= candidate.len().max(name.len()))
        .min_by_key(|(wrong, _)| *wrong)
        .map(|(_, candidate)| candidate)
}

/// `, did you mean …` or nothing, to end a sentence with.
pub(super) fn hint<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(name, known).map_or_else(String::new, |near| format!("; did you mean `{near}`"))
}

/// `name` in backticks, shortened where it is long: it is a client's, and goes into a sentence.
pub(super) fn quoted(name: &str) -> String {
    let short: String = name.chars().take(NAME_BYTES_MAX).collect();
    if short.len() < name.len() { format!("`{short}…`") } else { format!("`{short}`") }
}

/// How many bytes must be put in, taken out or changed (Levenshtein).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (right, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let cost = if left == right { diagonal } else { 1 + diagonal.min(before).min(*cell) };
            diagonal = *cell;
            before = cost;
            *cell = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let known = ["content", "kind", "if_absent", "occurred_at"];
        assert_eq!(nearest("contnet", known), Some("content"));
        assert_eq!(nearest("ifAbsent", known), Some("if_absent"));
        assert_eq!(nearest("if-absent", known), Some("if_absent"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        assert_eq!(quoted(&"x".repeat(50)), format!("`{}…`", "x".repeat(40)));
    }
}
