//! pytest's results as JSON: the document of pytest-json-report, the lines of pytest-reportlog.

use super::{json_documents, json_lines};
use crate::grade::parsers::StatusMap;
use crate::model::TestStatus;
use serde::Deserialize;
use serde_json::Value;

/// A document of pytest-json-report (`pytest --json-report`).
#[derive(Deserialize)]
struct Report {
    tests: Vec<Test>,
    #[serde(default)]
    collectors: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    nodeid: String,
    outcome: String,
}

/// A line of pytest-reportlog (`pytest --report-log=FILE`).
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "$report_type")]
    kind: String,
    nodeid: String,
    outcome: String,
    #[serde(default)]
    when: Option<String>,
    #[serde(default)]
    wasxfail: Option<Value>,
}

/// Tests are named by their node ids. A module that could not be collected is an error.
pub(in crate::grade::parsers) fn pytest_json(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for report in json_documents::<Report>(text) {
        for test in report.tests {
            tests.insert(test.nodeid, status(&test.outcome));
        }
        for failed in report.collectors.into_iter().filter(|of| of.outcome == "failed") {
            tests.insert(failed.nodeid, TestStatus::Error);
        }
    }
    for line in json_lines::<Line>(text) {
        log_line(line, &mut tests);
    }
    tests
}

fn status(outcome: &str) -> TestStatus {
    match outcome {
        "passed" | "xpassed" => TestStatus::Passed,
        "failed" => TestStatus::Failed,
        "skipped" | "deselected" => TestStatus::Skipped,
        "xfailed" => TestStatus::Xfail,
        "error" => TestStatus::Error,
        other => TestStatus::Other(other.to_owned()),
    }
}

/// Each test has a line for its set-up, its call and its tear-down: the call tells how it went,
/// unless one of the others failed.
fn log_line(line: Line, tests: &mut StatusMap) {
    let during_call = line.when.as_deref() == Some("call");
    let status = match (line.kind.as_str(), line.outcome.as_str()) {
        ("CollectReport", "failed") => TestStatus::Error,
        ("TestReport", "failed") if during_call => TestStatus::Failed,
        ("TestReport", "failed") => TestStatus::Error,
        ("TestReport", "skipped") if line.wasxfail.is_some() => TestStatus::Xfail,
        ("TestReport", "skipped") => TestStatus::Skipped,
        ("TestReport", "passed") if during_call => TestStatus::Passed,
        _ => return,
    };
    tests.insert(line.nodeid, status);
}
