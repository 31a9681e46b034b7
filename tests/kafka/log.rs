//! The command log on a real broker: every promise of the contract, and what other clients see.

use std::{
    collections::BTreeMap,
    io::Write,
    process::{Command, Stdio},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use engraft::{
    log::{
        AppendError, CommandLog, DeadLetters, Headers, NewRecord, OutcomeSink, Partitioner,
        contract::{self, Letter, World},
        kafka::{ConnectError, KafkaLog, Options, topics},
    },
    model::PartitionId,
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{Header, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};

use crate::{
    broker::{Broker, PARTITIONS, connect, fresh_options, headers, world},
    support::told,
};

#[async_trait]
impl World for Broker {
    fn log(&self) -> &dyn CommandLog {
        &self.log
    }

    fn outcomes(&self) -> &dyn OutcomeSink {
        &self.log
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        &self.log
    }

    async fn append_bare(&self, partition: u32, headers: Headers) -> Option<u64> {
        let producer: FutureProducer = self.foreign_client().create().unwrap();
        let owned = headers.iter().fold(OwnedHeaders::new(), |owned, (key, value)| {
            owned.insert(Header { key, value: Some(&value[..]) })
        });
        let topic = self.options.commands_topic();
        let record = FutureRecord::<[u8], [u8]>::to(&topic)
            .partition(i32::try_from(partition).unwrap())
            .headers(owned);
        Some(producer.send(record, Duration::from_secs(10)).await.unwrap().offset.unsigned_abs())
    }

    async fn trim(&self, partition: u32, start: u64) {
        let admin: AdminClient<DefaultClientContext> = self.foreign_client().create().unwrap();
        let mut below = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(start).unwrap());
        below
            .add_partition_offset(&self.options.commands_topic(), i32::try_from(partition).unwrap(), offset)
            .unwrap();
        admin.delete_records(&below, &AdminOptions::new()).await.unwrap();
    }

    async fn letters(&self) -> Vec<Letter> {
        let letter = |message: OwnedMessage| {
            let (reasons, own): (Headers, Headers) = headers(&message)
                .into_iter()
                .partition(|(name, _)| name.starts_with("__connect.errors.") || name == "engraft-error-code");
            let reasons: BTreeMap<String, String> = reasons
                .into_iter()
                .map(|(name, value)| (name, String::from_utf8(value.into()).unwrap()))
                .collect();
            let partition: u32 = reasons["__connect.errors.partition"].parse().unwrap();
            assert_eq!(Ok(partition), u32::try_from(message.partition()), "in the record's partition number");
            Letter {
                place: (partition, reasons["__connect.errors.offset"].parse().unwrap()),
                key: message.key().map(Bytes::copy_from_slice),
                value: message.payload().map(Bytes::copy_from_slice),
                headers: own,
                code: reasons["engraft-error-code"].clone(),
                detail: reasons["__connect.errors.exception.message"].clone(),
            }
        };
        self.everything(self.options.dead_letters_topic()).await.into_iter().map(letter).collect()
    }
}

contract::tests!(world);

#[tokio::test]
async fn an_outcome_is_a_cloud_event_in_the_partition_of_its_command() {
    let Some(broker) = world("an_outcome_is_a_cloud_event_in_the_partition_of_its_command").await else {
        return;
    };
    let partition = PartitionId { epoch: 1, partition: 3 };
    let event = contract::outcome(partition, 1680, 9);
    broker.log.publish(partition, std::slice::from_ref(&event)).await.unwrap();
    let messages = broker.everything(broker.options.outcomes_topic()).await;
    let [message] = messages.as_slice() else { panic!("{} messages", messages.len()) };
    assert_eq!((message.partition(), message.key()), (3, Some(&b"acme"[..])));
    let headers: BTreeMap<String, Bytes> = headers(message).into_iter().collect();
    assert_eq!(headers["ce_id"], "1.3.1680");
    assert_eq!(headers["ce_type"], "engraft.outcome.committed.v1");
    assert_eq!(headers["ce_causationid"], "c-1680");
    assert_eq!(headers["engraft-finish"], "9");
    let body: engraft::model::Outcome = serde_json::from_slice(message.payload().unwrap()).unwrap();
    assert_eq!(body, event.outcome);
}

#[tokio::test]
async fn an_outcome_of_an_earlier_epoch_is_no_witness() {
    let Some(broker) = world("an_outcome_of_an_earlier_epoch_is_no_witness").await else { return };
    let [first, second] = [1, 2].map(|epoch| PartitionId { epoch, partition: 0 });
    broker.log.publish(first, &[contract::outcome(first, 1, 40)]).await.unwrap();
    assert_eq!(broker.log.witness(first).await, Ok(Some(40)));
    assert_eq!(broker.log.witness(second).await, Ok(None));
}

#[tokio::test]
async fn an_outcome_that_is_published_late_does_not_lower_the_witness() {
    let test = "an_outcome_that_is_published_late_does_not_lower_the_witness";
    let Some(broker) = world(test).await else { return };
    let partition = PartitionId { epoch: 1, partition: 0 };
    for (offset, finish) in [(1, 40), (2, 41), (1, 40)] {
        broker.log.publish(partition, &[contract::outcome(partition, offset, finish)]).await.unwrap();
    }
    assert_eq!(broker.log.witness(partition).await, Ok(Some(41)));
}

#[tokio::test]
async fn a_foreign_record_among_the_outcomes_does_not_hide_the_witness() {
    let test = "a_foreign_record_among_the_outcomes_does_not_hide_the_witness";
    let Some(broker) = world(test).await else { return };
    let partition = PartitionId { epoch: 1, partition: 0 };
    broker.log.publish(partition, &[contract::outcome(partition, 1, 40)]).await.unwrap();
    let producer: FutureProducer = broker.foreign_client().create().unwrap();
    let topic = broker.options.outcomes_topic();
    for _ in 0..12 {
        let record = FutureRecord::<[u8], [u8]>::to(&topic).partition(0).payload(b"not ours");
        producer.send(record, Duration::from_secs(10)).await.unwrap();
    }
    assert_eq!(broker.log.witness(partition).await, Ok(Some(40)));
}

#[tokio::test]
async fn a_missing_topic_is_told_with_the_command_that_creates_it() {
    let test = "a_missing_topic_is_told_with_the_command_that_creates_it";
    let Some(options) = fresh_options(test) else { return };
    let error = KafkaLog::connect(&options).await.err().expect("refused");
    assert!(matches!(error, ConnectError::TopicMissing { .. }), "{error}");
    let text = error.to_string();
    let topic = options.commands_topic();
    assert!(text.contains(&format!("--create --topic {topic} --partitions 32")), "{text}");
    topics::create(&options, PARTITIONS, 1).await.unwrap();
    topics::create(&options, PARTITIONS, 1).await.expect("topics that are there stay as they are");
    let topology = KafkaLog::connect(&options).await.unwrap().topology();
    assert_eq!(topology.partitions, PARTITIONS);
    assert!(topology.identity.ends_with(&format!("/{topic}")) && !topology.identity.starts_with('/'));
}

#[tokio::test]
async fn topics_are_planned_made_and_checked() {
    let test = "topics_are_planned_made_and_checked";
    let Some(options) = fresh_options(test) else { return };
    let survey = || topics::survey(&options, PARTITIONS);
    let planned = survey().await.unwrap();
    assert_eq!(planned.iter().filter(|finding| finding.what == "topic").count(), 3, "{planned:?}");
    assert_eq!(topics::partitions(&options).await, Ok(None));
    topics::create(&options, PARTITIONS, 1).await.unwrap();
    assert_eq!(survey().await.unwrap(), []);
    assert_eq!(topics::partitions(&options).await, Ok(Some(PARTITIONS)));
    let admin: AdminClient<DefaultClientContext> =
        Broker { log: KafkaLog::connect(&options).await.unwrap(), options: options.clone() }
            .foreign_client()
            .create()
            .unwrap();
    let topic = options.commands_topic();
    let altered = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("retention.ms", "1000");
    admin.alter_configs(&[altered], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    let found = survey().await.unwrap();
    let retention = found.iter().find(|finding| finding.what == "retention.ms").expect("found");
    assert_eq!((retention.found.as_deref(), retention.expected.as_str()), (Some("1000"), "604800000"));
    assert!(retention.remedy.contains(&topic), "{}", retention.remedy);
}

#[tokio::test]
async fn a_record_that_the_topic_does_not_take_is_refused_and_its_neighbours_are_not() {
    let test = "a_record_that_the_topic_does_not_take_is_refused_and_its_neighbours_are_not";
    let Some(options) = fresh_options(test) else { return };
    // Uncompressed, so that the broker measures what we measure.
    let producer = BTreeMap::from([("compression.type".to_owned(), "none".to_owned())]);
    let broker = connect(Options { producer, ..options }).await;
    let record =
        |bytes: usize| NewRecord { key: "acme".into(), value: vec![7; bytes].into(), headers: vec![] };
    let answers = broker.log.append(vec![record(1), record((5 << 20) + 1), record(7 << 20), record(2)]).await;
    assert!(answers[0].is_ok() && answers[3].is_ok(), "{answers:?}");
    for refused in &answers[1..3] {
        assert!(matches!(refused, Err(AppendError::Refused(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn kcat_puts_a_key_where_we_look_for_it() {
    let test = "kcat_puts_a_key_where_we_look_for_it";
    let Some(kcat) = told("ENGRAFT_TEST_KCAT", test) else { return };
    for partitioner in [Partitioner::Murmur2Random, Partitioner::ConsistentRandom] {
        let Some(options) = fresh_options(test) else { return };
        let broker = connect(Options { partitioner, ..options }).await;
        let keys: Vec<String> = (0..20).map(|n| format!("space-{n}")).collect();
        let topic = broker.options.commands_topic();
        let mut child = Command::new(&kcat)
            .args(["-P", "-b", &broker.options.brokers, "-t", &topic, "-K", "|", "-Z"])
            .args(["-X", &format!("partitioner={partitioner}")])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: String = keys.iter().map(|key| format!("{key}|\n")).collect();
        child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());

        let mut found = 0;
        for partition in 0..PARTITIONS {
            let bounds = broker.log.bounds(partition).await.unwrap();
            for offset in bounds.start..bounds.end {
                let record = broker.log.record(partition, offset).await.unwrap().unwrap();
                let key = record.key.expect("kcat sent a key");
                assert_eq!(partitioner.partition(&key, PARTITIONS), partition, "{key:?} by {partitioner}");
                assert_eq!(record.value, None, "kcat -Z sends an empty value as none");
                found += 1;
            }
        }
        assert_eq!(found, keys.len());
    }
}

#[tokio::test]
async fn the_groups_offset_follows_the_watermark_for_lag_tools() {
    let test = "the_groups_offset_follows_the_watermark_for_lag_tools";
    let Some(broker) = world(test).await else { return };
    let record = NewRecord { key: "acme".into(), value: "1".into(), headers: vec![] };
    let at = broker.log.append(vec![record]).await[0].clone().unwrap();
    broker.log.note_watermark(at.partition, at.offset + 1).await;
    broker.log.close().await;
    let (mut config, topic) = (broker.foreign_client(), broker.options.commands_topic());
    config.set("group.id", broker.options.group());
    let committed = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&topic, i32::try_from(at.partition).unwrap());
        consumer.committed_offsets(asked, Duration::from_secs(20)).unwrap().elements()[0].offset()
    });
    assert_eq!(committed.await.unwrap(), Offset::Offset(i64::try_from(at.offset + 1).unwrap()));
}
