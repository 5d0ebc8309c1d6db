//! The parsers on short logs whose status maps the incumbent's own parsers gave
//! (`tests/oracle/parsers.py --record`).

mod further;
mod relatives;

use super::*;
use serde_json::Value;

/// How many parsers the incumbent has.
const INCUMBENTS: usize = 57;

#[test]
fn recorded_logs_give_the_incumbents_maps() {
    let fixture = include_str!("../../../tests/fixtures/parsers.jsonl");
    let mut parsers = std::collections::BTreeSet::new();
    for line in fixture.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| case[key].as_str().unwrap();
        let log = hex::decode(text("hex")).unwrap();
        let subject = Subject { instance_id: text("instance_id"), version: text("version") };
        let parsed = parse(text("parser"), &crate::grade::decode(&log), subject).unwrap();
        let shown = String::from_utf8_lossy(&log);
        match case["tests"].as_array() {
            Some(expected) => {
                let tests: Vec<_> = parsed.tests.iter().collect();
                let given = serde_json::to_value(tests).unwrap();
                assert_eq!(given.as_array().unwrap(), expected, "{}: {shown}", text("parser"));
                assert_eq!(parsed.failure, None, "{}: {shown}", text("parser"));
            }
            None => assert!(parsed.failure.is_some(), "{}: {shown}", text("parser")),
        }
        parsers.insert(text("parser").to_owned());
    }
    assert_eq!(parsers.len(), INCUMBENTS);
}

#[test]
fn every_name_is_registered_once() {
    let names: std::collections::BTreeSet<_> = parser_names().collect();
    assert_eq!(names.len(), parser_names().count());
    assert_eq!(names.iter().filter(|name| name.starts_with("parse_log_")).count(), INCUMBENTS);
    assert!(is_parser("parse_log_pytest") && !is_parser("pytest"));
    assert!(parse("parse_log_nose", "", Subject::default()).is_none());
}

/// Seconds of this thread's own on a CPU: however busy the machine is.
fn cpu_time() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).tv_sec
}

/// Shapes on which a search that starts over, or one that goes back, takes quadratic time.
#[test]
fn long_logs_take_time_linear_in_their_length() {
    let shapes = [
        "x".to_owned(),
        " ".to_owned(),
        "\n".to_owned(),
        "  1)".to_owned(),
        "1)\n".to_owned(),
        "<p>".to_owned(),
        "<p><p></p>".to_owned(),
        "<ww".to_owned(),
        "✓ ".to_owned(),
        "PASSED ".to_owned(),
        "FAILED - ".to_owned(),
        "a ... ".to_owned(),
        ". = ".to_owned(),
        "[ OK ] (".to_owned(),
        "PASS\n".to_owned(),
        "{\n".to_owned(),
        "--- PASS: (".to_owned(),
        "Starting browser\n  a\n".to_owned(),
        " xvfb-run \n   s\n".to_owned(),
        " ./node_modules/.bin/jest \n  s\n".to_owned(),
        "-Dtest=a\n".to_owned(),
        "<doctest><TestCase>".to_owned(),
        "Running: )\n\n\n  s\n".to_owned(),
        "running 1 test files\n".to_owned(),
        "/tmp/a/[unit]\n".to_owned(),
        ": ".to_owned(),
        "x ... Testing against Django installed in \n".to_owned(),
        "{\"a\":[\n".to_owned(),
        "{\n".to_owned(),
        "{\"tests\":[{},\n".to_owned(),
        "<testsuite a='".to_owned(),
        "<testsuite><![CDATA[".to_owned(),
        "<testsuite xmlns:a='' a:b=''><a:c>".to_owned(),
        "# Subtest: a\n".to_owned(),
        "  ---\n".to_owned(),
        "test_a (b.C) ... \n".to_owned(),
        "1/1 Test #1: a ***\n".to_owned(),
        "  Passed a [1 ms".to_owned(),
        "PASS [ 1s] a b\n".to_owned(),
    ];
    let size = 60_000;
    for shape in shapes {
        let text = shape.repeat(size / shape.len());
        let log = format!("Starting browser\n{text}");
        for name in parser_names() {
            let subjects =
                ["1.27", "9.5", "2", "4"].map(|version| Subject { instance_id: "a-2006", version });
            let subjects = if matches!(name, "parse_log_next" | "parse_log_lighthouse") {
                &subjects[..]
            } else {
                &subjects[..1]
            };
            for subject in subjects {
                let start = cpu_time();
                let _ = parse(name, &log, *subject);
                let took = cpu_time() - start;
                assert!(took < 5, "{name} takes {took} s for {size} bytes of {shape:?}");
            }
        }
    }
}
