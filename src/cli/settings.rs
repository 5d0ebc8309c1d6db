//! Settings: flags over environment over files over defaults, as one checked value.
//!
//! Each of the four is a table of the same keys. They are laid over each other, and only the
//! result is read into [`Settings`]; so every key can be given in each of them, and it is known
//! where it came from.

mod size;

pub(super) use size::Size;

use super::exit::Failure;
use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

const DEFAULTS: &str = include_str!("../../configs/default.toml");
const DEFAULT_FILE: &str = "configs/default.toml";

/// All that can be set. What a key means is said in `configs/default.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) dataset: Option<String>,
    pub(super) split: Option<String>,
    pub(super) revision: Option<String>,
    #[serde(default)]
    pub(super) predictions: Vec<String>,
    #[serde(default)]
    pub(super) instances: Vec<String>,
    pub(super) filter: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) shuffle: Option<u64>,
    pub(super) envs: Vec<PathBuf>,
    pub(super) recipes: PathBuf,
    pub(super) registry: PathBuf,
    pub(super) hf_endpoint: Option<String>,
    pub(super) hf_token: Option<String>,
    pub(super) run_id: Option<String>,
    pub(super) report_dir: PathBuf,
    pub(super) parallel: Option<usize>,
    pub(super) retries: u32,
    pub(super) integrity: PolicyName,
    pub(super) canary: bool,
    pub(super) rerun_failed: u32,
    pub(super) calibration: Option<PathBuf>,
    pub(super) rerun_changed: bool,
    pub(super) warm: bool,
    pub(super) fail_under: Option<Share>,
    pub(super) max_infra: Option<usize>,
    pub(super) order: OrderName,
    pub(super) no_cache: bool,
    pub(super) cache_only: bool,
    pub(super) shard: Option<String>,
    pub(super) durations: Option<PathBuf>,
    pub(super) events: Option<PathBuf>,
    pub(super) trace: Option<PathBuf>,
    pub(super) fail_on_infra: Option<Share>,
    pub(super) fail_on_regression: Option<PathBuf>,
    pub(super) home: Option<PathBuf>,
    pub(super) offline: bool,
    pub(super) repos: Option<PathBuf>,
    pub(super) backend: BackendName,
    pub(super) docker_host: Option<String>,
    pub(super) docker_context: Option<String>,
    pub(super) runtime: Option<String>,
    pub(super) host_image: String,
    pub(super) build_network: NetworkName,
    pub(super) build_timeout: u64,
    pub(super) build_memory: Size,
    pub(super) force_rebuild: bool,
    pub(super) images: ImagesName,
    pub(super) platform: Option<String>,
    pub(super) mirrors: Vec<String>,
    pub(super) plain_http: Vec<String>,
    pub(super) downloads: usize,
    pub(super) disk_budget: Size,
    pub(super) timeout: u64,
    pub(super) memory: Size,
    pub(super) cpus: Option<f64>,
    pub(super) pids: u32,
    pub(super) disk: Size,
    pub(super) disk_limit: DiskLimitName,
    pub(super) upper: UpperName,
    pub(super) output_limit: Size,
    pub(super) network: NetworkName,
    pub(super) bench_rounds: usize,
    pub(super) bench_seconds: u32,
    pub(super) bench_alive: usize,
    pub(super) bench_children: usize,
}

/// A back-end by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BackendName {
    Native,
    Docker,
}

/// Which prediction runs first, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OrderName {
    Longest,
    Given,
}

/// A grading policy by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PolicyName {
    Official,
    Report,
    Strict,
}

/// Where images come from, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ImagesName {
    Auto,
    Pull,
    Build,
}

/// What limits what is written to disk, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DiskLimitName {
    Auto,
    Quota,
    Watch,
}

/// Where a sandbox writes, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum UpperName {
    Auto,
    Memory,
    Disk,
}

/// A network policy by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NetworkName {
    None,
    Host,
}

/// A share of all instances, from 0 to 1; written `0.35`, or `35%`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Share(pub(super) f64);

impl TryFrom<Value> for Share {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let wrong = || format!("`{value}` is no share; write 0.35 or \"35%\"");
        let share = match &value {
            Value::Float(share) => *share,
            Value::Integer(0) => 0.0,
            Value::Integer(1) => 1.0,
            Value::String(text) => match text.trim().strip_suffix('%') {
                Some(percent) => percent.trim().parse::<f64>().map_err(|_| wrong())? / 100.0,
                None => text.trim().parse().map_err(|_| wrong())?,
            },
            _ => return Err(wrong()),
        };
        if (0.0..=1.0).contains(&share) { Ok(Self(share)) } else { Err(wrong()) }
    }
}

/// How the text of an environment variable is to be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Fraction,
    Flag,
    List,
}

/// Every key, and how it is read from the environment.
const KEYS: &[(&str, Kind)] = &[
    ("dataset", Kind::Text),
    ("split", Kind::Text),
    ("revision", Kind::Text),
    ("predictions", Kind::List),
    ("instances", Kind::List),
    ("filter", Kind::Text),
    ("limit", Kind::Number),
    ("shuffle", Kind::Number),
    ("envs", Kind::List),
    ("recipes", Kind::Text),
    ("registry", Kind::Text),
    ("hf_endpoint", Kind::Text),
    ("hf_token", Kind::Text),
    ("run_id", Kind::Text),
    ("report_dir", Kind::Text),
    ("parallel", Kind::Number),
    ("retries", Kind::Number),
    ("integrity", Kind::Text),
    ("canary", Kind::Flag),
    ("rerun_failed", Kind::Number),
    ("calibration", Kind::Text),
    ("rerun_changed", Kind::Flag),
    ("warm", Kind::Flag),
    ("fail_under", Kind::Text),
    ("fail_on_infra", Kind::Text),
    ("fail_on_regression", Kind::Text),
    ("max_infra", Kind::Number),
    ("order", Kind::Text),
    ("no_cache", Kind::Flag),
    ("cache_only", Kind::Flag),
    ("shard", Kind::Text),
    ("durations", Kind::Text),
    ("events", Kind::Text),
    ("trace", Kind::Text),
    ("home", Kind::Text),
    ("offline", Kind::Flag),
    ("repos", Kind::Text),
    ("backend", Kind::Text),
    ("docker_host", Kind::Text),
    ("docker_context", Kind::Text),
    ("runtime", Kind::Text),
    ("host_image", Kind::Text),
    ("build_network", Kind::Text),
    ("build_timeout", Kind::Number),
    ("build_memory", Kind::Text),
    ("force_rebuild", Kind::Flag),
    ("images", Kind::Text),
    ("platform", Kind::Text),
    ("mirrors", Kind::List),
    ("plain_http", Kind::List),
    ("downloads", Kind::Number),
    ("disk_budget", Kind::Text),
    ("timeout", Kind::Number),
    ("memory", Kind::Text),
    ("cpus", Kind::Fraction),
    ("pids", Kind::Number),
    ("disk", Kind::Text),
    ("disk_limit", Kind::Text),
    ("upper", Kind::Text),
    ("output_limit", Kind::Text),
    ("network", Kind::Text),
    ("bench_rounds", Kind::Number),
    ("bench_seconds", Kind::Number),
    ("bench_alive", Kind::Number),
    ("bench_children", Kind::Number),
];

/// Settings and, key by key, where they come from.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) settings: Settings,
    entries: BTreeMap<String, (Value, String)>,
}

/// Lays flags over environment over files over defaults.
///
/// # Errors
/// A [`Failure`] of bad input that names the file, variable or key.
pub(super) fn load(
    files: &[PathBuf],
    environment: impl Fn(&str) -> Option<String>,
    flags: &[&dyn erased::Flags],
) -> Result<Loaded, Failure> {
    let mut entries = BTreeMap::new();
    lay(&mut entries, DEFAULTS.parse().map_err(Failure::broken)?, "default");
    if Path::new(DEFAULT_FILE).is_file() {
        lay(&mut entries, read_file(Path::new(DEFAULT_FILE))?, DEFAULT_FILE);
    }
    for file in files {
        let path = settings_file(file);
        lay(&mut entries, read_file(&path)?, &path.display().to_string());
    }
    for &(key, kind) in KEYS {
        for variable in [key.to_uppercase(), format!("EVALRUN_{}", key.to_uppercase())] {
            // Without the prefix, only the hub's own variables are ours to read.
            if !variable.starts_with("EVALRUN_") && !variable.starts_with("HF_") {
                continue;
            }
            if let Some(text) = environment(&variable).filter(|text| !text.is_empty()) {
                let value = from_text(&text, kind).ok_or_else(|| {
                    Failure::input(anyhow!("the environment's {variable} cannot be `{text}`"))
                })?;
                entries.insert(key.to_owned(), (value, format!("${variable}")));
            }
        }
    }
    for flags in flags {
        lay(&mut entries, flags.table().map_err(Failure::input)?, "flag");
    }
    let settings = read(&entries)?;
    Ok(Loaded { settings, entries })
}

/// What typed flags give: a table of those that were typed.
pub(super) mod erased {
    use super::{Serialize, Table};

    /// A group of flags.
    pub(in crate::cli) trait Flags {
        /// Those that were typed, by key.
        fn table(&self) -> Result<Table, toml::ser::Error>;
    }

    impl<T: Serialize> Flags for T {
        fn table(&self) -> Result<Table, toml::ser::Error> {
            Table::try_from(self)
        }
    }
}

fn lay(entries: &mut BTreeMap<String, (Value, String)>, table: Table, origin: &str) {
    for (key, value) in table {
        entries.insert(key, (value, origin.to_owned()));
    }
}

/// A file as named, or the one of that name in `configs/`.
fn settings_file(named: &Path) -> PathBuf {
    let in_configs = Path::new("configs").join(named).with_extension("toml");
    if !named.exists() && in_configs.is_file() { in_configs } else { named.to_owned() }
}

fn read_file(path: &Path) -> Result<Table, Failure> {
    let text = fs_err::read_to_string(path).map_err(|error| {
        Failure::input(error).hint("--config takes a file, or the name of one in configs/")
    })?;
    let table: Table = text
        .parse()
        .with_context(|| format!("{} is not TOML", path.display()))
        .map_err(Failure::input)?;
    for key in table.keys() {
        if !KEYS.iter().any(|(known, _)| known == key) {
            let failure = Failure::input(anyhow!("{}: unknown setting `{key}`", path.display()));
            return Err(failure.hint(format!("configs/default.toml names them all{}", like(key))));
        }
    }
    Ok(table)
}

/// `; did you mean …?` for a key that is nearly one of ours.
fn like(key: &str) -> String {
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    KEYS.iter()
        .map(|(known, _)| *known)
        .find(|known| {
            plain(known) == plain(key) || known.starts_with(key) || key.starts_with(known)
        })
        .map(|known| format!("; did you mean `{known}`?"))
        .unwrap_or_default()
}

fn from_text(text: &str, kind: Kind) -> Option<Value> {
    Some(match kind {
        Kind::Text => Value::String(text.to_owned()),
        Kind::Number => Value::Integer(text.trim().parse().ok()?),
        Kind::Fraction => Value::Float(text.trim().parse().ok()?),
        Kind::Flag => Value::Boolean(match text.trim() {
            "1" | "true" | "yes" | "on" => true,
            "0" | "false" | "no" | "off" => false,
            _ => return None,
        }),
        Kind::List => Value::Array(
            text.split([',', ' ', '\n'])
                .filter(|item| !item.is_empty())
                .map(|item| Value::String(item.to_owned()))
                .collect(),
        ),
    })
}

fn read(entries: &BTreeMap<String, (Value, String)>) -> Result<Settings, Failure> {
    let table: Table =
        entries.iter().map(|(key, (value, _))| (key.clone(), value.clone())).collect();
    Settings::deserialize(table).map_err(|error| {
        // One wrong key at a time, so that the message can say where it was set.
        let place = entries
            .iter()
            .find(|(key, (value, _))| {
                let mut defaults: Table = DEFAULTS.parse().unwrap_or_default();
                defaults.insert((*key).clone(), value.clone());
                Settings::deserialize(defaults).is_err()
            })
            .map(|(key, (value, origin))| format!("`{key} = {value}` ({origin})"));
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default().to_owned();
        match place {
            Some(place) => Failure::input(anyhow!("setting {place}: {message}")),
            None => Failure::input(anyhow!("settings: {message}")),
        }
    })
}

impl Loaded {
    /// The settings as TOML, each with where it comes from.
    pub(super) fn to_toml(&self) -> String {
        let lines: Vec<(String, &str)> =
            self.shown().map(|(key, value, origin)| (format!("{key} = {value}"), origin)).collect();
        let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
        lines.iter().map(|(line, origin)| format!("{line:width$}  # {origin}\n")).collect()
    }

    /// The same for programs: `{key: {value, from}}`.
    pub(super) fn to_json(&self) -> serde_json::Value {
        self.shown()
            .map(|(key, value, origin)| {
                (key.to_owned(), serde_json::json!({ "value": value, "from": origin }))
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// Key, value and origin of each; secrets are not shown.
    fn shown(&self) -> impl Iterator<Item = (&str, Value, &str)> {
        self.entries.iter().map(|(key, (value, origin))| {
            let hidden = key == "hf_token";
            let value = if hidden { Value::String("…".to_owned()) } else { value.clone() };
            (key.as_str(), value, origin.as_str())
        })
    }
}

/// The settings that nothing changes.
#[cfg(test)]
pub(super) fn defaults() -> Settings {
    Settings::deserialize(DEFAULTS.parse::<Table>().unwrap()).unwrap()
}

#[cfg(test)]
mod tests;
