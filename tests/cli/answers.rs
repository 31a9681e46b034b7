//! What the program makes of answers that a good server gives rarely: from a server made of strings.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread::{self, JoinHandle},
};

use crate::world::{Ran, alone, folder};

/// Answers one request each, then is gone; gives back the heads of the requests.
fn answering(answers: Vec<(u16, String)>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let served = thread::spawn(move || {
        let answer = |(status, body): &(u16, String)| {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(reader.read_line(&mut head).expect("a line"), 0, "the client went away: {head}");
            }
            let lower = head.to_lowercase();
            let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut sent = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut sent).expect("the body");
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all((head + body).as_bytes()).expect("it takes its answer");
            lower
        };
        answers.iter().map(answer).collect()
    });
    (url, served)
}

fn asking(answers: &[(u16, &str)], arguments: &[&str]) -> (Ran, Vec<String>) {
    let owned = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
    let (url, served) = answering(owned);
    let folder = folder();
    let ran = alone(folder.path(), &[arguments, &["--url", &url]].concat(), "");
    (ran, served.join().expect("every answer was asked for"))
}

const OUTCOME: &str = r#"{"outcome":"committed","position":"1.0.0","records":[]}"#;

#[test]
fn every_request_carries_the_token_and_a_read_what_it_must_see() {
    let token = ["--token", "t-1"];
    let read = [&["memory", "get", "acme", "m-1", "--after", "AAA"][..], &token].concat();
    let (ran, heads) = asking(&[(200, r#"{"memory":{"id":"m-1"}}"#)], &read);
    ran.ends(0);
    assert!(heads[0].contains("authorization: bearer t-1\r\n"), "{}", heads[0]);
    assert!(heads[0].contains("consistency-token: aaa\r\n"), "{}", heads[0]);
    for arguments in
        [&["memory", "delete", "acme", "m-1"][..], &["relation", "delete", "acme", "a", "B", "c"]]
    {
        let (ran, heads) = asking(&[(200, OUTCOME)], &[arguments, &token].concat());
        ran.ends(0);
        assert!(heads[0].contains("authorization: bearer t-1\r\n"), "{}", heads[0]);
        assert!(heads[0].contains("prefer: wait=10\r\n"), "{}", heads[0]);
    }
    let refused = r#"{"code":"unauthenticated","detail":"no token"}"#;
    let (ran, _) = asking(&[(401, refused)], &["memory", "get", "acme", "m-1"]);
    ran.ends(1).says(&["ENGRAFT_TOKEN"]);
}

#[test]
fn an_append_whose_answer_was_lost_is_sent_again_under_the_same_id() {
    let lost = r#"{"code":"append_unknown","detail":"lost","retryable":true}"#;
    let (ran, heads) = asking(&[(503, lost), (503, lost), (201, OUTCOME)], &["memory", "put", "acme", "m-1"]);
    ran.ends(0);
    let key =
        |head: &String| head.lines().find(|line| line.starts_with("idempotency-key: ")).map(str::to_owned);
    assert!(key(&heads[0]).is_some_and(|key| key.len() > 20), "{}", heads[0]);
    assert_eq!((key(&heads[0]), key(&heads[0])), (key(&heads[1]), key(&heads[2])));
}

#[test]
fn a_write_whose_outcome_does_not_come_exits_with_5_and_says_where_to_ask() {
    let accepted = r#"{"position":"1.0.7","command_id":"c","state":"accepted","token":"AAA"}"#;
    let (ran, _) = asking(&[(202, accepted)], &["memory", "put", "acme", "m-1", "-o", "json"]);
    let ran = ran.ends(5).says(&["no outcome", "engraft sagas get 1.0.7"]);
    assert_eq!(ran.json()["position"], "1.0.7");
    let pending = r#"{"position":"1.0.7","state":"prepared"}"#;
    let (ran, heads) = asking(&[(200, pending)], &["sagas", "get", "1.0.7", "--wait", "1"]);
    ran.ends(5).says(&["no outcome after 1 s", "prepared"]);
    assert!(heads[0].contains("prefer: wait=1\r\n"), "{}", heads[0]);
}

#[test]
fn a_server_that_hangs_up_leaves_a_way_to_repeat_the_write() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let hung_up = thread::spawn(move || drop(listener.accept().expect("a client")));
    let folder = folder();
    let ran = alone(folder.path(), &["memory", "put", "acme", "m-1", "--url", &url], "");
    ran.ends(5).says(&["--idempotency-key", "twice"]);
    hung_up.join().expect("it was asked");
}

#[test]
fn an_older_server_and_one_of_another_kind_are_told_apart_from_what_is_not_there() {
    let unknown = r#"{"code":"no_route","detail":"there is no such path"}"#;
    let (ran, _) = asking(&[(404, unknown)], &["memory", "history", "acme", "m-1"]);
    ran.ends(1).says(&["older"]);
    let (ran, _) = asking(&[(404, "<h1>Not found</h1>")], &["memory", "get", "acme", "m-1"]);
    ran.ends(5).says(&["--url"]);
    let (ran, _) = asking(&[(410, r#"{"code":"swept","detail":"long ago"}"#)], &["sagas", "get", "1.0.1"]);
    ran.ends(4).says(&["swept"]);
}
