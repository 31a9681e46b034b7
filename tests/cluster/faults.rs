//! What is done to a cluster, in an order that a seed decides, and the workers that it is done to.

use std::{
    fmt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use engraft::random::Random;

use crate::{
    servers::{BROKERS, Brokers, Database},
    support::{
        client::Client,
        server::{Home, Server},
    },
};

/// Workers at any time, but for one that leaves and one that is stopped.
const WORKERS: usize = 3;
/// Longer than the group's session and than a lease is relied on.
const TOO_LONG: Duration = Duration::from_secs(13);
/// Between two faults, in milliseconds: this, and up to as much again.
const PAUSE_MS: u64 = 2_000;
/// How long a start or a departure may take while everything else is killed.
const PATIENCE: Duration = Duration::from_secs(120);

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` of a worker; another starts.
    Kill,
    /// A worker is stopped for longer than its lease is relied on, and goes on.
    Stop,
    /// `kill -9` of a broker, which comes back.
    Broker,
    /// Postgres dies and comes back.
    Database,
    /// A worker joins and another leaves.
    Replace,
}

/// How often each is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    pub(crate) kills: u64,
    pub(crate) stops: u64,
    pub(crate) brokers: u64,
    pub(crate) databases: u64,
    pub(crate) replacements: u64,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, stops, brokers, databases, replacements } = self;
        write!(
            f,
            "{kills} workers killed, {stops} stopped for {} s, {brokers} brokers killed, ",
            TOO_LONG.as_secs()
        )?;
        write!(f, "{databases} crashes of Postgres, {replacements} workers joined and as many left")
    }
}

impl Faults {
    /// All of them, in the order of this seed.
    pub(crate) fn shuffled(self, random: &Random) -> Vec<Fault> {
        let kinds = [
            (Fault::Kill, self.kills),
            (Fault::Stop, self.stops),
            (Fault::Broker, self.brokers),
            (Fault::Database, self.databases),
            (Fault::Replace, self.replacements),
        ];
        let mut order: Vec<Fault> = Vec::new();
        for (fault, count) in kinds {
            for _ in 0..count {
                let place = random.below(order.len() as u64 + 1);
                order.insert(usize::try_from(place).expect("a place in it"), fault);
            }
        }
        order
    }
}

/// The processes of a cluster.
pub(crate) struct Fleet {
    folder: PathBuf,
    settings: Vec<(&'static str, String)>,
    homes: usize,
    workers: Vec<Server>,
    stopped: Vec<(Server, Instant)>,
    leaving: Vec<(Server, Instant)>,
    /// What processes said that ended by themselves. Whoever supervises them starts them again.
    pub(crate) ended: Vec<String>,
    /// What processes said that were told to end and did not.
    pub(crate) hung: Vec<String>,
}

impl Fleet {
    /// No process yet.
    pub(crate) fn new(folder: &Path, settings: Vec<(&'static str, String)>) -> Self {
        Self {
            folder: folder.to_owned(),
            settings,
            homes: 0,
            workers: Vec::new(),
            stopped: Vec::new(),
            leaving: Vec::new(),
            ended: Vec::new(),
            hung: Vec::new(),
        }
    }

    /// The first workers, one after the other.
    pub(crate) fn start(&mut self) {
        for _ in 0..WORKERS {
            let home = self.home("worker");
            self.workers.push(serve(&home));
        }
    }

    /// Where one more process of this role lives.
    pub(crate) fn home(&mut self, role: &str) -> Home {
        self.homes += 1;
        let mut home = Home::new(&self.folder.join(self.homes.to_string()));
        home.settings.clone_from(&self.settings);
        home.settings.push(("ENGRAFT_ROLE", role.to_owned()));
        home
    }

    fn join(&mut self) {
        let worker = self.home("worker").start("");
        self.workers.push(worker);
    }

    fn any(&mut self, random: &Random) -> Server {
        let index = random.below(self.workers.len() as u64);
        self.workers.swap_remove(usize::try_from(index).expect("an index"))
    }

    /// Does it, then waits a little.
    pub(crate) fn suffer(
        &mut self,
        fault: Fault,
        brokers: &mut Brokers,
        database: &Database,
        random: &Random,
    ) {
        match fault {
            Fault::Kill => {
                self.any(random).kill();
                self.join();
            }
            Fault::Stop => {
                let worker = self.any(random);
                worker.signal("STOP");
                self.stopped.push((worker, Instant::now()));
                self.join();
            }
            Fault::Broker => brokers.crash(random.below(BROKERS)),
            Fault::Database => database.crash(),
            Fault::Replace => {
                let worker = self.any(random);
                worker.signal("TERM");
                self.leaving.push((worker, Instant::now()));
                self.join();
            }
        }
        let until = Instant::now() + Duration::from_millis(PAUSE_MS + random.below(PAUSE_MS));
        while Instant::now() < until {
            self.supervise();
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Lets go on who was stopped for long enough, sees off who leaves, and starts again who ended by itself.
    fn supervise(&mut self) {
        let (rested, stopped): (Vec<_>, Vec<_>) =
            self.stopped.drain(..).partition(|(_, since)| since.elapsed() > TOO_LONG);
        self.stopped = stopped;
        for (worker, _) in rested {
            worker.signal("CONT");
            // One was started in its place: now there is one too many, and this one has no reason to be spared.
            self.workers.push(worker);
            let other = self.workers.swap_remove(0);
            other.signal("TERM");
            self.leaving.push((other, Instant::now()));
        }
        for index in (0..self.leaving.len()).rev() {
            let (worker, since) = &mut self.leaving[index];
            if worker.has_ended() {
                self.leaving.swap_remove(index);
            } else if since.elapsed() > PATIENCE {
                let (worker, _) = self.leaving.swap_remove(index);
                self.hung.push(worker.words());
                worker.kill();
            }
        }
        for index in (0..self.workers.len()).rev() {
            if self.workers[index].has_ended() {
                let words = self.workers.swap_remove(index).words();
                self.ended.push(words.lines().last().unwrap_or("nothing").to_owned());
                self.join();
            }
        }
    }

    /// Nobody is stopped any more, and nobody on the way out.
    pub(crate) fn settle(&mut self) {
        while !(self.stopped.is_empty() && self.leaving.is_empty()) {
            self.supervise();
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Tells everybody to leave.
    pub(crate) fn stop(mut self) {
        self.settle();
        self.workers.into_iter().for_each(Server::stop);
    }
}

/// Starts a process, and waits until it is ready, however long the machine takes.
pub(crate) fn serve(home: &Home) -> Server {
    let mut server = home.start("");
    let (client, begun) = (Client::new(home.port), Instant::now());
    while client.get("/readyz").is_none_or(|(status, _)| status != 200) {
        assert!(!server.has_ended() && begun.elapsed() < PATIENCE, "not ready: {}", server.words());
        thread::sleep(Duration::from_millis(50));
    }
    server
}
