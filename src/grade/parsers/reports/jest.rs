//! Jest's and Mocha's JSON reports with the test files in the names, Angular's Bazel, and what else
//! SWE-PolyBench reads (`src/poly_bench_evaluation/parsers/` of `amazon-science/SWE-PolyBench`).

use super::json_documents;
use crate::grade::parsers::javascript::mocha;
use crate::grade::parsers::python::unittest;
use crate::grade::parsers::{StatusMap, pattern};
use crate::grade::text::{lines, strip};
use crate::model::TestStatus;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JestReport {
    test_results: Vec<JestFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JestFile {
    name: String,
    assertion_results: Vec<Assertion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Assertion {
    #[serde(default)]
    full_name: Option<String>,
    title: String,
    status: String,
}

/// `jest --json`: tests are named `file->full name`.
pub(in crate::grade::parsers) fn jest_report(text: &str) -> StatusMap {
    jest(text, |test| test.full_name.as_deref().unwrap_or(&test.title))
}

/// The same, named `file->title`.
pub(in crate::grade::parsers) fn jest_titles(text: &str) -> StatusMap {
    jest(text, |test| &test.title)
}

fn jest(text: &str, name: impl Fn(&Assertion) -> &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let files =
        json_documents::<JestReport>(text).into_iter().flat_map(|report| report.test_results);
    for file in files {
        for test in &file.assertion_results {
            let name = format!("{}->{}", file.name, name(test));
            match test.status.as_str() {
                "passed" => tests.passed(name),
                "failed" => tests.failed(name),
                _ => tests.skipped(name),
            }
        }
    }
    tests
}

#[derive(Deserialize)]
struct MochaReport {
    tests: Vec<MochaTest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MochaTest {
    file: String,
    full_title: String,
    status: String,
}

/// A report of Mocha with file and status in each of `tests`: tests are named `file->full title`.
pub(in crate::grade::parsers) fn mocha_files(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for test in json_documents::<MochaReport>(text).into_iter().flat_map(|report| report.tests) {
        let name = format!("{}->{}", test.file, test.full_title);
        match test.status.as_str() {
            "passed" => tests.passed(name),
            "failed" => tests.failed(name),
            _ => tests.skipped(name),
        }
    }
    tests
}

/// Mocha's JSON where there is some, else TAP's lines; a name is all that follows `ok `, the number
/// included.
pub(in crate::grade::parsers) fn polybench_js(text: &str) -> StatusMap {
    if !pattern!(r"(?m)^TAP\sversion\s\d+").is_match(text) {
        return mocha(text);
    }
    let mut tests = StatusMap::default();
    for line in lines(text) {
        if let Some(name) = line.strip_prefix("ok ") {
            tests.passed(name);
        } else if let Some(name) = line.strip_prefix("not ok ") {
            tests.failed(name);
        }
    }
    tests
}

/// Bazel's line for each target: `//pkg:target   PASSED in 1s`. The first slash goes.
pub(in crate::grade::parsers) fn polybench_bazel(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text) {
        let line = pattern!(r"\x1b\[(?:0|32|31|1)m").replace_all(line, "");
        let (at, passed) = match (line.find("PASSED"), line.find("FAILED")) {
            (Some(at), _) => (at, true),
            (None, Some(at)) => (at, false),
            (None, None) => continue,
        };
        let name = &line[..at];
        let name = strip(if name.starts_with("//") { &name[1..] } else { name });
        if passed { tests.passed(name) } else { tests.failed(name) }
    }
    tests
}

/// pytest's lines, tests named `file:class:test` with `None` for what is missing; without pytest
/// `unittest`'s, named `module.Class:test:`.
pub(in crate::grade::parsers) fn polybench_python(text: &str) -> StatusMap {
    let pytest =
        text.contains("= test session starts =") || text.contains("= short test summary info =");
    if !pytest {
        let mut tests = StatusMap::default();
        for (name, status) in unittest(text).iter() {
            let (class, test) = name.rsplit_once('.').unwrap_or(("", name));
            tests.insert(format!("{class}:{test}:"), status.clone());
        }
        return tests;
    }
    let part = pytest_part(text);
    let mut tests = StatusMap::default();
    let test_first = pattern!(
        r"([\w/]+\.py)::(?:(\w+)::)?(\w+(?:\[[\w\-]+\])?)(?:\s<-\s[\w/]+\.py)?(?s:.)*?(PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS)"
    );
    for found in test_first.captures_iter(part) {
        add_pytest(&mut tests, [found.get(1), found.get(2), found.get(3)], &found[4]);
    }
    if tests.is_empty() {
        let status_first = pattern!(
            r"(PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS)\s([\w/]+\.py)::(?:(\w+)::)?(\w+(?:\[[\w\-]+\])?)(?:\s<-\s[\w/]+\.py)?"
        );
        for found in status_first.captures_iter(part) {
            add_pytest(&mut tests, [found.get(2), found.get(3), found.get(4)], &found[1]);
        }
    }
    tests
}

fn add_pytest(tests: &mut StatusMap, parts: [Option<regex::Match<'_>>; 3], status: &str) {
    let name = parts.map(|part| part.map_or("None", |part| part.as_str())).join(":");
    let status = match status {
        "PASSED" => TestStatus::Passed,
        "FAILED" => TestStatus::Failed,
        "ERROR" => TestStatus::Error,
        "XFAIL" => TestStatus::Xfail,
        "SKIPPED" => TestStatus::Skipped,
        other => TestStatus::Other(other.to_owned()),
    };
    tests.insert(name, status);
}

/// What pytest prints while it runs; the summary alone where there is nothing else.
fn pytest_part(text: &str) -> &str {
    let warnings = text.find("===== warnings summary =====");
    let summary = text.find("===== short test summary info =====");
    let starts = [text.find("===== test session starts ====="), text.find("collecting ...")];
    let Some(start) = starts.into_iter().flatten().min() else {
        let Some(summary) = summary else { return "" };
        let end = warnings.filter(|end| *end > summary).unwrap_or(text.len());
        return strip(&text[summary..end]);
    };
    let end = [warnings, summary].into_iter().flatten().min();
    text.get(start..end.unwrap_or(text.len())).unwrap_or_default()
}
