//! A run that is killed again and again, with no chance to tidy up, ends like one that was not.

use crate::cli::evalrun;
use crate::mini::sandboxes_work;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the run is killed; `EVALRUN_KILLS` sets another number.
const KILLS: usize = 10;

/// What a killed run leaves is to be seen by no other test of leftovers: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // A test that failed while it was alone spoils nothing for the next.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is run: predictions of every verdict.
fn arguments<'a>(reports: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["run", "--dataset", "datasets/mini", "--run-id", "r", "--parallel", "3"];
    args.extend(["-p", "datasets/mini/hostile.jsonl", "--config", "datasets/mini/limits.toml"]);
    // Each run is to do its own work.
    args.extend(["--report-dir", reports, "--no-cache"]);
    args.extend(more);
    args
}

fn start(home: &Path, reports: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_evalrun"))
        .args(arguments(reports, &["--quiet"]))
        .env("EVALRUN_HOME", home)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Every file of a run that holds a verdict, without what differs from run to run.
fn verdicts(reports: &Path) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(reports.join("r")).sort_by_file_name() {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(reports).unwrap().to_str().unwrap().to_owned();
        let of_a_model = name.ends_with(".r.json");
        if !of_a_model && entry.file_name() != "report.json" {
            continue;
        }
        let text = fs_err::read_to_string(entry.path()).unwrap();
        let mut value: Value = serde_json::from_str(&text).unwrap();
        for report in value.as_object_mut().unwrap().values_mut().filter(|_| !of_a_model) {
            let own = report["evalrun"].as_object_mut().unwrap();
            for measured in ["seconds", "usage", "round"] {
                own.remove(measured);
            }
        }
        found.push((name, value));
    }
    found
}

#[test]
fn a_run_killed_again_and_again_ends_like_any_other() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    if !sandboxes_work(&home) {
        return;
    }
    // The first run builds the images as well, so that those builds are killed too.
    let killed = folder.path().join("killed");
    let kills = std::env::var("EVALRUN_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let mut left = kills;
    while left > 0 {
        let mut child = start(&home, killed.to_str().unwrap());
        let pause = Duration::from_millis(rand::random_range(20..1500));
        let began = Instant::now();
        while began.elapsed() < pause && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        eprintln!("killed after {pause:?}");
        left -= 1;
    }
    assert!(left < kills, "the run ended before it could be killed once");

    let runs = [&killed, &folder.path().join("undisturbed")].map(|reports| {
        let output = evalrun(&home, &arguments(reports.to_str().unwrap(), &[]));
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        verdicts(reports)
    });
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].len() > 5);

    let sweep = evalrun(&home, &["sweep"]);
    assert!(sweep.status.success(), "{}", String::from_utf8_lossy(&sweep.stderr));
    let leaks = evalrun(&home, &["doctor", "--leaks"]);
    assert!(leaks.status.success(), "{}", String::from_utf8_lossy(&leaks.stdout));
}

/// Sends a signal, by the number that `kill` takes.
fn signal(child: &Child, number: &str) {
    let sent = Command::new("kill").args([number, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until something runs in this session of the run.
fn wait_until_it_runs(reports: &Path, session: usize) {
    let journal = reports.join("r/journal.jsonl");
    let runs = |text: String| {
        let began = text.match_indices("{\"header\":").nth(session - 1).map(|(at, _)| at);
        began.is_some_and(|at| text[at..].contains("{\"started\":"))
    };
    let began = Instant::now();
    while !fs_err::read_to_string(&journal).is_ok_and(runs) {
        assert!(began.elapsed() < Duration::from_secs(120), "nothing runs: {}", journal.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_signal_ends_a_run_so_that_it_can_go_on() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    if !sandboxes_work(&home) {
        return;
    }
    let reports = folder.path().join("reports");
    for (session, number, code) in [(1, "-INT", 130), (2, "-TERM", 75)] {
        let mut child = start(&home, reports.to_str().unwrap());
        wait_until_it_runs(&reports, session);
        signal(&child, number);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        // What others left on this machine is not this test's affair.
        let leaks = evalrun(&home, &["doctor", "--leaks"]);
        let leaks = String::from_utf8_lossy(&leaks.stdout).into_owned();
        let own = [format!("evalrun-{}-", child.id()), home.display().to_string()];
        assert!(!own.iter().any(|own| leaks.contains(own.as_str())), "{leaks}");
    }
    let journal = fs_err::read_to_string(reports.join("r/journal.jsonl")).unwrap();
    assert_eq!(journal.matches("{\"interrupted\"").count(), 2);
    let output = evalrun(&home, &arguments(reports.to_str().unwrap(), &[]));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
