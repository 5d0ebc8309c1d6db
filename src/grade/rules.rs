//! The official rules: expected tests against what was seen.

use super::StatusMap;
use crate::model::{EvalType, Instance, TestLists, TestStatus, TestsReport};

/// Where ours differ from the official rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// To the letter: a status that is no status puts a test into neither list, and an instance
    /// that expects nothing is resolved.
    Official,
    /// Such a status is a failure, and nothing expected is nothing shown.
    Strict,
}

/// The expected tests by how they fared.
pub(super) fn judge(instance: &Instance, seen: &StatusMap, reading: Reading) -> TestsReport {
    let lists = |expected: &[String], keeps_passing: bool| {
        let mut lists = TestLists::default();
        for test in expected {
            match fares(test, instance.eval_type, seen, keeps_passing) {
                Fares::Well => lists.success.push(test.clone()),
                Fares::Ill => lists.failure.push(test.clone()),
                Fares::Unknown if reading == Reading::Strict => lists.failure.push(test.clone()),
                Fares::Unknown => {}
            }
        }
        lists
    };
    TestsReport {
        fail_to_pass: lists(&instance.fail_to_pass, false),
        pass_to_pass: lists(&instance.pass_to_pass, true),
    }
}

/// Whether the report is a full resolution. An empty list has no failure.
pub(super) fn is_resolved(tests: &TestsReport, reading: Reading) -> bool {
    let lists = [&tests.fail_to_pass, &tests.pass_to_pass];
    let shown = lists.iter().any(|lists| !lists.success.is_empty());
    lists.iter().all(|lists| lists.failure.is_empty()) && (shown || reading == Reading::Official)
}

/// Whether the results tell of a failure, which a failed exit status asks for.
pub(super) fn shows_failure(seen: &StatusMap) -> bool {
    seen.iter().any(|(_, status)| matches!(status, TestStatus::Failed | TestStatus::Error))
}

enum Fares {
    Well,
    Ill,
    Unknown,
}

fn fares(test: &str, eval_type: EvalType, seen: &StatusMap, keeps_passing: bool) -> Fares {
    if eval_type == EvalType::FailOnly {
        // A test that is not named did not fail; nor did one that could not be run.
        return if seen.get(test) == Some(&TestStatus::Failed) { Fares::Ill } else { Fares::Well };
    }
    match status_of(test, seen) {
        Some(TestStatus::Passed | TestStatus::Xfail) => Fares::Well,
        Some(TestStatus::Skipped) if keeps_passing => Fares::Well,
        Some(TestStatus::Other(_)) => Fares::Unknown,
        None | Some(TestStatus::Skipped | TestStatus::Failed | TestStatus::Error) => Fares::Ill,
    }
}

/// The status of an expected test. Some published ids are cut off inside their parameters (more
/// `[` than `]`): those stand for all tests that begin so, if these agree on passing or not, and
/// the first of them speaks.
pub(super) fn status_of<'m>(test: &str, seen: &'m StatusMap) -> Option<&'m TestStatus> {
    if let Some(status) = seen.get(test) {
        return Some(status);
    }
    let count = |bracket: u8| memchr::memchr_iter(bracket, test.as_bytes()).count();
    if count(b'[') <= count(b']') {
        return None;
    }
    let passes = |status: &TestStatus| matches!(status, TestStatus::Passed | TestStatus::Xfail);
    let mut candidates =
        seen.iter().filter(|(name, _)| name.starts_with(test)).map(|(_, status)| status);
    let first = candidates.next()?;
    candidates.all(|status| passes(status) == passes(first)).then_some(first)
}
