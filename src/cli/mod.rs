//! The command line: data on standard output, talk on standard error, exit codes that scripts can use.
//!
//! Each subcommand is a file here. What it does is done by the rooms, or by a running server over
//! HTTP; this room asks, and shows.

mod audit;
mod bench;
mod check_config;
mod client;
mod exit;
mod memory;
mod output;
mod produce;
mod serve;
mod sim;

use std::{future::Future, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    app,
    config::{self, Config, Flags, HttpFlags},
    demo, fault, telemetry,
};

pub(crate) use audit::of_folder as audit_of;
pub use client::Client;
pub use exit::{Exit, Failure};
pub use output::Format;
pub(crate) use output::colored_output;

/// Where a server listens unless it is told otherwise.
pub const URL: &str = "http://127.0.0.1:7878";

/// A write-coordinator with an event log for AI memory.
#[derive(Debug, Parser)]
#[command(name = "engraft", version, about, max_term_width = 100)]
struct Cli {
    /// Settings; engraft.toml in this folder if it is there
    #[arg(long, global = true, value_name = "FILE", env = "ENGRAFT_CONFIG")]
    config: Option<PathBuf>,

    /// Where data lies [default: ./engraft-data]
    #[arg(long, global = true, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// How much the log says: error, warn, info, debug, trace
    #[arg(long, global = true, value_name = "LEVEL", env = "ENGRAFT_LOG_LEVEL")]
    log_level: Option<String>,

    #[arg(long, global = true, hide = true, env = "ENGRAFT_FAILPOINTS", value_name = "NAME=ACTION@N,…")]
    failpoints: Option<String>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: log, worker, HTTP
    Serve(serve::Arguments),
    /// Show what it does, on a temporary folder, in two minutes
    Demo(demo::Arguments),
    /// Send commands, one JSON object a line, into the log
    Produce(produce::Arguments),
    /// Read memories
    #[command(subcommand)]
    Memory(memory::Command),
    /// Compare every store with the ledger, record by record
    Audit(audit::Arguments),
    /// Run the coordinator against simulated faults
    Sim(sim::Arguments),
    /// Measure rates and latencies on this machine
    #[command(subcommand)]
    Bench(bench::Command),
    /// List the places where a test can stop or kill the server
    Failpoints,
    /// Load the settings and show what they come to
    CheckConfig,
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Parses, runs, and says how it went.
pub fn run() -> ExitCode {
    // clap prints usage errors itself and exits with 2, help with 0.
    let cli = Cli::parse();
    telemetry::start(cli.log_level.as_deref().or_else(|| cli.quiet_by_default()), output::color());
    match cli.run() {
        Ok(()) => ExitCode::from(Exit::Ok as u8),
        Err(failure) if failure.is_closed_pipe() => ExitCode::from(Exit::Ok as u8),
        Err(failure) => {
            output::say(&failure.to_string());
            ExitCode::from(failure.exit as u8)
        }
    }
}

impl Cli {
    fn run(self) -> Result<(), Failure> {
        if let Some(settings) = &self.failpoints {
            fault::arm(settings).map_err(|error| Failure::usage(error.to_string()))?;
        }
        match &self.command {
            Command::Serve(arguments) => serve::run(self.settings(arguments.address.as_deref())?),
            Command::Demo(arguments) => demo::run(arguments),
            Command::Produce(arguments) => {
                produce::run(arguments, self.data.as_deref(), || self.settings(None))
            }
            Command::Memory(command) => memory::run(command),
            Command::Audit(arguments) => audit::run(arguments, self.settings(None)?),
            Command::Sim(arguments) => sim::run(arguments),
            Command::Bench(command) => bench::run(command),
            Command::Failpoints => list_failpoints(),
            Command::CheckConfig => check_config::run(&self.settings(None)?),
            Command::Completions { shell } => complete(*shell),
        }
    }

    fn settings(&self, address: Option<&str>) -> Result<Config, Failure> {
        let flags = Flags {
            data: self.data.clone(),
            http: address.map(|address| HttpFlags { address: address.to_owned() }),
        };
        config::load(self.config.as_deref(), &flags).map_err(|error| Failure::usage(error.to_string()))
    }

    /// Only the server's own log is worth reading when nothing is wrong; a simulation's tells of faults
    /// that were asked for.
    fn quiet_by_default(&self) -> Option<&str> {
        match self.command {
            Command::Serve(_) => None,
            Command::Sim(_) => Some("off"),
            _ => Some("warn"),
        }
    }
}

fn list_failpoints() -> Result<(), Failure> {
    let mut out = output::Out::new();
    for name in fault::FAILPOINTS {
        out.line(name)?;
    }
    output::say("arm one with ENGRAFT_FAILPOINTS=NAME=abort@N or NAME=stall@N before `engraft serve`");
    out.finish()
}

fn complete(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "engraft", &mut script);
    let mut out = output::Out::new();
    out.text(&String::from_utf8_lossy(&script))?;
    out.finish()
}

/// A runtime for what is asynchronous.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Failure::new(Exit::Failed, format!("cannot start the runtime: {error}")))
}

/// Runs one asynchronous thing to its end.
pub(crate) fn block_on<F: Future>(future: F) -> Result<F::Output, Failure> {
    Ok(runtime()?.block_on(future))
}

impl From<app::Error> for Failure {
    fn from(error: app::Error) -> Self {
        Self::chain(Exit::Failed, &error)
    }
}
