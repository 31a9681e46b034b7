//! How a server does, once and for as long as somebody looks.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::world::World;

#[test]
fn status_tells_what_the_server_is_made_of_and_how_far_it_is() {
    let world = World::new();
    world.ok(&["memory", "put", "acme", "m-1", "Tea"]);
    world.ok(&["status"]).shows(&[&world.url(), "1 commands", "log embedded", "ledger sqlite", "PARTITION"]);
    let status = world.ok(&["status", "-o", "json"]).json();
    assert_eq!(status["partitions"][0]["log_end"], 1);
    assert_eq!(status["backends"]["ledger"], "sqlite");
}

#[test]
fn a_watch_in_a_pipe_is_a_line_a_change() {
    let world = World::new();
    let mut watch = world.program(&["status", "--watch"]);
    let mut child = watch.stdout(Stdio::piped()).spawn().expect("runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("a line").expect("UTF-8");
    let first = next();
    assert!(first.contains("0 commands, nothing to do"), "{first}");
    world.ok(&["memory", "put", "acme", "m-1", "Tea"]);
    // What is published follows what is committed: there may be more than one change.
    let second = next();
    assert!(second.contains("1 commands"), "{second}");
    child.kill().expect("it can be ended");
    child.wait().expect("it has ended");
}
