//! The contract, and what only a server for many processes can promise.
//!
//! All of it needs a real server: `ENGRAFT_TEST_POSTGRES` is its address. Without one the tests say so
//! where the runner collects it, and pass. Each test has a schema of its own.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests and their helpers say by panicking that they cannot go on"
)]

mod faults;
mod proxy;
mod world;

use futures::future::join_all;

use self::world::{Place, Server};
use super::{OpenError, Options, PostgresLedger};
use crate::{
    ledger::{
        Error, Ledger,
        contract::{self, world as contract_world},
        questions::{Questions as _, Selection},
    },
    random::Random,
};

contract::suite!(where there: world::new());

#[tokio::test]
async fn what_one_process_committed_is_there_for_the_next() {
    let Some(place) = Place::new() else { return };
    let ledger = place.open().await;
    contract_world::commit(&ledger, &[(1, "a", Some("one")), (2, "b", None)]).await;
    let mut transaction = contract_world::begin(&ledger).await;
    transaction.insert_sagas(&[contract_world::put(3, "a", Some("three"))]).await.unwrap();
    transaction.commit().await.unwrap();
    let identity = ledger.identity().await.unwrap();
    let mut lost = contract_world::begin(&ledger).await;
    lost.insert_sagas(&[contract_world::pending(4)]).await.unwrap();
    drop(lost);
    drop(ledger);
    let ledger = place.open().await;
    assert_eq!(ledger.identity().await.unwrap(), identity);
    let unfinished = ledger.unfinished(contract_world::PARTITION, 0, 9).await.unwrap();
    assert_eq!(unfinished, [contract_world::put(3, "a", Some("three"))]);
    contract_world::commit(&ledger, &[(4, "c", Some("four"))]).await;
    let heads = ledger.list(&contract_world::space(), None, 9).await.unwrap();
    let contents: Vec<_> = heads.iter().filter_map(|head| head.memory.clone()).collect();
    assert_eq!(
        contents,
        [contract_world::memory("one"), contract_world::memory("four")],
        "no number was given out twice"
    );
    ledger.close().await;
}

#[tokio::test]
async fn processes_that_start_together_make_the_tables_once() {
    let Some(place) = Place::new() else { return };
    let ledgers = join_all((0..6).map(|_| place.open())).await;
    let identities = join_all(ledgers.iter().map(Ledger::identity)).await;
    assert!(identities.iter().all(|identity| *identity == identities[0]), "{identities:?}");
}

#[tokio::test]
async fn batches_of_every_length_are_written_whole() {
    let Some((ledger, _place)) = world::new().await else { return };
    let lease = contract_world::own(&ledger).await;
    let mut offset = 0;
    for length in [1, 2, 255, 256, 700] {
        let mut transaction = ledger.transaction(&lease).await.unwrap();
        let rows: Vec<_> =
            (offset..offset + length).map(|offset| contract_world::put(offset, "a", Some("x"))).collect();
        transaction.insert_sagas(&rows).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(ledger.unfinished(contract_world::PARTITION, offset, 2000).await.unwrap(), rows);
        offset += length;
    }
}

#[tokio::test]
async fn clients_words_may_hold_any_character() {
    let Some((ledger, _place)) = world::new().await else { return };
    let session = "a\0b";
    let mut memory = (*contract_world::memory("zero \0 byte")).clone();
    memory.session = Some(session.to_owned());
    memory.properties.insert("p\0".to_owned(), "v\0".into());
    let plan = contract_world::plan(vec![contract_world::write("a", Some(memory.clone().into()))]);
    let row = contract_world::running(1, plan);
    let mut transaction = contract_world::begin(&ledger).await;
    transaction.insert_sagas(std::slice::from_ref(&row)).await.unwrap();
    let head = contract_world::forward(1, "a", Some("zero \0 byte"));
    transaction
        .write_heads(&[crate::ledger::HeadWrite {
            image: crate::ledger::ImagePointer::Forward { after: Some(memory.clone().into()) },
            ..head
        }])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(ledger.unfinished(contract_world::PARTITION, 0, 9).await.unwrap(), [row]);
    assert_eq!(*contract_world::head(&ledger, "a").await.unwrap().memory.unwrap(), memory);
    let of = Selection { kind: None, session: Some(session.to_owned()) };
    let space = contract_world::space();
    assert_eq!(ledger.count_of(&space, &of).await.unwrap(), 1);
    assert_eq!(ledger.list_of(&space, &of, None, 9).await.unwrap().found.len(), 1);
}

/// Two owners that take the lease from each other, again and again, and never both write.
#[tokio::test]
async fn owners_in_competition_write_each_offset_once() {
    let Some(place) = Place::new() else { return };
    let (one, two) = (place.open().await, place.open().await);
    contract_world::own(&one).await;
    let work = async |ledger: &PostgresLedger, nonce: u128| -> (u64, u64) {
        let (mut done, mut fenced) = (0, 0);
        while done < 25 {
            let lease = ledger.acquire(contract_world::PARTITION, nonce).await.unwrap();
            for _ in 0..5 {
                match step(ledger, &lease, nonce).await {
                    Ok(()) => done += 1,
                    Err(Error::Fenced { .. }) => {
                        fenced += 1;
                        break;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
        }
        (done, fenced)
    };
    let (first, second) = futures::join!(work(&one, 1 << 64), work(&two, 2 << 64));
    assert!(first.1 + second.1 > 0, "they met: {first:?} {second:?}");
    let partition = one.partition(contract_world::PARTITION).await.unwrap();
    assert_eq!(partition.watermark, first.0 + second.0, "each write moved it once");
    assert_eq!(partition.finishes, partition.watermark);
    let ended = one.ended_after(contract_world::PARTITION, 0, 1000).await.unwrap();
    let offsets: Vec<u64> = ended.iter().flat_map(|(_, rows)| rows).map(|row| row.offset).collect();
    assert_eq!(offsets, (0..partition.watermark).collect::<Vec<_>>());
    let head = contract_world::head(&one, "a").await.unwrap();
    assert_eq!(head.version.offset(), partition.watermark - 1, "the last write stands");
}

/// Begins and ends the next saga, each in a transaction of its own, the second with what the first of
/// this owner left in memory.
async fn step(ledger: &PostgresLedger, lease: &crate::ledger::Lease, nonce: u128) -> Result<(), Error> {
    use crate::model::State;
    let mut begin = ledger.transaction(lease).await?;
    let offset = begin.partition().watermark;
    let unfinished = begin.sagas(&[offset.wrapping_sub(1)]).await?;
    // Whoever was here before may have left one that runs: it is ended first, as recovery would.
    let left = unfinished.first().is_some_and(|row| row.state == State::Running);
    if !left {
        let content = format!("{nonce} {offset}");
        begin.insert_sagas(&[contract_world::put(offset, "a", Some(&content))]).await?;
        begin.advance(offset + 1, None).await?;
    }
    begin.commit().await?;
    let offset = if left { offset - 1 } else { offset };
    let mut finish = ledger.transaction(lease).await?;
    let number = finish.partition().finishes + 1;
    let row = finish.sagas(&[offset]).await?.remove(0);
    let content = row.plan.unwrap().memories[0].after.as_ref().unwrap().content.clone();
    let end = crate::ledger::Transition {
        finish: number,
        finished_at: Some(contract_world::at(20)),
        ..contract_world::step(offset, State::Running, State::Committed)
    };
    assert_eq!(finish.transition(&[end]).await?, [offset]);
    finish.write_heads(&[contract_world::forward(offset, "a", Some(&content))]).await?;
    finish.finished(number, &[offset], contract_world::at(20)).await?;
    finish.commit().await
}

#[tokio::test]
async fn no_refusal_names_a_host_a_user_or_a_password() {
    let Some(server) = Server::there() else { return };
    let random = Random::from_seed(7, 1);
    let address = server.url.rsplit_once('@').map_or("127.0.0.1:1/x", |(_, rest)| rest);
    let (host, _) = address.split_once('/').unwrap();
    let port = host.rsplit_once(':').unwrap().1;
    let urls = [
        "postgres://ada:hunter2@127.0.0.1:9/secretdb".to_owned(),
        "postgres://ada:hunter2@nowhere.invalid:9/secretdb".to_owned(),
        format!("postgres://ada:hunter2@{host}/secretdb"),
        "ada:hunter2@nowhere".to_owned(),
    ];
    for url in urls {
        let Err(refused) = PostgresLedger::open(&url, &Options::default(), &random).await else {
            panic!("there is no such ledger")
        };
        let text = format!("{refused} {:?}", std::error::Error::source(&refused).map(ToString::to_string));
        for secret in ["ada", "hunter2", "127.0.0.1", "nowhere", "secretdb", port] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(!matches!(refused, OpenError::Schema { .. }), "{text}");
    }
}
