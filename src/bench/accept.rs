//! How long a command takes to be accepted over HTTP, beside the log's own append under the same arrivals.
//!
//! ```text
//! closed loop, until applied ─▶ peak ─▶ half of it, as an open loop ─┬─▶ HTTP: request to 202
//!                                                                    └─▶ log: append to answer
//! ```
//!
//! The peak is what the whole does for good: what is accepted faster than it is applied only waits. In an open
//! loop, a call that comes late because all connections are busy has begun when it was due: what a slow answer
//! delays is counted. A worker applies everything meanwhile, in both.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant, sleep_until},
};

use super::{Error, Options, Row, at, load, reads::reader, world::World};
use crate::{
    clock::SystemClock,
    guard::Guards,
    http,
    ledger::Ledger,
    log::{CommandLog, NewRecord, envelope::Limits},
    random::Random,
    reader::Reader,
    tasks::Tasks,
    worker,
    worker::board::Board,
};

/// Connections, and appends that may be under way at once.
const CONNECTIONS: usize = 64;
/// How long the peak is looked for, and how long each open loop runs.
const PEAK: Duration = Duration::from_secs(3);
const RUN: Duration = Duration::from_secs(5);

/// What commands are accepted into.
#[derive(Clone)]
pub(super) struct Surface {
    pub(super) log: Arc<dyn CommandLog>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) reader: Reader,
    pub(super) backends: http::Backends,
}

/// Finds the peak, then runs both ways at half of it, in turns.
///
/// # Errors
/// [`Error`] when a store cannot be opened, or a command is not accepted.
pub async fn accept(options: &Options) -> Result<Vec<Row>, Error> {
    let world = World::open(&options.folder.join("accept"), worker::Options::default()).await?;
    world.append(vec![load::declaration(options.dimension, false)]).await?;
    let random = Random::from_seed(5, 0);
    let records = load::puts(&random, 0..options.count, options.dimension);
    let surface = Surface {
        log: Arc::new(world.log.clone()),
        ledger: Arc::new(world.ledger.clone()),
        reader: reader(&world),
        backends: http::Backends { log: "embedded", ledger: "sqlite", vector: "edge", graph: "heads" },
    };
    let rows = accepted(surface, records, options.rounds, async |count| world.until(1 + count).await).await?;
    world.close().await?;
    Ok(rows)
}

/// The same over any stores. A worker applies the records meanwhile; `applied` waits until it has, for so many.
pub(super) async fn accepted(
    surface: Surface,
    records: Vec<NewRecord>,
    rounds: usize,
    applied: impl AsyncFn(u64) -> Result<(), Error>,
) -> Result<Vec<Row>, Error> {
    let tasks = Tasks::new();
    let address = serve(&surface, &tasks).await?;
    let (records, next): (Arc<[NewRecord]>, _) = (records.into(), Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    let accepting = peak(address, &records, &next).await?;
    let accepted = next.load(Ordering::Relaxed);
    applied(accepted).await?;
    let peak = accepted as f64 / started.elapsed().as_secs_f64();
    let rate = peak / 2.0;
    let mut ways = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let appended = open_loop(rate, |_| async {
            let (log, records, next) = (Arc::clone(&surface.log), Arc::clone(&records), Arc::clone(&next));
            Ok(async move || {
                let answer = log.append(vec![fresh(&records, &next)]).await.pop();
                answer.ok_or("no answer").map_err(at("append"))?.map(drop).map_err(at("append"))
            })
        });
        let [of_log, of_http] = &mut ways;
        of_log.push(appended.await?);
        of_http.push(over_http(rate, address, &records, &next).await?);
    }
    let [of_log, of_http] = ways.map(|rounds| rounds.into_iter().flatten().collect::<Vec<f64>>());
    tasks.shut_down().await;
    let log = Row::percentiles("append", of_log);
    let http = Row::percentiles("accept", of_http);
    let tails = [&log, &http].map(|row| row.spent.get("p99").copied().unwrap_or_default() * 1e6);
    let [of_log, of_http] = tails;
    let log_tail = Row::new("append_p99", of_log, "us");
    let tail = Row::new("accept_p99", of_http, "us").against(&log_tail);
    let peaks = [("accepting_peak", accepting), ("applied_peak", peak)];
    let peaks = peaks.map(|(name, rate)| Row::new(name, rate, "commands/s"));
    Ok(peaks.into_iter().chain([log.clone(), http.against(&log), log_tail, tail]).collect())
}

/// Starts the HTTP surface over these stores.
async fn serve(of: &Surface, tasks: &Tasks) -> Result<SocketAddr, Error> {
    while of.ledger.epoch().await.map_err(at("read the ledger"))?.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(at("listen"))?;
    let address = listener.local_addr().map_err(at("listen"))?;
    let Surface { log, ledger, reader, backends } = of.clone();
    let ports = http::Ports {
        surface: http::Surface::Whole,
        log,
        ledger,
        reader,
        guards: Guards::default(),
        board: Board::default(),
        clock: Arc::new(SystemClock),
        random: Random::from_system(),
        limits: Limits::default(),
        guarantees: http::Guarantees { guarantee: "saga", meaning: "a benchmark", backends },
    };
    drop(tasks.spawn(http::serve(listener, ports, http::Options::default(), tasks.clone())));
    Ok(address)
}

/// The next record of the load, again from its beginning when it is used up: then it is a duplicate.
fn fresh(records: &[NewRecord], next: &AtomicU64) -> NewRecord {
    let number = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(0);
    records.get(number % records.len()).cloned().expect("there is at least one record")
}

/// Requests a second when every connection sends again as soon as it is answered.
async fn peak(address: SocketAddr, records: &Arc<[NewRecord]>, next: &Arc<AtomicU64>) -> Result<f64, Error> {
    let until = Instant::now() + PEAK;
    let tasks = Tasks::new();
    let mut running = Vec::new();
    for _ in 0..CONNECTIONS {
        let (records, next) = (Arc::clone(records), Arc::clone(next));
        running.push(tasks.spawn(async move {
            let (mut connection, mut sent) = (Connection::open(address).await?, 0_u32);
            while Instant::now() < until {
                connection.send(&fresh(&records, &next)).await?;
                sent += 1;
            }
            Ok(sent)
        }));
    }
    let mut sent = 0.0;
    for task in running {
        let of_one: Result<u32, Error> = task.await.map_err(at("join a connection"))?;
        sent += f64::from(of_one?);
    }
    Ok(sent / PEAK.as_secs_f64())
}

async fn over_http(
    rate: f64,
    address: SocketAddr,
    records: &Arc<[NewRecord]>,
    next: &Arc<AtomicU64>,
) -> Result<Vec<f64>, Error> {
    open_loop(rate, |_| async {
        let (records, next) = (Arc::clone(records), Arc::clone(next));
        let mut connection = Connection::open(address).await?;
        Ok(async move || connection.send(&fresh(&records, &next)).await)
    })
    .await
}

/// Calls arrive at an even rate, whatever becomes of them; microseconds of each.
async fn open_loop<C, F>(rate: f64, open: impl Fn(usize) -> F) -> Result<Vec<f64>, Error>
where
    F: Future<Output = Result<C, Error>>,
    C: AsyncFnMut() -> Result<(), Error>,
{
    let arrived = AtomicU64::new(0);
    let mut callers = Vec::with_capacity(CONNECTIONS);
    for number in 0..CONNECTIONS {
        callers.push(open(number).await?);
    }
    let start = Instant::now() + Duration::from_millis(20);
    let calls = callers.into_iter().map(|mut call| {
        let arrived = &arrived;
        async move {
            let mut micros = Vec::new();
            loop {
                let number = arrived.fetch_add(1, Ordering::Relaxed);
                let after = Duration::from_secs_f64(number as f64 / rate);
                if after > RUN {
                    return Ok::<_, Error>(micros);
                }
                let due = start + after;
                let is_late = Instant::now() >= due;
                sleep_until(due).await;
                let begun = if is_late { due } else { Instant::now() };
                call().await?;
                micros.push(begun.elapsed().as_secs_f64() * 1e6);
            }
        }
    });
    Ok(futures::future::try_join_all(calls).await?.into_iter().flatten().collect())
}

/// One connection that is kept open, and speaks just as much HTTP as this takes.
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await.map_err(at("connect"))?;
        stream.set_nodelay(true).map_err(at("connect"))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command and waits until it is accepted.
    async fn send(&mut self, record: &NewRecord) -> Result<(), Error> {
        let refused = |why: String| Error { step: "send a command", why };
        let head = format!(
            "POST /v1/commands HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            record.value.len()
        );
        let request = [head.as_bytes(), &record.value].concat();
        self.0.get_mut().write_all(&request).await.map_err(at("send a command"))?;
        let (mut status, mut length) = (String::new(), 0_usize);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).await.map_err(at("read an answer"))?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if status.is_empty() {
                line.clone_into(&mut status);
            } else if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(at("read an answer"))?;
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer).await.map_err(at("read an answer"))?;
        let accepted = status.split(' ').nth(1) == Some("202");
        if accepted { Ok(()) } else { Err(refused(format!("{status} {}", String::from_utf8_lossy(&answer)))) }
    }
}
