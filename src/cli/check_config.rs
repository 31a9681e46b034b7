//! `engraft check-config`: whether the settings are good, and which of them somebody set.

use serde_json::{Value, json};

use crate::config::{Origin, Setting};

use super::{Failure, Format, output};

/// What `check-config` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engraft check-config
  engraft check-config --config /etc/engraft.toml")]
pub(super) struct Arguments {
    #[command(flatten)]
    show: output::Show,
}

pub(super) fn run(arguments: &Arguments, settings: &[Setting]) -> Result<(), Failure> {
    let set = settings.iter().filter(|setting| setting.origin != Origin::Default);
    let rows: Vec<Value> = set
        .map(|Setting { value, origin, path }| {
            json!({"key": path.join("."), "value": value, "origin": origin.to_string()})
        })
        .collect();
    let columns = [("KEY", "/key"), ("VALUE", "/value"), ("SET IN", "/origin")];
    let mut out = output::Out::new();
    if arguments.show.output != Format::Table || !rows.is_empty() {
        out.list(arguments.show.output, &json!({"settings": rows}), "settings", &columns)?;
    }
    out.finish()?;
    output::say(&format!(
        "the settings are good: {} of {} are set, the others are as they are by default",
        rows.len(),
        settings.len()
    ));
    Ok(())
}
