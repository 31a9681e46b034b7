//! Following outcomes.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};

use crate::world::{World, run};

/// An open stream of events.
struct Stream(Box<dyn std::io::BufRead + Send>);

/// One event: its id, and its data where it has any.
type Event = (String, Option<Value>);

impl Stream {
    fn open(address: &str, query: &str, last: Option<&str>) -> Result<Self, (u16, Value)> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let mut request = ureq::Agent::from(config).get(format!("http://{address}/v1/events?{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let mut answer = request.call().unwrap();
        match answer.status().as_u16() {
            200 => {
                let kind = answer.headers()["content-type"].to_str().unwrap();
                assert_eq!(kind, "text/event-stream");
                Ok(Self(Box::new(BufReader::new(answer.into_body().into_reader()))))
            }
            status => {
                let body = answer.body_mut().read_to_string().unwrap();
                Err((status, serde_json::from_str(&body).unwrap()))
            }
        }
    }

    fn next(&mut self) -> Event {
        let (mut id, mut data) = (String::new(), None);
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream ended");
            match line.trim_end().split_once(": ") {
                Some(("id", text)) => text.clone_into(&mut id),
                Some(("data", text)) => data = Some(serde_json::from_str(text).unwrap()),
                Some(_) => {}
                None => return (id, data),
            }
        }
    }

    /// The positions' offsets of the next outcomes, and the last id.
    fn offsets(&mut self, count: usize) -> (Vec<u64>, String) {
        let (mut offsets, mut last) = (Vec::new(), String::new());
        while offsets.len() < count {
            let (id, data) = self.next();
            last = id;
            let position = data.map(|outcome| outcome["position"].as_str().unwrap().to_owned());
            offsets.extend(position.map(|text| text.rsplit('.').next().unwrap().parse::<u64>().unwrap()));
        }
        (offsets, last)
    }
}

async fn put_many(world: &World, space: &str, count: usize) {
    let put = |n: usize| json!({"type": "memory.put", "space": space, "data": {"id": format!("m-{n}")}});
    let items: Vec<Value> = (0..count).map(put).collect();
    for items in items.chunks(500) {
        let (status, answers) = world.post("/v1/commands", "application/json", Some(10), json!(items)).await;
        assert_eq!(status, 200, "{answers}");
    }
}

#[test]
fn a_stream_gives_each_outcome_of_its_space_once_and_goes_on_where_it_was_left() {
    run(async {
        let world = World::new().await;
        let address = world.app.address().to_string();
        world.put("before", "a stream begins now").await;
        let mut stream = Stream::open(&address, "space=acme", None).unwrap();
        let (begin, nothing) = stream.next();
        assert_eq!(nothing, None, "where it begins, and nothing that was before");
        world.put("one", "1").await;
        put_many(&world, "other", 3).await;
        world.put("two", "2").await;
        let (first, cursor) = stream.offsets(1);
        let (id, data) = stream.next();
        let data = data.unwrap();
        assert_eq!((&data["space"], &data["outcome"]), (&json!("acme"), &json!("committed")));
        assert_eq!(data["records"][0]["memory"], "two", "the other space is passed over");
        let mut again = Stream::open(&address, "space=acme", Some(&cursor)).unwrap();
        again.next();
        let (repeated, repeated_data) = again.next();
        assert_eq!((repeated, repeated_data.unwrap()), (id, data), "the same event, byte for byte");
        let (from_begin, _) = Stream::open(&address, "space=acme", Some(&begin)).unwrap().offsets(1);
        assert_eq!(from_begin, first);
        let (all, _) = Stream::open(&address, "space=acme&from=start", None).unwrap().offsets(3);
        assert!(all.is_sorted() && all[0] < first[0], "{all:?}");
    });
}

#[test]
fn a_follower_that_was_slow_misses_nothing_and_sees_nothing_twice() {
    run(async {
        let world = World::new().await;
        let address = world.app.address().to_string();
        let mut stream = Stream::open(&address, "space=acme", None).unwrap();
        stream.next();
        put_many(&world, "acme", 6_000).await;
        let (offsets, _) = stream.offsets(6_000);
        let mut expected = offsets.clone();
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(expected.len(), 6_000);
        world.put("last", "x").await;
        let (_, data) = stream.next();
        assert_eq!(data.unwrap()["records"][0]["memory"], "last");
    });
}

#[test]
fn a_cursor_that_is_not_this_spaces_is_refused() {
    run(async {
        let world = World::new().await;
        let address = world.app.address().to_string();
        put_many(&world, "acme", 1).await;
        let (_, cursor) = Stream::open(&address, "space=acme&from=start", None).unwrap().offsets(1);
        let refusal = |query: &str, last: Option<&str>| Stream::open(&address, query, last).err().unwrap();
        for (query, last) in [
            ("space=other", Some(cursor.as_str())),
            ("space=acme", Some("nonsense")),
            ("space=..", None),
            ("", None),
            ("space=acme&from=yesterday", None),
        ] {
            let (status, problem) = refusal(query, last);
            assert_eq!(
                (status, &problem["code"]),
                (400, &json!("bad_request")),
                "{query} {last:?}: {problem}"
            );
        }
    });
}
