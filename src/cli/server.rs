//! What every command that asks a running server takes: which server, who asks, and how to show it.

use super::{Client, output};

/// Where a server listens unless it is told otherwise.
pub const URL: &str = "http://127.0.0.1:7878";

/// Which server, and who asks.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub(super) struct Server {
    /// The server
    #[arg(long, env = "ENGRAFT_URL", hide_env_values = true, default_value = URL, value_parser = url)]
    url: String,
    /// A bearer token, where the server wants one
    #[arg(
        long,
        env = "ENGRAFT_TOKEN",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    token: String,
}

/// What every read takes.
#[derive(Debug, clap::Args)]
pub(super) struct Reading {
    #[command(flatten)]
    pub(super) show: output::Show,
    /// See at least the write that this token came from
    #[arg(long, value_name = "TOKEN")]
    after: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// How long a read waits for the write that `--after` names, in seconds.
const READ_WAIT_SECONDS: u64 = 10;

impl Server {
    /// A client of it.
    pub(super) fn client(&self) -> Client {
        let bearer = (!self.token.is_empty()).then(|| format!("Bearer {}", self.token));
        Client::new(&self.url).with("authorization", bearer)
    }

    /// Its address.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Reading {
    /// A client whose reads are as fresh as was asked for.
    pub(super) fn client(&self) -> Client {
        let wait = self.after.as_ref().map(|_| format!("wait={READ_WAIT_SECONDS}"));
        self.server.client().with("consistency-token", self.after.clone()).with("prefer", wait)
    }
}

/// `localhost:7878` is `http://localhost:7878`.
fn url(text: &str) -> Result<String, String> {
    match text.split_once("://") {
        Some(("http", host)) if !host.is_empty() => Ok(text.to_owned()),
        Some(("https", _)) => {
            Err("this program speaks http alone; reach a server behind TLS through a local proxy".to_owned())
        }
        Some((scheme, _)) => Err(format!("`{scheme}` is no scheme of a server; write http://HOST:PORT")),
        None if text.is_empty() => Err("it is empty; write http://HOST:PORT".to_owned()),
        None => Ok(format!("http://{text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_be_named_without_its_scheme_and_must_be_reachable_without_tls() {
        assert_eq!(url("localhost:7878"), Ok("http://localhost:7878".to_owned()));
        assert_eq!(url("http://[::1]:1"), Ok("http://[::1]:1".to_owned()));
        for bad in ["", "https://x", "ftp://x", "http://"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
