//! What an operator sets of a ledger on Postgres.

use serde::{Deserialize, Serialize};

/// How a ledger on Postgres is used: a part of `[ledger]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The schema that holds the tables, made if it is not there; `engraft`. One ledger a schema.
    pub schema: String,
    /// Most connections that write, from 1; 8. Each partition of this process uses one at a time.
    pub writers: u32,
    /// Most connections that read, from 1; 8.
    pub readers: u32,
    /// How long to wait for a free connection, or for a new one, in milliseconds; 10,000.
    pub acquire_timeout_ms: u64,
    /// How long a statement may take, in milliseconds; 30,000.
    pub statement_timeout_ms: u64,
    /// How long a statement waits for a lock, in milliseconds; 20,000. Must be longer than
    /// `idle_timeout_ms`, or nobody outlasts an owner that has stopped inside a transaction.
    pub lock_timeout_ms: u64,
    /// How long an owner may pause inside a transaction until the server ends it, in milliseconds;
    /// 10,000. A process that is stopped holds its partition no longer than this.
    pub idle_timeout_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            schema: "engraft".to_owned(),
            writers: 8,
            readers: 8,
            acquire_timeout_ms: 10_000,
            statement_timeout_ms: 30_000,
            lock_timeout_ms: 20_000,
            idle_timeout_ms: 10_000,
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {reason}")]
pub struct Refused {
    /// The key within `[ledger]`.
    pub key: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Longest name that Postgres does not cut short.
const NAME_BYTES_MAX: usize = 63;

impl Options {
    /// Looks for what cannot be used.
    ///
    /// # Errors
    /// The first [`Refused`].
    pub fn check(&self) -> Result<(), Refused> {
        let refuse = |key, reason| Err(Refused { key, reason });
        let first = self.schema.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !first || !self.schema.bytes().all(rest) || self.schema.len() > NAME_BYTES_MAX {
            return refuse("schema", "must be a name: a-z, 0-9 and _, at most 63, no digit first");
        }
        if self.schema.starts_with("pg_") {
            return refuse("schema", "must not begin with `pg_`: these names are Postgres' own");
        }
        if self.writers == 0 {
            return refuse("writers", "is 0, but at least one connection must write");
        }
        if self.readers == 0 {
            return refuse("readers", "is 0, but at least one connection must read");
        }
        let positive = [
            ("acquire_timeout_ms", self.acquire_timeout_ms),
            ("statement_timeout_ms", self.statement_timeout_ms),
            ("lock_timeout_ms", self.lock_timeout_ms),
            ("idle_timeout_ms", self.idle_timeout_ms),
        ];
        for (key, value) in positive {
            // Zero would mean without end, and the server counts in an i32.
            if value == 0 || i32::try_from(value).is_err() {
                return refuse(key, "must lie between 1 and 2147483647");
            }
        }
        if self.lock_timeout_ms <= self.idle_timeout_ms {
            return refuse("lock_timeout_ms", "must be longer than `idle_timeout_ms`");
        }
        Ok(())
    }

    /// How long a caller waits for the answer to a statement: the server gives up first, if it lives.
    #[cfg(feature = "postgres")]
    pub(super) fn answer_timeout(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.statement_timeout_ms) + ANSWER_GRACE
    }
}

/// How long the answer may be under way when the server has kept its own limit.
#[cfg(feature = "postgres")]
const ANSWER_GRACE: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named() {
        assert_eq!(Options::default().check(), Ok(()));
        let refused = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.check().unwrap_err().key
        };
        for schema in ["", "1a", "A", "a\"; drop schema public", "pg_x", &"a".repeat(64)] {
            let options = Options { schema: schema.to_owned(), ..Options::default() };
            assert_eq!(options.check().unwrap_err().key, "schema", "{schema}");
        }
        assert_eq!(refused(|options| options.writers = 0), "writers");
        assert_eq!(refused(|options| options.readers = 0), "readers");
        assert_eq!(refused(|options| options.statement_timeout_ms = 0), "statement_timeout_ms");
        assert_eq!(refused(|options| options.idle_timeout_ms = 1 << 31), "idle_timeout_ms");
        assert_eq!(refused(|options| options.lock_timeout_ms = 10_000), "lock_timeout_ms");
    }
}
