//! The program as a user meets it: exit codes, what goes to which stream, and whole runs.

use std::path::Path;
use std::process::{Command, Output};

/// The program with a cache of its own, no settings of the machine, and the project as its folder.
pub(crate) fn evalrun(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evalrun"));
    for (name, _) in std::env::vars() {
        if name.starts_with("EVALRUN_") || name.starts_with("HF_") {
            command.env_remove(name);
        }
    }
    command
        .args(args)
        .env("EVALRUN_HOME", home)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_goes_to_standard_output_and_shows_examples() {
    let home = tempfile::tempdir().unwrap();
    for args in [&["--help"][..], &["run", "--help"]] {
        let output = evalrun(home.path(), args);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("Examples:\n  evalrun run --dataset datasets/mini"));
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn what_cannot_be_understood_is_bad_input() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().to_str().unwrap();
    for (args, said) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["frobnicate"], "frobnicate"),
        (&["run", "--parallel", "many"], "many"),
        (&["run", "--memory", "4 apples", "--dataset", "x"], "4 apples"),
        (&["run", "--predictions", "gold"], "--dataset datasets/mini"),
        (&["run", "--dataset", "datasets/mini"], "--predictions"),
        (&["run", "--dataset", "no/such/file.jsonl", "-p", "gold"], "no/such/file.jsonl"),
        (&["run", "--dataset", "datasets/mini", "-p", "gold", "-i", "nothing-*"], "nothing-*"),
        (&["run", "--dataset", "datasets/mini", "-p", "gold", "--filter", "("], "("),
        (
            &["run", "--dataset", "datasets/mini", "-p", "no/such/preds.jsonl"],
            "no/such/preds.jsonl",
        ),
        (&["run", "--dataset", "datasets/mini", "-p", "gold", "--run-id", "../x"], "../x"),
        (&["datasets", "show", "no/such/file.jsonl"], "no/such/file.jsonl"),
        (&["images", "show", "no-such-image"], "no-such-image"),
        (&["doctor", "--config", "no-such-settings"], "no-such-settings"),
    ] {
        let args: Vec<&str> = args.iter().copied().chain(["--report-dir", folder]).collect();
        // Only `run` knows where reports go.
        let args = if args[0] == "run" { &args[..] } else { &args[..args.len() - 2] };
        let output = evalrun(home.path(), args);
        let shown = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {shown}");
        assert!(shown.contains("error:") && shown.contains(said), "{args:?}: {shown}");
        assert_eq!(stdout(&output), "", "{args:?}");
    }
    // Nothing was started: there is neither a run nor an image.
    assert!(
        !home.path().join("images-v1").join("tags").exists() || {
            fs_err::read_dir(home.path().join("images-v1/tags")).unwrap().count() == 0
        }
    );
}

#[test]
fn settings_are_shown_with_their_origin() {
    let home = tempfile::tempdir().unwrap();
    let output = evalrun(home.path(), &["--config", "ci", "--timeout", "7", "--print-config"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    let line = |key: &str| text.lines().find(|l| l.starts_with(key)).unwrap().to_owned();
    assert!(line("timeout = 7 ").ends_with("# flag"));
    assert!(line("retries = 1 ").ends_with("# configs/ci.toml"));
    assert!(line("home = ").ends_with("# $EVALRUN_HOME"));

    let output = evalrun(home.path(), &["--print-config", "--json", "-j", "3"]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["parallel"]["value"], 3);
    assert_eq!(shown["parallel"]["from"], "flag");
}

#[test]
fn completions_name_every_command() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let text = stdout(&evalrun(home.path(), &["completions", shell]));
        for command in ["run", "images", "datasets", "doctor", "sweep"] {
            assert!(text.contains(command), "{shell}: {command}");
        }
    }
}
