//! `[qdrant]`: which server, which collection, and how long to wait for it.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Settings of the Qdrant store.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Where the server's gRPC port is; `https` asks for TLS with the system's roots;
    /// `http://127.0.0.1:6334`.
    pub url: String,
    /// Sent with every call; the empty string sends none.
    pub api_key: String,
    /// The collection that holds every space; made when it is not there; `engraft`.
    pub collection: String,
    /// Milliseconds that a call may take before its outcome counts as unknown; 10,000.
    pub timeout_ms: u64,
    /// Milliseconds that a connection may take; 3,000.
    pub connect_timeout_ms: u64,
    /// Dense vectors that a new collection gets at once, as `dimension-metric`, e.g. `384-cosine`. Needed
    /// only with servers that cannot add a vector to a collection later; none.
    pub layouts: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:6334".to_owned(),
            api_key: String::new(),
            collection: "engraft".to_owned(),
            timeout_ms: 10_000,
            connect_timeout_ms: 3_000,
            layouts: Vec::new(),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`qdrant.{key}` {problem}")]
pub struct Invalid {
    key: &'static str,
    problem: &'static str,
}

impl Options {
    /// Checks what can be checked without a server.
    ///
    /// # Errors
    /// [`Invalid`], which names the key and never its value: an address may hold a password.
    pub fn check(&self) -> Result<(), Invalid> {
        let fail = |key, problem| Err(Invalid { key, problem });
        let scheme = ["http://", "https://"].iter().any(|scheme| self.url.starts_with(scheme));
        if !scheme {
            return fail("url", "has to begin with `http://` or `https://`");
        }
        if self.url.contains('@') {
            return fail("url", "must not hold a password; set `qdrant.api_key`");
        }
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.collection.is_empty() || self.collection.len() > 255 || !self.collection.chars().all(named) {
            return fail("collection", "has to be 1 to 255 letters, digits, `-`, `_` or `.`");
        }
        if self.timeout_ms == 0 || self.connect_timeout_ms == 0 {
            return fail("timeout_ms", "is 0, but every call needs some time");
        }
        if !self.layouts.iter().all(|layout| is_layout(layout)) {
            return fail("layouts", "holds what is none; write dimension and metric, e.g. `384-cosine`");
        }
        Ok(())
    }

    /// How long a call may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// How long a connection may take.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}

/// Whether this is a dimension and a metric.
fn is_layout(layout: &str) -> bool {
    layout.split_once('-').is_some_and(|(dimension, metric)| {
        dimension.parse::<u32>().is_ok_and(|dimension| dimension > 0)
            && ["cosine", "dot", "euclid"].contains(&metric)
    })
}

/// Never shows the key.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("url", &self.url)
            .field("collection", &self.collection)
            .field("timeout_ms", &self.timeout_ms)
            .field("connect_timeout_ms", &self.connect_timeout_ms)
            .field("layouts", &self.layouts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_work_is_refused_by_its_name() {
        let refused = |options: Options| options.check().expect_err("refused").to_string();
        assert_eq!(Options::default().check(), Ok(()));
        let with_url = |url: &str| Options { url: url.to_owned(), ..Options::default() };
        assert!(refused(with_url("127.0.0.1:6334")).contains("`qdrant.url`"));
        let password = refused(with_url("https://ada:secret@qdrant:6334"));
        assert!(password.contains("api_key") && !password.contains("secret"), "{password}");
        let collection = Options { collection: "a/b".to_owned(), ..Options::default() };
        assert!(refused(collection).contains("`qdrant.collection`"));
        let layouts = Options { layouts: vec!["384".to_owned()], ..Options::default() };
        assert!(refused(layouts).contains("`qdrant.layouts`"));
    }

    #[test]
    fn the_key_is_never_shown() {
        let options = Options { api_key: "canary".to_owned(), ..Options::default() };
        assert!(!format!("{options:?}").contains("canary"));
    }
}
