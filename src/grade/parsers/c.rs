//! C and C++: the runners of redis, jq and micropython, doctest's XML, GoogleTest, CTest.

mod doctest;

pub(super) use doctest::doctest;

use super::{StatusMap, pattern};
use crate::grade::text::{lines, strip};
use crate::model::TestStatus;

pub(super) fn redis(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip).filter(|line| line.starts_with('[')) {
        let found =
            pattern!(r"^\[(ok|err|skip|ignore)\]:\s(.+?)(?:\s\((\d+\s*m?s)\))?$").captures(line);
        let Some(found) = found else { continue };
        let name = &found[2];
        match &found[1] {
            "ok" => tests.passed(name),
            // The name is followed by the file that holds the test.
            "err" => tests.failed(pattern!(r"\s+in\s+\S+$").replace(name, "")),
            _ => tests.skipped(name),
        }
    }
    tests
}

pub(super) fn jq(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip) {
        let Some(found) = pattern!(r"^(PASS|FAIL):\s(.+)$").captures(line) else { continue };
        match &found[1] {
            "PASS" => tests.passed(&found[2]),
            _ => tests.failed(&found[2]),
        }
    }
    tests
}

pub(super) fn micropython_test(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip) {
        let Some(found) = pattern!(r"^(pass|FAIL|skip)\s+(.+)$").captures(line) else { continue };
        match &found[1] {
            "pass" => tests.passed(&found[2]),
            "FAIL" => tests.failed(&found[2]),
            _ => tests.skipped(&found[2]),
        }
    }
    tests
}

/// Lines without a time (the list of failures at the end) do not count.
pub(super) fn googletest(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip).filter(|line| line.ends_with(')') && line.contains(']')) {
        let found = pattern!(r"^.*\[\s*(OK|FAILED)\s*\]\s(.*)\s\(.*\)$").captures(line);
        let Some(found) = found else { continue };
        match &found[1] {
            "OK" => tests.passed(&found[2]),
            _ => tests.failed(&found[2]),
        }
    }
    tests
}

/// `1/2 Test #1: name ....   Passed    0.01 sec`. What could not be run is an error, unless it is
/// disabled or skips itself.
pub(super) fn ctest(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip).filter(|line| line.contains(" Test ")) {
        let Some(found) = pattern!(r"^\d+/\d+\s+Test\s+#\d+:\s(.+)$").captures(line) else {
            continue;
        };
        let rest = found.get(1).map_or("", |rest| rest.as_str());
        let (name, said) = match (rest.rfind("***"), rest.rfind(" Passed ")) {
            (Some(at), _) => (&rest[..at], rest[at + 3..].trim_start()),
            (None, Some(at)) => (&rest[..at], "Passed"),
            (None, None) => continue,
        };
        let name = strip(strip(name).trim_end_matches('.'));
        if name.is_empty() {
            continue;
        }
        if said == "Passed" {
            tests.passed(name);
        } else if said.starts_with("Skipped") || said.starts_with("Not Run (Disabled)") {
            tests.skipped(name);
        } else if said.starts_with("Not Run") {
            tests.insert(name, TestStatus::Error);
        } else {
            tests.failed(name);
        }
    }
    tests
}
