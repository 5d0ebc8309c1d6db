//! JavaScript: runners that print one line a test, and those that are read for failures alone.

mod mocha;
mod p5js;
mod quarto_cli;
mod reports;
mod suites;
mod tap;

pub(super) use mocha::mocha;
pub(super) use p5js::p5js;
pub(super) use quarto_cli::quarto_cli;
pub(super) use reports::{lighthouse, next, prismjs};
pub(super) use suites::{calypso, highlightjs, karma};
pub(super) use tap::tap13;

use super::colours::without_colours;
use super::{Parsed, StatusMap, Subject, pattern};
use crate::grade::text::{lines, strip, words};
use regex::Regex;

pub(super) fn jest(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip) {
        let found = pattern!(r"^(✓|✕|○)\s(.+?)(?:\s\((\d+\s*m?s)\))?$").captures(line);
        let Some(found) = found else { continue };
        let name = strip(&found[2]);
        match &found[1] {
            "✓" => tests.passed(name),
            "✕" => tests.failed(name),
            _ => tests.skipped(name),
        }
    }
    tests
}

pub(super) fn jest_json(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip) {
        let Some(found) = pattern!(r"^\[(PASSED|FAILED)\]\s(.+)$").captures(line) else { continue };
        match &found[1] {
            "PASSED" => tests.passed(&found[2]),
            _ => tests.failed(&found[2]),
        }
    }
    tests
}

/// The runner depends on the pull request.
pub(super) fn immutable_js(text: &str, subject: Subject<'_>) -> Parsed {
    match subject.instance_id.rsplit('-').next() {
        Some("2006") => jest(text).into(),
        Some("2005") => jest_json(text).into(),
        _ => Parsed::failed(
            StatusMap::default(),
            format!("no runner is known for `{}`", subject.instance_id),
        ),
    }
}

pub(super) fn vitest(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip) {
        let found = pattern!(r"^(✓|×|↓)\s(.+?)(?:\s(\d+\s*m?s?|\[skipped\]))?$").captures(line);
        let Some(found) = found else { continue };
        match &found[1] {
            "✓" => tests.passed(&found[2]),
            "×" => tests.failed(&found[2]),
            _ => tests.skipped(&found[2]),
        }
    }
    tests
}

/// Directives (`# SKIP`, `# TODO`) are part of the name and not interpreted.
pub(super) fn tap(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text).map(strip) {
        let Some(found) = pattern!(r"^(ok|not ok) (\d+) (.+)$").captures(line) else { continue };
        match &found[1] {
            "ok" => tests.passed(&found[3]),
            _ => tests.failed(&found[3]),
        }
    }
    tests
}

/// Jest's lines for whole test files.
pub(super) fn carbon(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text) {
        let Some(rest) = line.strip_prefix("PASS").or_else(|| line.strip_prefix("FAIL")) else {
            continue;
        };
        let patterns: [&Regex; 4] = [
            pattern!(r"^\s(.*)\s\([\d\.]+ms\)"),
            pattern!(r"^\s(.*)\s\([\d\.]+\ss\)"),
            pattern!(r"^\s(.*)\s\([\d\.]+s\)"),
            pattern!(r"^\s(.*)"),
        ];
        let Some(found) = patterns.into_iter().find_map(|pattern| pattern.captures(rest)) else {
            continue;
        };
        if line.starts_with("PASS") { tests.passed(&found[1]) } else { tests.failed(&found[1]) }
    }
    tests
}

/// Passed files win over failed ones of the same name.
pub(super) fn grommet(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let duration = pattern!(r"\s\([\d\.]+\s?(?:ms|s)\)$");
    for found in pattern!(r"(?m)^FAIL\s(.*)").captures_iter(text) {
        tests.failed(duration.replace(strip(&found[1]), ""));
    }
    for found in pattern!(r"(?m)^PASS\s(.*)").captures_iter(text) {
        tests.passed(duration.replace(strip(&found[1]), ""));
    }
    tests
}

/// Every run of white space as one blank, none at the ends.
fn squeeze(text: &str) -> String {
    words(text).collect::<Vec<_>>().join(" ")
}

/// Failures alone.
pub(super) fn eslint(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for found in pattern!(r"(\s{2}\d+\))([\s\S]*?)\s+(?:(.*)Error)").captures_iter(text) {
        tests.failed(squeeze(&found[2]));
    }
    tests
}

/// Failures alone; the blank before `FAILED` belongs to the name.
pub(super) fn bpmn_js(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let patterns: [&Regex; 4] = [
        pattern!(r"2KPhantomJS\s[\d\.]+\s\(Linux\s[\d\.]+\)\s(.*)FAILED\n"),
        pattern!(r"2KPhantomJS\s[\d\.]+\s\(Linux\sx86_64\)\s(.*)FAILED\n"),
        pattern!(r"Chrome\sHeadless\s.*\s\(Linux\sx86_64\)\s(.*)FAILED\n"),
        pattern!(r"HeadlessChrome\s[\d\.]+\s\(Linux\s[\d\.]+\)\s(.*)FAILED\n"),
    ];
    for found in patterns.into_iter().flat_map(|pattern| pattern.captures_iter(text)) {
        tests.failed(&found[1]);
    }
    tests
}

/// Failures alone; names keep their blanks, which the rows' ids have too.
pub(super) fn chart_js(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let text = without_colours(text);
    let failure = pattern!(r"(?m)Chrome\s[\d\.]+[^\S\r\n]\(.+?\)[^\S\r\n](.*)FAILED$");
    for found in failure.captures_iter(&text) {
        tests.failed(&found[1]);
    }
    tests
}

/// Failures alone.
pub(super) fn openlayers(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    let patterns: [&Regex; 4] = [
        pattern!(r"Chrome\sHeadless\s[\d\.]+\s\(Linux\s\S+\)\s(.*)\sFAILED\n"),
        pattern!(r"Chrome\s[\d\.]+\s\(Linux\s\S+\)\s(.*)FAILED\n"),
        pattern!(r"(?m)^\s{2}\d+\)([\s\S]*?)Error:"),
        pattern!(r"(?m)^case\s(.*):\smismatch"),
    ];
    for found in patterns.into_iter().flat_map(|pattern| pattern.captures_iter(text)) {
        tests.failed(squeeze(&found[1]));
    }
    tests
}

/// Failures alone.
pub(super) fn marked(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for line in lines(text) {
        if let Some(found) = pattern!(r"^\d+\)\s(.*)").captures(line) {
            tests.failed(strip(&found[1]));
        }
    }
    tests
}
