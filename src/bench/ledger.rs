//! The ledger on Postgres beside what the server does on its own: the same bytes, in the same run.
//!
//! Every turn ends one batch and begins the next, as an owner's turns do. No log and no vector store
//! take part, so the figure is the ledger's own share: decoding has been done before.

use std::{str::FromStr as _, sync::Arc};

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection,
    postgres::PgConnectOptions,
};
use tokio::time::Instant;

use super::{Error, Options, Row, at, cpu, load};
use crate::{
    clock::{Clock as _, SystemClock},
    ledger::{
        EpochRow, Ledger as _,
        begin::Inbound,
        finish::End,
        keys::HeldKeys,
        postgres::{self, PostgresLedger},
        turn::Turn,
    },
    log::{NewRecord, Partitioner, Record, envelope},
    model::{Digest, PartitionId, Position, memory::f32s_to_bytes},
    random::Random,
    saga::plan::Planner,
};

/// Where the load lies.
const PARTITION: PartitionId = PartitionId { epoch: 1, partition: 0 };

/// Measures on the server at `url`, in a schema of its own that goes with the run.
///
/// # Errors
/// [`Error`] when the server does not answer.
pub async fn ledger(options: &Options, url: &str) -> Result<Vec<Row>, Error> {
    let random = Random::from_system();
    let (mut operator, schema) = schema(url, &random).await?;
    let measured = measure(options, url, &schema, &mut operator, &random).await;
    forget(&mut operator, &schema).await?;
    measured
}

/// What a bare bulk upsert does on the server at `url`.
#[cfg(feature = "qdrant")]
pub(super) async fn bulk(options: &Options, url: &str, random: &Random) -> Result<Row, Error> {
    let (mut operator, schema) = schema(url, &Random::from_system()).await?;
    let row = bulk_row(options, &mut operator, 0, random).await;
    forget(&mut operator, &schema).await?;
    row
}

/// A connection whose tables lie in a new schema.
pub(super) async fn schema(url: &str, random: &Random) -> Result<(PgConnection, String), Error> {
    let schema = format!("bench_{:032x}", random.nonce());
    let connect = PgConnectOptions::from_str(url)
        .map_err(|_| Error { step: "read the URL", why: "it is none of Postgres".to_owned() })?;
    let connect = connect.disable_statement_logging();
    let mut operator = PgConnection::connect_with(&connect).await.map_err(at("connect"))?;
    run(&mut operator, format!("CREATE SCHEMA {schema}; SET search_path = {schema}")).await?;
    Ok((operator, schema))
}

/// Drops that schema.
pub(super) async fn forget(operator: &mut PgConnection, schema: &str) -> Result<(), Error> {
    run(operator, format!("DROP SCHEMA {schema} CASCADE")).await
}

async fn measure(
    options: &Options,
    url: &str,
    schema: &str,
    operator: &mut PgConnection,
    random: &Random,
) -> Result<Vec<Row>, Error> {
    let settings = postgres::Options { schema: schema.to_owned(), ..postgres::Options::default() };
    let ledger = PostgresLedger::open(url, &settings, random).await.map_err(at("open the ledger"))?;
    let epoch = EpochRow {
        epoch: PARTITION.epoch,
        identity: "bench".to_owned(),
        partitions: 1,
        partitioner: "murmur2".to_owned(),
    };
    ledger.open_epoch(&epoch).await.map_err(at("open the epoch"))?;
    let (mut bulk, mut ours) = (Vec::new(), Vec::new());
    let mut offset = 0;
    for round in 0..options.rounds {
        let base = bulk_row(options, operator, round, random).await?;
        let row = turns(options, &ledger, &mut offset, round, random).await?;
        ours.push(row.against(&base));
        bulk.push(base);
    }
    ledger.close().await;
    Ok(Row::median(bulk).into_iter().chain(Row::median(ours)).collect())
}

/// One row a memory with the columns of an image, upserted in commits of `batch` through `UNNEST`.
async fn bulk_row(
    options: &Options,
    operator: &mut PgConnection,
    round: usize,
    random: &Random,
) -> Result<Row, Error> {
    let table = format!("bulk_{round}");
    let made = format!(
        "CREATE TABLE {table} (key bytea PRIMARY KEY, e bigint, s bigint, kind text, session text, content text, \
         properties text, importance float8, occurred_at bigint, dense bytea) WITH (toast_tuple_target = 8160); \
         ALTER TABLE {table} ALTER COLUMN dense SET STORAGE EXTERNAL"
    );
    run(operator, made).await?;
    let text: Arc<str> = format!(
        "INSERT INTO {table} SELECT * FROM UNNEST($1::bytea[], $2::bigint[], $3::bigint[], $4::text[], \
         $5::text[], $6::text[], $7::text[], $8::float8[], $9::bigint[], $10::bytea[]) ON CONFLICT (key) \
         DO UPDATE SET e = excluded.e, s = excluded.s, content = excluded.content, dense = excluded.dense \
         WHERE ({table}.e, {table}.s) < (excluded.e, excluded.s)"
    )
    .into();
    let vectors: Vec<Vec<u8>> =
        (0..options.count).map(|_| f32s_to_bytes(&load::vector(random, options.dimension))).collect();
    let sentences: Vec<String> = (0..options.count).map(|_| load::sentence(random)).collect();
    let (started, used) = (Instant::now(), cpu::seconds());
    for (batch, (vectors, sentences)) in
        vectors.chunks(options.batch).zip(sentences.chunks(options.batch)).enumerate()
    {
        let first = batch * options.batch;
        let numbers: Vec<i64> = (0..vectors.len()).map(|index| (first + index) as i64).collect();
        let keys: Vec<Vec<u8>> =
            numbers.iter().map(|number| Digest::of(&number.to_le_bytes()).key().0.to_vec()).collect();
        let count = vectors.len();
        sqlx::query(AssertSqlSafe(Arc::clone(&text)))
            .bind(keys)
            .bind(vec![1_i64; count])
            .bind(&numbers)
            .bind(vec!["Episode"; count])
            .bind(numbers.iter().map(|number| format!("s-{}", number / 50)).collect::<Vec<_>>())
            .bind(sentences)
            .bind(numbers.iter().map(|number| format!(r#"{{"turn":{number}}}"#)).collect::<Vec<_>>())
            .bind(vec![0.5_f64; count])
            .bind(&numbers)
            .bind(vectors)
            .execute(&mut *operator)
            .await
            .map_err(at("upsert rows"))?;
    }
    let (seconds, used) = (started.elapsed().as_secs_f64(), cpu::seconds() - used);
    Ok(Row::new("postgres_bulk", options.count as f64 / seconds, "rows/s").spent("processor", used))
}

/// Begins and ends `count` puts of new memories.
async fn turns(
    options: &Options,
    ledger: &PostgresLedger,
    offset: &mut u64,
    round: usize,
    random: &Random,
) -> Result<Row, Error> {
    let first = round * options.count;
    let mut records = load::puts(random, first..first + options.count, options.dimension);
    if *offset == 0 {
        records.insert(0, load::declaration(options.dimension, false));
    }
    let records: Vec<Inbound> = records.into_iter().zip(*offset..).map(inbound).collect();
    *offset += records.len() as u64;
    let lease = ledger.acquire(PARTITION, 1 << 64).await.map_err(at("take the partition"))?;
    let planner = Planner::default();
    let mut held = HeldKeys::default();
    let mut ends: Vec<End> = Vec::new();
    let (mut waited, mut committing) = (0.0, 0.0);
    let (started, used) = (Instant::now(), cpu::seconds());
    let mut batches = records.chunks(options.batch);
    loop {
        let batch = batches.next();
        if batch.is_none() && ends.is_empty() {
            break;
        }
        let turned = Instant::now();
        let now = SystemClock.now();
        let mut turn = Turn::open(ledger, lease, &planner, now).await.map_err(at("open a turn"))?;
        waited += turned.elapsed().as_secs_f64();
        turn.finish(&ends).await.map_err(at("finish"))?;
        let begun = match batch {
            Some(batch) => turn.begin(batch.to_vec(), &mut held, usize::MAX).await.map_err(at("begin"))?,
            None => crate::ledger::begin::Begun::default(),
        };
        let turned = Instant::now();
        turn.commit().await.map_err(at("commit"))?;
        committing += turned.elapsed().as_secs_f64();
        for end in ends.drain(..) {
            held.release(end.saga.offset);
        }
        ends.extend(begun.running.into_iter().map(|saga| End {
            saga,
            duplicates: Vec::new(),
            resolved: None,
        }));
    }
    let (seconds, used) = (started.elapsed().as_secs_f64(), cpu::seconds() - used);
    Ok(Row::new("postgres_ledger", options.count as f64 / seconds, "rows/s")
        .spent("whole", seconds)
        .spent("opening", waited)
        .spent("committing", committing)
        .spent("processor", used))
}

fn inbound((record, offset): (NewRecord, u64)) -> Inbound {
    let record = Record {
        position: Position { epoch: PARTITION.epoch, partition: PARTITION.partition, offset },
        key: Some(record.key.clone()),
        value: Some(record.value.clone()),
        headers: record.headers.clone(),
        appended_at: SystemClock.now(),
    };
    let routing = envelope::Routing { partitions: 1, partitioner: Partitioner::default() };
    let decoded = envelope::decode(&record, routing, &envelope::Limits::default());
    Inbound {
        position: record.position,
        accepted_at: record.appended_at,
        crc: record.crc(),
        raw_hash: Digest([0; 32]),
        decoded,
    }
}

async fn run(connection: &mut PgConnection, text: String) -> Result<(), Error> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await.map_err(at("prepare the server"))?;
    Ok(())
}
