//! The program itself: usage, help, pipes, what it does without a server.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::world::{World, alone, engraft, folder};

#[test]
fn nonsense_exits_with_2_and_names_what_was_wrong() {
    let folder = folder();
    let long = "x".repeat(300);
    for (nonsense, named) in [
        (&["nonsense"][..], "nonsense"),
        (&["memory", "get"], "SPACE"),
        (&["memory", "get", "", "m"], "SPACE"),
        (&["memory", "get", "a space", "m"], "a space"),
        (&["memory", "get", "acme", ".."], ".."),
        (&["memory", "get", "acme", &long], "255"),
        (&["memory", "get", "acme", "m", "-o", "yaml"], "yaml"),
        (&["memory", "get", "acme", "m", "--url", "https://x"], "http alone"),
        (&["memory", "get", "acme", "m", "--url", "ftp://x"], "ftp"),
        (&["memory", "put", "acme", "m", "text", "--content-file", "f"], "--content-file"),
        (&["memory", "put", "acme", "m", "--property", "=3"], "NAME=VALUE"),
        (&["memory", "put", "acme", "m", "--importance", "much"], "much"),
        (&["memory", "put", "acme", "m", "--occurred-at", "yesterday"], "yesterday"),
        (&["memory", "put", "acme", "m", "--if-version", "1"], "1"),
        (&["memory", "put", "acme", "m", "--if-version", "1.4", "--if-absent"], "--if-absent"),
        (&["memory", "put", "acme", "m", "--kind", "no kind"], "no kind"),
        (&["memory", "put", "acme", "m", "--vector", "[1,"], "--vector"),
        (&["memory", "patch", "acme", "m"], "nothing to change"),
        (&["memory", "patch", "acme", "m", "--session", "s", "--remove", "session"], "session"),
        (&["memory", "search", "acme"], "--vector"),
        (&["memory", "search", "acme", "x", "--where", "nothing"], "nothing"),
        (&["memory", "neighbors", "acme", "m", "--direction", "up"], "up"),
        (&["relation", "put", "acme", "a", "no-type", "b"], "no-type"),
        (&["relation", "put", "acme", "a", "CAUSES", "b", "--on-missing", "pray"], "pray"),
        (&["space", "create", "acme", "--dimension", "-3"], "-3"),
        (&["space", "create", "acme", "--metric", "taxi"], "taxi"),
        (&["sagas", "get", "17"], "17"),
        (&["status", "--interval", "0"], "0"),
        (&["completions", "tcsh"], "tcsh"),
    ] {
        let ran = alone(folder.path(), nonsense, "");
        assert_eq!(ran.code, 2, "{nonsense:?}: {}", ran.talk);
        assert!(ran.talk.contains(named), "{nonsense:?} does not name `{named}`: {}", ran.talk);
        assert!(ran.data.is_empty(), "{nonsense:?} has no data: {}", ran.data);
    }
}

#[test]
fn without_a_server_everything_that_asks_one_exits_with_5_and_says_what_to_start() {
    let folder = folder();
    for arguments in [
        &["memory", "get", "a", "b"][..],
        &["memory", "put", "a", "b", "x"],
        &["memory", "search", "a", "b"],
        &["relation", "list", "a", "b"],
        &["space", "show", "a"],
        &["sagas", "get", "1.0.0"],
        &["status"],
    ] {
        let ran = alone(folder.path(), &[arguments, &["--url", "127.0.0.1:9"]].concat(), "");
        let ran = ran.ends(5).says(&["engraft serve", "127.0.0.1:9"]);
        assert!(ran.data.is_empty(), "data alone goes to standard output");
    }
}

#[test]
fn a_server_can_be_named_by_its_address_alone_and_by_a_variable() {
    let world = World::new();
    world.ok(&["memory", "put", "acme", "m-1", "Tea"]);
    let address = format!("127.0.0.1:{}", world.home.port);
    alone(world.folder.path(), &["memory", "get", "acme", "m-1", "--url", &address], "").ends(0);
    world.run(&["memory", "get", "acme", "m-1", "--url", "127.0.0.1:9"]).ends(5);
}

#[test]
fn a_table_in_a_pipe_is_neither_cut_nor_coloured_unless_colour_is_asked_for() {
    let world = World::new();
    let long = "x".repeat(400);
    world.ok(&["memory", "put", "acme", "m-1", &long]);
    let list = world.ok(&["memory", "list", "acme"]).shows(&[&long]);
    assert!(!list.data.contains('\u{1b}') && !list.data.contains('…'));
    assert!(world.ok(&["memory", "list", "acme", "--color", "always"]).data.contains('\u{1b}'));
}

#[test]
fn what_strangers_wrote_cannot_steer_a_terminal() {
    let world = World::new();
    world.ok(&["memory", "put", "acme", "m-1", "\u{1b}]0;owned\u{7}\u{1b}[2J", "--property", "a=\u{1b}[31m"]);
    for arguments in [&["memory", "get", "acme", "m-1"][..], &["memory", "list", "acme"]] {
        let data = world.ok(arguments).data;
        assert!(data.contains("owned") && !data.contains('\u{1b}') && !data.contains('\u{7}'), "{data:?}");
    }
}

#[test]
fn a_pipe_that_closes_early_is_no_panic() {
    let world = World::new();
    world.put_many("acme", 900);
    for arguments in
        [&["completions", "bash"][..], &["man"], &["memory", "list", "acme", "--all", "-o", "jsonl"]]
    {
        let mut command = world.program(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
        let mut first = String::new();
        let mut reader = BufReader::with_capacity(64, child.stdout.take().expect("piped"));
        reader.read_line(&mut first).expect("a line");
        drop(reader);
        let ended = child.wait_with_output().expect("ends");
        let talk = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{arguments:?}: {talk}");
        assert!(!talk.contains("panicked") && !talk.contains("pipe"), "{arguments:?}: {talk}");
    }
}

/// The names under `Commands:` in a help text.
fn commands_of(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = list.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn the_help_of_every_command_shows_an_example() {
    let folder = folder();
    let (mut todo, mut seen) = (vec![Vec::<String>::new()], 0);
    while let Some(path) = todo.pop() {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = alone(folder.path(), &arguments, "").ends(0).data;
        let below = commands_of(&help);
        assert!(!below.is_empty() || help.contains("Example"), "{path:?} has no example: {help}");
        todo.extend(below.into_iter().map(|name| [&path[..], &[name]].concat()));
        seen += 1;
    }
    assert!(seen > 30, "only {seen} commands were found");
}

#[test]
fn manual_pages_and_completions_are_made_for_every_command_and_shell() {
    let folder = folder();
    alone(folder.path(), &["man", "pages"], "").ends(0).says(&["engraft.1"]);
    for page in ["engraft", "engraft-memory-put", "engraft-status"] {
        let text =
            std::fs::read_to_string(folder.path().join("pages").join(format!("{page}.1"))).expect("a page");
        assert!(text.contains(".TH") && text.contains("engraft"), "{text}");
    }
    alone(folder.path(), &["man"], "").ends(0).shows(&[".TH engraft"]);
    for shell in ["bash", "zsh", "fish"] {
        alone(folder.path(), &["completions", shell], "").ends(0).shows(&["neighbors", "engraft"]);
    }
}

#[test]
fn lines_go_into_the_log_of_a_stopped_server_and_bad_ones_are_named() {
    let folder = folder();
    let put = "{\"type\":\"memory.put\",\"space\":\"acme\",\"data\":{\"id\":\"m-1\"}}\n";
    let input = format!("{put}nonsense\n{put}{{\"type\":\"memory.put\",\"data\":{{}}}}\n");
    alone(folder.path(), &["produce", "-", "--data", "data"], &input).ends(1).says(&[
        "line 2: malformed",
        "line 4: space_missing",
        "2 commands in the log, 2 bad lines",
    ]);
    alone(folder.path(), &["audit", "--data", "data", "-o", "json"], "").ends(0);
}

#[test]
fn the_demo_ends_well_with_a_clean_audit() {
    let folder = folder();
    let mut demo = engraft(folder.path());
    demo.arg("demo").env("TMPDIR", folder.path());
    crate::world::run(demo, "").ends(0).shows(&["all 40 are there", "clean: read"]);
    let left = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(left, 0, "it leaves nothing behind");
}
