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

/// A prediction of a run under a strict policy: by model, the verdict, the trust, and the reasons
/// that speak against it without any probe.
fn trusted(home: &Path, set: &str) -> BTreeMap<String, (String, String, Vec<String>)> {
    let (reports, file) = (home.join("reports"), format!("datasets/mini/{set}.jsonl"));
    let mut args =
        vec!["run", "--dataset", "datasets/mini", "--quiet", "--run-id", set, "-p", &file];
    args.extend(["--config", "datasets/mini/limits.toml", "--integrity", "strict"]);
    args.extend(["--report-dir", reports.to_str().unwrap()]);
    let output = evalrun(home, &args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{set}: {errors}");
    let mut found = BTreeMap::new();
    for line in fs_err::read_to_string(mini().join(format!("{set}.jsonl"))).unwrap().lines() {
        let prediction: Value = serde_json::from_str(line).unwrap();
        let (model, id) = (&prediction["model_name_or_path"], &prediction["instance_id"]);
        let (model, id) = (model.as_str().unwrap(), id.as_str().unwrap());
        let path = reports.join(set).join(model).join(id).join("report.json");
        let report: Value = serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap();
        let own = &report[id]["evalrun"];
        let signs = own["integrity"]["signs"].as_array().unwrap().iter();
        let probes = ["canary_passed", "resolved_by_runner_files"];
        let reasons = signs
            .filter(|sign| sign["trust"] != "clean")
            .map(|sign| sign["reason"].as_str().unwrap().to_owned())
            .filter(|reason| !probes.contains(&reason.as_str()));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let trust = text(&own["integrity"]["trust"]);
        found.insert(model.to_owned(), (text(&own["verdict"]), trust, reasons.collect()));
    }
    found
}

#[test]
fn nothing_forged_is_resolved_and_nothing_honest_is_doubted() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    if !sandboxes_work(home) {
        return;
    }
    let forging = trusted(home, "forging");
    assert!(forging.len() >= 40);
    for (name, (verdict, _, reasons)) in &forging {
        assert_ne!(verdict, "resolved", "{name}: {reasons:?}");
        assert!(!reasons.is_empty(), "{name} is not named by the block of a report");
    }
    let honest = trusted(home, "honest");
    let expected: BTreeMap<String, String> =
        serde_json::from_slice(&fs_err::read(mini().join("honest.json")).unwrap()).unwrap();
    assert!(honest.len() >= 40 && honest.keys().eq(expected.keys()));
    for (name, (verdict, trust, reasons)) in &honest {
        assert_eq!(trust, "clean", "{name}: {reasons:?}");
        assert_eq!(*verdict, expected[name], "{name}");
    }
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

#[test]
fn what_this_machine_makes_of_gold_is_written_down_and_quoted() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    if !sandboxes_work(home) {
        return;
    }
    let reports = home.join("reports");
    let mut args = vec!["calibrate", "-d", "datasets/mini", "-i", "mini__gcd*", "--times", "2"];
    args.extend(["--json", "--report-dir", reports.to_str().unwrap()]);
    let output = evalrun(home, &args);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let learned: Value = serde_json::from_slice(&output.stdout).unwrap();
    let gcd = &learned["instances"]["mini__gcd-14"];
    assert_eq!((&gcd["gold_runs"], &gcd["gold_resolved"]), (&2.into(), &2.into()));
    assert_eq!((&gcd["unchanged_runs"], &gcd["unchanged_resolved"]), (&2.into(), &0.into()));

    let mut args = vec!["run", "-d", "datasets/mini", "-i", "mini__gcd*", "-i", "mini__leap*"];
    args.extend(["-p", "gold", "--json", "--report-dir", reports.to_str().unwrap()]);
    let output = evalrun(home, &args);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["shares"]["all"]["total"], 2);
    assert_eq!(report["shares"]["validated"]["total"], 1);
}
