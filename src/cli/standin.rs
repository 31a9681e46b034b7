//! `engraft qdrant-standin`: a stand-in for a Qdrant server, for benches and fault campaigns.

use std::{net::SocketAddr, path::PathBuf};

use crate::vector::qdrant::standin::{Options, Plan, Standin};

use super::{Failure, runtime};

/// What `qdrant-standin` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  engraft qdrant-standin --listen 127.0.0.1:6334 --data ./standin --control 127.0.0.1:6335")]
pub(super) struct Arguments {
    /// Where it listens for gRPC
    #[arg(long, default_value = "127.0.0.1:6334")]
    listen: SocketAddr,
    /// Where `GET` and `PUT /faults` are
    #[arg(long)]
    control: Option<SocketAddr>,
    /// Its folder
    #[arg(long)]
    data: PathBuf,
    /// Milliseconds that every call waits
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// The release that it says it is
    #[arg(long, default_value = "1.19.0")]
    release: String,
    /// Flush every write before it is acknowledged, so that a kill loses nothing
    #[arg(long)]
    flush: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let options = Options {
        listen: arguments.listen,
        control: arguments.control,
        data: arguments.data.clone(),
        release: arguments.release.clone(),
        api_key: String::new(),
        flushes: arguments.flush,
        plan: Plan { latency_ms: arguments.latency_ms, ..Plan::default() },
    };
    runtime()?.block_on(async {
        let standin = Standin::start(options).await?;
        tracing::info!(address = %standin.address(), "the stand-in listens");
        crate::app::signalled().await;
        standin.stop().await;
        Ok::<_, std::io::Error>(())
    })?;
    Ok(())
}
