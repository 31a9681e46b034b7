//! Opening a ledger: what the server must be, the schema, and how its sessions are set up.

use std::{borrow::Cow, str::FromStr as _, sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _,
    SqlSafeStr as _,
    migrate::{Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    Options, PostgresDatabase, PostgresLedger, Refused,
    database::{Losses, Numbers, Pools},
    dialect::PostgresDialect,
    error::{NO_ANSWER, failed},
};
use crate::{
    ledger::{
        Error,
        sql::{SqlLedger, dialect::Texts, statements as sql},
    },
    random::Random,
};

/// Why a ledger cannot be opened. No host, user or password is in it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is none.
    #[error("`ledger.url` is no address of a Postgres database; write `postgres://user@host:5432/database`")]
    Url,
    /// A setting cannot be used.
    #[error("`ledger` cannot be used")]
    Refused(#[from] Refused),
    /// The server is not one that a ledger can be on.
    #[error("the server cannot hold a ledger: {0}")]
    Server(&'static str),
    /// The tables are not those of a ledger, or of another version of it.
    #[error("bring the schema `{schema}` up to date: {reason}")]
    Schema {
        /// The schema.
        schema: String,
        /// What is wrong.
        reason: String,
    },
    /// The server does not answer, or refuses.
    #[error("use the server: {0}")]
    Ledger(#[from] Error),
}

/// The oldest server that its makers still mend.
const VERSION_MIN: i32 = 140_000;
/// Prepared statements kept by a connection: all there are.
const STATEMENTS_MAX: usize = 256;
/// Whoever makes or changes a schema holds this lock: "engraft" as a number.
const MIGRATION_LOCK: i64 = 0x0065_6e67_7261_6674;
/// How long processes that start together wait for one of them to make the tables.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(300);

fn migrations() -> Migrator {
    let migration = |number, name, text: &'static str| {
        Migration::new(number, Cow::Borrowed(name), MigrationType::Simple, text.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(vec![
        migration(1, "ledger", include_str!("../../../migrations/postgres/0001_ledger.sql")),
        migration(2, "orders", include_str!("../../../migrations/postgres/0002_orders.sql")),
    ]);
    // Ours is held already.
    migrator.set_locking(false);
    migrator
}

impl PostgresLedger {
    /// Opens the ledger in a schema of the database at `url`, making what is not there.
    ///
    /// `random` names a new ledger.
    ///
    /// # Errors
    /// [`OpenError`] when the server does not answer, or cannot hold a ledger.
    pub async fn open(url: &str, options: &Options, random: &Random) -> Result<Self, OpenError> {
        options.check()?;
        let connect = PgConnectOptions::from_str(url).map_err(|_| OpenError::Url)?;
        // What an operator sees in `pg_stat_activity`, unless the address says otherwise.
        let name = connect.get_application_name().unwrap_or("engraft").to_owned();
        let connect = connect
            .application_name(&name)
            .statement_cache_capacity(STATEMENTS_MAX)
            .disable_statement_logging();
        let prepare = prepare(&connect, options, format!("{:032x}", random.nonce()));
        let prepared = tokio::time::timeout(MIGRATION_TIMEOUT, prepare).await;
        let Prepared { identity, weak } =
            prepared.map_err(|_| Error::Unavailable(NO_ANSWER.to_owned()))??;
        let losses = Arc::new(Losses::none_yet());
        let pool = |connections| {
            let losses = Arc::clone(&losses);
            let setup: Arc<str> = setup(options).into();
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_millis(options.acquire_timeout_ms))
                // To ask a connection whether it lives costs as much as a read: only after a loss.
                .test_before_acquire(false)
                .before_acquire(move |connection, known| {
                    let doubtful = losses.concern(known.idle_for);
                    Box::pin(async move { Ok(!doubtful || connection.ping().await.is_ok()) })
                })
                .after_connect(move |connection, _| {
                    let setup = Arc::clone(&setup);
                    Box::pin(async move {
                        connection.execute(sqlx::raw_sql(AssertSqlSafe(setup))).await?;
                        Ok(())
                    })
                })
                .connect_lazy_with(connect.clone())
        };
        let pools = Pools {
            texts: Texts::new(PostgresDialect),
            readers: pool(options.readers),
            writers: pool(options.writers),
            begin: begin(options, weak).into(),
            answer_timeout: options.answer_timeout(),
            losses: Arc::clone(&losses),
            numbers: tokio::sync::Mutex::new(Numbers::default()),
        };
        Ok(SqlLedger::over(PostgresDatabase { pools: Arc::new(pools) }, identity))
    }
}

/// What a new session runs first.
fn setup(options: &Options) -> String {
    let Options { schema, statement_timeout_ms, lock_timeout_ms, .. } = options;
    format!(
        "SET search_path = \"{schema}\"; SET statement_timeout = {statement_timeout_ms}; \
         SET lock_timeout = {lock_timeout_ms}"
    )
}

/// What opens a transaction: in one round trip, its own limits, and durability if the server is set
/// to do without.
fn begin(options: &Options, weak: bool) -> String {
    let Options { statement_timeout_ms, lock_timeout_ms, idle_timeout_ms, .. } = options;
    let durable = if weak { "; SET LOCAL synchronous_commit = on" } else { "" };
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {statement_timeout_ms}; \
         SET LOCAL lock_timeout = {lock_timeout_ms}; \
         SET LOCAL idle_in_transaction_session_timeout = {idle_timeout_ms}{durable}"
    )
}

/// What is known of a server that is ready.
struct Prepared {
    identity: String,
    /// It is set to answer a COMMIT before it is on disk.
    weak: bool,
}

/// Looks at the server, and brings the schema up to date, one process at a time.
async fn prepare(
    connect: &PgConnectOptions,
    options: &Options,
    identity: String,
) -> Result<Prepared, OpenError> {
    let mut connection = connect.connect().await.map_err(|error| failed(&error))?;
    let weak = inspect(&mut connection).await?;
    let schema = &options.schema;
    // Tables that are there already are no news.
    run(&mut connection, "SET client_min_messages = warning".to_owned()).await?;
    run(&mut connection, format!("SELECT pg_advisory_lock({MIGRATION_LOCK})")).await?;
    // Asked for first: who may not make schemas may use one that is there.
    let there = sqlx::query("SELECT 1 FROM pg_namespace WHERE nspname = $1").bind(schema);
    if there.fetch_optional(&mut connection).await.map_err(|error| failed(&error))?.is_none() {
        run(&mut connection, format!("CREATE SCHEMA \"{schema}\"")).await?;
    }
    run(&mut connection, format!("SET search_path = \"{schema}\"")).await?;
    let stale = |error: &sqlx::migrate::MigrateError| {
        use sqlx::migrate::MigrateError;
        let reason = match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                failed(error).to_string()
            }
            // These name versions alone.
            other => other.to_string(),
        };
        OpenError::Schema { schema: schema.clone(), reason }
    };
    migrations().run(&mut connection).await.map_err(|error| stale(&error))?;
    let named = sqlx::query(sql::NAME_LEDGER).bind(identity).execute(&mut connection).await;
    named.map_err(|error| failed(&error))?;
    let row = sqlx::query(sql::IDENTITY).fetch_one(&mut connection).await.map_err(|error| failed(&error))?;
    let identity = row.try_get(0).map_err(|error| failed(&error))?;
    run(&mut connection, format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})")).await?;
    connection.close().await.map_err(|error| failed(&error))?;
    Ok(Prepared { identity, weak })
}

/// Whether it is set to answer a COMMIT before it is on disk.
async fn inspect(connection: &mut PgConnection) -> Result<bool, OpenError> {
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), \
         pg_is_in_recovery(), current_setting('synchronous_commit'), current_setting('fsync')",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| failed(&error))?;
    let read = |error: sqlx::Error| failed(&error);
    let version: i32 = row.try_get(0).map_err(read)?;
    let encoding: String = row.try_get(1).map_err(read)?;
    let standby: bool = row.try_get(2).map_err(read)?;
    let (synchronous, fsync): (String, String) =
        (row.try_get(3).map_err(read)?, row.try_get(4).map_err(read)?);
    if version < VERSION_MIN {
        return Err(OpenError::Server("it is older than Postgres 14"));
    }
    if encoding != "UTF8" {
        return Err(OpenError::Server("the database's encoding is not UTF8"));
    }
    if standby {
        return Err(OpenError::Server("it is a standby; name the primary"));
    }
    if fsync == "off" {
        tracing::warn!(
            "the ledger's server runs with `fsync = off`: a crash of its machine can lose everything"
        );
    }
    Ok(synchronous == "off")
}

async fn run(connection: &mut PgConnection, text: String) -> Result<(), OpenError> {
    let done = connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await;
    done.map_err(|error| failed(&error))?;
    Ok(())
}
