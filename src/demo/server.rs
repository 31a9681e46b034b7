//! The demo's server: this program, run again with `serve`, that can be stopped and killed.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::Instant;

use crate::cli::{Client, Exit, Failure};

/// How long anything may take to become so.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Lines of the server's log that are shown when something went wrong.
const LAST_LINES: usize = 15;

/// A server that runs. Killed when dropped.
pub(super) struct Server {
    child: Child,
    log: PathBuf,
    /// Speaks to it.
    pub(super) client: Client,
    /// Where it listens.
    pub(super) url: String,
}

impl Server {
    /// Starts one on `folder`, on a free port, and waits until it is ready.
    pub(super) fn start(folder: &Path, failpoints: Option<&str>) -> Result<Self, Failure> {
        let address = free_address()?;
        let url = format!("http://{address}");
        let log = log_file(folder);
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        command
            .arg("--data")
            .arg(data(folder))
            .args(["serve", "--address", &address])
            // Settings of the reader's own must not change the demo.
            .current_dir(folder)
            .env_remove("ENGRAFT_CONFIG")
            .env_remove("ENGRAFT_FAILPOINTS")
            .env("NO_COLOR", "1")
            // Its folder alone, whatever database the environment names.
            .env("ENGRAFT_LEDGER__KIND", "sqlite")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        if let Some(failpoints) = failpoints {
            command.env("ENGRAFT_FAILPOINTS", failpoints);
        }
        let mut server = Self { child: command.spawn()?, log, client: Client::new(&url), url };
        server.wait_until("be ready", |server| {
            Ok(server.client.ask("/readyz").is_ok_and(|answer| answer.status == 200))
        })?;
        Ok(server)
    }

    /// Waits until `done`, or until the server has ended by itself.
    pub(super) fn wait_until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if done(self)? {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(Failure::new(Exit::Failed, format!("the server ended by itself: {status}")));
            }
            if Instant::now() > deadline {
                let message = format!("the server did not {what} within {} s", PATIENCE.as_secs());
                return Err(Failure::new(Exit::Unreachable, message));
            }
            pause();
        }
    }

    /// Whether the server has said this in its log.
    pub(super) fn has_said(&self, text: &str) -> Result<bool, Failure> {
        Ok(std::fs::read_to_string(&self.log)?.contains(text))
    }

    /// SIGTERM, and waits until it has ended.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                return Err(Failure::new(Exit::Failed, "the server did not stop when it was asked to"));
            }
            pause();
        }
        Ok(())
    }

    /// SIGKILL: no warning, no clean-up.
    pub(super) fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already: then there is nothing to end.
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            tracing::debug!("the demo's server had ended already");
        }
    }
}

/// The data folder within the demo's.
pub(super) fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("serve.log")
}

/// The end of the server's log, for when something went wrong.
pub(super) fn last_words(folder: &Path) -> String {
    let log = std::fs::read_to_string(log_file(folder)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
    format!("The server's last lines: {}", last.join(" | "))
}

/// The system gives a free port; between here and the server's start nobody is likely to take it.
fn free_address() -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, and nothing else to do")]
fn pause() {
    std::thread::sleep(LOOK_INTERVAL);
}
