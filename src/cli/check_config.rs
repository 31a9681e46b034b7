//! `engraft check-config`.

use crate::config::Config;

use super::{Exit, Failure, output};

pub(super) fn run(config: &Config) -> Result<(), Failure> {
    let shown = serde_json::to_string_pretty(config)
        .map_err(|error| Failure::new(Exit::Failed, format!("cannot show the settings: {error}")))?;
    let mut out = output::Out::new();
    out.line(&shown)?;
    output::say("the settings are good");
    out.finish()
}
