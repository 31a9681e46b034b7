//! `engraft serve`.

use std::time::Duration;

use crate::{
    app,
    config::{Config, Role},
};

use super::{Failure, runtime};

/// What `serve` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engraft serve
  engraft serve --role worker
  engraft serve --data /srv/engraft --address 127.0.0.1:8000
  ENGRAFT_LOG__PARTITIONS=4 engraft serve --log-level debug")]
pub(super) struct Arguments {
    /// Where to listen; a loopback address [default: 127.0.0.1:7878]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) address: Option<String>,
    /// What this process does: everything, HTTP alone, or the work alone [default: all]
    #[arg(long, value_name = "all|api|worker", hide_possible_values = true)]
    pub(super) role: Option<Role>,
}

/// How long a driver's thread that does not end is waited for, when all else has.
const DRIVERS_MAX: Duration = Duration::from_secs(1);

pub(super) fn run(config: Config) -> Result<(), Failure> {
    let runtime = runtime()?;
    let ended = runtime.block_on(app::serve(config));
    // Dropped, it would wait for each of them, however long.
    runtime.shutdown_timeout(DRIVERS_MAX);
    Ok(ended?)
}
