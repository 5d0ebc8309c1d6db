//! What was typed, as clap should see it.

use std::ffi::OsString;

/// Flags before the command that take a value of their own.
const COMMON_WITH_VALUE: [&str; 2] = ["--home", "--config"];
const COMMON: [&str; 7] =
    ["--offline", "--json", "--quiet", "-q", "--verbose", "-v", "--print-config"];

/// The arguments as clap should see them: `run` put in where no command is named, and the
/// incumbent's one-dash `-id` as `--run-id`.
pub(in crate::cli) fn with_default_command(
    typed: impl IntoIterator<Item = OsString>,
) -> Vec<OsString> {
    let mut args: Vec<OsString> = typed
        .into_iter()
        .map(|arg| if arg == "-id" { OsString::from("--run-id") } else { arg })
        .collect();
    let mut at = 1;
    while let Some(arg) = args.get(at).and_then(|arg| arg.to_str()) {
        if COMMON_WITH_VALUE.contains(&arg) {
            at += 2;
        } else if COMMON.contains(&arg)
            || arg.strip_prefix("-v").is_some_and(|more| more.chars().all(|c| c == 'v'))
            || COMMON_WITH_VALUE
                .iter()
                .any(|flag| arg.strip_prefix(flag).is_some_and(|rest| rest.starts_with('=')))
        {
            at += 1;
        } else {
            break;
        }
    }
    let named = match args.get(at).and_then(|arg| arg.to_str()) {
        // Nothing but flags of every command: with some, a run of what the settings name.
        None => args.len() == 1,
        Some("-h" | "--help" | "-V" | "--version") => true,
        Some(arg) => !arg.starts_with('-'),
    };
    if !named {
        args.insert(1, OsString::from("run"));
    }
    args
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command, RunArgs};
    use super::*;
    use clap::{CommandFactory as _, Parser as _};

    fn parse(args: &str) -> Result<Cli, clap::Error> {
        let args = args.split_whitespace().map(OsString::from);
        Cli::try_parse_from(with_default_command(std::iter::once("evalrun".into()).chain(args)))
    }

    fn run(args: &str) -> RunArgs {
        match parse(args).unwrap().command {
            Command::Run(run) => *run,
            other => panic!("`{args}` gave {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_may_be_left_out() {
        for args in [
            "run --parallel 500 --dataset verified --predictions p.jsonl",
            "--parallel 500 --dataset verified --predictions p.jsonl",
            "-v --home /h --json --parallel 500 -d verified -p p.jsonl",
            "-vv --home=/h -j500 -d verified -p p.jsonl",
        ] {
            let run = run(args);
            assert_eq!(run.images.parallel, Some(500), "{args}");
            assert_eq!(run.dataset.dataset.as_deref(), Some("verified"), "{args}");
            assert_eq!(run.predictions, ["p.jsonl"], "{args}");
        }
        assert!(matches!(parse("-v doctor").unwrap().command, Command::Doctor(_)));
        assert!(matches!(parse("--home /h sweep").unwrap().command, Command::Sweep));
    }

    #[test]
    fn the_names_that_users_of_the_incumbent_know_are_understood() {
        let run = run("--dataset_name lite --predictions_path gold --max_workers 3 -id nightly \
             --instance_ids a__a-1 b__b-2 -i c__* --report_dir out -t 60 -s dev");
        assert_eq!(run.run_id.as_deref(), Some("nightly"));
        assert_eq!(run.dataset.instances, ["a__a-1", "b__b-2", "c__*"]);
        assert_eq!(run.images.parallel, Some(3));
        assert_eq!(run.limits.timeout, Some(60));
        assert_eq!(run.dataset.split.as_deref(), Some("dev"));
        assert_eq!(run.report_dir.as_deref(), Some(std::path::Path::new("out")));
    }

    #[test]
    fn help_and_version_belong_to_the_program() {
        for args in ["--help", "-h", "--version", "-V"] {
            let error = parse(args).unwrap_err();
            assert!(!error.use_stderr(), "{args}: {error}");
        }
        assert!(parse("").unwrap_err().to_string().contains("Usage: evalrun"));
        assert!(parse("frobnicate").is_err());
    }
}
