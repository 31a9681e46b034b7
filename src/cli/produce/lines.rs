//! Lines into batches: bounded in count and bytes, and each with an id.

use std::{
    collections::BTreeMap,
    io::{self, BufRead},
};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{clock::SystemClock, http::ingest, random::Random};

/// Most commands of one batch: what one request may hold is twice as many.
const BATCH_COUNT_MAX: usize = 500;
/// Most bytes of one batch, unless a single line has more.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Longest line that is kept in memory: well above every record that a log takes.
const LINE_BYTES_MAX: usize = 16 << 20;

/// A line that may be a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// A JSON object with an `id`.
    pub(super) json: Bytes,
}

/// Some lines.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// In order.
    pub(super) lines: Vec<Line>,
    /// Numbers of lines that are no JSON objects, and why.
    pub(super) bad: Vec<(u64, String)>,
    bytes: usize,
}

/// Reads batches.
pub(super) struct Lines<R> {
    input: R,
    number: u64,
    random: Random,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, number: 0, random: Random::from_system(), ended: false }
    }

    fn batch(&mut self) -> io::Result<Option<Batch>> {
        let mut batch = Batch::default();
        while !self.ended && batch.lines.len() < BATCH_COUNT_MAX && batch.bytes < BATCH_BYTES_MAX {
            match self.line()? {
                None => self.ended = true,
                Some(Ok(line)) if line.is_empty() => {}
                Some(Ok(line)) => match self.with_id(&line) {
                    Ok(json) => {
                        batch.bytes += json.len();
                        batch.lines.push(Line { number: self.number, json });
                    }
                    Err(reason) => batch.bad.push((self.number, reason)),
                },
                Some(Err(reason)) => batch.bad.push((self.number, reason)),
            }
        }
        let is_empty = batch.lines.is_empty() && batch.bad.is_empty();
        Ok((!is_empty).then_some(batch))
    }

    /// The next line, trimmed; `None` at the end. A line that is too long is read past.
    fn line(&mut self) -> io::Result<Option<Result<Vec<u8>, String>>> {
        let mut line = Vec::new();
        let mut too_long = false;
        loop {
            let available = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let end = available.iter().position(|byte| *byte == b'\n');
            let (part, used) = match end {
                Some(end) => (available.get(..end), end + 1),
                None => (Some(available), available.len()),
            };
            too_long |= line.len() + used > LINE_BYTES_MAX;
            if !too_long {
                line.extend_from_slice(part.unwrap_or_default());
            }
            self.input.consume(used);
            if used == 0 && line.is_empty() && !too_long {
                return Ok(None);
            }
            if end.is_some() || used == 0 {
                break;
            }
        }
        self.number += 1;
        if too_long {
            return Ok(Some(Err(format!("too_large: a line may have at most {LINE_BYTES_MAX} bytes"))));
        }
        Ok(Some(Ok(line.trim_ascii().to_vec())))
    }

    /// The line as it is when it has an id; else with a new one, so that sending it twice is safe.
    fn with_id(&self, line: &[u8]) -> Result<Bytes, String> {
        let mut object: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(line)
            .map_err(|error| format!("malformed: not a JSON object, at column {}", error.column()))?;
        if object.get("id").is_some_and(|id| id.get() != "null") {
            return Ok(Bytes::copy_from_slice(line));
        }
        let id = ingest::new_id(&SystemClock, &self.random);
        let id = serde_json::value::to_raw_value(&id).expect("a string always serialises");
        object.insert("id".to_owned(), id);
        Ok(Bytes::from(serde_json::to_vec(&object).expect("raw JSON always serialises")))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_command_or_is_named() {
        let input = "{\"id\":\"a\"}\n\n nonsense\n{\"type\":\"x\"}\r\n[1]\n{\"id\":\"last\"}";
        let batches: Vec<Batch> =
            Lines::new(input.as_bytes()).map(|batch| batch.expect("readable")).collect();
        let [batch] = &batches[..] else { panic!("one batch") };
        let numbers: Vec<u64> = batch.lines.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [1, 4, 6]);
        assert_eq!(batch.bad.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(batch.lines[0].json, "{\"id\":\"a\"}");
        assert!(batch.lines[1].json.starts_with(b"{\"id\":\""), "{:?}", batch.lines[1].json);
    }

    #[test]
    fn batches_are_bounded_and_nothing_falls_between_them() {
        let count = BATCH_COUNT_MAX * 2 + 1;
        let input = "{\"id\":\"a\"}\n".repeat(count);
        let batches: Vec<Batch> =
            Lines::new(input.as_bytes()).map(|batch| batch.expect("readable")).collect();
        assert_eq!(batches.len(), 3);
        let numbers: Vec<u64> =
            batches.iter().flat_map(|batch| &batch.lines).map(|line| line.number).collect();
        assert_eq!(numbers, (1..=count as u64).collect::<Vec<_>>());
    }
}
