//! Sharing partitions: who works on what, and when it changes hands.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use engraft::log::{
    Assignment, CommandLog, Membership, NewRecord,
    kafka::{KafkaLog, Options},
};

use crate::broker::{PARTITIONS, connect, fresh_options};

/// How long the group may take to do what it must.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing must happen to be taken for nothing.
const QUIET: Duration = Duration::from_millis(1_500);

/// A process that hears what the group says and releases when it is told to.
struct Process {
    log: KafkaLog,
    member: Box<dyn Membership>,
    owned: BTreeSet<u32>,
    revoked: BTreeSet<u32>,
}

impl Process {
    async fn join(options: &Options) -> Self {
        let log = KafkaLog::connect(options).await.unwrap();
        let member = log.join().await.unwrap();
        Self { log, member, owned: BTreeSet::new(), revoked: BTreeSet::new() }
    }

    /// Hears what is said until nothing is for `quiet`.
    async fn listen(&mut self, quiet: Duration) {
        while let Ok(Some(change)) = tokio::time::timeout(quiet, self.member.next()).await {
            match change {
                Assignment::Assigned(partition) => assert!(self.owned.insert(partition), "assigned twice"),
                Assignment::Revoked(partition) => {
                    assert!(self.owned.remove(&partition), "revoked, but never assigned");
                    self.revoked.insert(partition);
                }
                Assignment::Unconfirmed(partition) => panic!("partition {partition} was lost"),
            }
        }
    }

    async fn release(&mut self) {
        for partition in std::mem::take(&mut self.revoked) {
            self.member.released(partition).await;
        }
    }
}

fn all() -> BTreeSet<u32> {
    (0..PARTITIONS).collect()
}

/// Lets the processes hear and release until they own everything between them, each its share.
async fn settle(processes: &mut [Process]) {
    let begun = Instant::now();
    let share = PARTITIONS as usize / processes.len();
    loop {
        for process in processes.iter_mut() {
            process.listen(Duration::from_millis(100)).await;
            process.release().await;
        }
        let count: usize = processes.iter().map(|process| process.owned.len()).sum();
        let owned: BTreeSet<u32> = processes.iter().flat_map(|process| process.owned.clone()).collect();
        assert!(owned.len() == count, "no two own one partition");
        if owned == all() && processes.iter().all(|process| process.owned.len() >= share) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "not shared: {owned:?}");
    }
}

#[tokio::test]
async fn a_partition_goes_to_another_process_only_when_it_was_released() {
    let test = "a_partition_goes_to_another_process_only_when_it_was_released";
    let Some(options) = fresh_options(test) else { return };
    drop(connect(options.clone()).await);
    let mut first = Process::join(&options).await;
    while first.owned != all() {
        first.listen(Duration::from_millis(200)).await;
    }
    let mut second = Process::join(&options).await;
    let begun = Instant::now();
    while first.revoked.is_empty() {
        second.listen(Duration::from_millis(50)).await;
        first.listen(Duration::from_millis(50)).await;
        assert!(begun.elapsed() < PATIENCE, "nothing is taken back");
    }
    let kept = first.owned.clone();
    assert_eq!(kept.len(), 2, "what stays is not interrupted");
    second.listen(QUIET).await;
    assert_eq!(second.owned, BTreeSet::new(), "the first still works on them");
    first.release().await;
    let mut both = [first, second];
    settle(&mut both).await;
    assert_eq!(both[0].owned, kept);
}

#[tokio::test]
async fn a_process_that_leaves_is_not_waited_for() {
    let test = "a_process_that_leaves_is_not_waited_for";
    let Some(options) = fresh_options(test) else { return };
    drop(connect(options.clone()).await);
    let mut both = vec![Process::join(&options).await, Process::join(&options).await];
    settle(&mut both).await;
    let Process { log, member, .. } = both.remove(0);
    let begun = Instant::now();
    drop(member);
    log.close().await;
    settle(&mut both).await;
    assert!(begun.elapsed() < Duration::from_secs(8), "well before the session would have run out");
}

#[tokio::test]
async fn a_named_process_that_comes_back_keeps_its_partitions() {
    let test = "a_named_process_that_comes_back_keeps_its_partitions";
    let Some(options) = fresh_options(test) else { return };
    drop(connect(options.clone()).await);
    let named = |name: &str| Options { instance: Some(name.to_owned()), ..options.clone() };
    let mut both = vec![Process::join(&named("a")).await, Process::join(&named("b")).await];
    settle(&mut both).await;
    let Process { log, member, owned, .. } = both.remove(0);
    drop(member);
    log.close().await;
    let other = both[0].owned.clone();
    let mut back = Process::join(&named("a")).await;
    let begun = Instant::now();
    while back.owned != owned {
        back.listen(Duration::from_millis(100)).await;
        assert!(begun.elapsed() < PATIENCE, "{:?} instead of {owned:?}", back.owned);
    }
    both[0].listen(QUIET).await;
    assert_eq!((&both[0].owned, both[0].revoked.len()), (&other, 0), "the other was not interrupted");
}

#[tokio::test]
async fn lag_tools_see_the_watermark_of_a_process_in_the_group() {
    let test = "lag_tools_see_the_watermark_of_a_process_in_the_group";
    let Some(options) = fresh_options(test) else { return };
    drop(connect(options.clone()).await);
    let mut process = [Process::join(&options).await];
    settle(&mut process).await;
    let log = process[0].log.clone();
    let begun = Instant::now();
    while log.committed(2).await != Some(17) {
        assert!(begun.elapsed() < PATIENCE, "never committed");
        // A commit that met a rebalance is made again.
        log.note_watermark(2, 17).await;
        process[0].listen(Duration::from_millis(100)).await;
    }
}

/// Threads of this process whose names begin so.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let named = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default().starts_with(name)
    };
    tasks.map(named).filter(|is| *is).count()
}

/// Threads and times are judged where `ENGRAFT_TEST_ALONE` says that no other test runs in this process.
#[tokio::test]
async fn thirty_two_partitions_are_read_by_one_client_and_at_once() {
    let test = "thirty_two_partitions_are_read_by_one_client_and_at_once";
    let Some(options) = fresh_options(test) else { return };
    engraft::log::kafka::topics::create(&options, 32, 1).await.unwrap();
    let log = KafkaLog::connect(&options).await.unwrap();
    let before = threads("rdk:");
    let mut readers = Vec::new();
    for partition in 0..32 {
        readers.push(log.reader(partition, 0).await.unwrap());
    }
    let (sender, mut read) = tokio::sync::mpsc::channel(32);
    for mut reader in readers {
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Ok(records) = reader.next(100).await {
                let now = Instant::now();
                for record in records {
                    if sender.send((record.value.unwrap(), now)).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
    let mut took = Vec::new();
    for number in 0..200_u32 {
        let record = NewRecord {
            key: format!("space-{}", number % 61).into(),
            value: number.to_be_bytes().to_vec().into(),
            headers: vec![],
        };
        log.append(vec![record]).await.remove(0).unwrap();
        let appended = Instant::now();
        let (value, at) = tokio::time::timeout(PATIENCE, read.recv()).await.unwrap().unwrap();
        assert_eq!(value, number.to_be_bytes().to_vec(), "each once, in order");
        took.push(at.saturating_duration_since(appended));
    }
    took.sort();
    let more = threads("rdk:").saturating_sub(before);
    println!("append to read: p50 {:?}, p99 {:?}; {more} more threads of clients", took[100], took[198]);
    if std::env::var_os("ENGRAFT_TEST_ALONE").is_some() {
        assert!(more <= 8, "{more} threads");
        assert!(took[100] < Duration::from_millis(20), "{:?}", took[100]);
    }
}
