//! Settings: `engraft.toml`, then `ENGRAFT_…__…` environment, then flags. The later wins.
//!
//! Each room owns its options and their meaning; this file collects them, checks them, and says what
//! is wrong with a key by its name. A key that nobody knows is refused, with the nearest that is known.
//!
//! ```text
//! engraft.toml              environment                          flag
//! data = "/srv/engraft"     ENGRAFT_DATA=/srv/engraft            --data /srv/engraft
//! [http]
//! address = "[::1]:7878"    ENGRAFT_HTTP__ADDRESS='[::1]:7878'   --address '[::1]:7878'
//! ```

mod nearest;
mod origin;
mod shared;

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    error::Kind,
    providers::{Env, Format, Serialized, Toml},
};
use serde::{Deserialize, Serialize};

use crate::{
    guard, http, ledger,
    log::{envelope, kafka},
    reader,
    vector::qdrant::Options as QdrantOptions,
};

use nearest::nearest;
pub use origin::{Origin, Setting};

/// The file that is read when none is named, if it is there.
pub const FILE: &str = "engraft.toml";
/// Where many programs look for their database.
const DATABASE_URL: &str = "DATABASE_URL";
/// Variables that other programs know too, and the settings that they stand for. A `DATABASE_URL` that names another sort
/// of database than ours is not meant for us.
const KNOWN_NAMES: [(&str, &str); 4] = [
    (DATABASE_URL, "ledger.url"),
    ("KAFKA_BOOTSTRAP_SERVERS", "kafka.brokers"),
    ("QDRANT_URL", "qdrant.url"),
    ("QDRANT_API_KEY", "qdrant.api_key"),
];
/// Variables that begin like settings and are none: they steer tests, how settings are found, and which
/// server a client asks.
const NOT_SETTINGS: [&str; 7] =
    ["config", "failpoints", "log_level", "sim_seeds", "token", "url", "write_schemas"];
/// Likewise, all that begin so.
const TEST_PREFIX: &str = "test_";

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where data lies; `./engraft-data`. One process at a time.
    pub data: PathBuf,
    /// What this process does; `all`.
    pub role: Role,
    /// The command log.
    pub log: LogOptions,
    /// The Kafka log, where `log.kind` says so.
    pub kafka: kafka::Options,
    /// The ledger.
    pub ledger: ledger::options::Options,
    /// The vector store.
    pub vector: VectorOptions,
    /// The Qdrant server, where `vector.kind` says so.
    pub qdrant: QdrantOptions,
    /// What stands before each store.
    pub guard: guard::Options,
    /// What a command may be.
    pub limits: Limits,
    /// Bounds of reads.
    pub reader: reader::Options,
    /// The HTTP server.
    pub http: http::Options,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./engraft-data"),
            role: Role::All,
            log: LogOptions::default(),
            kafka: kafka::Options::default(),
            ledger: ledger::options::Options::default(),
            vector: VectorOptions::default(),
            qdrant: QdrantOptions::default(),
            guard: guard::Options::default(),
            limits: Limits::default(),
            reader: reader::Options::default(),
            http: http::Options::default(),
        }
    }
}

/// What a process does of what there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    All,
    /// Serves HTTP: takes commands into the log and answers reads, while others work.
    Api,
    /// Works on partitions; of HTTP it serves what tells whether it is well.
    Worker,
}

/// `[log]`: where commands become durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogOptions {
    /// `embedded` (a file in the data folder) or `kafka`; `embedded`.
    pub kind: LogKind,
    /// Partitions of an embedded log, fixed when its file is made; 1.
    pub partitions: u32,
    /// Running hours that an embedded log keeps what was read; 24.
    pub retention_hours: u32,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { kind: LogKind::Embedded, partitions: 1, retention_hours: 24 }
    }
}

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogKind {
    /// A file in the data folder, for one process.
    Embedded,
    /// A topic.
    Kafka,
}

/// `[vector]`: where vectors are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VectorOptions {
    /// `edge` (a folder in the data folder), `qdrant` (a server) or `memory` (gone with the process,
    /// rebuilt at start); `edge` where this build has it.
    pub kind: VectorKind,
}

/// Which vector store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VectorKind {
    /// qdrant-edge in a folder.
    Edge,
    /// Exact search in memory.
    Memory,
    /// A Qdrant server.
    Qdrant,
}

impl Default for VectorKind {
    fn default() -> Self {
        if cfg!(feature = "edge") { Self::Edge } else { Self::Memory }
    }
}

/// `[limits]`: what a command may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a record; 4 MiB.
    pub record_bytes_max: usize,
    /// Bytes of a memory's content; 256 KiB.
    pub content_bytes_max: usize,
    /// Items of a batch; 1,000.
    pub batch_items_max: usize,
    /// Levels of nested JSON; 32.
    pub depth_max: usize,
    /// Properties of a record; 256.
    pub properties_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        envelope::Limits::default().into()
    }
}

impl From<envelope::Limits> for Limits {
    fn from(limits: envelope::Limits) -> Self {
        let envelope::Limits {
            record_bytes_max,
            content_bytes_max,
            batch_items_max,
            depth_max,
            properties_max,
        } = limits;
        Self { record_bytes_max, content_bytes_max, batch_items_max, depth_max, properties_max }
    }
}

impl From<Limits> for envelope::Limits {
    fn from(limits: Limits) -> Self {
        let Limits { record_bytes_max, content_bytes_max, batch_items_max, depth_max, properties_max } =
            limits;
        Self { record_bytes_max, content_bytes_max, batch_items_max, depth_max, properties_max }
    }
}

/// Settings that came by flags; `None`: not given.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Flags {
    /// `--data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// `--role`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// `--address`, as `http.address`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpFlags>,
}

/// Settings of the server that came by flags.
#[derive(Debug, Clone, Serialize)]
pub struct HttpFlags {
    /// `--address`.
    pub address: String,
}

/// Settings that cannot be used. One line a problem; each names its key and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// Loads the settings. `file`: the one named by `--config` or `ENGRAFT_CONFIG`, which must be there.
///
/// # Errors
/// [`Error`] when the file is not there, a key is not known, or a value is none.
pub fn load(file: Option<&Path>, flags: &Flags) -> Result<Config, Error> {
    let figment = sources(file, flags)?;
    let config: Config = figment.extract().map_err(|errors| Error(explain_all(errors, &figment)))?;
    config.check().map_err(|Error(sentence)| Error(placed(&sentence, &origin::settings(&figment))))?;
    Ok(config)
}

/// Everything that says something: the later ones win.
fn sources(file: Option<&Path>, flags: &Flags) -> Result<Figment, Error> {
    let environment = Env::prefixed("ENGRAFT_")
        .filter(|key| !key.starts_with(TEST_PREFIX) && !NOT_SETTINGS.iter().any(|name| *key == **name))
        .split("__");
    let toml = match file {
        Some(path) if !path.is_file() => {
            return Err(Error(format!("there is no file `{}`, which `--config` names", path.display())));
        }
        Some(path) => Toml::file_exact(path),
        None if Path::new(FILE).is_file() => Toml::file_exact(FILE),
        None => Toml::string(""),
    };
    Ok(Figment::from(Serialized::defaults(Config::default()))
        .merge(known_names())
        .merge(toml)
        .merge(environment)
        .merge(Serialized::defaults(flags)))
}

/// What [`KNOWN_NAMES`] say in this environment; the file goes before them, since it was written for us alone.
fn known_names() -> Env {
    let ours = |name: &str, value: &str| name != DATABASE_URL || ledger::options::is_postgres(value);
    let set: Vec<(String, String)> =
        Env::raw().iter().map(|(name, value)| (name.to_string(), value)).collect();
    let is_set =
        |name: &str| set.iter().any(|(known, value)| known.eq_ignore_ascii_case(name) && ours(name, value));
    let names: Vec<&str> = KNOWN_NAMES.iter().map(|(name, _)| *name).filter(|name| is_set(name)).collect();
    Env::raw().only(&names).map(|name| {
        let setting = KNOWN_NAMES.iter().find(|(known, _)| name == *known);
        setting.map_or_else(|| name.into(), |(_, setting)| (*setting).into())
    })
}

impl Config {
    fn check(&self) -> Result<(), Error> {
        self.http.check().map_err(|error| Error(error.to_string()))?;
        if self.log.partitions == 0 {
            return Err(Error("`log.partitions` is 0, but a log has at least one".to_owned()));
        }
        if self.log.kind == LogKind::Kafka && !cfg!(feature = "kafka") {
            let fix = "`log.kind = \"kafka\"` needs a build with `--features kafka`; use \"embedded\"";
            return Err(Error(fix.to_owned()));
        }
        self.kafka.check().map_err(|error| Error(error.to_string()))?;
        self.ledger.check().map_err(|error| Error(error.to_string()))?;
        if self.vector.kind == VectorKind::Edge && !cfg!(feature = "edge") {
            let fix = "`vector.kind = \"edge\"` needs a build with `--features edge`; use \"memory\"";
            return Err(Error(fix.to_owned()));
        }
        if self.vector.kind == VectorKind::Qdrant && !cfg!(feature = "qdrant") {
            let fix = "`vector.kind = \"qdrant\"` needs a build with `--features qdrant`; use \"edge\"";
            return Err(Error(fix.to_owned()));
        }
        self.qdrant.check().map_err(|error| Error(error.to_string()))?;
        shared::check(self)
    }
}

/// What every key comes to, and who said so, in order of keys. Secrets are masked.
///
/// # Errors
/// As for [`load`].
pub fn effective(file: Option<&Path>, flags: &Flags) -> Result<Vec<Setting>, Error> {
    load(file, flags)?;
    Ok(origin::settings(&sources(file, flags)?))
}

fn explain_all(errors: figment::Error, figment: &Figment) -> String {
    let lines: Vec<String> = errors.into_iter().map(|error| explain(&error, figment)).collect();
    lines.join("\n")
}

/// One problem in a sentence that names the key, its value, where it was set, and what to write instead.
fn explain(error: &figment::Error, figment: &Figment) -> String {
    let mut path = error.path.clone();
    if let Kind::UnknownField(name, _) = &error.kind
        && path.last() != Some(name)
    {
        path.push(name.clone());
    }
    let place = match &error.metadata {
        Some(metadata) => format!(" (set in {})", Origin::of(metadata, &path)),
        None => String::new(),
    };
    let key = path.join(".");
    match &error.kind {
        Kind::UnknownField(name, expected) => {
            let fix = nearest(name, expected).map_or_else(
                || format!("the keys here are {}", expected.join(", ")),
                |known| format!("did you mean `{known}`?"),
            );
            format!("`{key}` is no setting{place}; {fix}")
        }
        kind if path.is_empty() => format!("{kind}{place}"),
        Kind::Message(words) => {
            let value = figment.find_value(&key).ok().filter(|_| !origin::is_secret(&path));
            let value = value.and_then(figment::value::Value::into_string);
            let is = value.map_or_else(String::new, |value| format!(" is `{value}`"));
            format!("`{key}`{is}: {words}{place}{}", default_of(&path))
        }
        // These name the value.
        _ if origin::is_secret(&path) => format!("`{key}` has a value that is none{place}"),
        kind => format!("`{key}`: {kind}{place}{}", default_of(&path)),
    }
}

/// What to write when in doubt.
fn default_of(path: &[String]) -> String {
    let Some(value) = origin::default_of(path) else { return String::new() };
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("; the default is `{value}`")
}

/// A sentence about keys, and where those of them were set that were set at all.
fn placed(sentence: &str, settings: &[Setting]) -> String {
    let named = |setting: &&Setting| {
        setting.origin != Origin::Default && sentence.contains(&format!("`{}", setting.key()))
    };
    let places: Vec<String> =
        settings.iter().filter(named).map(|setting| setting.origin.to_string()).collect();
    if places.is_empty() { sentence.to_owned() } else { format!("{sentence} (set in {})", places.join(", ")) }
}

#[cfg(test)]
mod tests {
    use figment::Jail;

    use super::*;

    #[test]
    fn the_file_yields_to_the_environment_and_that_to_flags() {
        Jail::expect_with(|jail| {
            jail.create_file(
                FILE,
                "data = \"file\"\n[http]\nwaiting_count_max = 7\naddress = \"[::1]:1\"\n",
            )?;
            jail.set_env("ENGRAFT_DATA", "environment");
            jail.set_env("ENGRAFT_HTTP__ADDRESS", "127.0.0.1:2");
            let flags = Flags { data: Some("flag".into()), ..Flags::default() };
            let config = load(None, &flags).expect("good settings");
            assert_eq!(config.data, Path::new("flag"));
            assert_eq!(config.http.address.to_string(), "127.0.0.1:2");
            assert_eq!(config.http.waiting_count_max, 7);
            Ok(())
        });
    }

    #[test]
    fn an_unknown_key_is_refused_and_the_nearest_is_named() {
        Jail::expect_with(|jail| {
            jail.create_file(FILE, "[http]\nadress = \"127.0.0.1:1\"\n")?;
            let refusal = load(None, &Flags::default()).expect_err("refused").to_string();
            assert!(refusal.contains("`http.adress`") && refusal.contains("`address`"), "{refusal}");
            assert!(refusal.contains(FILE), "{refusal}");
            Ok(())
        });
        Jail::expect_with(|jail| {
            jail.set_env("ENGRAFT_READER__LIMIT", "3");
            let refusal = load(None, &Flags::default()).expect_err("refused").to_string();
            assert!(refusal.contains("limit_max"), "{refusal}");
            Ok(())
        });
    }

    #[test]
    fn a_database_is_found_by_the_name_that_others_use() {
        Jail::expect_with(|jail| {
            jail.set_env("DATABASE_URL", "mysql://ada@host/x");
            assert_eq!(load(None, &Flags::default()).expect("good settings").ledger.url, "");
            jail.set_env("DATABASE_URL", "postgres://ada:hunter2@host/x?password=hunter2");
            let config = load(None, &Flags::default()).expect("good settings");
            assert_eq!(config.ledger.url, "postgres://ada:hunter2@host/x?password=hunter2");
            let settings = effective(None, &Flags::default()).expect("good settings");
            let url = settings.iter().find(|setting| setting.key() == "ledger.url").expect("a setting");
            assert_eq!(url.value, "postgres://ada:***@host/x?password=***");
            assert_eq!(url.origin.to_string(), "DATABASE_URL");
            jail.set_env("ENGRAFT_LEDGER__URL", "postgresql://other/y");
            assert_eq!(
                load(None, &Flags::default()).expect("good settings").ledger.url,
                "postgresql://other/y"
            );
            jail.set_env("ENGRAFT_LEDGER__POSTGRES__SCHEMA", "Mine; drop");
            let refusal = load(None, &Flags::default()).expect_err("refused").to_string();
            assert!(refusal.contains("`ledger.postgres.schema`"), "{refusal}");
            jail.set_env("ENGRAFT_LEDGER__POOL", "3");
            let refusal = load(None, &Flags::default()).expect_err("refused").to_string();
            assert!(refusal.contains("`ledger.pool` is no setting"), "{refusal}");
            Ok(())
        });
    }

    #[test]
    fn what_steers_tests_is_no_setting() {
        Jail::expect_with(|jail| {
            for name in ["TEST_KAFKA", "SIM_SEEDS", "FAILPOINTS", "CONFIG"] {
                jail.set_env(format!("ENGRAFT_{name}"), "x");
            }
            assert_eq!(load(None, &Flags::default()), Ok(Config::default()));
            Ok(())
        });
    }

    #[test]
    fn the_names_that_qdrant_users_have_set_are_known() {
        Jail::expect_with(|jail| {
            jail.set_env("QDRANT_URL", "https://qdrant:6334");
            jail.set_env("QDRANT_API_KEY", "canary");
            let config = load(None, &Flags::default()).expect("good settings");
            assert_eq!((&*config.qdrant.url, &*config.qdrant.api_key), ("https://qdrant:6334", "canary"));
            jail.set_env("ENGRAFT_QDRANT__URL", "http://[::1]:6334");
            let config = load(None, &Flags::default()).expect("good settings");
            assert_eq!(config.qdrant.url, "http://[::1]:6334");
            let shown = effective(None, &Flags::default()).expect("good settings");
            assert!(!format!("{shown:?}").contains("canary"));
            Ok(())
        });
    }

    #[test]
    fn a_bad_value_names_its_key() {
        Jail::expect_with(|jail| {
            jail.set_env("ENGRAFT_HTTP__ADDRESS", "here");
            let refusal = load(None, &Flags::default()).expect_err("refused").to_string();
            assert!(refusal.contains("http.address"), "{refusal}");
            jail.set_env("ENGRAFT_HTTP__ADDRESS", "0.0.0.0:7878");
            let refusal = load(None, &Flags::default()).expect_err("refused").to_string();
            assert!(refusal.contains("loopback"), "{refusal}");
            let missing = load(Some(Path::new("nowhere.toml")), &Flags::default());
            assert!(missing.expect_err("refused").to_string().contains("nowhere.toml"));
            Ok(())
        });
    }
}
