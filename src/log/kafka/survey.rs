//! The three topics as they are, against what they must be.
//!
//! It looks and says; nothing is changed here. What is made is made by [`super::topics::create`], and settings of
//! a topic that is there are left to whoever runs the brokers, with the words to change them by.

use std::sync::Arc;

use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};
use serde::Serialize;

use super::{
    Options,
    client::{self, ASK_TIMEOUT, Health},
    topics::{Settings, settings},
};

/// One thing about a topic that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The topic.
    pub topic: String,
    /// `topic`, `partitions`, or the name of a setting.
    pub what: String,
    /// What there is; absent: nothing.
    pub found: Option<String>,
    /// What there must be.
    pub expected: String,
    /// What puts it right.
    pub remedy: String,
}

/// Compares the topics with what they must be. `partitions`: how many a new log would have; one that is there has
/// what it has, and its answering topics as many.
///
/// # Errors
/// When no broker answers.
pub async fn survey(options: &Options, partitions: u32) -> KafkaResult<Vec<Finding>> {
    let admin: AdminClient<Health> = client::consumer(options).create_with_context(Health::new())?;
    let admin = Arc::new(admin);
    let mut findings = Vec::new();
    let mut expected = None;
    for topic in settings(options) {
        let (asked, name) = (Arc::clone(&admin), topic.name.clone());
        let count = tokio::task::spawn_blocking(move || count(&asked, &name)).await;
        let count = count.map_err(|_| KafkaError::AdminOp(RDKafkaErrorCode::Fail))??;
        let wanted = *expected.get_or_insert(count.unwrap_or(partitions));
        let Some(count) = count else {
            findings.push(topic.missing(options, wanted));
            continue;
        };
        if count != wanted {
            findings.push(topic.miscounted(count, wanted));
        }
        let asked = AdminOptions::new().request_timeout(Some(ASK_TIMEOUT));
        let described = admin.describe_configs(&[ResourceSpecifier::Topic(&topic.name)], &asked).await?;
        for resource in described {
            let resource = resource.map_err(KafkaError::AdminOp)?;
            findings.extend(topic.differences(options, &resource));
        }
    }
    Ok(findings)
}

/// Partitions of a topic; `None`: it is not there.
pub(super) fn count(admin: &AdminClient<Health>, topic: &str) -> KafkaResult<Option<u32>> {
    let metadata = admin.inner().fetch_metadata(Some(topic), ASK_TIMEOUT)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let count = found.map_or(0, |found| found.partitions().len());
    Ok((count > 0).then(|| u32::try_from(count).unwrap_or(u32::MAX)))
}

impl Settings {
    fn finding(&self, what: &str, found: Option<String>, expected: String, remedy: String) -> Finding {
        Finding { topic: self.name.clone(), what: what.to_owned(), found, expected, remedy }
    }

    fn missing(&self, options: &Options, partitions: u32) -> Finding {
        let remedy =
            format!("`engraft topics apply`, or {}", super::topics::command(options, &self.name, partitions));
        self.finding("topic", None, format!("{partitions} partitions"), remedy)
    }

    fn miscounted(&self, found: u32, expected: u32) -> Finding {
        let remedy = format!("re-create `{}` with {expected} partitions, as the commands have", self.name);
        self.finding("partitions", Some(found.to_string()), expected.to_string(), remedy)
    }

    fn differences<'a>(
        &'a self,
        options: &'a Options,
        found: &'a ConfigResource,
    ) -> impl Iterator<Item = Finding> + 'a {
        self.config.iter().filter_map(move |(name, expected)| {
            let value = found.get(name).and_then(|entry| entry.value.clone());
            if value.as_deref().is_some_and(|value| serves(name, value, expected)) {
                return None;
            }
            let (brokers, topic) = (&options.brokers, &self.name);
            let remedy = format!(
                "kafka-configs.sh --bootstrap-server {brokers} --alter --topic {topic} --add-config {name}={expected}"
            );
            Some(self.finding(name, value, (*expected).to_owned(), remedy))
        })
    }
}

/// Whether a value does what is expected: of what bounds something, more does too, and -1 is without bound.
/// How records are compressed is a matter of taste.
fn serves(name: &str, value: &str, expected: &str) -> bool {
    match name {
        "compression.type" => true,
        "retention.ms" | "max.message.bytes" => match (value.parse::<i64>(), expected.parse::<i64>()) {
            (Ok(-1), _) => true,
            (Ok(value), Ok(expected)) => value >= expected,
            _ => false,
        },
        _ => value == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_of_a_bound_serves_and_another_word_does_not() {
        assert!(
            serves("retention.ms", "604800001", "604800000") && serves("retention.ms", "-1", "604800000")
        );
        assert!(!serves("retention.ms", "3600000", "604800000"));
        assert!(!serves("max.message.bytes", "1048588", "5242880"));
        assert!(!serves("cleanup.policy", "compact", "delete"));
        assert!(!serves("message.timestamp.type", "CreateTime", "LogAppendTime"));
        assert!(serves("compression.type", "producer", "zstd"));
    }
}
