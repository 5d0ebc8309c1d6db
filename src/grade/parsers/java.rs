//! Java: Maven, Ant, Gradle.

use super::{StatusMap, pattern};
use crate::grade::text::{lines, strip};
use std::collections::VecDeque;

/// One test a command: the commands appear in the shell's trace, and each result belongs to the
/// first command that has none yet.
pub(super) fn maven(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let mut commands = VecDeque::new();
    let mut results = VecDeque::new();
    for line in lines(text).map(strip) {
        if line.contains("-Dtest=")
            && let Some(found) = pattern!(r"^.*-Dtest=(\S+).*$").captures(line)
        {
            commands.push_back(found[1].to_owned());
        }
        let result = match line.rsplit_once("BUILD ") {
            Some((_, "SUCCESS")) => true,
            Some((_, "FAILURE")) => false,
            _ => continue,
        };
        match commands.pop_front() {
            Some(command) => enter(&mut tests, command, result),
            None => results.push_back(result),
        }
    }
    for (command, result) in commands.into_iter().zip(results) {
        enter(&mut tests, command, result);
    }
    tests
}

fn enter(tests: &mut StatusMap, name: impl Into<String>, passed: bool) {
    if passed { tests.passed(name) } else { tests.failed(name) }
}

pub(super) fn ant(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip).filter(|line| line.starts_with("[junit]")) {
        let found = pattern!(r"^\[junit\]\s+\[(PASS|FAIL|ERR)\]\s+(.*)$").captures(line);
        if let Some(found) = found {
            enter(&mut tests, &found[2], &found[1] == "PASS");
        }
    }
    tests
}

/// A result stands behind its test, or alone in a later line.
pub(super) fn gradle_custom(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let mut pending = None;
    for line in lines(text).map(strip) {
        let result = line.ends_with("PASSED") || line.ends_with("FAILED");
        if result && let Some(found) = pattern!(r"^([^>].+)\s+(PASSED|FAILED)$").captures(line) {
            enter(&mut tests, &found[1], &found[2] == "PASSED");
            pending = None;
        } else if pattern!(r"^[^>]\S*\s+>\s+\S+$").is_match(line) {
            pending = Some(line);
        } else if (line == "PASSED" || line == "FAILED")
            && let Some(name) = pending.take()
        {
            enter(&mut tests, name, line == "PASSED");
        }
    }
    tests
}
