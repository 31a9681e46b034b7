//! The examples that a reader can paste: each runs against a server of its own, and checks itself.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::world::{World, skip};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether a program is there, by asking it for its version.
fn is_there(program: &Path) -> bool {
    let mut asked = Command::new(program);
    let asked = asked.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

fn found(program: &str) -> Result<PathBuf, String> {
    let program = PathBuf::from(program);
    if is_there(&program) { Ok(program) } else { Err(format!("there is no {}", program.display())) }
}

/// A Python with httpx: one in the tests' cache, made when it is first needed.
fn python() -> Result<PathBuf, String> {
    static MADE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let make = || {
        let cache =
            std::env::var_os("ENGRAFT_TEST_CACHE").map_or_else(|| root().join(".cache"), PathBuf::from);
        let home = cache.join("python-httpx");
        let python = home.join("bin/python");
        let has_httpx = || {
            let mut asked = Command::new(&python);
            asked
                .args(["-c", "import httpx"])
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        };
        if !has_httpx() {
            let run = |command: &mut Command| {
                let ran = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
                ran.is_ok_and(|status| status.success())
            };
            let made = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))
                && run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "httpx<1"]));
            if !made || !has_httpx() {
                return Err("no Python with httpx could be made".to_owned());
            }
        }
        Ok(python)
    };
    MADE.get_or_init(make).clone()
}

/// Runs one example against a new server; by its name, it is skipped where it cannot run.
fn example(test: &str, interpreter: Result<PathBuf, String>, script: &str) {
    let interpreter = match interpreter {
        Ok(interpreter) => interpreter,
        Err(reason) => return skip(test, &reason),
    };
    let world = World::new();
    let ran = Command::new(interpreter)
        .arg(root().join("examples").join(script))
        .env("ENGRAFT_URL", world.url())
        .env_remove("ENGRAFT_TOKEN")
        .env("NO_PROXY", "*")
        .current_dir(world.folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    let (data, talk) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{data}\n{talk}");
    assert!(data.trim_end().lines().next_back().is_some_and(|last| last.starts_with("All as it should be")));
    assert!(
        data.lines().filter(|line| line.as_bytes()[0].is_ascii_digit()).count() >= 2,
        "it says what it does"
    );
    assert!(talk.is_empty(), "{talk}");
}

#[test]
fn the_example_in_curl_does_what_it_says() {
    let bash = found("curl").and_then(|_| found("bash"));
    example("the_example_in_curl_does_what_it_says", bash, "curl/quickstart.sh");
}

#[test]
fn the_example_in_python_does_what_it_says() {
    example("the_example_in_python_does_what_it_says", python(), "python/quickstart.py");
}

#[test]
fn the_example_in_node_does_what_it_says() {
    example("the_example_in_node_does_what_it_says", found("node"), "node/quickstart.mjs");
}

#[test]
fn outcomes_are_followed_by_the_example_in_curl() {
    let bash = found("curl").and_then(|_| found("bash"));
    example("outcomes_are_followed_by_the_example_in_curl", bash, "curl/follow.sh");
}

#[test]
fn outcomes_are_followed_by_the_example_in_python() {
    example("outcomes_are_followed_by_the_example_in_python", python(), "python/follow.py");
}

#[test]
fn outcomes_are_followed_by_the_example_in_node() {
    example("outcomes_are_followed_by_the_example_in_node", found("node"), "node/follow.mjs");
}

#[test]
fn an_example_without_a_server_says_so_by_its_exit_code() {
    let mut bash = Command::new("bash");
    bash.arg(root().join("examples/curl/quickstart.sh")).env("NO_PROXY", "*");
    bash.env("ENGRAFT_URL", "http://127.0.0.1:9").stdout(Stdio::null()).stderr(Stdio::null());
    match bash.status() {
        Ok(status) => assert!(!status.success()),
        Err(_) => skip("an_example_without_a_server_says_so_by_its_exit_code", "there is no bash"),
    }
}
