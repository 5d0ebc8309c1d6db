//! What runs learn from each other, by the program itself: known verdicts, many processes on one
//! history, plans, shards.

use crate::cli::evalrun;
use crate::mini::sandboxes_work;
use evalrun::journal::{
    DatasetFacts, Evaluated, Event, FORMAT, GRADER, Header, Host, InstanceFacts, Journal,
    PredictionFacts, Settings, Versions,
};
use evalrun::layers::ImageKey;
use evalrun::model::{Digest, InstanceId, PredictionKey, TestLists, TestsReport, Verdict};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How many evaluations a made-up run has: more than are written at once.
const EVALUATIONS: usize = 300;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A run whose journal says that everything was resolved.
fn made_up_run(reports: &Path, number: usize) -> PathBuf {
    let dir = reports.join(format!("run-{number}"));
    let ids: Vec<InstanceId> =
        (0..EVALUATIONS).map(|at| InstanceId::new(&format!("i-{at:03}")).unwrap()).collect();
    let key = |id: &InstanceId| PredictionKey {
        model: format!("model-{number}").into(),
        instance_id: id.clone(),
        attempt: 1,
    };
    let facts = |id: &InstanceId| InstanceFacts {
        id: id.clone(),
        repo: "a/b".into(),
        version: "1".into(),
        difficulty: None,
        language: None,
        image: Digest::of(""),
        script: Digest::of(""),
        tests: Digest::of(""),
    };
    let prediction =
        |id| PredictionFacts { key: key(id), patch: Digest::of("patch"), empty: false };
    let header = Header {
        format: FORMAT,
        run_id: format!("run-{number}"),
        versions: Versions { evalrun: "0".to_owned(), grader: GRADER },
        host: Host::default(),
        dataset: DatasetFacts {
            name: "set".to_owned(),
            split: "test".to_owned(),
            digest: Digest::of(""),
        },
        settings: Settings {
            limits: evalrun::sandbox::Limits::default(),
            network: evalrun::sandbox::Network::None,
            upper: evalrun::sandbox::Upper::Auto,
            env: BTreeMap::new(),
            timeout: Duration::from_secs(60),
            policy: Default::default(),
            canary: false,
            rerun_failed: 0,
        },
        shard: None,
        instances: ids.iter().map(facts).collect(),
        predictions: ids.iter().map(prediction).collect(),
    };
    let (mut journal, _) = Journal::open(&dir).unwrap();
    let at = jiff::Timestamp::from_second(1_000_000).unwrap();
    let mut events = vec![Event::Header(Box::new(header))];
    for id in &ids {
        events.push(Event::ImageReady {
            instance_id: id.clone(),
            name: id.to_string(),
            image: ImageKey(Digest::of(id.as_str())),
            digest: String::new(),
            built: 0,
            took: Duration::ZERO,
        });
        let fail_to_pass = TestLists { success: vec!["t".to_owned()], failure: Vec::new() };
        let tests = TestsReport { fail_to_pass, ..TestsReport::default() };
        let mut evaluation = evalrun::evaluate::infra("", "");
        evaluation.verdict = Verdict::Resolved { tests };
        events.push(Event::Evaluated(Box::new(Evaluated::new(key(id), 1, evaluation))));
    }
    journal.append(at, &events).unwrap();
    dir
}

#[test]
fn ten_processes_on_one_history_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let runs: Vec<PathBuf> = (0..10).map(|number| made_up_run(folder.path(), number)).collect();
    // All at once, the first of them make the file.
    let children = runs.iter().map(|run| {
        Command::new(env!("CARGO_BIN_EXE_evalrun"))
            .args(["history", "import", "--home", home.to_str().unwrap(), run.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    });
    for child in children.collect::<Vec<_>>() {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("300 evaluations, 300 of them new"));
    }
    let exported = evalrun(&home, &["history", "export"]);
    let found: BTreeSet<(String, String)> = text(&exported.stdout)
        .lines()
        .map(|line| {
            let one: Value = serde_json::from_str(line).unwrap();
            let word = |key: &str| one[key].as_str().unwrap().to_owned();
            (word("model"), word("instance"))
        })
        .collect();
    assert_eq!(found.len(), 10 * EVALUATIONS);
    let shown = evalrun(&home, &["history", "show", "i-000", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown[0]["evaluations"], 10);
    let again = evalrun(&home, &["history", "import", runs[3].to_str().unwrap()]);
    assert!(text(&again.stderr).contains("300 evaluations, 0 of them new"));
}

/// Runs the mini set; `flags` after it.
fn run(home: &Path, name: &str, flags: &[&str]) -> Output {
    let reports = home.join("reports");
    let mut args = vec!["run", "-d", "datasets/mini", "--json", "--run-id", name];
    args.extend(["--report-dir", reports.to_str().unwrap()]);
    args.extend(flags);
    evalrun(home, &args)
}

/// By instance: the run its verdict was taken over from, or nothing.
fn sources(home: &Path, name: &str) -> BTreeMap<String, Option<String>> {
    let journal = fs_err::read_to_string(home.join("reports").join(name).join("journal.jsonl"));
    let journal = journal.unwrap();
    let lines = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let evaluated = lines.filter_map(|line| line["event"].get("evaluated").cloned());
    evaluated
        .map(|one| {
            let id = one["key"]["instance_id"].as_str().unwrap().to_owned();
            (id, one["known"]["run_id"].as_str().map(str::to_owned))
        })
        .collect()
}

fn ran(home: &Path, name: &str) -> Vec<String> {
    sources(home, name).into_iter().filter(|(_, from)| from.is_none()).map(|(id, _)| id).collect()
}

const GOLD: [&str; 2] = ["-p", "gold"];

#[test]
fn a_second_run_takes_over_what_is_known_and_a_changed_byte_runs_again() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    if !sandboxes_work(home) {
        return;
    }
    let [first, second] = ["first", "second"].map(|name| {
        let output = run(home, name, &GOLD);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    });
    assert_eq!(first["counts"], second["counts"]);
    assert_eq!(first["models"][0]["summary"], second["models"][0]["summary"]);
    assert_eq!(ran(home, "first").len(), 18);
    assert_eq!(ran(home, "second"), Vec::<String>::new());
    assert!(sources(home, "second").values().all(|from| from.as_deref() == Some("first")));
    // What was taken over can be judged anew and explained, like any other.
    let dir = home.join("reports/second");
    let dir = dir.to_str().unwrap();
    let graded = ["grade", dir, "-d", "datasets/mini", "--no-write", "--json"];
    let graded = evalrun(home, &graded);
    assert_eq!(graded.status.code(), Some(0), "{}", text(&graded.stderr));
    let explained = evalrun(home, &["explain", dir, "mini__gcd-14"]);
    assert!(text(&explained.stdout).contains("resolved"), "{}", text(&explained.stderr));

    // One byte of a patch.
    let rows = fs_err::read_to_string("datasets/mini/rows.jsonl").unwrap();
    let predictions: Vec<String> = rows
        .lines()
        .map(|line| {
            let row: Value = serde_json::from_str(line).unwrap();
            let mut patch = row["patch"].as_str().unwrap().to_owned();
            if row["instance_id"] == "mini__gcd-14" {
                patch.push('\n');
            }
            serde_json::json!({
                "instance_id": row["instance_id"], "model_name_or_path": "other",
                "model_patch": patch,
            })
            .to_string()
        })
        .collect();
    let file = home.join("predictions.jsonl");
    fs_err::write(&file, predictions.join("\n")).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(run(home, "byte", &["-p", file]).status.code(), Some(0));
    assert_eq!(ran(home, "byte"), ["mini__gcd-14"]);
    // Another limit concerns all of them; --cache-only then has nothing.
    let limit = run(home, "limit", &["-p", file, "--pids", "900", "--cache-only"]);
    assert_eq!(limit.status.code(), Some(7), "{}", text(&limit.stderr));
    assert_eq!(sources(home, "limit").len(), 0);
    let one = ["-p", "gold", "-i", "mini__gcd-14", "--no-cache"];
    assert_eq!(run(home, "no-cache", &one).status.code(), Some(0));
    assert_eq!(ran(home, "no-cache"), ["mini__gcd-14"]);

    // A history that is broken is no reason not to run.
    let path = home.join("history-v1.sqlite");
    fs_err::remove_file(home.join("history-v1.sqlite-wal")).ok();
    fs_err::write(&path, "broken ".repeat(2000)).unwrap();
    let broken = run(home, "broken", &["-p", "gold", "-i", "mini__gcd-14"]);
    assert_eq!(broken.status.code(), Some(0));
    assert!(text(&broken.stderr).contains("the run goes on without what is known"));
    assert_eq!(ran(home, "broken"), ["mini__gcd-14"]);
}

#[test]
fn shards_of_the_mini_set_make_the_whole_run_and_are_seen_as_they_go() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    if !sandboxes_work(home) {
        return;
    }
    let events = home.join("events.jsonl");
    let trace = home.join("trace.json");
    let watched = ["--events", events.to_str().unwrap(), "--trace", trace.to_str().unwrap()];
    let whole = run(home, "whole", &[&GOLD[..], &watched].concat());
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stderr));
    let lines = fs_err::read_to_string(events).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["event"], &lines[0]["version"]), (&"events".into(), &1.into()));
    assert_eq!(lines.iter().filter(|line| line["event"] == "done").count(), 18);
    assert_eq!(lines.last().unwrap()["tally"]["finished"], 18);
    let trace: Value = serde_json::from_slice(&fs_err::read(trace).unwrap()).unwrap();
    let slices = trace["traceEvents"].as_array().unwrap().iter();
    assert_eq!(slices.filter(|slice| slice["cat"] == "resolved").count(), 18);
    let top = evalrun(home, &["top", home.join("reports/whole").to_str().unwrap(), "--once"]);
    assert!(text(&top.stdout).contains("18/18"), "{}", text(&top.stdout));

    // What is known makes the plan, and the table by which shards are cut.
    let table = home.join("durations.json");
    let table = table.to_str().unwrap();
    let plan = ["plan", "-d", "datasets/mini", "--json", "-j", "1,4", "--cores", "4"];
    let plan = evalrun(home, &[&plan[..], &["--write", table]].concat());
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!((&plan["known"], &plan["guessed"]), (&18.into(), &0.into()));
    let seconds = |at: usize| plan["plans"][at]["seconds"].as_f64().unwrap();
    assert!(seconds(0) > seconds(1) && seconds(1) > 0.0, "{plan}");

    let mut merge = vec!["merge".to_owned()];
    for number in 1..=8 {
        let shard = format!("{number}/8");
        let flags = ["-p", "gold", "--no-cache", "--shard", &shard, "--durations", table];
        let output = run(home, "cut", &flags);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let dir = home.join(format!("reports/cut-shard-{number}-of-8"));
        assert!(dir.is_dir());
        merge.push(dir.to_str().unwrap().to_owned());
    }
    let reports = home.join("reports");
    let place = ["--report-dir", reports.to_str().unwrap(), "--json"];
    let merged = |dirs: &[String]| {
        let args: Vec<&str> = dirs.iter().map(String::as_str).chain(place).collect();
        evalrun(home, &args)
    };
    let missing = merged(&merge[..8]);
    assert_eq!(missing.status.code(), Some(7));
    assert!(text(&missing.stderr).contains("of 8 shards 8 is missing"));
    let done = merged(&merge);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let (mut own, mut of_whole): (Value, Value) = (
        serde_json::from_slice(&done.stdout).unwrap(),
        serde_json::from_slice(&whole.stdout).unwrap(),
    );
    for report in [&mut own, &mut of_whole] {
        for measured in ["run_id", "elapsed", "sandbox_time", "peak_in_flight"] {
            report.as_object_mut().unwrap().remove(measured);
        }
    }
    assert_eq!(own, of_whole);
    let summary = |run: &str| {
        fs_err::read_to_string(reports.join(run).join(format!("gold.{run}.json"))).unwrap()
    };
    assert_eq!(summary("cut"), summary("whole"));
}

#[test]
fn a_history_on_a_disk_that_cannot_be_written_still_tells() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var("CI").is_err(), "root makes a disk read-only");
        eprintln!("skipped: only root can make a disk read-only");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let run = made_up_run(folder.path(), 0);
    let run = run.to_str().unwrap();
    assert!(evalrun(&home, &["history", "import", run]).status.success());
    let (home, program) = (home.display(), env!("CARGO_BIN_EXE_evalrun"));
    let with = |command: &str| {
        let script = format!(
            "mount --bind {home} {home} && mount -o remount,bind,ro {home} && \
             exec {program} history {command} --home {home}"
        );
        Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().unwrap()
    };
    let shown = with("show i-000 --json");
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown[0]["evaluations"], 1);
    let written = with(&format!("import {run}"));
    assert!(text(&written.stderr).contains("readonly"), "{}", text(&written.stderr));
}
