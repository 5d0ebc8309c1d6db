//! A parser that a row or a recipe writes down itself: `regex:PATTERN`.

use super::{Parsed, StatusMap};
use crate::grade::text::lines;
use crate::model::TestStatus;
use regex::{Captures, Regex, RegexBuilder};

/// What such a parser's name begins with.
pub(super) const PREFIX: &str = "regex:";

/// Groups whose taking part in a match is the status.
const STATUSES: [(&str, TestStatus); 5] = [
    ("failed", TestStatus::Failed),
    ("error", TestStatus::Error),
    ("skipped", TestStatus::Skipped),
    ("xfail", TestStatus::Xfail),
    ("passed", TestStatus::Passed),
];

/// Compiled patterns take at most this many bytes.
const MAX_SIZE: usize = 4 << 20;

/// The pattern, if it can be a parser.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    let regex = RegexBuilder::new(pattern).size_limit(MAX_SIZE).build();
    let regex = regex.map_err(|error| {
        let said = error.to_string();
        said.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })?;
    let has = |wanted: &str| regex.capture_names().flatten().any(|name| name == wanted);
    if !has("name") {
        return Err("it has no group `(?P<name>…)`".to_owned());
    }
    if !has("status") && !STATUSES.iter().any(|(name, _)| has(name)) {
        return Err("it has no group `(?P<status>…)`, nor one that is called after a status \
             (`passed`, `failed`, `error`, `skipped`, `xfail`)"
            .to_owned());
    }
    Ok(regex)
}

/// The first match in every line, so that no pattern takes more than linear time: the group `name` is the test, the group `status` its status in the
/// runner's word; or the group that takes part of `passed`, `failed`, `error`, `skipped`, `xfail`.
pub(super) fn custom(pattern: &str, text: &str) -> Parsed {
    let mut tests = StatusMap::default();
    let regex = match compile(pattern) {
        Ok(regex) => regex,
        Err(why) => return Parsed::failed(tests, format!("the pattern cannot be used: {why}")),
    };
    for line in lines(text) {
        let Some(found) = regex.captures(line) else { continue };
        let (Some(name), Some(status)) = (found.name("name"), status_of(&found)) else { continue };
        if !name.as_str().is_empty() {
            tests.insert(name.as_str(), status);
        }
    }
    tests.into()
}

fn status_of(found: &Captures<'_>) -> Option<TestStatus> {
    if let Some(word) = found.name("status") {
        return Some(status(word.as_str()));
    }
    let by_group = STATUSES.iter().find(|(name, _)| found.name(name).is_some());
    by_group.map(|(_, status)| status.clone())
}

/// What runners call the statuses, in any case; other words are no status.
pub(super) fn status(word: &str) -> TestStatus {
    match word.trim().to_lowercase().as_str() {
        "passed" | "pass" | "ok" | "success" | "succeeded" | "successful" | "✓" | "✔" | "√"
        | "." | "xpass" | "xpassed" => TestStatus::Passed,
        "failed" | "fail" | "failure" | "not ok" | "ko" | "f" | "✗" | "✘" | "×" | "✕" | "✖"
        | "timeout" | "timedout" | "timed out" => TestStatus::Failed,
        "error" | "err" | "errored" | "e" | "broken" | "crashed" => TestStatus::Error,
        "skipped" | "skip" | "ignored" | "ignore" | "pending" | "disabled" | "todo" | "s" | "○"
        | "↓" | "-" => TestStatus::Skipped,
        "xfail" | "xfailed" | "expected failure" => TestStatus::Xfail,
        _ => TestStatus::Other(word.to_owned()),
    }
}
