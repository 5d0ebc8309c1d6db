//! `parse`, `grade`, `explain` and `datasets convert`, as a user calls them.

use super::cli::evalrun;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn write(root: &Path, path: &str, text: &[u8]) -> String {
    let path = root.join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn row(id: &str, test: &str) -> Value {
    json!({
        "instance_id": id, "repo": "owner/name", "version": "1", "patch": "x", "test_patch": "",
        "FAIL_TO_PASS": [test], "PASS_TO_PASS": [], "image": "i", "eval_type": "pass_and_fail",
        "log_parser": "parse_log_pytest",
        "eval_script": ": '>>>>> Start Test Output'\npytest\n: '>>>>> End Test Output'\n",
    })
}

const LOG: &str = "+ : '>>>>> Start Test Output'\nPASSED t.py::a\nFAILED t.py::b - no\n\
    + SWEBENCH_TEST_EXIT_CODE=1\n+ : '>>>>> End Test Output'\n+ echo '>>>>> Test Exit Code: 1'\n\
    >>>>> Test Exit Code: 1\n";

#[test]
fn logs_are_parsed_one_by_one_and_by_the_line() {
    let home = tempfile::tempdir().unwrap();
    let log = write(home.path(), "log", b"PASSED t\xff\r\nFAILED b - x\n");
    let output = evalrun(home.path(), &["parse", "--parser", "parse_log_pytest", &log]);
    let map: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(map, json!({"t\u{fffd}": "PASSED", "b": "FAILED"}));
    let lines = [
        json!({"id": 1, "parser": "parse_log_pytest", "log": "PASSED a"}),
        json!({"id": "x", "parser": "regex:^(?P<passed>ok) (?P<name>.+)$", "hex": hex::encode("ok b c")}),
        json!({"parser": "parse_log_django", "log": "ERROR:root:boom"}),
    ];
    let lines = lines.map(|line| format!("{line}\n")).concat();
    let file = write(home.path(), "logs.jsonl", lines.as_bytes());
    let output = evalrun(home.path(), &["parse", "--jsonl", &file]);
    let answers: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers[0], json!({"id": 1, "status_map": {"a": "PASSED"}}));
    assert_eq!(answers[1], json!({"id": "x", "status_map": {"b c": "PASSED"}}));
    assert!(answers[2]["id"].is_null() && answers[2]["failure"].is_string());
    for args in
        [&["parse", &log][..], &["parse", "--parser", "nose", &log], &["parse", "--jsonl", &log]]
    {
        assert_eq!(evalrun(home.path(), args).status.code(), Some(2), "{args:?}");
    }
    let listed = stdout(&evalrun(home.path(), &["parse", "--list"]));
    assert!(listed.lines().count() > 70 && listed.contains("\njunit-xml\n"));
}

#[test]
fn a_run_of_another_harness_is_graded_and_explained() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path();
    let rows = format!("{}\n{}\n", row("o__n-1", "t.py::a"), row("o__n-2", "t.py::b"));
    let rows = write(root, "rows.jsonl", rows.as_bytes());
    write(root, "run/m/o__n-1/test_output.txt", LOG.as_bytes());
    write(root, "run/m/o__n-2/test_output.txt", LOG.as_bytes());
    // A stale verdict must not survive.
    write(root, "run/m/o__n-2/report.json", b"{\"o__n-2\": {\"resolved\": true}}");
    let gold = write(root, "gold.json", b"{\"resolved_ids\": [\"o__n-1\"]}");
    let run = root.join("run");
    let run = run.to_str().unwrap();
    let reports = root.join("reports");
    let args = [
        "grade",
        run,
        "-d",
        &rows,
        "--json",
        "--in-place",
        "--validated",
        &gold,
        "--report-dir",
        reports.to_str().unwrap(),
    ];
    let output = evalrun(root, &args);
    let said: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(said["models"]["m"]["resolved_ids"], json!(["o__n-1"]));
    assert_eq!(said["models"]["m"]["unresolved_ids"], json!(["o__n-2"]));
    assert_eq!(said["shares"]["all"], json!({"resolved": 1, "total": 2}));
    assert_eq!(said["shares"]["validated"], json!({"resolved": 1, "total": 1}));
    let report = fs_err::read_to_string(root.join("run/m/o__n-2/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["o__n-2"]["resolved"], json!(false));
    assert!(reports.join("run-graded/m.run.json").is_file());
    let text = stdout(&evalrun(root, &["explain", run, "o__n-2"]));
    assert!(
        text.contains("o__n-2 by m: unresolved") && text.contains("FAILED t.py::b - no"),
        "{text}"
    );
    let none = evalrun(root, &["explain", run, "o__n-3"]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn rows_of_relatives_become_rows_that_are_read_again() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path();
    let live = json!({
        "repo": "owner/name", "instance_id": "owner__name-1", "base_commit": "0123456789", "patch": "p",
        "test_patch": "", "problem_statement": "do", "log_parser": "pytest", "test_cmds": ["pytest -rA"],
        "FAIL_TO_PASS": ["a"], "PASS_TO_PASS": [], "difficulty": {"files": 1}
    });
    let multi = json!({
        "org": "cli", "repo": "cli", "number": 7, "title": "t", "body": "b", "base": {"sha": "0123456789"},
        "resolved_issues": [], "fix_patch": "p", "test_patch": "", "fixed_tests": {"TestA": {}}, "p2p_tests": {}
    });
    let rows = write(root, "rows.jsonl", format!("{live}\n{multi}\n").as_bytes());
    let out = root.join("out.jsonl");
    let out = out.to_str().unwrap();
    let output = evalrun(root, &["datasets", "convert", &rows, "--to", out]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = fs_err::read_to_string(out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names = [
        "repo",
        "instance_id",
        "base_commit",
        "patch",
        "test_patch",
        "problem_statement",
        "hints_text",
        "created_at",
        "version",
        "FAIL_TO_PASS",
        "PASS_TO_PASS",
        "image",
        "eval_script",
        "log_parser",
        "eval_type",
    ];
    for line in &lines {
        let own: Vec<_> = line.as_object().unwrap().keys().take(names.len()).collect();
        assert_eq!(own, names);
    }
    assert_eq!(lines[1]["work_dir"], "/home/cli");
    let digest = |path: &str| {
        let said = stdout(&evalrun(root, &["datasets", "show", path, "--json"]));
        serde_json::from_str::<Value>(&said).unwrap()["digest"].clone()
    };
    assert_eq!(digest(&rows), digest(out));
}
