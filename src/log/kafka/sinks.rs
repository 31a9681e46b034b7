//! The two answering topics: outcomes and dead letters, each in its command's own partition number.

use async_trait::async_trait;
use rdkafka::producer::future_producer::DeliveryFuture;

use super::{
    KafkaLog,
    client::{self, Outgoing},
    connection::{Shared, delivered},
    event,
};
use crate::{
    log::{AppendError, DeadLetter, DeadLetters, OutcomeEvent, OutcomeSink},
    model::PartitionId,
};

/// Records at the end of a partition that are looked through for the highest finish.
const OUTCOMES_SEEN: u64 = 1_000;

#[async_trait]
impl OutcomeSink for KafkaLog {
    async fn publish(&self, partition: PartitionId, events: &[OutcomeEvent]) -> Result<(), String> {
        let topic = self.0.options.outcomes_topic();
        let mut deliveries = Vec::with_capacity(events.len());
        for event in events {
            let value = serde_json::to_vec(&event.outcome).map_err(|error| error.to_string())?;
            let outgoing = Outgoing {
                topic: &topic,
                partition: partition.partition,
                key: Some(event.outcome.space.as_str().as_bytes()),
                value: Some(&value),
                headers: &event::outcome_headers(event, &self.0.commands),
            };
            deliveries.push(send(&self.0, outgoing).await?);
        }
        all_delivered(partition.partition, deliveries).await
    }

    async fn witness(&self, partition: PartitionId) -> Result<Option<u64>, String> {
        let topic = self.0.options.outcomes_topic();
        let number = partition.partition;
        let bounds = self.0.bounds_of(&topic, number).await.map_err(|error| error.to_string())?;
        // The last offset may be no outcome (a transaction's marker, a foreign record): look back further and
        // further. And the last outcome may be an old one, which a process published late that had been stopped
        // since it looked at its lease: of those within a batch or so, the highest counts.
        let mut back = OUTCOMES_SEEN;
        loop {
            let start = bounds.end.saturating_sub(back).max(bounds.start);
            if start >= bounds.end {
                return Ok(None);
            }
            let records =
                self.0.span(&topic, number, start, bounds.end).await.map_err(|error| error.to_string())?;
            let mut seen = records.iter().filter_map(|record| event::witnessed(&record.headers)).peekable();
            match seen.peek() {
                Some(_) => {
                    let own = seen.filter(|(position, _)| position.epoch == partition.epoch);
                    return Ok(own.map(|(_, finish)| finish).max());
                }
                None if start == bounds.start => return Ok(None),
                None => back *= 10,
            }
        }
    }
}

#[async_trait]
impl DeadLetters for KafkaLog {
    async fn send(&self, letters: &[DeadLetter]) -> Result<(), String> {
        let topic = self.0.options.dead_letters_topic();
        let mut deliveries = Vec::with_capacity(letters.len());
        for letter in letters {
            let partition = letter.record.position.partition;
            let outgoing = Outgoing {
                topic: &topic,
                partition,
                key: letter.record.key.as_deref(),
                value: letter.record.value.as_deref(),
                headers: &event::letter_headers(letter, &self.0.commands, &self.0.options.group()),
            };
            deliveries.push((partition, send(&self.0, outgoing).await?));
        }
        for (partition, delivery) in deliveries {
            all_delivered(partition, vec![delivery]).await?;
        }
        Ok(())
    }
}

async fn send(shared: &Shared, outgoing: Outgoing<'_>) -> Result<DeliveryFuture, String> {
    if !shared.is_up() {
        return Err("no broker can be reached".into());
    }
    client::enqueue(&shared.producer, outgoing).await.map_err(|error| error.to_string())
}

/// Waits for all, so that none is on its way when the caller sends them again.
async fn all_delivered(partition: u32, deliveries: Vec<DeliveryFuture>) -> Result<(), String> {
    let mut failure: Option<AppendError> = None;
    for delivery in deliveries {
        if let Err(error) = delivered(partition, delivery).await {
            failure.get_or_insert(error);
        }
    }
    failure.map_or(Ok(()), |error| Err(error.to_string()))
}
