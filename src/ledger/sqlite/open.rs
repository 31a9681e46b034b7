//! Opening a ledger: the lock file, the schema, and how SQLite is set up.

use std::{
    borrow::Cow,
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use fs4::fs_std::FileExt as _;
use sqlx::{
    ConnectOptions as _, SqlSafeStr as _, SqliteConnection,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{
    BUSY_TIMEOUT, STATEMENTS_MAX, Sqlite, SqliteLedger, Writer, dialect::SqliteDialect, reader::Readers,
    session::Link,
};
use crate::{
    ledger::{
        Error,
        sql::{
            SqlLedger, cells::Cells, dialect::Texts, driver::Session as _, statements as sql, values::binds,
        },
    },
    random::Random,
};

/// How a ledger in a SQLite file is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Connections that read, from 1; default 4.
    pub readers: u32,
    /// How large the write-ahead log grows before it is folded into the file, in bytes; default
    /// 64 MiB. Larger: fewer writes of one page, longer pauses, slower starts.
    pub checkpoint_bytes: u64,
    /// Pages that the writer keeps in memory, in bytes; default 64 MiB.
    pub cache_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { readers: 4, checkpoint_bytes: 64 << 20, cache_bytes: 64 << 20 }
    }
}

/// Why a ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the ledger `{path}` is in use by process {process}; stop that process first (it holds `{path}.lock`)"
    )]
    InUse {
        /// The ledger's file.
        path: String,
        /// The other process, as it wrote itself into the lock file.
        process: String,
    },
    /// Its folder or its lock file cannot be used.
    #[error("open the lock file `{path}`")]
    Lock {
        /// The lock file.
        path: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is no ledger, or one of another version.
    #[error("bring the schema of the ledger up to date")]
    Schema(#[source] sqlx::migrate::MigrateError),
    /// SQLite cannot use it.
    #[error("open the ledger: {0}")]
    Ledger(#[from] Error),
}

/// 8 KiB: rows of about 2 KB would waste half of every 4 KiB page.
const PAGE_BYTES: u32 = 8192;

fn migrations() -> Migrator {
    let migration = |number, name, text: &'static str| {
        Migration::new(number, Cow::Borrowed(name), MigrationType::Simple, text.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "ledger", include_str!("../../../migrations/sqlite/0001_ledger.sql")),
        migration(2, "reads", include_str!("../../../migrations/sqlite/0002_reads.sql")),
        migration(3, "orders", include_str!("../../../migrations/sqlite/0003_orders.sql")),
    ])
}

impl SqliteLedger {
    /// Opens the ledger at `path`, making it where there is none; its folder must be there.
    ///
    /// `random` names a new ledger.
    ///
    /// # Errors
    /// [`OpenError::InUse`] when another process has it open, and when the file cannot be used.
    pub async fn open(path: impl AsRef<Path>, options: &Options, random: &Random) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let lock = lock(path)?;
        let texts = Arc::new(Texts::new(SqliteDialect));
        let mut connection = connect(path, options).await?;
        migrations().run(&mut connection).await.map_err(OpenError::Schema)?;
        let writer = Writer { connection, open: false, last_record: 0, last_image: 0 };
        let mut session = Link { connection: writer, texts: Arc::clone(&texts) };
        session.run(sql::NAME_LEDGER, binds!(format!("{:032x}", random.nonce()))).await?;
        let missing = || Error::Corrupt("the ledger has no name".to_owned());
        let named = session.row(sql::IDENTITY, binds!()).await?.ok_or_else(missing)?;
        let identity = Cells::of(&named, "ledger").get()?;
        let last = session.row(sql::LAST_NUMBERS, binds!()).await?.ok_or_else(missing)?;
        let mut last = Cells::of(&last, "saga_record, image");
        let mut writer = session.connection;
        (writer.last_record, writer.last_image) = (last.get()?, last.get()?);
        // Each reader caches a quarter of what the writer does; the system's own cache lies below both.
        let readers = Arc::new(Readers::new(path.to_owned(), options.readers, options.cache_bytes / 4));
        let writer = Arc::new(tokio::sync::Mutex::new(writer));
        Ok(SqlLedger::over(Sqlite { texts, readers, writer, _lock: lock }, identity))
    }
}

/// Takes the lock file, which the system frees however this process ends.
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let failed = |source| OpenError::Lock { path: name.display().to_string(), source };
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&name).map_err(failed)?;
    if !file.try_lock_exclusive().map_err(failed)? {
        let mut process = String::new();
        file.read_to_string(&mut process).map_err(failed)?;
        return Err(OpenError::InUse {
            path: path.display().to_string(),
            process: process.trim().to_owned(),
        });
    }
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

async fn connect(path: &Path, options: &Options) -> Result<SqliteConnection, Error> {
    settings(path, options).connect().await.map_err(super::session::failed)
}

fn settings(path: &Path, options: &Options) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        // Readers go on while the writer writes, and a commit is one sequential write and one fsync.
        .journal_mode(SqliteJournalMode::Wal)
        // With NORMAL a commit would be durable only at the next checkpoint.
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", (options.checkpoint_bytes / u64::from(PAGE_BYTES)).to_string())
        // Negative: in KiB rather than in pages.
        .pragma("cache_size", format!("-{}", options.cache_bytes / 1024))
        // Key lists are sorted in memory, never in a file.
        .pragma("temp_store", "memory")
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging()
}
