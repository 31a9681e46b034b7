//! How the demo speaks: chapters, plain words, and the command that does the same by hand.

use std::io::{self, Write};

use crate::cli::{Failure, colored_output};

/// Longest line of prose, in characters.
const WIDTH: usize = 88;

/// Writes to standard output.
pub(super) struct Stage {
    color: bool,
    chapter: u32,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self { color: colored_output(), chapter: 0 }
    }

    /// A new chapter.
    pub(super) fn chapter(&mut self, title: &str) -> Result<(), Failure> {
        self.chapter += 1;
        let heading = format!("{}. {title}", self.chapter);
        let rule = "─".repeat(WIDTH.saturating_sub(heading.chars().count() + 1));
        self.line(&format!("\n{} {}", self.styled("1", &heading), self.styled("2", &rule)))
    }

    /// Plain words, wrapped.
    pub(super) fn say(&self, words: &str) -> Result<(), Failure> {
        let mut line = String::new();
        for word in words.split_whitespace() {
            if !line.is_empty() && line.chars().count() + word.chars().count() >= WIDTH {
                self.line(&line)?;
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&line)
    }

    /// A fact, under the words.
    pub(super) fn show(&self, fact: &str) -> Result<(), Failure> {
        self.line(&format!("    {fact}"))
    }

    /// A fact that is as it must be.
    pub(super) fn good(&self, fact: &str) -> Result<(), Failure> {
        self.line(&format!("  {} {fact}", self.styled("32", "✓")))
    }

    /// How to do the same by hand.
    pub(super) fn by_hand(&self, command: &str) -> Result<(), Failure> {
        self.line(&self.styled("2", &format!("    $ {command}")))
    }

    /// A question to the reader, on the same line.
    pub(super) fn prompt(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        write!(out, "{}", self.styled("1", text))?;
        Ok(out.flush()?)
    }

    fn line(&self, text: &str) -> Result<(), Failure> {
        Ok(writeln!(io::stdout().lock(), "{text}")?)
    }

    fn styled(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
