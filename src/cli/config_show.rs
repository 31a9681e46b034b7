//! `engraft config show`: what every setting comes to, as a file that could be read back.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};
use toml_edit::{Array, InlineTable, Key};

use crate::config::Setting;

use super::{Failure, output};

/// What can be done with the settings.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show what every setting comes to; secrets as `***`
    #[command(after_help = "\
Examples:
  engraft config show > engraft.toml
  engraft config show --origin
  ENGRAFT_HTTP__ADDRESS=127.0.0.1:80 engraft config show --origin -o jsonl")]
    Show(Arguments),
}

/// What `config show` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// With the file and line, variable or flag that each comes from
    #[arg(long)]
    origin: bool,
    /// How to show it
    #[arg(
        short,
        long,
        value_name = "toml|json|jsonl",
        hide_possible_values = true,
        value_enum,
        default_value_t
    )]
    output: Form,
}

/// How settings are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Form {
    /// As `engraft.toml` has them.
    #[default]
    #[value(alias = "table")]
    Toml,
    /// One document, indented.
    Json,
    /// One setting a line.
    Jsonl,
}

pub(super) fn run(command: &Command, settings: &[Setting]) -> Result<(), Failure> {
    let Command::Show(arguments) = command;
    let row = |setting: &Setting| {
        let mut row = json!({"key": setting.key(), "value": setting.value});
        if let (true, Some(row)) = (arguments.origin, row.as_object_mut()) {
            row.insert("origin".to_owned(), setting.origin.to_string().into());
        }
        row
    };
    let mut out = output::Out::new();
    match arguments.output {
        Form::Toml => out.text(&toml(settings, arguments.origin))?,
        Form::Json if arguments.origin => {
            let rows: Vec<Value> = settings.iter().map(row).collect();
            out.line(&format!("{:#}", json!({ "settings": rows })))?;
        }
        Form::Json => out.line(&format!("{:#}", nested(settings)))?,
        Form::Jsonl => settings.iter().try_for_each(|setting| out.line(&row(setting).to_string()))?,
    }
    out.finish()
}

/// Keys of the root first, then a table after the other.
fn toml(settings: &[Setting], origins: bool) -> String {
    let mut tables: BTreeMap<&[String], Vec<(String, &Setting)>> = BTreeMap::new();
    for setting in settings {
        let Some((name, table)) = setting.path.split_last() else { continue };
        // What is not set has no text in TOML.
        let Some(value) = value(&setting.value) else { continue };
        let line = format!("{} = {value}", Key::new(name));
        tables.entry(table).or_default().push((line, setting));
    }
    let mut text = String::new();
    for (table, lines) in &tables {
        if !table.is_empty() {
            let name: Vec<String> = table.iter().map(|part| Key::new(part).to_string()).collect();
            let space = if text.is_empty() { "" } else { "\n" };
            writeln!(text, "{space}[{}]", name.join(".")).expect("a string takes text");
        }
        let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or_default();
        for (line, setting) in lines {
            let line = if origins { format!("{line:width$}  # {}", setting.origin) } else { line.clone() };
            writeln!(text, "{line}").expect("a string takes text");
        }
    }
    text
}

fn value(json: &Value) -> Option<toml_edit::Value> {
    Some(match json {
        Value::Null => return None,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().filter_map(value).collect::<Array>().into(),
        Value::Object(members) => {
            let members = members.iter().filter_map(|(name, member)| Some((name.as_str(), value(member)?)));
            members.collect::<InlineTable>().into()
        }
    })
}

fn nested(settings: &[Setting]) -> Value {
    let mut root = json!({});
    for setting in settings {
        let mut at = &mut root;
        for part in &setting.path {
            let members = at.as_object_mut().expect("only the last part of a path is no table");
            at = members.entry(part.clone()).or_insert_with(|| json!({}));
        }
        *at = setting.value.clone();
    }
    root
}

#[cfg(test)]
mod tests {
    use crate::config::Origin;

    use super::*;

    #[test]
    fn what_is_shown_is_a_file_that_means_the_same() {
        let setting = |path: &[&str], value: Value| Setting {
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            value,
            origin: Origin::Default,
        };
        let settings = [
            setting(&["kafka", "client", "sasl.username"], json!("a \"b\"")),
            setting(&["kafka", "brokers"], json!("x:1")),
            setting(&["data"], json!("./data")),
            setting(&["kafka", "unset"], Value::Null),
            setting(&["kafka", "consumer"], json!({})),
        ];
        let expected = "data = \"./data\"\n\n[kafka]\nbrokers = \"x:1\"\nconsumer = {}\n\n\
                        [kafka.client]\n\"sasl.username\" = 'a \"b\"'\n";
        assert_eq!(toml(&settings, false), expected);
        assert!(toml(&settings, true).starts_with("data = \"./data\"  # default\n"));
    }
}
