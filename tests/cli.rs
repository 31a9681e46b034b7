//! The command line, by running the program.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test blocks, prints, asks the environment, and says by panicking that it cannot go on"
)]

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Output, Stdio},
};

fn engraft() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engraft"));
    command.env_remove("ENGRAFT_CONFIG").env_remove("ENGRAFT_FAILPOINTS").env("NO_COLOR", "1");
    command
}

fn run(arguments: &[&str], folder: &std::path::Path, input: &str) -> Output {
    let mut child = engraft()
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("takes its input");
    child.wait_with_output().expect("ends")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn usage_errors_and_bad_settings_exit_with_2_and_name_the_fix() {
    let folder = folder();
    assert_eq!(run(&["nonsense"], folder.path(), "").status.code(), Some(2));
    std::fs::write(folder.path().join("engraft.toml"), "[http]\nadress = \"127.0.0.1:1\"\n")
        .expect("written");
    let refused = run(&["check-config"], folder.path(), "");
    let talk = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{talk}");
    assert!(talk.contains("did you mean `address`?"), "{talk}");
    let open = run(&["serve", "--address", "0.0.0.0:0"], folder.path(), "");
    assert_eq!(open.status.code(), Some(2));
}

#[test]
fn an_address_that_other_machines_may_reach_is_refused() {
    let folder = folder();
    let refused = run(&["serve", "--address", "0.0.0.0:0"], folder.path(), "");
    let talk = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{talk}");
    assert!(talk.contains("loopback"), "{talk}");
}

#[test]
fn without_a_server_reads_exit_with_5_and_say_what_to_start() {
    let folder = folder();
    let refused = run(&["memory", "get", "a", "b", "--url", "http://127.0.0.1:9"], folder.path(), "");
    assert_eq!(refused.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("engraft serve"));
    assert!(refused.stdout.is_empty(), "data alone goes to standard output");
}

#[test]
fn lines_go_into_the_log_of_a_stopped_server_and_bad_ones_are_named() {
    let folder = folder();
    let put = "{\"type\":\"memory.put\",\"space\":\"acme\",\"data\":{\"id\":\"m-1\"}}\n";
    let input = format!("{put}nonsense\n{put}{{\"type\":\"memory.put\",\"data\":{{}}}}\n");
    let sent = run(&["produce", "-", "--data", "data"], folder.path(), &input);
    let talk = String::from_utf8_lossy(&sent.stderr);
    assert_eq!(sent.status.code(), Some(1), "{talk}");
    assert!(talk.contains("line 2: malformed") && talk.contains("line 4: space_missing"), "{talk}");
    assert!(talk.contains("2 commands in the log, 2 bad lines"), "{talk}");
    let audit = run(&["audit", "--data", "data", "-o", "json"], folder.path(), "");
    assert_eq!(audit.status.code(), Some(0), "{}", String::from_utf8_lossy(&audit.stderr));
}

#[test]
fn a_pipe_that_closes_early_is_no_panic() {
    let mut child = engraft()
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut first = String::new();
    let mut reader = BufReader::with_capacity(64, child.stdout.take().expect("piped"));
    reader.read_line(&mut first).expect("a line");
    drop(reader);
    let ended = child.wait_with_output().expect("ends");
    assert!(ended.status.success());
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("panicked"));
}

#[test]
fn the_demo_ends_well_with_a_clean_audit() {
    let folder = folder();
    let played =
        engraft().arg("demo").env("TMPDIR", folder.path()).stdin(Stdio::null()).output().expect("runs");
    let text = String::from_utf8_lossy(&played.stdout);
    assert!(played.status.success(), "{text}\n{}", String::from_utf8_lossy(&played.stderr));
    assert!(text.contains("all 40 are there") && text.contains("clean: read"), "{text}");
    let left = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(left, 0, "it leaves nothing behind");
}
