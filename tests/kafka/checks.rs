//! What contradicts the ledger halts its partition, says why and what to do, and nothing is skipped.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use engraft::{
    ledger::{Ledger, memory::MemoryLedger},
    log::{
        contract::World as _,
        kafka::{KafkaLog, topics},
    },
    model::{MemoryId, PartitionId, Space},
    tasks::Tasks,
    worker::{
        self,
        board::{Board, PartitionState},
        checks::Contradiction,
        explain, fence,
    },
};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewPartitions},
    client::DefaultClientContext,
};

use crate::{
    broker::PARTITIONS,
    workers::{Cluster, Worker},
};

/// How long a worker may take to see what is wrong.
const PATIENCE: Duration = Duration::from_secs(30);
/// The space of every command.
const SPACE: &str = "acme";

fn home_partition() -> u32 {
    engraft::log::Partitioner::default().partition(SPACE.as_bytes(), PARTITIONS)
}

/// Waits until the partition of [`SPACE`] is halted; why.
async fn halted(worker: &Worker) -> String {
    let begun = Instant::now();
    loop {
        let partitions = worker.board.partitions();
        let ours = partitions.into_iter().find(|status| status.partition == home_partition());
        if let Some(status) = ours.filter(|status| status.state == PartitionState::Halted) {
            return status.reason.expect("a halted partition says why");
        }
        assert!(begun.elapsed() < PATIENCE, "it is not halted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Cluster {
    /// A cluster whose worker has done so many commands and has stopped.
    async fn worked(test: &str, commands: u64) -> Option<Self> {
        let cluster = Self::new(test).await?;
        let worker = cluster.start().await;
        for number in 0..commands {
            cluster.append(SPACE, number).await;
        }
        cluster.rest().await;
        worker.stop().await;
        Some(cluster)
    }

    async fn watermark(&self) -> u64 {
        let id = PartitionId { epoch: 1, partition: home_partition() };
        // A ledger that was never opened has no row.
        self.ledger.partition(id).await.unwrap_or_default().watermark
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.broker.foreign_client().create().unwrap()
    }

    /// Deletes all topics, and makes new ones under their names.
    async fn make_topics_anew(&mut self) {
        let options = self.broker.options.clone();
        let (commands, outcomes, letters) =
            (options.commands_topic(), options.outcomes_topic(), options.dead_letters_topic());
        let asked = AdminOptions::new().operation_timeout(Some(PATIENCE));
        self.admin().delete_topics(&[&commands, &outcomes, &letters], &asked).await.unwrap();
        let begun = Instant::now();
        while KafkaLog::connect(&options).await.is_ok() {
            assert!(begun.elapsed() < PATIENCE, "the topics are still there");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        topics::create(&options, PARTITIONS, 1).await.unwrap();
        self.broker.log = KafkaLog::connect(&options).await.unwrap();
    }

    /// Does what `engraft partitions explain` says where the log cannot be put back: begins a new epoch. Then a
    /// worker takes in what is in the log and goes on.
    async fn mended(&mut self, code: &str, lost: u64) {
        // Whatever the topics are now, it is a new connection that finds them.
        self.broker.log = KafkaLog::connect(&self.broker.options).await.unwrap();
        let ports = self.ports(&self.broker.log, Board::default());
        let ours = PartitionId { epoch: 1, partition: home_partition() };
        let explained = explain::explain(&ports, ours).await.unwrap().expect("something is wrong");
        assert_eq!((explained.code, explained.command), (code, Some("engraft partitions fence")));
        let (tasks, options) = (Tasks::new(), worker::Options::default());
        let plan = fence::carry_out(&ports, &options, &tasks).await.unwrap();
        tasks.shut_down().await;
        assert_eq!(plan.steps.iter().map(|step| step.lost).sum::<u64>(), lost);
        self.broker.log.set_epoch(2);
        let worker = self.start().await;
        self.append(SPACE, 900).await;
        self.rest().await;
        worker.stop().await;
        let space = Space::new(SPACE).unwrap();
        let counter = (space, MemoryId::new("counter").unwrap());
        let heads = Ledger::heads(&self.ledger, &[counter]).await.unwrap();
        let content = heads[0].memory.as_ref().map(|memory| memory.content.to_string());
        assert_eq!(content.as_deref(), Some("number 900"), "the worker goes on");
        self.is_clean().await;
    }

    /// Starts a worker, sees it halt for a reason that tells `words`, and that it has read nothing.
    async fn refuses(&self, words: &[&str]) {
        let before = self.watermark().await;
        let worker = self.start().await;
        let reason = halted(&worker).await;
        for word in words {
            assert!(reason.contains(word), "`{word}` is not in: {reason}");
        }
        assert_eq!(self.watermark().await, before, "nothing is skipped, and nothing read");
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_shorter_than_the_ledger_remembers_halts_its_partition() {
    let test = "a_topic_that_is_shorter_than_the_ledger_remembers_halts_its_partition";
    let Some(mut cluster) = Cluster::worked(test, 5).await else { return };
    cluster.make_topics_anew().await;
    cluster.append(SPACE, 0).await;
    cluster.refuses(&["ends at offset 2", "read up to 10", "made anew"]).await;
    cluster.mended("truncated", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_made_anew_halts_its_partition_however_much_is_in_it() {
    let test = "a_topic_that_was_made_anew_halts_its_partition_however_much_is_in_it";
    let Some(mut cluster) = Cluster::worked(test, 5).await else { return };
    cluster.make_topics_anew().await;
    for number in 100..120 {
        cluster.append(SPACE, number).await;
    }
    cluster.refuses(&["offset 9", "made anew"]).await;
    cluster.mended("replaced", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_that_overtakes_the_worker_halts_its_partition() {
    let test = "retention_that_overtakes_the_worker_halts_its_partition";
    let Some(mut cluster) = Cluster::worked(test, 5).await else { return };
    for number in 5..10 {
        cluster.append(SPACE, number).await;
    }
    cluster.broker.trim(home_partition(), 14).await;
    cluster.refuses(&["starts at offset 14", "below 10", "gone from the log"]).await;
    cluster.mended("overrun", 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_an_older_copy_halts_its_partition() {
    let test = "a_ledger_that_is_an_older_copy_halts_its_partition";
    let Some(mut cluster) = Cluster::worked(test, 5).await else { return };
    // The oldest copy that there is: from before the first command.
    let newest = std::mem::replace(&mut cluster.ledger, MemoryLedger::new("tests"));
    cluster.refuses(&["ledger_behind", "older copy"]).await;
    let ports = cluster.ports(&cluster.broker.log, Board::default());
    let limits = worker::Options::default().limits;
    let refused = fence::plan(&ports, &limits).await;
    assert!(matches!(refused, Err(fence::Error::Helpless(_))), "a new epoch would not mend it: {refused:?}");
    // What helps is the newest copy.
    cluster.ledger = newest;
    let worker = cluster.start().await;
    cluster.append(SPACE, 5).await;
    cluster.rest().await;
    worker.stop().await;
    cluster.stands(&BTreeMap::from([(SPACE.to_owned(), 6)])).await;
    cluster.is_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_grew_stops_a_worker_that_runs_and_one_that_starts() {
    let test = "a_topic_that_grew_stops_a_worker_that_runs_and_one_that_starts";
    let Some(mut cluster) = Cluster::worked(test, 5).await else { return };
    let running = cluster.start().await;
    let begun = Instant::now();
    while running.board.partitions().len() < PARTITIONS as usize {
        assert!(begun.elapsed() < PATIENCE, "it does not work");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let commands = cluster.broker.options.commands_topic();
    let grown = NewPartitions::new(&commands, PARTITIONS as usize + 1);
    cluster.admin().create_partitions(&[grown], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let ended = tokio::time::timeout(PATIENCE, running.ended()).await.expect("it stops by itself");
    assert!(told_of_growth(&ended), "{ended:?}");
    // A log that is opened on it now is refused before a worker can begin.
    assert!(KafkaLog::connect(&cluster.broker.options).await.is_err());
    assert_eq!(cluster.watermark().await, 10);
    for answering in [cluster.broker.options.outcomes_topic(), cluster.broker.options.dead_letters_topic()] {
        let grown = NewPartitions::new(&answering, PARTITIONS as usize + 1);
        cluster.admin().create_partitions(&[grown], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    }
    let begun = Instant::now();
    while KafkaLog::connect(&cluster.broker.options).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "the answering topics do not grow");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cluster.mended("other_routing", 0).await;
}

fn told_of_growth(ended: &Result<(), worker::Error>) -> bool {
    match ended {
        Err(worker::Error::Contradiction(Contradiction::OtherRouting { found, remembered, .. })) => {
            found.starts_with(&format!("{} partitions", PARTITIONS + 1))
                && remembered.starts_with(&format!("{PARTITIONS} partitions"))
        }
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halted_partition_does_not_stop_the_others() {
    let test = "a_halted_partition_does_not_stop_the_others";
    let Some(cluster) = Cluster::worked(test, 5).await else { return };
    for number in 5..10 {
        cluster.append(SPACE, number).await;
    }
    cluster.broker.trim(home_partition(), 14).await;
    let worker = cluster.start().await;
    halted(&worker).await;
    let other = (0..).map(|number| format!("other-{number}")).find(|space| {
        engraft::log::Partitioner::default().partition(space.as_bytes(), PARTITIONS) != home_partition()
    });
    let other = other.unwrap();
    cluster.append(&other, 0).await;
    let partition = engraft::log::Partitioner::default().partition(other.as_bytes(), PARTITIONS);
    let id = PartitionId { epoch: 1, partition };
    let begun = Instant::now();
    while cluster.ledger.partition(id).await.unwrap().finishes == 0 {
        assert!(begun.elapsed() < PATIENCE, "the other partition waits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    worker.stop().await;
    let sent: BTreeMap<String, u64> = BTreeMap::from([(SPACE.to_owned(), 5)]);
    cluster.stands(&sent).await;
}
