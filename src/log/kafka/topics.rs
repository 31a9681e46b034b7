//! The three topics as they must be, and how they are made: never by accident.

use std::{sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use tokio::time::{Instant, sleep};

use super::{
    Options,
    client::{self, ASK_TIMEOUT, Health},
    reader::number,
    survey,
};

pub use survey::{Finding, survey};

/// Partitions of a new log: enough for as many workers, and fixed for good.
pub const PARTITIONS: u32 = 32;

const WEEK_MS: &str = "604800000";
const MONTH_MS: &str = "2592000000";

/// What a topic is made with.
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) config: Vec<(&'static str, &'static str)>,
}

/// Commands, outcomes, dead letters.
pub(super) fn settings(options: &Options) -> [Settings; 3] {
    let commands = vec![
        ("cleanup.policy", "delete"),
        ("retention.ms", WEEK_MS),
        ("max.message.bytes", "5242880"),
        ("message.timestamp.type", "LogAppendTime"),
        ("compression.type", "zstd"),
    ];
    let outcomes =
        vec![("cleanup.policy", "delete"), ("retention.ms", WEEK_MS), ("compression.type", "zstd")];
    let letters = vec![
        ("cleanup.policy", "delete"),
        ("retention.ms", MONTH_MS),
        // The largest command and the headers that are added to it.
        ("max.message.bytes", client::RECORD_BYTES_MAX),
        ("compression.type", "zstd"),
    ];
    [
        Settings { name: options.commands_topic(), config: commands },
        Settings { name: options.outcomes_topic(), config: outcomes },
        Settings { name: options.dead_letters_topic(), config: letters },
    ]
}

/// Makes the topics that are not there; those that are stay as they are. `replication`: copies of each
/// partition, 3 in production.
///
/// # Errors
/// The brokers' first refusal, or that not all of them knew the topics within 10 s.
pub async fn create(options: &Options, partitions: u32, replication: u32) -> KafkaResult<()> {
    let admin: AdminClient<Health> = client::consumer(options).create_with_context(Health::new())?;
    let settings = settings(options);
    let topics: Vec<NewTopic<'_>> = settings
        .iter()
        .map(|topic| {
            let new =
                NewTopic::new(&topic.name, number(partitions), TopicReplication::Fixed(number(replication)));
            topic.config.iter().fold(new, |new, (name, value)| new.set(name, value))
        })
        .collect();
    let asked = AdminOptions::new().request_timeout(Some(ASK_TIMEOUT)).operation_timeout(Some(ASK_TIMEOUT));
    for result in admin.create_topics(&topics, &asked).await? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
    }
    // The brokers answer before all of them know.
    let started = Instant::now();
    let mut unknown: Vec<String> = settings.into_iter().map(|topic| topic.name).collect();
    let admin = Arc::new(admin);
    while let Some(topic) = unknown.last().cloned() {
        let asked = Arc::clone(&admin);
        let known = tokio::task::spawn_blocking(move || is_known(&asked, &topic)).await;
        if known.is_ok_and(|known| known) {
            unknown.pop();
        } else if started.elapsed() > ASK_TIMEOUT {
            return Err(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut));
        } else {
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// How many partitions the topic of commands has; `None`: it is not there.
///
/// # Errors
/// When no broker answers.
pub async fn partitions(options: &Options) -> KafkaResult<Option<u32>> {
    let admin: AdminClient<Health> = client::consumer(options).create_with_context(Health::new())?;
    let topic = options.commands_topic();
    let asked = tokio::task::spawn_blocking(move || survey::count(&admin, &topic)).await;
    asked.map_err(|_| KafkaError::AdminOp(RDKafkaErrorCode::Fail))?
}

/// Whether every partition of a topic has a leader.
fn is_known(admin: &AdminClient<Health>, topic: &str) -> bool {
    let Ok(metadata) = admin.inner().fetch_metadata(Some(topic), ASK_TIMEOUT) else { return false };
    metadata.topics().iter().any(|found| {
        let partitions = found.partitions();
        found.name() == topic
            && found.error().is_none()
            && !partitions.is_empty()
            && partitions.iter().all(|partition| partition.error().is_none())
    })
}

/// The command of Kafka's own tools that makes a topic.
pub(super) fn command(options: &Options, topic: &str, partitions: u32) -> String {
    let config = settings(options).into_iter().find(|settings| settings.name == topic);
    let config: String = config
        .into_iter()
        .flat_map(|settings| settings.config)
        .map(|(name, value)| format!(" --config {name}={value}"))
        .collect();
    let brokers = &options.brokers;
    format!(
        "kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions {partitions}{config}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_the_settings_that_the_topic_needs() {
        let command = command(&Options::default(), "engraft.commands.v1", 32);
        assert!(command.contains("--topic engraft.commands.v1 --partitions 32"), "{command}");
        assert!(command.contains("--config message.timestamp.type=LogAppendTime"), "{command}");
        assert!(command.contains("--config max.message.bytes=5242880"), "{command}");
    }
}
