//! What an operator sets, and which of librdkafka's properties are not theirs to set.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::log::Partitioner;

/// `[kafka]`. The three maps take librdkafka's own names, quoted: `"security.protocol" = "SASL_SSL"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Bootstrap brokers, `host:port`, separated by commas. Default `localhost:9092`.
    pub brokers: String,
    /// Put before the names of all topics, e.g. `staging.`. Default none.
    pub topic_prefix: String,
    /// How keys become partitions; the log's for good. Default `murmur2_random`.
    pub partitioner: Partitioner,
    /// The group that shares the partitions, and whose offsets lag tools look at. Default: `topic_prefix`,
    /// then `engraft.applier`.
    pub group: Option<String>,
    /// This process's name in the group, unlike any other's; it keeps its partitions over a restart that is
    /// quicker than `session.timeout.ms`. Default none: a process that stops gives them away.
    pub instance: Option<String>,
    /// Properties of every client: security, timeouts.
    pub client: BTreeMap<String, String>,
    /// Properties of consumers alone.
    pub consumer: BTreeMap<String, String>,
    /// Properties of producers alone.
    pub producer: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".into(),
            topic_prefix: String::new(),
            partitioner: Partitioner::default(),
            group: None,
            instance: None,
            client: BTreeMap::new(),
            consumer: BTreeMap::new(),
            producer: BTreeMap::new(),
        }
    }
}

/// A property that the guarantees need as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{property}` cannot be set in `[kafka.{section}]`: {reason}")]
pub struct RefusedProperty {
    /// Where it was set: `client`, `consumer` or `producer`.
    pub section: &'static str,
    /// librdkafka's name.
    pub property: String,
    /// Why, or where to set it instead.
    pub reason: &'static str,
}

/// What may not be passed through, and why. Aliases stand beside their names.
const REFUSED: [(&str, &str); 21] = [
    ("bootstrap.servers", "set `kafka.brokers`"),
    ("metadata.broker.list", "set `kafka.brokers`"),
    ("group.id", "set `kafka.group`"),
    ("group.instance.id", "set `kafka.instance`"),
    ("group.protocol", "partitions change hands as the worker releases them, which needs `classic`"),
    ("partition.assignment.strategy", "partitions that stay with a process are never interrupted"),
    ("partitioner", "set `kafka.partitioner`, which the worker checks records by"),
    ("enable.auto.commit", "the ledger decides what has been read"),
    ("enable.auto.offset.store", "the ledger decides what has been read"),
    ("auto.offset.reset", "an offset that is gone must halt its partition and never be skipped"),
    ("topic.auto.offset.reset", "an offset that is gone must halt its partition and never be skipped"),
    ("isolation.level", "records of an aborted transaction were never accepted"),
    ("allow.auto.create.topics", "a topic made by accident has the wrong partitions and settings"),
    ("enable.partition.eof", "readers count on its value"),
    ("acks", "an accepted command is on all in-sync replicas"),
    ("request.required.acks", "an accepted command is on all in-sync replicas"),
    ("enable.idempotence", "without it a resend could overtake or double a command"),
    ("enable.gapless.guarantee", "a record that cannot be sent is answered, and stops no other"),
    ("message.max.bytes", "the largest command and the headers of its dead letter must fit"),
    ("transactional.id", "outcomes are published at least once, without transactions"),
    ("statistics.interval.ms", "the health of the brokers is read from the statistics"),
];

impl Options {
    /// Looks through the maps for what may not be set.
    ///
    /// # Errors
    /// The first [`RefusedProperty`].
    pub fn check(&self) -> Result<(), RefusedProperty> {
        let sections = [("client", &self.client), ("consumer", &self.consumer), ("producer", &self.producer)];
        for (section, properties) in sections {
            for (name, reason) in REFUSED {
                if properties.contains_key(name) {
                    return Err(RefusedProperty { section, property: name.into(), reason });
                }
            }
        }
        Ok(())
    }

    /// The group's name.
    #[must_use]
    pub fn group(&self) -> String {
        self.group.clone().unwrap_or_else(|| format!("{}engraft.applier", self.topic_prefix))
    }

    /// The topic of commands.
    #[must_use]
    pub fn commands_topic(&self) -> String {
        format!("{}engraft.commands.v1", self.topic_prefix)
    }

    /// The topic of outcomes.
    #[must_use]
    pub fn outcomes_topic(&self) -> String {
        format!("{}engraft.outcomes.v1", self.topic_prefix)
    }

    /// The topic of dead letters.
    #[must_use]
    pub fn dead_letters_topic(&self) -> String {
        format!("{}engraft.commands.v1.dlq", self.topic_prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guarantees_need_cannot_be_set() {
        for (name, _) in REFUSED {
            let properties = BTreeMap::from([(name.to_owned(), "1".to_owned())]);
            let refused = Options { producer: properties, ..Options::default() }.check().unwrap_err();
            assert_eq!((refused.section, refused.property.as_str()), ("producer", name));
        }
        let security = BTreeMap::from([("security.protocol".to_owned(), "SASL_SSL".to_owned())]);
        assert_eq!(Options { client: security, ..Options::default() }.check(), Ok(()));
    }

    #[test]
    fn options_are_read_by_their_names_and_unknown_ones_refused() {
        let json =
            r#"{"topic_prefix":"staging.","partitioner":"consistent_random","client":{"client.rack":"a"}}"#;
        let options: Options = serde_json::from_str(json).unwrap();
        assert_eq!(options.partitioner, Partitioner::ConsistentRandom);
        assert_eq!(options.commands_topic(), "staging.engraft.commands.v1");
        assert_eq!(options.dead_letters_topic(), "staging.engraft.commands.v1.dlq");
        assert_eq!(options.group(), "staging.engraft.applier");
        assert_eq!(options.brokers, "localhost:9092");
        assert!(serde_json::from_str::<Options>(r#"{"broker":"b:1"}"#).is_err());
    }
}
