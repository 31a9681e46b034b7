//! What lies on the two answering topics: the headers around an outcome and around a dead letter.
//!
//! An outcome is a CloudEvent in binary form: attributes are headers, the value is its JSON. A dead letter is
//! the record as it came, with headers behind its own that any viewer of dead letters can read. Names are
//! stable.

use bytes::Bytes;

use crate::log::{DeadLetter, Headers, OutcomeEvent};
use crate::model::{Position, outcome::Verdict};

/// The header that witnesses how far the ledger had come.
pub const FINISH: &str = "engraft-finish";

/// The header with the code of a dead letter.
pub const ERROR_CODE: &str = "engraft-error-code";

/// What the other headers of a dead letter begin with.
pub const CONNECT_ERRORS: &str = "__connect.errors.";

/// The headers of an outcome about a command of `commands_topic`.
#[must_use]
pub fn outcome_headers(event: &OutcomeEvent, commands_topic: &str) -> Headers {
    let verdict = match event.outcome.verdict {
        Verdict::Committed => "committed",
        Verdict::Compensated => "compensated",
        Verdict::Failed => "failed",
    };
    let text = |name: &str, value: String| (name.to_owned(), Bytes::from(value));
    let mut headers = vec![
        text("ce_specversion", "1.0".into()),
        text("ce_id", event.outcome.position.to_string()),
        text("ce_source", format!("/engraft/{commands_topic}")),
        text("ce_type", format!("engraft.outcome.{verdict}.v1")),
        text("ce_causationid", event.outcome.command.id.clone()),
        text("content-type", "application/json".into()),
        text(FINISH, event.finish.to_string()),
    ];
    let carried = [
        ("ce_correlationid", &event.trace.correlation_id),
        ("ce_traceparent", &event.trace.traceparent),
        ("ce_tracestate", &event.trace.tracestate),
    ];
    headers.extend(carried.into_iter().filter_map(|(name, value)| Some(text(name, value.clone()?))));
    headers
}

/// The finish that an outcome's headers witness, and the position it is about.
#[must_use]
pub fn witnessed(headers: &Headers) -> Option<(Position, u64)> {
    let text = |name: &str| {
        let (_, value) = headers.iter().find(|(header, _)| header == name)?;
        std::str::from_utf8(value).ok()
    };
    Some((text("ce_id")?.parse().ok()?, text(FINISH)?.parse().ok()?))
}

/// The headers of a dead letter: the record's own, then why it is here.
#[must_use]
pub fn letter_headers(letter: &DeadLetter, commands_topic: &str, group: &str) -> Headers {
    let position = letter.record.position;
    let reasons = [
        ("topic", commands_topic.to_owned()),
        ("partition", position.partition.to_string()),
        ("offset", position.offset.to_string()),
        ("connector.name", group.to_owned()),
        ("exception.class.name", letter.code.to_string()),
        ("exception.message", letter.detail.clone()),
    ];
    let mut headers = letter.record.headers.clone();
    headers.extend(
        reasons.into_iter().map(|(name, value)| (format!("{CONNECT_ERRORS}{name}"), Bytes::from(value))),
    );
    headers.push((ERROR_CODE.to_owned(), Bytes::from_static(letter.code.as_str().as_bytes())));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        log::{Record, contract},
        model::{Code, PartitionId, Timestamp},
    };

    const PARTITION: PartitionId = PartitionId { epoch: 1, partition: 17 };

    #[test]
    fn an_outcome_carries_the_headers_that_clients_read() {
        let headers = outcome_headers(&contract::outcome(PARTITION, 1680, 9), "engraft.commands.v1");
        let text: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
            .collect();
        assert_eq!(
            text,
            [
                "ce_specversion=1.0",
                "ce_id=1.17.1680",
                "ce_source=/engraft/engraft.commands.v1",
                "ce_type=engraft.outcome.committed.v1",
                "ce_causationid=c-1680",
                "content-type=application/json",
                "engraft-finish=9",
                "ce_correlationid=r-1",
            ]
        );
        assert_eq!(witnessed(&headers), Some((PARTITION.at(1680), 9)));
        assert_eq!(witnessed(&Headers::new()), None);
    }

    #[test]
    fn a_dead_letter_keeps_its_own_headers_in_front() {
        let own: Headers = vec![("ce_id".into(), Bytes::from_static(b"\xff"))];
        let record = Record {
            position: PARTITION.at(7),
            key: None,
            value: None,
            headers: own.clone(),
            appended_at: Timestamp::default(),
        };
        let letter = DeadLetter { record, code: Code::KeyMissing, detail: "send the space as key".into() };
        let headers = letter_headers(&letter, "engraft.commands.v1", "engraft.applier");
        assert_eq!(headers.first(), own.first());
        let reason =
            |name: &str| headers.iter().find(|(header, _)| header == name).map(|(_, value)| &value[..]);
        assert_eq!(reason("__connect.errors.partition"), Some(&b"17"[..]));
        assert_eq!(reason("__connect.errors.offset"), Some(&b"7"[..]));
        assert_eq!(reason("__connect.errors.exception.message"), Some(&b"send the space as key"[..]));
        assert_eq!(reason("engraft-error-code"), Some(&b"key_missing"[..]));
    }
}
