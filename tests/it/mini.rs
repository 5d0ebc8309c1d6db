//! Whole runs of `datasets/mini` by the program itself: gold, empty, hostile, and a second run.

use crate::cli::evalrun;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn mini() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/mini")
}

/// Whether sandboxes can be made here at all; where not, says so, and fails in CI.
pub(crate) fn sandboxes_work(home: &Path) -> bool {
    let doctor = evalrun(home, &["doctor"]);
    let works = doctor.status.success();
    if !works {
        let text = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(std::env::var("CI").is_err(), "no sandboxes here:\n{text}");
        eprintln!("skipped: no sandboxes here:\n{text}");
    }
    works
}

/// Runs the program with `--json`, and gives the verdict on each instance.
fn verdicts(home: &Path, flags: &[&str]) -> BTreeMap<String, String> {
    let reports = home.join("reports");
    let mut args = vec!["run", "--dataset", "datasets/mini", "--json"];
    args.extend(["--report-dir", reports.to_str().unwrap()]);
    args.extend(flags);
    let output = evalrun(home, &args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{flags:?}: {errors}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["models"].as_array().unwrap().len(), 1);
    let model = &report["models"][0];
    let mut found = BTreeMap::new();
    for verdict in ["resolved", "unresolved", "empty_patch"] {
        for id in model["summary"][format!("{verdict}_ids")].as_array().unwrap() {
            found.insert(id.as_str().unwrap().to_owned(), verdict.to_owned());
        }
    }
    for remark in model["remarks"].as_array().unwrap() {
        let id = remark["key"]["instance_id"].as_str().unwrap();
        found.insert(id.to_owned(), remark["kind"].as_str().unwrap().to_owned());
    }
    found
}

fn expected() -> BTreeMap<String, String> {
    serde_json::from_slice(&fs_err::read(mini().join("expected.json")).unwrap()).unwrap()
}

#[test]
fn every_set_of_predictions_gets_its_verdicts() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    if !sandboxes_work(home) {
        return;
    }
    let expected = expected();
    let all = |verdict: &str| -> BTreeMap<String, String> {
        expected.keys().map(|id| (id.clone(), verdict.to_owned())).collect()
    };
    assert_eq!(verdicts(home, &["-p", "gold", "--run-id", "gold"]), all("resolved"));
    assert_eq!(verdicts(home, &["-p", "empty", "--run-id", "empty"]), all("empty_patch"));
    let hostile = ["-p", "datasets/mini/hostile.jsonl", "--config", "datasets/mini/limits.toml"];
    assert_eq!(verdicts(home, &[&hostile[..], &["--run-id", "hostile"]].concat()), expected);

    // Continued, each is what it was, and nothing runs.
    assert_eq!(verdicts(home, &[&hostile[..], &["--run-id", "hostile"]].concat()), expected);
    let journal = fs_err::read_to_string(home.join("reports/hostile/journal.jsonl")).unwrap();
    let mut evaluations = BTreeMap::<String, usize>::new();
    for line in journal.lines().filter(|line| line.contains("\"evaluation\":")) {
        let id = expected.keys().find(|id| line.contains(id.as_str())).unwrap();
        *evaluations.entry(id.clone()).or_default() += 1;
    }
    assert_eq!(evaluations.len(), expected.len());
    assert!(evaluations.values().all(|count| *count == 1), "{evaluations:?}");

    // Another limit is another run.
    let changed = ["-p", "gold", "--run-id", "gold", "--memory", "1G"];
    let reports = home.join("reports");
    let mut args = vec!["run", "--dataset", "datasets/mini"];
    args.extend(["--report-dir", reports.to_str().unwrap()]);
    args.extend(changed);
    let output = evalrun(home, &args);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--rerun-changed"));

    // Other tests run meanwhile and may leave things on purpose: only what is ours counts.
    let leaks = evalrun(home, &["doctor", "--leaks"]);
    let leaks = String::from_utf8_lossy(&leaks.stdout).into_owned();
    assert!(!leaks.contains(home.to_str().unwrap()), "{leaks}");
}

#[test]
fn the_rows_are_those_that_the_tasks_give() {
    let check = std::process::Command::new("python3")
        .arg(mini().join("make.py"))
        .arg("--check")
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}
