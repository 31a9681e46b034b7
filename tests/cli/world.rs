//! A folder, a program to run in it, and where it is needed a server.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::support::server::{Home, Server};

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) data: String,
    /// Standard error.
    pub(crate) talk: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let code = output.status.code().expect("no signal ended it");
        let ran = Self { code, data: text(output.stdout), talk: text(output.stderr) };
        assert!(!ran.talk.contains("panicked"), "{}", ran.talk);
        ran
    }

    /// It ended so.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.data, self.talk);
        self
    }

    /// It said all of these to the person.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.talk.contains(word), "`{word}` is not in: {}", self.talk);
        }
        self
    }

    /// Its data shows all of these.
    #[track_caller]
    pub(crate) fn shows(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.data.contains(word), "`{word}` is not in: {}", self.data);
        }
        self
    }

    /// Its data as one document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {}{}", self.data, self.talk))
    }

    /// Its data as a document a line.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.data.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// The program, with no setting of whoever runs the tests.
pub(crate) fn engraft(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engraft"));
    for name in ["CONFIG", "FAILPOINTS", "LOG_LEVEL", "URL", "TOKEN", "DATA"] {
        command.env_remove(format!("ENGRAFT_{name}"));
    }
    command.env("NO_COLOR", "1").current_dir(folder);
    command
}

/// Runs it with this on its standard input.
pub(crate) fn run(mut command: Command, input: &str) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("runs");
    // A program that is refused before it reads has closed its end.
    drop(child.stdin.take().expect("piped").write_all(input.as_bytes()));
    Ran::of(child.wait_with_output().expect("ends"))
}

/// Runs it in a folder, without a server.
pub(crate) fn alone(folder: &Path, arguments: &[&str], input: &str) -> Ran {
    let mut command = engraft(folder);
    command.args(arguments);
    run(command, input)
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A server of its own process, and the program that speaks to it.
pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) folder: tempfile::TempDir,
    _server: Server,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = folder();
        let home = Home::new(folder.path());
        let server = home.serve("");
        Self { home, folder, _server: server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.home.port)
    }

    /// The program, told where the server is.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = engraft(self.folder.path());
        command.env("ENGRAFT_URL", self.url()).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        run(self.program(arguments), "")
    }

    /// Runs what must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> Ran {
        self.run(arguments).ends(0)
    }

    /// So many memories, `m-0` and on, at once.
    pub(crate) fn put_many(&self, space: &str, count: usize) {
        let mut lines = String::new();
        for number in 0..count {
            let content = format!("memory number {number}");
            let put = serde_json::json!({"type": "memory.put", "space": space,
                "data": {"id": format!("m-{number}"), "content": content}});
            writeln!(lines, "{put}").expect("a string takes text");
        }
        run(self.program(&["produce", "-", "--wait"]), &lines).ends(0);
    }
}

/// Says by its name that a test could not run.
pub(crate) fn skip(test: &str, reason: &str) {
    eprintln!("skipped {test}: {reason}");
    if let Ok(path) = std::env::var("ENGRAFT_TEST_SKIP_LOG") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        writeln!(file.expect("the log of skipped tests"), "{test}: {reason}").expect("it can be written");
    }
}
