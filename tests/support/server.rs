//! A server of its own process, which can be killed at any instruction.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::client::Client;

/// How long a start, a failpoint or an end may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a server keeps its data and where it listens: what outlives the process.
pub(crate) struct Home {
    /// Its data folder.
    pub(crate) folder: PathBuf,
    /// Its port on the loopback.
    pub(crate) port: u16,
    /// What else is set, by variables.
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Home {
    /// A new folder inside `folder`, and a port that was free a moment ago.
    pub(crate) fn new(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        Self { folder: folder.join("data"), port, settings: Vec::new() }
    }

    /// The program, told where its data is.
    pub(crate) fn engraft(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engraft"));
        command.args(arguments).env("ENGRAFT_DATA", &self.folder).env("NO_COLOR", "1");
        command.env("ENGRAFT_HTTP__ADDRESS", format!("127.0.0.1:{}", self.port));
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Starts `engraft serve`, with these failpoints armed, and waits until it is ready.
    pub(crate) fn serve(&self, failpoints: &str) -> Server {
        let mut server = self.start(failpoints);
        let client = Client::new(self.port);
        server.until("is ready", || client.get("/readyz").is_some_and(|(status, _)| status == 200));
        server
    }

    /// Starts `engraft serve`, with these failpoints armed, however long it may live.
    pub(crate) fn start(&self, failpoints: &str) -> Server {
        let mut command = self.engraft(&["serve"]);
        command.env("ENGRAFT_FAILPOINTS", failpoints).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let said = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&said);
        // Ends with the process.
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.lock().expect("no reader panicked").push(line);
            }
        });
        Server { child, said }
    }
}

impl Server {
    /// Waits until the process has stopped itself at a failpoint.
    pub(crate) fn reaches_failpoint(&mut self) {
        let said = Arc::clone(&self.said);
        let reached = move || {
            said.lock().expect("no reader panicked").iter().any(|line| line.contains("failpoint reached"))
        };
        self.until("reaches its failpoint", reached);
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_some()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }

    /// Sends it a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill runs");
        assert!(sent.success(), "no signal could be sent");
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) {
        self.signal("TERM");
        let begun = Instant::now();
        while self.child.try_wait().expect("its state").is_none() {
            assert!(begun.elapsed() < PATIENCE, "it does not end: {}", self.words());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn until(&mut self, what: &str, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            if let Some(status) = self.child.try_wait().expect("its state") {
                panic!("the server ended with {status} before it {what}: {}", self.words());
            }
            assert!(begun.elapsed() < PATIENCE, "not seen that it {what}: {}", self.words());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it has said so far.
    pub(crate) fn words(&self) -> String {
        self.said.lock().expect("no reader panicked").join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed leaves no process behind; one that has ended already cannot be killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
