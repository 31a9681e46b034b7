//! Sparse vectors from text, without a model: words, folded and hashed, with saturated weights.
//!
//! ```text
//! text ─▶ NFKC ─▶ words (UAX 29) ─▶ fold: lower case, no accents ─▶ term: SHA-256[..4], little-endian
//!           max_poll_interval  ─▶ max_poll_interval · max · poll · interval
//!           camelCase          ─▶ camelcase · camel · case
//!           東京都             ─▶ 東京 · 京都
//! ```
//!
//! A weight depends on this text alone: no statistics of one space can show in another's scores, and
//! the same text gives the same vector for ever. Folding, terms and weights are pinned by the tests.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};
use unicode_segmentation::UnicodeSegmentation;

use crate::model::Sparse;

/// How soon repeating a term stops to count (BM25's k1).
const SATURATION: f32 = 1.2;
/// How much less the terms of a long text weigh (BM25's b).
const LENGTH_WEIGHT: f32 = 0.75;
/// The length, in terms, of a text that is neither long nor short; fixed, where BM25 takes an average.
const LENGTH_TYPICAL: f32 = 40.0;

/// The sparse vector of a memory's content; `None` when it has no terms.
#[must_use]
pub fn derive(content: &str) -> Option<Sparse> {
    let terms = Terms::of(content).counted();
    let length: u32 = terms.iter().map(|(_, count)| count).sum();
    let norm = SATURATION * (1.0 - LENGTH_WEIGHT + LENGTH_WEIGHT * length as f32 / LENGTH_TYPICAL);
    let weight = |count: u32| count as f32 * (SATURATION + 1.0) / (count as f32 + norm);
    to_sparse(&terms, weight, true)
}

/// The sparse vector of a question: each of its terms weighs 1; `None` when it has none.
#[must_use]
pub fn query(text: &str) -> Option<Sparse> {
    to_sparse(&Terms::of(text).counted(), |_| 1.0, false)
}

fn to_sparse(terms: &[(u32, u32)], weight: impl Fn(u32) -> f32, derived: bool) -> Option<Sparse> {
    (!terms.is_empty()).then(|| Sparse {
        indices: terms.iter().map(|(term, _)| *term).collect(),
        values: terms.iter().map(|(_, count)| weight(*count)).collect(),
        derived,
    })
}

/// The terms of one text, in the order of its words.
struct Terms {
    numbers: Vec<u32>,
    /// The folded word at hand, kept for its memory.
    folded: String,
}

impl Terms {
    fn of(text: &str) -> Self {
        let text = normalised(text);
        let mut terms = Self { numbers: Vec::with_capacity(text.len() / 4), folded: String::new() };
        // A run of characters of a script without spaces, across the words that UAX 29 cuts it into.
        let mut run = 0..0;
        for (start, word) in text.unicode_word_indices() {
            if word.is_ascii() {
                terms.push_word(word);
                continue;
            }
            for (at, piece) in pieces(word) {
                if !piece.starts_with(is_unspaced) {
                    terms.push_word(piece);
                    continue;
                }
                let start = start + at;
                if start != run.end {
                    terms.push_pairs(text.get(run).unwrap_or_default());
                    run = start..start;
                }
                run.end = start + piece.len();
            }
        }
        terms.push_pairs(text.get(run).unwrap_or_default());
        terms
    }

    /// A word as a whole and, where it is an identifier, in its parts.
    fn push_word(&mut self, word: &str) {
        self.push_folded(word);
        let mut rest = word.trim_start_matches(is_joint);
        while let Some(end) = part_end(rest) {
            let (part, behind) = rest.split_at(end);
            self.push_folded(part);
            rest = behind.trim_start_matches(is_joint);
        }
        if rest.len() < word.len() && !rest.is_empty() {
            self.push_folded(rest);
        }
    }

    fn push_folded(&mut self, word: &str) {
        self.folded.clear();
        if word.is_ascii() {
            let bytes = word.bytes().filter(|byte| *byte != b'\'');
            self.folded.extend(bytes.map(|byte| char::from(byte.to_ascii_lowercase())));
        } else {
            let lower = word.chars().flat_map(char::to_lowercase);
            let bare = lower.nfd().filter(|one| !is_accent(*one) && !is_apostrophe(*one));
            self.folded.extend(bare.map(|one| if one == 'ς' { 'σ' } else { one }));
        }
        if !self.folded.is_empty() {
            self.numbers.push(number(&self.folded));
        }
    }

    /// Every two characters that stand side by side; a lone one by itself.
    fn push_pairs(&mut self, run: &str) {
        let mut ends = run.char_indices().map(|(at, one)| at + one.len_utf8()).skip(1).peekable();
        if ends.peek().is_none() && !run.is_empty() {
            self.numbers.push(number(run));
        }
        for ((start, _), end) in run.char_indices().zip(ends) {
            self.numbers.push(number(run.get(start..end).unwrap_or_default()));
        }
    }

    /// Terms by rising number, with how often each occurs. Words that share a number are one term.
    fn counted(mut self) -> Vec<(u32, u32)> {
        self.numbers.sort_unstable();
        let same = self.numbers.chunk_by(|a, b| a == b);
        // A text of 2^32 words is far beyond what a record holds.
        same.filter_map(|same| Some((*same.first()?, u32::try_from(same.len()).unwrap_or(u32::MAX))))
            .collect()
    }
}

/// The number of a folded word. Pinned.
fn number(word: &str) -> u32 {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(word.as_bytes()).into();
    u32::from_le_bytes([a, b, c, d])
}

fn normalised(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfkc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfkc().collect())
    }
}

/// Where the first part of an identifier ends; `None` when it has one part.
fn part_end(word: &str) -> Option<usize> {
    if word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let numeric = |byte: u8| byte.is_ascii_digit() || b".,".contains(&byte);
    if word.bytes().all(numeric) {
        return None;
    }
    let mut characters = word.char_indices().peekable();
    let mut before: Option<char> = None;
    while let Some((at, one)) = characters.next() {
        let next_is_lower = characters.peek().is_some_and(|(_, next)| next.is_lowercase());
        let starts = before.is_some_and(|before| {
            one.is_uppercase() && (before.is_lowercase() || (before.is_uppercase() && next_is_lower))
        });
        if at > 0 && (is_joint(one) || starts) {
            return Some(at);
        }
        before = Some(one);
    }
    None
}

/// What joins the parts of an identifier. An apostrophe is a part of its word.
fn is_joint(one: char) -> bool {
    !one.is_alphanumeric() && !is_apostrophe(one) && !is_mark(one)
}

fn is_apostrophe(one: char) -> bool {
    matches!(one, '\'' | '\u{2019}')
}

/// Accents of the scripts that are read without them; the vowel signs of other scripts stay.
fn is_accent(one: char) -> bool {
    matches!(one, '\u{300}'..='\u{36f}')
}

fn is_mark(one: char) -> bool {
    unicode_normalization::char::is_combining_mark(one)
}

/// Cuts a word where it changes between a script without spaces and another.
fn pieces(word: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = word.get(at..).filter(|rest| !rest.is_empty())?;
        let unspaced = rest.starts_with(is_unspaced);
        let end = rest.find(|one| is_unspaced(one) != unspaced).unwrap_or(rest.len());
        let piece = (at, rest.get(..end)?);
        at += end;
        Some(piece)
    })
}

/// Han, Hiragana, Katakana and Hangul: searched by pairs of characters.
fn is_unspaced(one: char) -> bool {
    matches!(
        one,
        '\u{3041}'..='\u{30ff}'
            | '\u{31f0}'..='\u{31ff}'
            | '\u{3005}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{323af}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(words: &[&str]) -> Vec<u32> {
        let mut numbers: Vec<u32> = words.iter().map(|word| number(word)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn terms(text: &str) -> Vec<u32> {
        query(text).map(|sparse| sparse.indices.to_vec()).unwrap_or_default()
    }

    /// Pinned: each of these may never change.
    #[test]
    fn the_numbers_of_words_are_what_they_were() {
        let pinned = [
            ("tea", 508_426_153),
            ("max_poll_interval", 976_759_233),
            ("東京", 2_987_786_259),
            ("cafe", 1_488_478_376),
        ];
        for (word, expected) in pinned {
            assert_eq!(number(word), expected, "{word}");
        }
    }

    /// Pinned: each of these may never change.
    #[test]
    fn words_fold_as_they_did() {
        let cases: [(&str, &[&str]); 12] = [
            ("Ada likes TEA!", &["ada", "likes", "tea"]),
            ("Café, CAFE\u{301}, ｃａｆｅ", &["cafe"]),
            ("İstanbul Σίσυφος", &["istanbul", "σισυφοσ"]),
            ("don't don’t", &["dont"]),
            ("max_poll_interval", &["max_poll_interval", "max", "poll", "interval"]),
            ("camelCase HTTPServer", &["camelcase", "camel", "case", "httpserver", "http", "server"]),
            ("kafka.clients v2 3.14", &["kafka.clients", "kafka", "clients", "v2", "3.14"]),
            ("__init__", &["__init__", "init"]),
            ("東京都", &["東京", "京都"]),
            ("東 が", &["東", "が"]),
            ("カタカナで書く", &["カタ", "タカ", "カナ", "ナで", "で書", "書く"]),
            ("हिन्दी abc한국어", &["हिन्दी", "abc", "한국", "국어"]),
        ];
        for (text, expected) in cases {
            assert_eq!(terms(text), numbers(expected), "{text}");
        }
    }

    #[test]
    fn text_without_words_has_no_vector() {
        for text in ["", " \n", "… — !?", "🙂"] {
            assert_eq!(derive(text), None, "{text:?}");
            assert_eq!(query(text), None, "{text:?}");
        }
    }

    #[test]
    fn repeating_a_word_counts_less_and_less_and_length_costs() {
        let weight = |text: &str| {
            let sparse = derive(text).expect("terms");
            assert!(sparse.derived && sparse.indices.is_sorted_by(|a, b| a < b));
            let at = sparse.indices.iter().position(|term| *term == number("tea")).expect("tea");
            sparse.values[at]
        };
        let (once, twice, thrice) = (weight("tea milk rum"), weight("tea tea rum"), weight("tea tea tea"));
        assert!(once < twice && twice < thrice && thrice - twice < twice - once);
        assert!(thrice < SATURATION + 1.0);
        assert!(weight(&format!("tea {}", "word ".repeat(200))) < once);
        assert!((once - 1.608_775).abs() < 1e-5, "pinned: {once}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_gives_rising_terms_and_finds_itself(text in "\\PC{0,80}") {
            let (derived, asked) = (derive(&text), query(&text));
            proptest::prop_assert_eq!(derived.is_some(), asked.is_some());
            if let (Some(derived), Some(asked)) = (derived, asked) {
                proptest::prop_assert!(derived.indices.is_sorted_by(|a, b| a < b));
                proptest::prop_assert_eq!(&derived.indices, &asked.indices);
                proptest::prop_assert!(derived.values.iter().all(|value| value.is_finite() && *value > 0.0));
            }
        }
    }
}
