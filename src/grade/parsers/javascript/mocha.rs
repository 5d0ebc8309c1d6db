//! Mocha: the spec reporter's lines, or the JSON reporter's document.

use super::suites::{Suites, indent};
use super::without_colours;
use crate::grade::parsers::reports::json_documents;
use crate::grade::parsers::{StatusMap, pattern};
use crate::grade::text::{lines, strip};
use serde::Deserialize;

/// What the JSON reporter writes (`mocha --reporter json`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    passes: Vec<Test>,
    failures: Vec<Test>,
    #[serde(default)]
    pending: Vec<Test>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Test {
    full_title: String,
}

/// Tests have mocha's own full title: the suites and the test, joined by blanks.
pub(in crate::grade::parsers) fn mocha(text: &str) -> StatusMap {
    let mut tests = StatusMap::default();
    for report in json_documents::<Report>(text) {
        report.passes.into_iter().for_each(|test| tests.passed(test.full_title));
        report.pending.into_iter().for_each(|test| tests.skipped(test.full_title));
        report.failures.into_iter().for_each(|test| tests.failed(test.full_title));
    }
    if tests.is_empty() {
        spec(&without_colours(text), &mut tests);
    }
    tests
}

fn spec(text: &str, tests: &mut StatusMap) {
    let mut suites = Suites::default();
    // Behind the counts the failures are told at length, in lines that look like results.
    let mut details = false;
    for line in lines(text) {
        let stripped = strip(line);
        let depth = indent(line);
        if stripped.is_empty() || depth == 0 {
            continue;
        }
        if pattern!(r"^\d+ (?:passing|failing|pending)\b").is_match(stripped) {
            details = true;
            suites = Suites::default();
        } else if let Some(name) = stripped.strip_prefix(['✓', '✔', '√']) {
            details = false;
            suites.leave(depth);
            tests.passed(suites.name(" ", without_duration(name)));
        } else if let Some(found) = pattern!(r"^\d+\) (.+)$").captures(stripped) {
            if !details {
                suites.leave(depth);
                tests.failed(suites.name(" ", without_duration(&found[1])));
            }
        } else if let Some(name) = stripped.strip_prefix("- ") {
            if !details {
                suites.leave(depth);
                tests.skipped(suites.name(" ", strip(name)));
            }
        } else {
            suites.enter(depth, stripped);
        }
    }
}

fn without_duration(name: &str) -> &str {
    let name = strip(name);
    pattern!(r"\s\(\d+m?s\)$").find(name).map_or(name, |found| &name[..found.start()])
}
