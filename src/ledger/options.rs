//! `[ledger]`: where the durable state lies.

use serde::{Deserialize, Serialize};

use super::postgres;

/// `[ledger]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// `sqlite` (a file in the data folder, for one process) or `postgres`; not set: `postgres` where
    /// there is a `url`, else `sqlite`.
    pub kind: Option<Kind>,
    /// The database of a ledger on Postgres, `postgres://user:password@host:5432/database`. Known also as
    /// `DATABASE_URL`.
    pub url: String,
    /// How a ledger on Postgres is used.
    pub postgres: postgres::Options,
}

/// Which ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file in the data folder, for one process.
    Sqlite,
    /// A database, for many.
    Postgres,
}

impl Kind {
    /// The name that settings and answers use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// Settings that cannot be used. They do not repeat the address, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Postgres without an address.
    #[error(
        "`ledger.kind` is `postgres`, but `ledger.url` is not set; write `postgres://user@host:5432/database`"
    )]
    NoUrl,
    /// An address of something else.
    #[error("`ledger.url` must begin with `postgres://` or `postgresql://`")]
    Url,
    /// A build that cannot.
    #[error("a ledger on Postgres needs a build with `--features postgres`; use `ledger.kind = \"sqlite\"`")]
    Build,
    /// Another setting.
    #[error("`ledger.postgres.{}` {}", .0.key, .0.reason)]
    Postgres(postgres::Refused),
}

/// Whether an address is one of Postgres.
#[must_use]
pub fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

impl Options {
    /// Which ledger these settings come to.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let by_url = if self.url.is_empty() { Kind::Sqlite } else { Kind::Postgres };
        self.kind.unwrap_or(by_url)
    }

    /// Looks for what cannot be used.
    ///
    /// # Errors
    /// The first [`Refused`].
    pub fn check(&self) -> Result<(), Refused> {
        self.postgres.check().map_err(Refused::Postgres)?;
        if self.kind() == Kind::Sqlite {
            return Ok(());
        }
        if self.url.is_empty() {
            return Err(Refused::NoUrl);
        }
        if !is_postgres(&self.url) {
            return Err(Refused::Url);
        }
        if cfg!(feature = "postgres") { Ok(()) } else { Err(Refused::Build) }
    }
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use super::*;

    #[test]
    fn an_address_alone_chooses_postgres_and_a_kind_overrules_it() {
        let url = "postgres://ada@host/x".to_owned();
        assert_eq!(Options::default().kind(), Kind::Sqlite);
        let options = Options { url, ..Options::default() };
        assert_eq!((options.kind(), options.check()), (Kind::Postgres, Ok(())));
        assert_eq!(Options { kind: Some(Kind::Sqlite), ..options }.kind(), Kind::Sqlite);
        let without = Options { kind: Some(Kind::Postgres), ..Options::default() };
        assert_eq!(without.check(), Err(Refused::NoUrl));
        let other = Options { url: "mysql://ada:hunter2@host/x".to_owned(), ..Options::default() };
        assert!(!other.check().unwrap_err().to_string().contains("hunter2"));
    }
}
