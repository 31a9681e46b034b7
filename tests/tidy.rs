//! What a compiler does not check about the sources: that data flows down the list of rooms and
//! imports point up it, that every file says what it is for, and that none outgrows one idea.
//!
//! It reads text, not syntax: quick, and good enough for sources that `cargo fmt` has laid out.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test blocks, prints, asks the environment, and says by panicking that it cannot go on"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Most lines of one file: past it, look for the second concept.
const LINES_MAX: usize = 500;
/// Where things are put together: they may name any room.
const COMPOSE: [&str; 5] = ["app", "cli", "demo", "lib", "main"];
/// Modules that are one concrete backend each.
const BACKENDS: [&str; 10] = [
    "graph::memory",
    "ledger::memory",
    "ledger::postgres",
    "ledger::sqlite",
    "log::embedded",
    "log::kafka",
    "log::memory",
    "vector::edge",
    "vector::memory",
    "vector::qdrant",
];
/// Rooms that may name a backend besides the composition root: they run ones of their own.
const RUN_BACKENDS: [&str; 3] = ["bench", "demo", "sim"];
/// What a source must not say, in pieces so that this file does not say it.
const FORBIDDEN: [&str; 8] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("DESIGN", ".md"),
    concat!("CONTRACT", ".md"),
    concat!("DESIGN", " §"),
    concat!("CONTRACT", " §"),
];

/// A source file: its path from the root of the project, and its text.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The room that it belongs to: `ledger` for `src/ledger/begin.rs` and `clock` for `src/clock.rs`.
    fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src").expect("a source of the library");
        let first = inside.iter().next().expect("a file").to_str().expect("UTF-8");
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Whether all of it is tests.
    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.iter().any(|part| part == "tests")
    }

    /// Its lines of code that are in every build, with their numbers: no comments, nothing from the
    /// tests at its end on.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().zip(1..).map(|(line, number)| (number, line));
        lines
            .take_while(|(_, line)| *line != "#[cfg(test)]")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn at(&self, number: usize) -> String {
        format!("{}:{number}", self.path.display())
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str, extensions: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|is| extensions.iter().any(|wanted| is == *wanted)) {
                let text = fs::read_to_string(&path).expect("UTF-8");
                let path = path.strip_prefix(root()).expect("inside the project").to_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The rooms in the order in which `src/lib.rs` lists them.
fn rooms() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("the library");
    let name = |line: &str| line.strip_prefix("pub mod ")?.strip_suffix(';').map(str::to_owned);
    text.lines().filter_map(name).collect()
}

/// What follows every `crate::` of these lines of code, groups opened: `use crate::{a::b, c}` is `a::b` and `c`.
fn imports<'a>(code: impl Iterator<Item = (usize, &'a str)>) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    for (number, line) in code {
        let mut rest = line;
        if depth == 0 {
            let Some((_, after)) = line.split_once("crate::") else { continue };
            rest = after;
        }
        // Inside `crate::{…}`: names at depth 1 are rooms, deeper ones are what is taken from them.
        let mut name = String::new();
        for char in rest.chars() {
            match char {
                '{' if depth > 0 || name.is_empty() => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                ',' if depth == 1 => found.push((number, std::mem::take(&mut name))),
                ';' if depth == 0 => break,
                _ if depth <= 1 && (char.is_alphanumeric() || char == '_' || char == ':') => name.push(char),
                _ if depth == 0 => break,
                _ => {}
            }
        }
        if !name.is_empty() {
            found.push((number, name));
        }
    }
    found
}

#[test]
fn imports_are_read_from_single_lines_and_from_groups() {
    let text = "use crate::model::Key;\nuse crate::{\n    clock::Clock,\n    ledger::{self, Head},\n};\nfn f(x: crate::log::Record) {}\nuse crate::{graph, vector};";
    let read = imports(text.lines().zip(1..).map(|(line, number)| (number, line)));
    let rooms: Vec<_> = read.iter().map(|(n, name)| (*n, name.split("::").next().unwrap_or(name))).collect();
    let expected = [(1, "model"), (3, "clock"), (4, "ledger"), (6, "log"), (7, "graph"), (7, "vector")];
    assert_eq!(rooms, expected);
}

#[test]
fn imports_point_up_the_list_of_rooms() {
    let rooms = rooms();
    assert!(rooms.len() > 20, "the list of rooms was not found");
    let place = |room: &str| rooms.iter().position(|name| name == room);
    let mut wrong = Vec::new();
    for source in sources("src", &["rs"]).iter().filter(|source| !source.is_test()) {
        if COMPOSE.contains(&source.room()) {
            continue;
        }
        let own = place(source.room()).expect("every room is in the list");
        for (number, import) in imports(source.code()) {
            let used = import.split("::").next().expect("a first part");
            if place(used).is_some_and(|used| used > own) {
                wrong.push(format!(
                    "{}: `{}` uses `{used}`, which is below it",
                    source.at(number),
                    source.room()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn backends_are_named_where_things_are_put_together() {
    let mut wrong = Vec::new();
    for source in sources("src", &["rs"]).iter().filter(|source| !source.is_test()) {
        if COMPOSE.contains(&source.room()) || RUN_BACKENDS.contains(&source.room()) {
            continue;
        }
        for (number, import) in imports(source.code()) {
            // The settings collect every backend's options, which are read in every build.
            let named = |backend: &&&str| import.starts_with(**backend) && !import.contains("::Options");
            let backend = BACKENDS.iter().find(named);
            if let Some(backend) = backend.filter(|backend| !backend.starts_with(source.room())) {
                wrong.push(format!("{}: `{backend}` is named outside its room", source.at(number)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let all = sources("src", &["rs"]).into_iter().chain(sources("tests", &["rs"]));
    let silent = all.filter(|source| {
        let opening = source.text.lines().next().unwrap_or_default();
        !opening.starts_with("//! ") || opening == "//! Stub."
    });
    let silent: Vec<String> = silent.map(|source| source.at(1)).collect();
    assert!(silent.is_empty(), "no `//!` that says what it is for:\n{}", silent.join("\n"));
}

#[test]
fn no_file_outgrows_one_idea() {
    let all = sources("src", &["rs"]).into_iter().chain(sources("tests", &["rs"]));
    let long =
        all.map(|source| (source.text.lines().count(), source)).filter(|(lines, _)| *lines > LINES_MAX);
    let long: Vec<String> =
        long.map(|(lines, source)| format!("{} lines, {}", lines, source.at(1))).collect();
    assert!(long.is_empty(), "more than {LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn no_source_speaks_of_the_machine_it_was_written_on() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "docs", "examples", "migrations", ".ci"] {
        for source in sources(folder, &["rs", "md", "toml", "sql", "py", "sh", "mjs", "java"]) {
            for (line, number) in source.text.lines().zip(1..) {
                if let Some(word) = FORBIDDEN.iter().find(|word| line.contains(**word)) {
                    wrong.push(format!("{} says `{word}`", source.at(number)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The blocks of a page that show a file, as `(file, text)`: their opening line names it after the language.
fn shown(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if !line.starts_with("```") || line == "```" {
            continue;
        }
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some(file) = line.split_whitespace().nth(1).filter(|word| word.contains('/')) {
            found.push((file.to_owned(), text.join("\n")));
        }
    }
    found
}

#[test]
fn what_a_page_shows_of_a_file_is_in_that_file() {
    let mut pages: Vec<String> = sources("docs", &["md"]).into_iter().map(|page| page.text).collect();
    pages.push(fs::read_to_string(root().join("README.md")).unwrap());
    let shown: Vec<_> = pages.iter().flat_map(|page| shown(page)).collect();
    assert!(shown.len() >= 4, "the pages show no files");
    for (file, text) in shown {
        let whole = fs::read_to_string(root().join(&file)).unwrap_or_else(|_| panic!("there is no {file}"));
        // A page may leave lines out, and shows what is inside of something without its indent.
        let has = |line: &str| whole.lines().any(|of_file| of_file.trim() == line.trim());
        let missing: Vec<&str> = text.lines().filter(|line| !has(line)).collect();
        assert!(missing.is_empty(), "not in {file}: {missing:#?}");
    }
}
