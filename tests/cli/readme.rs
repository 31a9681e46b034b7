//! What the README says can be pasted.

use std::process::{Command, Stdio};

use crate::world::{World, skip};

/// The lines of the block that begins so, up to the one that needs the server stopped.
fn block(readme: &str, first: &str, last: &str) -> String {
    let lines = readme.lines().skip_while(|line| !line.starts_with(first));
    lines.take_while(|line| !line.starts_with(last) && *line != "```").collect::<Vec<_>>().join("\n")
}

#[test]
fn every_line_of_the_readme_for_a_running_server_does_its_work() {
    const NAME: &str = "every_line_of_the_readme_for_a_running_server_does_its_work";
    if Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip(NAME, "there is no curl");
    }
    let world = World::new();
    let readme = include_str!("../../README.md");
    let script = block(readme, "# Put a memory", "# Is everything");
    assert!(script.matches("curl").count() >= 8, "{script}");
    // An answer that is a problem fails the script.
    let script = script
        .replace("curl -s", "curl -sSf")
        .replace("localhost:7878", world.url().trim_start_matches("http://"));
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_engraft"));
    let path = std::env::join_paths(
        program
            .parent()
            .into_iter()
            .map(Into::into)
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let ran = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .env("PATH", path.unwrap())
        .env("ENGRAFT_URL", world.url())
        .env("NO_PROXY", "*")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let (data, talk) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{data}\n{talk}");
    for word in ["\"committed\"", "\"m-2\"", "\"hits\"", "\"paths\""] {
        assert!(data.contains(word), "`{word}` is not in: {data}");
    }
}
