//! What the tests with real processes share: a server that can be killed, and a client that keeps a history.

pub(crate) mod client;
pub(crate) mod load;
pub(crate) mod server;

/// A setting of the run, as a number; `default` when it is not set.
///
/// # Panics
/// When it is set to what is no number: a campaign that silently ran another number proves nothing.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`, which is no number")),
        Err(_) => default,
    }
}
