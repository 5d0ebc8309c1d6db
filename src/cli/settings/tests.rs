//! Tests of the settings.

use super::*;
use crate::cli::args::{LimitArgs, RunArgs};

fn nothing(_: &str) -> Option<String> {
    None
}

#[test]
fn flags_go_over_environment_over_files_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    fs_err::write(&file, "timeout = 1\nmemory = \"1G\"\npids = 7\n").unwrap();
    let environment = |name: &str| match name {
        "EVALRUN_TIMEOUT" => Some("2".to_owned()),
        "EVALRUN_MEMORY" => Some("2G".to_owned()),
        "HF_TOKEN" => Some("secret".to_owned()),
        _ => None,
    };
    let limits = LimitArgs { timeout: Some(3), ..LimitArgs::default() };
    let flags = RunArgs { limits, ..RunArgs::default() };
    let loaded = load(std::slice::from_ref(&file), environment, &[&flags]).unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.timeout, 3);
    assert_eq!(settings.memory, Size(Some(2 << 30)));
    assert_eq!(settings.pids, 7);
    assert_eq!(settings.disk, Size(Some(10 << 30)));
    assert_eq!(settings.hf_token.as_deref(), Some("secret"));

    let shown = loaded.to_toml();
    let line = |key: &str| {
        shown.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key} is shown"))
    };
    assert!(line("timeout").ends_with("# flag"), "{shown}");
    assert!(line("memory").ends_with("# $EVALRUN_MEMORY"), "{shown}");
    assert!(line("pids").ends_with(&format!("# {}", file.display())), "{shown}");
    assert!(line("retries").contains("# "), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.parse::<Table>().is_ok(), "{shown}");
}

#[test]
fn every_setting_has_a_key_and_the_defaults_name_it() {
    for &(key, _) in KEYS {
        let commented = format!("# {key} = ");
        let set = format!("{key} = ");
        assert!(
            key == "hf_token"
                || DEFAULTS.lines().any(|l| l.starts_with(&commented) || l.starts_with(&set)),
            "configs/default.toml says nothing of `{key}`"
        );
    }
    // What is commented out there must be right as well.
    let all: String = DEFAULTS
        .lines()
        .filter(|line| line.contains(" = ") && !line.contains("EVALRUN"))
        .map(|line| line.trim_start_matches("# ").to_owned() + "\n")
        .collect();
    let table: Table = all.parse().unwrap();
    assert_eq!(table.len() + 1, KEYS.len(), "{table:?}");
    Settings::deserialize(table).unwrap();
}

#[test]
fn a_wrong_setting_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    for (text, said) in [
        ("timeout = \"soon\"\n", "timeout"),
        ("memory = \"4 apples\"\n", "no size"),
        ("fail_under = 35\n", "no share"),
        ("backend = \"magic\"\n", "magic"),
        ("max-infra = 1\n", "unknown setting `max-infra`"),
        ("= 1\n", "is not TOML"),
    ] {
        fs_err::write(&file, text).unwrap();
        let failure = load(std::slice::from_ref(&file), nothing, &[]).unwrap_err();
        let shown = failure.text();
        assert!(shown.contains(said) && shown.contains("wrong.toml"), "{text}: {shown}");
        assert_eq!(failure.code, crate::cli::exit::BAD_INPUT);
    }
    let environment = |name: &str| (name == "EVALRUN_PIDS").then(|| "many".to_owned());
    let failure = load(&[], environment, &[]).unwrap_err();
    assert!(failure.text().contains("EVALRUN_PIDS"), "{}", failure.text());
}
