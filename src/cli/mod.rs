//! The command line: data on standard output, talk on standard error, exit codes that scripts can use.
//!
//! Each subcommand is a file here. What it does is done by the rooms, or by a running server over
//! HTTP; this room asks, and shows.

mod audit;
mod bench;
mod check_config;
mod client;
mod config_show;
mod exit;
mod manual;
mod memory;
mod output;
mod partitions;
mod problem;
mod produce;
mod relation;
mod sagas;
mod serve;
mod server;
mod sim;
mod space;
#[cfg(all(feature = "edge", feature = "qdrant"))]
mod standin;
mod status;
#[cfg(feature = "kafka")]
mod topics;
mod values;
mod write;

use std::{future::Future, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    app,
    config::{self, Config, Flags, HttpFlags, Setting},
    demo, fault, telemetry,
};

pub(crate) use audit::of_folder as audit_of;
pub use client::Client;
pub use exit::{Exit, Failure};
pub use output::Format;
pub(crate) use output::colored_output;
pub use server::URL;

/// The heading of what every command takes.
const EVERYWHERE: &str = "Everywhere";

/// A write-coordinator with an event log for AI memory.
#[derive(Debug, Parser)]
#[command(name = "engraft", version, about, max_term_width = 100)]
struct Cli {
    /// Settings; engraft.toml in this folder if it is there
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE", env = "ENGRAFT_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    /// Where data lies [default: ./engraft-data]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FOLDER")]
    data: Option<PathBuf>,

    /// How much the log says: error, warn, info, debug, trace
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "LEVEL", env = "ENGRAFT_LOG_LEVEL", hide_env_values = true)]
    log_level: Option<String>,

    /// When to colour; auto: at a terminal, unless NO_COLOR is set
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "auto|always|never", hide_possible_values = true, value_enum, default_value_t)]
    color: output::Color,

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
    /// Tell how a server does
    Status(status::Arguments),
    /// Read and write memories
    #[command(subcommand)]
    Memory(memory::Command),
    /// Read and write relations
    #[command(subcommand)]
    Relation(relation::Command),
    /// Declare spaces, and tell what is in them
    #[command(subcommand)]
    Space(space::Command),
    /// Find commands, and what became of them
    #[command(subcommand)]
    Sagas(sagas::Command),
    /// Send commands, one JSON object a line, into the log
    Produce(produce::Arguments),
    /// Plan, make and check the topics of a log on Kafka
    #[cfg(feature = "kafka")]
    #[command(subcommand)]
    Topics(topics::Command),
    /// Tell how partitions do, and mend those that stand still
    #[command(subcommand)]
    Partitions(partitions::Command),
    /// Compare every store with the ledger, record by record
    Audit(audit::Arguments),
    /// Run the coordinator against simulated faults
    Sim(sim::Arguments),
    /// Measure rates and latencies on this machine
    #[command(subcommand)]
    Bench(bench::Command),
    /// Run a stand-in for a Qdrant server, for benches and fault campaigns
    #[cfg(all(feature = "edge", feature = "qdrant"))]
    #[command(hide = true)]
    QdrantStandin(standin::Arguments),
    /// List the places where a test can stop or kill the server
    #[command(after_help = "Example:\n  ENGRAFT_FAILPOINTS=NAME=abort@3 engraft serve")]
    Failpoints,
    /// Check the settings, and show which of them are set
    CheckConfig(check_config::Arguments),
    /// Show the settings
    #[command(subcommand)]
    Config(config_show::Command),
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  engraft completions bash > ~/.local/share/bash-completion/completions/engraft
  engraft completions zsh > ~/.zfunc/_engraft
  engraft completions fish > ~/.config/fish/completions/engraft.fish")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for every command
    Man(manual::Arguments),
}

/// Parses, runs, and says how it went.
pub fn run() -> ExitCode {
    // clap prints usage errors itself and exits with 2, help with 0.
    let cli = Cli::parse();
    output::set_color(cli.color);
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
            Command::Serve(arguments) => {
                let mut flags = self.flags(arguments.address.as_deref());
                flags.role = arguments.role;
                serve::run(self.settings_with(&flags)?)
            }
            Command::Demo(arguments) => demo::run(arguments),
            Command::Produce(arguments) => {
                produce::run(arguments, self.data.as_deref(), || self.settings(None))
            }
            Command::Status(arguments) => status::run(arguments),
            Command::Memory(command) => memory::run(command),
            Command::Relation(command) => relation::run(command),
            Command::Space(command) => space::run(command),
            Command::Sagas(command) => sagas::run(command),
            #[cfg(feature = "kafka")]
            Command::Topics(command) => topics::run(command, &self.settings(None)?),
            Command::Partitions(command) => partitions::run(command, &self.settings(None)?),
            Command::Audit(arguments) => audit::run(arguments, self.settings(None)?),
            Command::Sim(arguments) => sim::run(arguments),
            Command::Bench(command) => bench::run(command),
            #[cfg(all(feature = "edge", feature = "qdrant"))]
            Command::QdrantStandin(arguments) => standin::run(arguments),
            Command::Failpoints => list_failpoints(),
            Command::CheckConfig(arguments) => check_config::run(arguments, &self.origins()?),
            Command::Config(command) => config_show::run(command, &self.origins()?),
            Command::Completions { shell } => manual::complete(*shell, Cli::command()),
            Command::Man(arguments) => manual::run(arguments, Cli::command()),
        }
    }

    fn flags(&self, address: Option<&str>) -> Flags {
        let http = address.map(|address| HttpFlags { address: address.to_owned() });
        Flags { data: self.data.clone(), role: None, http }
    }

    fn settings(&self, address: Option<&str>) -> Result<Config, Failure> {
        self.settings_with(&self.flags(address))
    }

    fn settings_with(&self, flags: &Flags) -> Result<Config, Failure> {
        config::load(self.config.as_deref(), flags).map_err(|error| Failure::usage(error.to_string()))
    }

    fn origins(&self) -> Result<Vec<Setting>, Failure> {
        let flags = self.flags(None);
        let settings = config::effective(self.config.as_deref(), &flags);
        settings.map_err(|error| Failure::usage(error.to_string()))
    }

    /// Only the server's own log is worth reading when nothing is wrong; a simulation's tells of faults
    /// that were asked for.
    fn quiet_by_default(&self) -> Option<&str> {
        match self.command {
            Command::Serve(_) => None,
            #[cfg(all(feature = "edge", feature = "qdrant"))]
            Command::QdrantStandin(_) => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn every_command(command: clap::Command, into: &mut Vec<clap::Command>) {
        for below in command.get_subcommands() {
            every_command(below.clone(), into);
        }
        into.push(command);
    }

    /// Words as a shell would make them; enough for what examples hold.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quoted) = (vec![String::new()], false);
        for char in line.chars() {
            match char {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                '|' | '>' if !quoted && words.last().is_some_and(String::is_empty) => break,
                _ => words.last_mut().expect("never empty").push(char),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn every_command_has_an_example_and_every_example_is_a_command() {
        let mut commands = Vec::new();
        every_command(Cli::command(), &mut commands);
        let runnable = commands.iter().filter(|command| command.get_subcommands().next().is_none());
        for command in runnable {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let mut examples = help.lines().filter_map(|line| line.split_once("engraft ")).peekable();
            assert!(examples.peek().is_some(), "`{}` has no example", command.get_name());
            for (_, arguments) in examples {
                let line = words(&format!("engraft {arguments}"));
                assert!(Cli::try_parse_from(&line).is_ok(), "{line:?} is no command");
            }
        }
    }

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }
}
