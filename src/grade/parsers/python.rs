//! Python: pytest's summary lines in their variants, seaborn, sympy; Django has a file of its own.

mod django;
mod pytest_verbose;
mod unittest;

pub(super) use django::django;
pub(super) use pytest_verbose::pytest_verbose;
pub(super) use unittest::unittest;

use super::{StatusMap, pattern};
use crate::grade::text::{lines, strip, words};
use crate::model::TestStatus;
use std::borrow::Cow;

const STATUS_WORDS: [&str; 5] = ["FAILED", "PASSED", "SKIPPED", "ERROR", "XFAIL"];

fn starts_with_status(line: &str) -> bool {
    matches!(line.as_bytes().first(), Some(b'F' | b'P' | b'S' | b'E' | b'X'))
        && STATUS_WORDS.iter().any(|word| line.starts_with(word))
}

fn ends_with_status(line: &str) -> bool {
    matches!(line.as_bytes().last(), Some(b'D' | b'R' | b'L'))
        && STATUS_WORDS.iter().any(|word| line.ends_with(word))
}

/// The status as written: a word that only begins like a status is kept, as another.
fn status(word: &str) -> TestStatus {
    match word {
        "PASSED" => TestStatus::Passed,
        "FAILED" => TestStatus::Failed,
        "SKIPPED" => TestStatus::Skipped,
        "ERROR" => TestStatus::Error,
        "XFAIL" => TestStatus::Xfail,
        other => TestStatus::Other(other.to_owned()),
    }
}

/// `SKIPPED [3] file: reason` counts skips; it names no test.
fn is_skip_count(first: &str, second: &str) -> bool {
    first == "SKIPPED" && second.starts_with('[') && pattern!(r"^\[\d+\]$").is_match(second)
}

/// Enters the test that a summary line names.
fn read_summary(line: &str, name: impl Fn(&str) -> String, tests: &mut StatusMap) {
    let line = if line.starts_with("FAILED") && line.contains(" - ") {
        Cow::Owned(line.replace(" - ", " "))
    } else {
        Cow::Borrowed(line)
    };
    let mut words = words(&line);
    if let (Some(first), Some(second)) = (words.next(), words.next())
        && !is_skip_count(first, second)
    {
        tests.insert(name(second), status(first));
    }
}

fn summary_lines(text: &str) -> impl Iterator<Item = &str> {
    lines(text).filter(|line| starts_with_status(line))
}

pub(super) fn pytest(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    summary_lines(text).for_each(|line| read_summary(line, str::to_owned, &mut tests));
    tests
}

pub(super) fn matplotlib(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    // The words replaced cannot make the beginning of a line a status, nor take one away.
    for line in summary_lines(text) {
        let line = line.replace("MouseButton.LEFT", "1").replace("MouseButton.RIGHT", "3");
        read_summary(&line, str::to_owned, &mut tests);
    }
    tests
}

pub(super) fn pytest_options(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    summary_lines(text).for_each(|line| read_summary(line, short_option, &mut tests));
    tests
}

/// A path in a test's parameter keeps its last part: it differs from machine to machine.
fn short_option(name: &str) -> String {
    let brackets = name.find('[').zip(name.rfind(']')).filter(|(open, close)| open < close);
    let Some((open, close)) = brackets else { return name.to_owned() };
    let (main, option) = (&name[..open], &name[open + 1..close]);
    let path = option.starts_with('/') && !option.starts_with("//") && !option.contains('*');
    match option.rsplit_once('/') {
        Some((_, last)) if path => format!("{main}[/{last}]"),
        _ => format!("{main}[{option}]"),
    }
}

pub(super) fn pytest_v2(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text) {
        let line = without_controls(line);
        if starts_with_status(&line) {
            let head = match line.split_once(" - ") {
                Some((head, _)) if line.starts_with("FAILED") => head,
                _ => &line,
            };
            let mut words = words(head);
            let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
            if !is_skip_count(first, second) {
                tests.insert(join(second, words), status(first));
            }
        } else if ends_with_status(&line) {
            let mut words = words(&line);
            let Some(last) = words.next_back() else { continue };
            if let Some(first) = words.next() {
                tests.insert(join(first, words), status(last));
            }
        }
    }
    tests
}

fn join<'t>(first: &str, rest: impl Iterator<Item = &'t str>) -> String {
    rest.fold(first.to_owned(), |mut name, word| {
        name.push(' ');
        name.push_str(word);
        name
    })
}

/// Without `[31m` and its like (the escape before it may be there or not), then without control
/// characters.
fn without_controls(line: &str) -> Cow<'_, str> {
    let line = if memchr::memchr(b'[', line.as_bytes()).is_some() {
        pattern!(r"\[\d+m").replace_all(line, "")
    } else {
        Cow::Borrowed(line)
    };
    if line.bytes().any(|byte| (1..32).contains(&byte)) {
        Cow::Owned(line.chars().filter(|c| !('\u{1}'..='\u{1f}').contains(c)).collect())
    } else {
        line
    }
}

pub(super) fn seaborn(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text) {
        let failed = line.starts_with("FAILED");
        let inside = !failed && line.contains(" PASSED ");
        if !failed && !inside && !line.starts_with("PASSED") {
            continue;
        }
        let mut words = words(line);
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        if failed {
            tests.failed(second);
        } else if !inside {
            tests.passed(second);
        } else if second == "PASSED" {
            tests.passed(first);
        }
    }
    tests
}

pub(super) fn sympy(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for name in lines(text).filter_map(failure_heading) {
        tests.failed(name);
    }
    for line in lines(text).map(strip).filter(|line| line.starts_with("test_")) {
        let status = if line.ends_with(" E") {
            TestStatus::Error
        } else if line.ends_with(" F") {
            TestStatus::Failed
        } else if line.ends_with(" ok") {
            TestStatus::Passed
        } else {
            continue;
        };
        if let Some(name) = words(line).next() {
            tests.insert(name, status);
        }
    }
    tests
}

/// The text between the first blank and the last of a line, if it holds a `.py:`: what
/// `_____ path/test_x.py:test_y _____` names, and what other lines of this form do.
fn failure_heading(line: &str) -> Option<&str> {
    let bytes = line.as_bytes();
    let name = line.get(memchr::memchr(b' ', bytes)? + 1..memchr::memrchr(b' ', bytes)?)?;
    name.contains(".py:").then_some(name)
}
