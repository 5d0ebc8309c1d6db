//! What a log says by its text: markers, section, exit status, signs that tests ran.

use super::script::{END, EXIT_CODE, RESULT_FILE, START};
use super::{Parsed, StatusMap, Subject, parse, result_file};
use crate::model::{Instance, LogProblem};
use regex::Regex;
use std::sync::LazyLock;

/// Lines with which a harness says that it could not test.
const BAD_MARKERS: [&str; 4] = [
    ">>>>> Patch Apply Failed",
    ">>>>> Reset Failed",
    ">>>>> Tests Errored",
    ">>>>> Tests Timed Out",
];

/// The first marker in a text that makes it no log of tests.
pub(super) fn bad_marker(text: &str) -> Option<&'static str> {
    BAD_MARKERS.into_iter().find(|marker| contains(text, marker))
}

/// Whether a text holds anything that only a harness prints.
pub(super) fn has_marker(text: &str) -> bool {
    contains(text, ">>>>> ")
        && [START, END, EXIT_CODE].iter().chain(&BAD_MARKERS).any(|marker| contains(text, marker))
}

fn contains(text: &str, needle: &str) -> bool {
    memchr::memmem::find(text.as_bytes(), needle.as_bytes()).is_some()
}

/// The test section by its markers: from the first start to the next start or end.
pub(super) fn marked_section(text: &str) -> Result<&str, LogProblem> {
    let start = text.find(START).ok_or(LogProblem::TestsNotStarted)? + START.len();
    if !contains(text, END) {
        return Err(LogProblem::TestsNotEnded);
    }
    let section = text[start..].split(START).next().unwrap_or_default();
    Ok(section.split(END).next().unwrap_or_default())
}

/// Whether an end marker follows the first start marker.
pub(super) fn ends_after_start(text: &str) -> bool {
    text.find(START).is_some_and(|start| contains(&text[start..], END))
}

/// How often tests are said to start and to end, the latter behind the first start.
pub(super) struct Marks {
    pub(super) starts: usize,
    pub(super) ends: usize,
}

/// Counts the markers.
pub(super) fn marks(text: &str) -> Marks {
    let count = |text: &str, marker: &str| {
        memchr::memmem::find_iter(text.as_bytes(), marker.as_bytes()).count()
    };
    let behind = text.find(START).map_or("", |at| &text[at..]);
    Marks { starts: count(text, START), ends: count(behind, END) }
}

/// The tests' exit status as recorded in a log: the first mention counts. One beyond 32 bits is
/// some failure.
pub(super) fn recorded_status(text: &str) -> Option<i32> {
    mentions(text).next()
}

/// Every mention of it.
pub(super) fn recorded_statuses(text: &str) -> Vec<i32> {
    mentions(text).collect()
}

fn mentions(text: &str) -> impl Iterator<Item = i32> {
    static RECORDED: LazyLock<Regex> = LazyLock::new(|| {
        let text = format!(r"{EXIT_CODE}:[\s\x1c-\x1f]*(-?\d+)");
        Regex::new(&text).expect("the pattern is a constant of ours")
    });
    RECORDED.captures_iter(text).map(|found| found[1].parse().unwrap_or(i32::MAX))
}

/// Whether a runner's own words say that at least one test ran.
pub(super) fn shows_that_tests_ran(text: &str) -> bool {
    static SUITE_RAN: LazyLock<Regex> = LazyLock::new(|| {
        let forms = [
            r"Executed [1-9]\d* of \d+",
            r"TOTAL: [1-9]\d* (?:SUCCESS|FAILED)",
            r"[1-9]\d* passing",
            r"Tests:[\s\x1c-\x1f]+[1-9]\d*",
            r"Test Suites:[\s\x1c-\x1f]+(?:\d+ [\p{L}\p{N}_]+, )*[1-9]\d* total",
            r"^# tests [1-9]\d*",
            r"[1-9]\d* specs?, \d+ failures?",
            r"': ok$",
        ];
        Regex::new(&format!("(?m){}", forms.join("|"))).expect("the patterns are constants of ours")
    });
    SUITE_RAN.is_match(text)
}

/// The file that was taken out of the sandbox into this log. What was written last is the
/// supervisor's.
fn taken_file<'t>(text: &'t str, path: &str) -> Option<&'t str> {
    let heading = format!("{RESULT_FILE}: {path}\n");
    let at = memchr::memmem::rfind(text.as_bytes(), heading.as_bytes())?;
    Some(&text[at + heading.len()..])
}

/// The status map of a text by the instance's parser.
pub(super) fn read(instance: &Instance, text: &str) -> Result<StatusMap, LogProblem> {
    let subject = Subject { instance_id: instance.id.as_str(), version: &instance.version };
    let failed = |why| Err(LogProblem::ParserFailed { why });
    let text = match result_file(&instance.log_parser) {
        Some(path) => taken_file(text, path).unwrap_or_default(),
        None => text,
    };
    match parse(&instance.log_parser, text, subject) {
        Some(Parsed { tests, failure: None }) => Ok(tests),
        Some(Parsed { failure: Some(why), .. }) => failed(why),
        None => failed(format!("no log parser is called `{}`", instance.log_parser)),
    }
}
