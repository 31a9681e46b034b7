//! The servers that a campaign kills and that come back on their data: brokers and a database, by `tests/stack/`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// How many brokers; every record is on all of them, and one may be missing.
pub(crate) const BROKERS: u64 = 3;
/// How long a broker is away before it is started again: longer than its session, so that others lead.
const AWAY: Duration = Duration::from_secs(10);

/// Runs a script of `tests/stack/`; what it printed.
///
/// # Panics
/// When it fails, with what it said.
fn stack(script: &str, arguments: &[&str], folder: &Path) -> String {
    let (verb, rest) = arguments.split_first().expect("a verb");
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stack").join(script));
    command.arg(verb).arg("--data").arg(folder).args(rest).stdin(Stdio::null());
    let output = command.output().expect("bash is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// Brokers that go with the test.
pub(crate) struct Brokers {
    folder: PathBuf,
    /// Their addresses, separated by commas.
    pub(crate) addresses: String,
    away: Option<thread::JoinHandle<()>>,
}

impl Brokers {
    pub(crate) fn start(folder: PathBuf) -> Self {
        let addresses = stack("kafka", &["start", "--brokers", &BROKERS.to_string()], &folder);
        Self { folder, addresses, away: None }
    }

    /// Kills one of them, which comes back by itself. The one before it is back first.
    pub(crate) fn crash(&mut self, index: u64) {
        self.are_all_there();
        let member = self.folder.join((index + 1).to_string());
        stack("kafka", &["stop", "--kill"], &member);
        self.away = Some(thread::spawn(move || {
            thread::sleep(AWAY);
            stack("kafka", &["start"], &member);
        }));
    }

    /// Waits until the one that was killed is back.
    pub(crate) fn are_all_there(&mut self) {
        if let Some(away) = self.away.take() {
            away.join().expect("the broker came back");
        }
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        if let Some(away) = self.away.take() {
            drop(away.join());
        }
        stack("kafka", &["stop", "--kill"], &self.folder);
    }
}

/// A Postgres server that goes with the test.
pub(crate) struct Database {
    folder: PathBuf,
    /// Where it is.
    pub(crate) url: String,
}

impl Database {
    pub(crate) fn start(folder: PathBuf) -> Self {
        let url = stack("postgres", &["start"], &folder);
        Self { folder, url }
    }

    /// Dies without a goodbye, and comes back on the same data.
    pub(crate) fn crash(&self) {
        assert_eq!(stack("postgres", &["restart", "--kill"], &self.folder), self.url);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        stack("postgres", &["stop", "--kill"], &self.folder);
    }
}
