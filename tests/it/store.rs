//! The store as a user has it: killed while it is filled and emptied, and bound in size.

use crate::cli::evalrun;
use crate::mini::sandboxes_work;
use serde_json::Value;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How often each command is killed; `EVALRUN_STORE_KILLS` sets another number.
const KILLS: u64 = 3;

fn kills() -> u64 {
    std::env::var("EVALRUN_STORE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

fn build_args() -> Vec<&'static str> {
    vec!["images", "build", "--dataset", "datasets/mini", "--limit", "6", "--quiet"]
}

/// Starts a command and kills it after so many milliseconds; whether it had ended by itself.
fn killed_after(home: &Path, args: &[&str], milliseconds: u64) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_evalrun"))
        .args(args)
        .env("EVALRUN_HOME", home)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(milliseconds));
    let ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    ended
}

/// The command does what it should.
fn works(home: &Path, args: &[&str]) -> String {
    let output = evalrun(home, args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// When a command of this length is to be killed in each round: spread over it, early ones more.
fn moments(took: Duration) -> impl Iterator<Item = u64> {
    let whole = u64::try_from(took.as_millis()).unwrap().max(50);
    (0..kills()).map(move |round| whole * (2 * round + 1) / (2 * kills()))
}

#[test]
fn a_store_that_is_killed_while_it_is_filled_is_whole_and_the_next_build_goes_on() {
    let home = tempfile::tempdir().unwrap();
    if !sandboxes_work(home.path()) {
        return;
    }
    let began = std::time::Instant::now();
    works(home.path(), &build_args());
    let took = began.elapsed();
    for moment in moments(took) {
        works(home.path(), &["images", "prune", "--all", "--quiet"]);
        killed_after(home.path(), &build_args(), moment);
        works(home.path(), &["images", "verify", "--quiet"]);
        works(home.path(), &build_args());
        works(home.path(), &["images", "verify", "--quiet"]);
    }
    // Nothing of the killed ones is left when the next has swept.
    works(home.path(), &["images", "prune", "--all", "--quiet"]);
    works(home.path(), &["sweep"]);
    let layers = fs_err::read_dir(home.path().join("layers-v1")).unwrap();
    let left: Vec<_> = layers
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.len() == 64 || name.starts_with(".making"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_store_that_is_killed_while_it_is_emptied_is_whole_and_the_next_prune_goes_on() {
    let home = tempfile::tempdir().unwrap();
    if !sandboxes_work(home.path()) {
        return;
    }
    works(home.path(), &build_args());
    let began = std::time::Instant::now();
    works(home.path(), &["images", "prune", "--all", "--quiet"]);
    for moment in moments(began.elapsed()) {
        works(home.path(), &build_args());
        killed_after(home.path(), &["images", "prune", "--all", "--quiet"], moment);
        works(home.path(), &["images", "verify", "--quiet"]);
        works(home.path(), &["images", "prune", "--all", "--quiet"]);
        let du: Value =
            serde_json::from_str(&works(home.path(), &["images", "du", "--json"])).unwrap();
        assert_eq!((&du["layers"], &du["unneeded"]), (&0.into(), &0.into()), "{du}");
    }
}

#[test]
fn a_budget_that_no_image_fits_is_told_as_such() {
    let home = tempfile::tempdir().unwrap();
    if !sandboxes_work(home.path()) {
        return;
    }
    let output = evalrun(home.path(), &[&build_args()[..], &["--disk-budget", "30K"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("do not fit the disk budget of"), "{said}");
    // One that they fit changes nothing.
    works(home.path(), &[&build_args()[..], &["--disk-budget", "1G"]].concat());
    works(home.path(), &["images", "verify", "--quiet"]);
    let output = evalrun(home.path(), &[&build_args()[..], &["--disk-budget", "30K"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("alone takes"), "{said}");
}

#[test]
fn images_are_listed_removed_and_looked_through() {
    let home = tempfile::tempdir().unwrap();
    if !sandboxes_work(home.path()) {
        return;
    }
    works(home.path(), &build_args());
    let list: Value =
        serde_json::from_str(&works(home.path(), &["images", "list", "--json"])).unwrap();
    let named: Vec<&Value> = list
        .as_array()
        .unwrap()
        .iter()
        .filter(|image| image["names"] != Value::Array(vec![]))
        .collect();
    // The six tasks have the same files: they are one image.
    assert_eq!((named.len(), named[0]["names"].as_array().unwrap().len()), (1, 6), "{list}");
    assert!(named[0]["unique"].as_u64().unwrap() > 0, "{list}");
    let tree = works(home.path(), &["images", "tree"]);
    assert_eq!(tree.lines().count(), list.as_array().unwrap().len(), "{tree}");
    assert!(tree.contains("└─ "), "{tree}");
    let name = named[0]["names"][0][0].as_str().unwrap();
    let show = works(home.path(), &["images", "show", name]);
    assert!(show.contains("unique ") && show.contains(name), "{show}");

    // A file that is not as it was is named, and the exit code says so.
    let layers = home.path().join("layers-v1").join(named[0]["key"].as_str().unwrap());
    fs_err::write(layers.join("fs/testbed/.git/HEAD"), "ref: refs/heads/evil\n").unwrap();
    let faults = evalrun(home.path(), &["images", "verify"]);
    assert_eq!(faults.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&faults.stdout).contains("testbed/.git/HEAD"));

    let below = named[0]["layers"][0].as_str().unwrap();
    let refused = evalrun(home.path(), &["images", "rm", below]);
    assert_eq!(refused.status.code(), Some(2), "an image stands on it");
    works(home.path(), &["images", "rm", "--dry-run", name]);
    assert!(works(home.path(), &["images", "list"]).contains(name));
    works(home.path(), &["images", "rm", name]);
    assert!(!works(home.path(), &["images", "list"]).contains(name));
    works(home.path(), &["images", "verify"]);
}

/// Tasks whose images have so many megabytes each that they share with no other.
fn large_tasks(folder: &Path, megabytes: u32, count: u32) {
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("datasets/mini");
    let rows = fs_err::read_to_string(mini.join("rows.jsonl")).unwrap();
    let row: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    let mut rows = String::new();
    let mut envs = "repo = \"mini/textkit\"\n".to_owned();
    for version in 1..=count {
        let mut row = row.clone();
        row["instance_id"] = format!("mini__large-{version}").into();
        row["version"] = version.to_string().into();
        rows += &format!("{row}\n");
        envs += &format!(
            "[[env]]\nversions = [\"{version}\"]\nbase = \"host\"\ntools = [\"git\", \"patch\", \
             \"python3\"]\nsource = \"dir:{}\"\ntest_command = \"python3 tests/run.py\"\n\
             log_parser = \"parse_log_pytest\"\npre_install = [\"mkdir /opt/large\", \
             \"for n in $(seq {megabytes}); do head -c 1000000 /dev/urandom \
             >/opt/large/{version}.$n; sleep 0.02; done\"]\n",
            mini.join("repos/textkit").display()
        );
    }
    fs_err::create_dir_all(folder.join("envs")).unwrap();
    fs_err::write(folder.join("rows.jsonl"), rows).unwrap();
    fs_err::write(folder.join("envs/mini__textkit.toml"), envs).unwrap();
    let about = "name = \"large\"\nrows = \"rows.jsonl\"\nenvs = \"envs\"\n";
    fs_err::write(folder.join("dataset.toml"), about).unwrap();
}

/// Bytes on disk below a store's home, each file once.
pub(crate) fn on_disk(home: &Path) -> u64 {
    let mut seen = std::collections::HashSet::new();
    walkdir::WalkDir::new(home)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .filter(|metadata| seen.insert(metadata.ino()))
        .map(|metadata| metadata.blocks() * 512)
        .sum()
}

#[test]
fn a_run_stays_under_a_budget_that_is_smaller_than_its_images() {
    let home = tempfile::tempdir().unwrap();
    if !sandboxes_work(home.path()) {
        return;
    }
    let tasks = tempfile::tempdir().unwrap();
    large_tasks(tasks.path(), 24, 7);
    let reports = tempfile::tempdir().unwrap();
    let dataset = tasks.path().to_str().unwrap().to_owned();
    let reports_path = reports.path().to_str().unwrap().to_owned();
    let budget = 80 << 20;
    let mut peak = 0;
    let output = std::thread::scope(|scope| {
        let args = [
            "run",
            "--dataset",
            &dataset,
            "--predictions",
            "gold",
            "--parallel",
            "2",
            "--disk-budget",
            "80M",
            "--report-dir",
            &reports_path,
        ];
        let home = home.path();
        let run = scope.spawn(move || evalrun(home, &args));
        while !run.is_finished() {
            peak = peak.max(on_disk(home));
            std::thread::sleep(Duration::from_millis(10));
        }
        run.join().unwrap()
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).contains('7'), "{said}");
    assert!(peak > budget / 2 && peak <= budget, "{peak} bytes at most, {budget} are allowed");
    let list = works(home.path(), &["images", "list", "--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let named = list.as_array().unwrap().iter().filter(|image| image["names"][0].is_array());
    assert!(named.count() < 4, "{list}");
    works(home.path(), &["images", "verify", "--quiet"]);
}
