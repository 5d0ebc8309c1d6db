//! Django's own test runner.

use crate::grade::parsers::{Parsed, StatusMap, pattern};
use crate::grade::text::{lines, strip, words};
use crate::model::TestStatus;
use memchr::memmem;
use regex::Regex;

const VERSION_TEST: &str = "--version is equivalent to version";
const MIGRATION: &str = "Applying sites.0002_alter_domain_unique...test_no_migrations";

pub(in crate::grade::parsers) fn django(text: &str) -> Parsed {
    let mut tests = StatusMap::default();
    let mut previous = None;
    for line in lines(text) {
        if let Err(why) = read_line(strip(line), &mut previous, &mut tests) {
            return Parsed::failed(tests, why);
        }
    }
    // Tests whose own output stands between their name and their `ok`.
    split_results(text, &mut tests);
    tests.into()
}

/// The rules are not exclusive: a line may set several entries.
fn read_line<'t>(
    mut line: &'t str,
    previous: &mut Option<&'t str>,
    tests: &mut StatusMap,
) -> Result<(), String> {
    let dots = line.find(" ... ");
    let begins = ["FAIL:", "ERROR:", "ok"].into_iter().any(|word| line.starts_with(word));
    // Nearly all lines of other output end here.
    if dots.is_none() && !begins && !line.contains(VERSION_TEST) {
        return Ok(());
    }
    if line.contains(VERSION_TEST) {
        tests.passed(VERSION_TEST);
    }
    if let Some(at) = dots {
        *previous = Some(&line[..at]);
    }
    if let Some(suffix) =
        [" ... ok", " ... OK", " ...  OK"].into_iter().find(|end| line.ends_with(end))
    {
        if line.starts_with(MIGRATION) {
            line = line.split_once("...").map_or(line, |(_, rest)| strip(rest));
        }
        tests.passed(line.strip_suffix(suffix).unwrap_or(line));
    }
    if let Some(at) = line.find(" ... skipped") {
        tests.skipped(&line[..at]);
    }
    if line.ends_with(" ... FAIL") {
        tests.failed(before(line, " ... FAIL"));
    }
    if line.starts_with("FAIL:") {
        tests.failed(second_word(line)?);
    }
    if line.ends_with(" ... ERROR") {
        tests.insert(before(line, " ... ERROR"), TestStatus::Error);
    }
    if line.starts_with("ERROR:") {
        tests.insert(second_word(line)?, TestStatus::Error);
    }
    if line.starts_with("ok")
        && let Some(name) = previous
    {
        tests.passed(*name);
    }
    Ok(())
}

fn before<'t>(line: &'t str, separator: &str) -> &'t str {
    line.split(separator).next().unwrap_or(line)
}

fn second_word(line: &str) -> Result<&str, String> {
    words(line).nth(1).ok_or_else(|| {
        let line: String = line.chars().take(200).collect();
        format!("the line `{line}` names no test")
    })
}

fn split_results(text: &str, tests: &mut StatusMap) {
    let patterns: [(&str, &Regex); 3] = [
        (
            "Testing against Django installed in ",
            pattern!(
                r"(?m)^(.*?)\s\.\.\.\sTesting against Django installed in (?s:.*?) silenced\)\.\nok$"
            ),
        ),
        (
            "Internal Server Error: /",
            pattern!(r"(?m)^(.*?)\s\.\.\.\sInternal Server Error: /.*/\nok$"),
        ),
        (
            "System check identified no issues (0 silenced)\nok",
            pattern!(r"(?m)^(.*?)\s\.\.\.\sSystem check identified no issues \(0 silenced\)\nok$"),
        ),
    ];
    for (needed, pattern) in patterns {
        if memmem::find(text.as_bytes(), needed.as_bytes()).is_none() {
            continue;
        }
        for found in pattern.captures_iter(text) {
            tests.passed(&found[1]);
        }
    }
}
