//! What the contract cannot ask of every backend: folders, crashes, and the engine's own ways.

use std::{fs, path::Path};

use super::{super::contract::*, *};
use crate::model::{Memory, Phase};

fn opened(folder: &Path) -> EdgeVectors {
    EdgeVectors::open(folder, Options::default()).expect("an index")
}

fn checkpoint(finish: u64) -> Checkpoint {
    Checkpoint { ledger: "l".to_owned(), finishes: vec![(1, 0, finish)] }
}

/// A folder as a killed process leaves it: what is in the page cache stays, what is in memory goes.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a listing") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// What a store must hold once `write` is the last one of its point.
fn is_held(stored: &Stored, write: &Write) {
    assert_eq!((&stored.id, stored.version, stored.hash), (&write.id, write.version, write.hash));
    match (&stored.point, write.live()) {
        (None, None) => {}
        (Some(point), Some(memory)) => {
            assert_eq!(point.sparse.as_ref().map(|s| &s.indices), memory.sparse.as_ref().map(|s| &s.indices));
            let pairs =
                point.dense.iter().flat_map(|d| d.iter()).zip(memory.dense.iter().flat_map(|d| d.iter()));
            let length = |memory: &Memory| {
                memory.dense.iter().flat_map(|d| d.iter()).map(|v| v * v).sum::<f32>().sqrt()
            };
            for (held, sent) in pairs {
                assert!((held - sent / length(memory)).abs() < 1e-5, "{:?}: {held} for {sent}", write.id);
            }
        }
        (held, sent) => panic!("{:?}: {held:?} for {sent:?}", write.id),
    }
}

/// Round `round` of writes over the same hundred points: other vectors, fewer vectors, tombstones.
fn round(round: u32) -> Vec<Write> {
    let write = |n: u32| {
        let (name, offset) = (format!("m-{n:03}"), u64::from(round * 1000 + n));
        let values = [1.0 + n as f32, 1.0 + round as f32];
        match (n + round) % 4 {
            0 => tombstone(&name, offset),
            1 => dense(&name, offset, &values),
            2 => put(&name, offset, memory(None, Some(sparse(&[(n, 1.0), (500 + round, 1.0)])))),
            _ => put(&name, offset, memory(Some(&values), Some(sparse(&[(n, values[1])])))),
        }
    };
    (0..100).map(write).collect()
}

#[tokio::test]
async fn what_was_checkpointed_is_there_after_opening_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = opened(folder.path());
    all_applied(&store, &round(1)).await;
    store.checkpoint(&checkpoint(1)).await.expect("a checkpoint");
    drop(store);
    let store = opened(folder.path());
    assert_eq!(store.last_checkpoint().await, Ok(Some(checkpoint(1))));
    let all = everything(&store).await;
    assert_eq!(all.len(), 100);
    all.iter().zip(round(1)).for_each(|(stored, write)| is_held(stored, &write));
    assert_eq!(store.write(&round(1)).await, vec![Answer::Same; 100]);
}

#[tokio::test]
async fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = opened(folder.path());
    let second = EdgeVectors::open(folder.path(), Options::default());
    assert!(matches!(second, Err(OpenError::InUse)), "{second:?}");
    store.close().await;
    assert!(store.search(&near_dense(&[1.0, 0.0])).await.is_err());
    assert!(matches!(one(&store, tombstone("m", 1)).await, Answer::Transient(_)));
    opened(folder.path());
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_is_applied_again() {
    for unflushed in 1..6 {
        let (folder, killed) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let store = opened(folder.path());
        all_applied(&store, &round(1)).await;
        store.checkpoint(&checkpoint(1)).await.expect("a checkpoint");
        for later in 2..2 + unflushed {
            all_applied(&store, &round(later)).await;
        }
        copy(folder.path(), killed.path());
        drop(store);

        let store = opened(killed.path());
        assert_eq!(store.last_checkpoint().await, Ok(Some(checkpoint(1))));
        // Heads later than the checkpoint are the last round alone.
        let last = round(1 + unflushed);
        let answers = store.write(&last).await;
        assert!(answers.iter().all(Answer::is_held), "{answers:?}");
        let all = everything(&store).await;
        assert_eq!(all.len(), 100);
        all.iter().zip(&last).for_each(|(stored, write)| is_held(stored, write));
    }
}

#[tokio::test]
async fn a_damaged_folder_is_emptied_and_asks_to_be_rebuilt() {
    fn spoil(folder: &Path, spoilt: &mut u32) {
        for entry in fs::read_dir(folder).expect("a listing") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                spoil(&path, spoilt);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                fs::write(&path, b"{\"torn").expect("spoilt");
                *spoilt += 1;
            }
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let store = opened(folder.path());
    all_applied(&store, &round(1)).await;
    store.checkpoint(&checkpoint(1)).await.expect("a checkpoint");
    drop(store);
    let mut spoilt = 0;
    spoil(&folder.path().join("2-cosine"), &mut spoilt);
    assert!(spoilt > 0);
    let store = opened(folder.path());
    assert_eq!(store.last_checkpoint().await, Ok(None));
    assert!(everything(&store).await.is_empty());
    all_applied(&store, &round(1)).await;
}

#[tokio::test]
async fn the_engines_log_is_cut_and_writes_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { log_file_bytes: 16 << 10, log_bytes_max: 64 << 10 };
    let store = EdgeVectors::open(folder.path(), options).expect("an index");
    for later in 1..20 {
        all_applied(&store, &round(later)).await;
        store.checkpoint(&checkpoint(u64::from(later))).await.expect("a checkpoint");
        let bytes = engine::log_bytes(&folder.path().join("2-cosine")).expect("a length");
        assert!(bytes <= options.log_bytes_max, "{bytes}");
    }
    let all = everything(&store).await;
    all.iter().zip(round(19)).for_each(|(stored, write)| is_held(stored, &write));
}

#[tokio::test]
async fn a_point_of_an_optimised_segment_is_rewritten_whole() {
    const DIMENSION: u32 = 256;
    let folder = tempfile::tempdir().expect("a folder");
    let store = opened(folder.path());
    let layout = Layout { dimension: Some(DIMENSION), ..COSINE };
    let values =
        |n: u32| (0..DIMENSION).map(|at| ((n * 31 + at * 17) % 97) as f32 - 48.0).collect::<Vec<f32>>();
    let both = |n: u32| {
        let memory = memory(Some(&values(n)), Some(sparse(&[(n, 1.0)])));
        Write { layout, ..put(&format!("m-{n}"), u64::from(n), memory) }
    };
    for batch in (0..24_000).collect::<Vec<u32>>().chunks(2000) {
        all_applied(&store, &batch.iter().map(|n| both(*n)).collect::<Vec<_>>()).await;
    }
    assert!(store.optimize().await.expect("optimised"), "there was something to do");

    let newer = |write: Write| Write { layout, version: version(1, 90_000, Phase::Forward), ..write };
    let bare = newer(put("m-7", 0, memory(Some(&values(7)), None)));
    let gone = newer(tombstone("m-8", 0));
    all_applied(&store, &[bare, gone]).await;
    assert!(found(&store, &near_sparse(&[(7, 1.0)])).await.is_empty(), "the old sparse vector is gone");
    assert!(found(&store, &near_sparse(&[(8, 1.0)])).await.is_empty());
    assert_eq!(found(&store, &near_sparse(&[(9, 1.0)])).await, ["m-9"]);
    let search = Search { layout, limit: 3, ..near_dense(&values(8)) };
    let hits = found(&store, &search).await;
    assert!(hits.len() == 3 && !hits.contains(&"m-8".to_owned()), "{hits:?}");
    store.checkpoint(&checkpoint(1)).await.expect("a checkpoint");
}
