//! The plainest forms: a list of names and statuses, a reward, an exit status.

use super::json_documents;
use crate::grade::parsers::{StatusMap, custom};
use crate::grade::text::{lines, strip};
use serde::Deserialize;

#[derive(Deserialize)]
struct Results {
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    name: String,
    status: String,
}

/// `{"tests": [{"name", "status"}]}`, what the parsers of SWE-bench Pro write.
pub(in crate::grade::parsers) fn results_json(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for results in json_documents::<Results>(text) {
        for test in results.tests {
            tests.insert(test.name, custom::status(&test.status));
        }
    }
    tests
}

/// The last line `reward: NUMBER`, as one test of the name `reward` that passes at 1. This is what
/// the verifier of a Harbor task leaves in `/logs/verifier/reward.txt`.
pub(in crate::grade::parsers) fn reward(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let numbers = lines(text).filter_map(|line| strip(line).strip_prefix("reward:").map(strip));
    if let Some(number) = numbers.last() {
        match number.parse::<f64>() {
            Ok(reward) if reward >= 1.0 => tests.passed("reward"),
            _ => tests.failed("reward"),
        }
    }
    tests
}

/// The last line `exit status: NUMBER`, as one test of the name `tests` that passes at 0.
pub(in crate::grade::parsers) fn exit_status(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let numbers =
        lines(text).filter_map(|line| strip(line).strip_prefix("exit status:").map(strip));
    match numbers.last() {
        Some("0") => tests.passed("tests"),
        Some(_) => tests.failed("tests"),
        None => {}
    }
    tests
}
