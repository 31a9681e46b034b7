//! The ledger over TLS: a server that takes nothing else, and whose certificate has to be the right one.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::json;

use crate::support::{client::Client, server::Home, skip, told};

/// A server that takes connections over TLS alone, and goes with the test.
struct Database {
    folder: tempfile::TempDir,
    /// With what libpq calls `verify-full`, and the authority.
    url: String,
}

impl Database {
    /// It, or `None` after saying that `test` was skipped.
    fn start(test: &str) -> Option<Self> {
        told("ENGRAFT_TEST_POSTGRES", test)?;
        let folder = tempfile::tempdir().unwrap();
        let started = stack("start", &["--tls"], folder.path());
        if started.status.success() {
            let url = String::from_utf8(started.stdout).unwrap().trim().to_owned();
            return Some(Self { folder, url });
        }
        let talk = String::from_utf8_lossy(&started.stderr);
        skip(test, talk.trim_end().lines().next_back().unwrap_or("no server with TLS"));
        None
    }

    /// The URL with other words after the question mark.
    fn asked_with(&self, parameters: &str) -> String {
        let (server, _) = self.url.split_once('?').unwrap();
        format!("{server}?{parameters}")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        stack("stop", &["--kill"], self.folder.path());
    }
}

fn stack(verb: &str, arguments: &[&str], folder: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stack/postgres");
    let mut command = Command::new(script);
    command.arg(verb).arg("--data").arg(folder).args(arguments).stdin(Stdio::null());
    command.output().expect("bash is there")
}

#[test]
fn a_ledger_that_takes_tls_alone_is_used_and_a_server_that_cannot_prove_who_it_is_is_not() {
    let test = "a_ledger_that_takes_tls_alone_is_used_and_a_server_that_cannot_prove_who_it_is_is_not";
    let Some(database) = Database::start(test) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut home = Home::new(folder.path());
    let refused = |home: &Home, url: String| {
        let started = home.engraft(&["serve"]).env("ENGRAFT_LEDGER__URL", url).output().unwrap();
        assert!(!started.status.success());
        String::from_utf8_lossy(&started.stderr).into_owned()
    };
    let said = refused(&home, database.asked_with("sslmode=disable"));
    assert!(said.contains("open the ledger"), "{said}");
    // An authority that signed nothing of this server's: its own certificate.
    let other = database.folder.path().join("tls/server.pem");
    let other = database.asked_with(&format!("sslmode=verify-full&sslrootcert={}", other.display()));
    let said = refused(&home, other);
    assert!(said.contains("open the ledger"), "{said}");

    home.settings.push(("ENGRAFT_LEDGER__URL", database.url.clone()));
    let server = home.serve("");
    let client = Client::new(home.port);
    let put =
        json!({"type": "memory.put", "space": "acme", "data": {"id": "m-1", "content": "Ada likes tea"}});
    let (status, body) = client.post("/v1/commands", &put, true).unwrap();
    assert_eq!((status, &body["outcome"]), (200, &json!("committed")), "{body}");
    let (status, memory) = client.get("/v1/memories/acme/m-1").unwrap();
    assert_eq!((status, &memory["memory"]["content"]), (200, &json!("Ada likes tea")), "{memory}");
    server.stop();
}
