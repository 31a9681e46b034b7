//! What a client may take of the server: bytes, connections, and patience. Over bare sockets, since
//! no HTTP client can be made to behave so badly.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use crate::world::{Ask, World, run};

/// When a test gives up waiting for what must come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Far longer than a test lives.
const NEVER_MS: u64 = 600_000;
/// Soon enough for a test.
const SOON_MS: u64 = 200;

impl World {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.app.address()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Sends bytes on a connection of their own.
    fn say(&self, text: &str) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).expect("it is taken");
        stream
    }
}

/// All that the server says until it ends the connection, which it must.
fn heard(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection was not ended: {error}"),
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The status of the first answer on a connection that stays open.
fn status(stream: &mut TcpStream) -> String {
    let mut line = [0; 12];
    stream.read_exact(&mut line).expect("an answer");
    String::from_utf8_lossy(&line[9..]).into_owned()
}

#[test]
fn who_never_ends_its_head_is_let_go() {
    run(async {
        let world = World::with(|config| config.http.header_timeout_ms = SOON_MS).await;
        let silent = world.connect();
        let slow = world.say("GET /livez HTTP/1.1\r\nhost: x\r\nx-");
        let between = world.say("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(!heard(silent).contains("200"), "nothing was asked");
        assert!(!heard(slow).contains("200"), "nothing was asked to its end");
        assert!(heard(between).contains("alive"), "the first request was whole");
        world.app.stop().await;
    });
}

#[test]
fn a_body_that_does_not_come_is_answered_and_let_go() {
    run(async {
        let world = World::with(|config| config.http.body_timeout_ms = SOON_MS).await;
        let head = "POST /v1/commands HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
        let mut slow = world.say(&format!("{head}content-length: 100\r\n\r\n{{"));
        assert_eq!(status(&mut slow), "408");
        world.app.stop().await;
    });
}

#[test]
fn heads_are_bounded_in_bytes_and_in_number() {
    run(async {
        let world = World::new().await;
        let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
        let large = format!("x: {}\r\n", "y".repeat(100_000));
        for headers in [many, large] {
            let answer = heard(world.say(&format!("GET /livez HTTP/1.1\r\nhost: x\r\n{headers}\r\n")));
            assert!(answer.is_empty() || answer.contains("431"), "{answer}");
        }
        assert_eq!(world.get("/livez").await.0, 200, "the others are served as before");
        world.app.stop().await;
    });
}

#[test]
fn more_connections_than_may_be_wait_until_one_ends() {
    run(async {
        // One of them belongs to the client that has asked whether the server is ready.
        let world = World::with(|config| {
            config.http.connections_max = 3;
            config.http.header_timeout_ms = NEVER_MS;
        });
        let world = world.await;
        let (first, second) = (world.say("GET /livez HTTP/1.1\r\n"), world.say("GET /livez HTTP/1.1\r\n"));
        let mut third = world.say("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
        third.set_read_timeout(Some(Duration::from_millis(SOON_MS))).expect("a timeout");
        assert!(third.read(&mut [0]).is_err(), "there was no place for it");
        drop((first, second));
        third.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        assert_eq!(status(&mut third), "200");
        world.app.stop().await;
    });
}

#[test]
fn a_stop_does_not_wait_for_who_says_nothing() {
    run(async {
        let world = World::with(|config| {
            config.http.header_timeout_ms = NEVER_MS;
            config.http.drain_ms_max = SOON_MS;
        });
        let world = world.await;
        let (idle, half) = (world.connect(), world.say("GET /livez HTTP/1.1\r\nhost: x\r\nx-"));
        tokio::time::timeout(PATIENCE, world.app.stop()).await.expect("it stops");
        drop((idle, half));
    });
}

#[test]
fn a_packed_body_is_refused_and_never_unpacked() {
    run(async {
        let world = World::new().await;
        for path in ["/v1/commands", "/v1/search", "/v1/search/batch"] {
            let ask = Ask::new("POST", path)
                .with("content-type", "application/json")
                .with("content-encoding", "gzip")
                .body("\u{1f}not gzip at all");
            let reply = world.ask(ask).await;
            assert_eq!((reply.status, reply.json()["code"].as_str()), (415, Some("unsupported_media_type")));
        }
        world.app.stop().await;
    });
}
