//! Which file, variable or flag a setting came from, and which settings nobody should read.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use figment::{
    Figment, Metadata, Profile, Provider, Source,
    value::{Dict, Value},
};
use toml_edit::{ImDocument, Item};

use super::{Config, Flags};

/// In the place of what is secret.
const MASK: &str = "***";
/// A key that holds one of these holds a secret …
const SECRET: [&str; 9] = [
    "password",
    "passphrase",
    "secret",
    "token",
    "credential",
    "api_key",
    "jaas",
    "oauthbearer.config",
    ".pem",
];
/// … unless it ends so: then it says where the secret lies.
const PLACES: [&str; 3] = ["file", "location", "path"];
/// What stands beside a secret and is none.
const BESIDE: [&str; 5] = ["name", "role", "roles", "space", "spaces"];

/// Who set a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody: it is as it is by default.
    Default,
    /// A file, and the line in it, from 1, if it was found there.
    File(PathBuf, Option<usize>),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

/// A key, what it comes to, and who said so.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The parts of the key; a part may hold dots.
    pub path: Vec<String>,
    /// Its value, `***` where it is secret; `null`: not set.
    pub value: serde_json::Value,
    /// Who set it.
    pub origin: Origin,
}

impl Setting {
    /// The key as messages write it.
    #[must_use]
    pub fn key(&self) -> String {
        self.path.join(".")
    }
}

impl Origin {
    /// Who set the key at `path`, by what figment knows of its value.
    pub(super) fn of(metadata: &Metadata, path: &[String]) -> Self {
        match &metadata.source {
            Some(Source::File(file)) => Self::File(near(file), line(file, path)),
            // Variables that others know too have no prefix.
            _ if metadata.name == "environment variable(s)" => {
                let setting = path.join(".");
                let known = super::KNOWN_NAMES.iter().find(|(_, known)| *known == setting);
                Self::Environment(known.map_or(setting.as_str(), |(name, _)| name).to_owned())
            }
            _ if metadata.name.ends_with("environment variable(s)") => {
                Self::Environment(format!("ENGRAFT_{}", path.join("__").to_uppercase()))
            }
            _ if metadata.name == std::any::type_name::<&Flags>()
                || metadata.name == std::any::type_name::<Flags>() =>
            {
                Self::Flag(format!("--{}", path.last().map_or("", String::as_str)))
            }
            _ => Self::Default,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(file, Some(line)) => write!(f, "{}:{line}", file.display()),
            Self::File(file, None) => write!(f, "{}", file.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// The file as it was named, where it lies in this folder or below.
fn near(file: &Path) -> PathBuf {
    let here = std::env::current_dir().ok();
    here.and_then(|here| file.strip_prefix(here).ok()).unwrap_or(file).to_owned()
}

/// The line of a key in a file of settings, from 1.
fn line(file: &Path, path: &[String]) -> Option<usize> {
    let text = fs::read_to_string(file).ok()?;
    let document = ImDocument::parse(text.as_str()).ok()?;
    let mut item: &Item = document.as_item();
    let mut start = None;
    for part in path {
        // What an array holds is found at the array.
        let Some((key, value)) = item.as_table_like().and_then(|table| table.get_key_value(part)) else {
            break;
        };
        start = key.span().map(|span| span.start).or(start);
        item = value;
    }
    Some(text.get(..start?)?.matches('\n').count() + 1)
}

/// Every key of these sources, in order.
pub(super) fn settings(figment: &Figment) -> Vec<Setting> {
    let mut found = Vec::new();
    let profiles = figment.data().unwrap_or_default();
    if let Some(dict) = profiles.get(&Profile::Default) {
        walk(figment, dict, &[], &mut found);
    }
    found
}

fn walk(figment: &Figment, dict: &Dict, above: &[String], into: &mut Vec<Setting>) {
    for (name, value) in dict {
        let path = [above, std::slice::from_ref(name)].concat();
        if let Value::Dict(_, members) = value
            && !members.is_empty()
        {
            walk(figment, members, &path, into);
            continue;
        }
        let origin =
            figment.get_metadata(value.tag()).map_or(Origin::Default, |metadata| Origin::of(metadata, &path));
        let shown = serde_json::to_value(value).unwrap_or_default();
        into.push(Setting { value: masked(shown, is_secret(&path)), origin, path });
    }
}

/// What a key is when nobody sets it.
pub(super) fn default_of(path: &[String]) -> Option<serde_json::Value> {
    let all = serde_json::to_value(Config::default()).ok()?;
    let value = path.iter().try_fold(&all, |value, part| value.get(part))?;
    (!value.is_null() && !value.is_object()).then(|| value.clone())
}

/// Whether what stands at this key is not to be shown.
pub(super) fn is_secret(path: &[String]) -> bool {
    path.iter().any(|part| holds_secret(part))
        && !path.last().is_some_and(|last| BESIDE.contains(&last.as_str()) || says_where(last))
}

fn holds_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET.iter().any(|word| name.contains(word)) && !says_where(&name)
}

fn says_where(name: &str) -> bool {
    PLACES.iter().any(|end| name.ends_with(end))
}

/// The value without the secrets in it. A number or a switch is none, whatever its name.
fn masked(value: serde_json::Value, secret: bool) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        Json::String(text) if secret && !text.is_empty() => Json::String(MASK.to_owned()),
        Json::String(text) => Json::String(without_password(text)),
        Json::Array(items) => items.into_iter().map(|item| masked(item, secret)).collect(),
        Json::Object(members) => {
            let member = |(name, value): (String, Json)| {
                let beside = BESIDE.contains(&name.as_str()) || says_where(&name);
                let value = masked(value, holds_secret(&name) || secret && !beside);
                (name, value)
            };
            Json::Object(members.into_iter().map(member).collect())
        }
        other => other,
    }
}

/// `scheme://user:password@host?password=…` with its passwords masked.
fn without_password(text: String) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    if let Some((before, after)) = rest.split_once("password=") {
        let after = after.find('&').and_then(|end| after.get(end..)).unwrap_or_default();
        return without_password(format!("{scheme}://{before}")) + "password=" + MASK + after;
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':')) else {
        return text;
    };
    let host = rest.get(authority.rfind('@').unwrap_or_default()..).unwrap_or_default();
    format!("{scheme}://{user}:{MASK}{host}")
}

#[cfg(test)]
mod tests {
    use figment::Jail;
    use serde_json::json;

    use crate::config::{Error, FILE, HttpFlags, effective, load};

    use super::*;

    fn found<'a>(settings: &'a [Setting], key: &str) -> &'a Setting {
        settings.iter().find(|setting| setting.key() == key).expect("a setting")
    }

    #[test]
    fn every_setting_says_who_set_it() {
        Jail::expect_with(|jail| {
            jail.create_file(FILE, "# mine\ndata = \"here\"\n\n[log]\npartitions = 3\n")?;
            jail.set_env("ENGRAFT_HTTP__WAITING_COUNT_MAX", "7");
            let flags =
                Flags { http: Some(HttpFlags { address: "127.0.0.1:9".to_owned() }), ..Flags::default() };
            let settings = effective(None, &flags).expect("good settings");
            let origin = |key: &str| found(&settings, key).origin.to_string();
            assert_eq!(origin("data"), "engraft.toml:2");
            assert_eq!(origin("log.partitions"), "engraft.toml:5");
            assert_eq!(origin("http.waiting_count_max"), "ENGRAFT_HTTP__WAITING_COUNT_MAX");
            assert_eq!(origin("http.address"), "--address");
            assert_eq!(origin("log.retention_hours"), "default");
            assert_eq!(found(&settings, "log.partitions").value, json!(3));
            Ok(())
        });
    }

    #[test]
    fn no_secret_is_shown() {
        Jail::expect_with(|jail| {
            let properties = "\"sasl.username\" = \"ada\"\n\"sasl.password\" = \"hunter2\"\n\
                              \"ssl.key.location\" = \"key.pem\"\n\"ssl.key.password\" = \"hunter2\"\n";
            jail.create_file(FILE, &format!("[kafka.client]\n{properties}"))?;
            let settings = effective(None, &Flags::default()).expect("good settings");
            assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
            assert_eq!(found(&settings, "kafka.client.sasl.password").value, json!("***"));
            assert_eq!(found(&settings, "kafka.client.sasl.username").value, json!("ada"));
            assert_eq!(found(&settings, "kafka.client.ssl.key.location").value, json!("key.pem"));
            assert_eq!(found(&settings, "kafka.client.sasl.password").origin.to_string(), "engraft.toml:3");
            Ok(())
        });
        let tokens =
            json!([{"token": "hunter2", "hash": "hunter2", "spaces": ["acme"], "role": "read"}, "hunter2"]);
        let shown = masked(tokens, is_secret(&["http".to_owned(), "tokens".to_owned()]));
        let expected = json!([{"token": "***", "hash": "***", "spaces": ["acme"], "role": "read"}, "***"]);
        assert_eq!(shown, expected);
        assert_eq!(masked(json!("postgres://ada:hunter2@host/x"), false), json!("postgres://ada:***@host/x"));
        assert_eq!(masked(json!("http://host:80/x@y:z"), false), json!("http://host:80/x@y:z"));
    }

    #[test]
    fn a_refusal_names_file_line_key_value_and_what_to_write() {
        Jail::expect_with(|jail| {
            jail.create_file(FILE, "[http]\naddress = \"nonsense\"\n")?;
            let Error(refusal) = load(None, &Flags::default()).expect_err("refused");
            for part in ["`http.address` is `nonsense`", "engraft.toml:2", "127.0.0.1:7878"] {
                assert!(refusal.contains(part), "{refusal}");
            }
            jail.create_file(FILE, "[log]\n\npartitions = \"two\"\n")?;
            let Error(refusal) = load(None, &Flags::default()).expect_err("refused");
            for part in ["`log.partitions`", "\"two\"", "engraft.toml:3", "the default is `1`"] {
                assert!(refusal.contains(part), "{refusal}");
            }
            jail.create_file(FILE, "[log]\npartitions = 0\n")?;
            let Error(refusal) = load(None, &Flags::default()).expect_err("refused");
            assert!(
                refusal.contains("`log.partitions` is 0") && refusal.contains("engraft.toml:2"),
                "{refusal}"
            );
            Ok(())
        });
        Jail::expect_with(|jail| {
            jail.set_env("ENGRAFT_HTTP__ADRESS", "127.0.0.1:1");
            let Error(refusal) = load(None, &Flags::default()).expect_err("refused");
            assert!(refusal.contains("ENGRAFT_HTTP__ADRESS"), "{refusal}");
            Ok(())
        });
    }
}
